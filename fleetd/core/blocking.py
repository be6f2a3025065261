"""Looking again at what waits for an instance: BLOCKED tasks, group by group (spec T1, F6)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core import routed
from fleetd.core.breaker import BreakerState
from fleetd.core.filters import sift
from fleetd.core.inquiry import Inquiry
from fleetd.core.ledger import Keys, Ledger
from fleetd.core.masks import slots_of
from fleetd.core.routebook import Group, RouteBook

MORE = 1 << 30
"""Room of an instance without a limit."""
LOOK_AGAIN = 5_000
"""Milliseconds until a group whose instances had room for some of its tasks is asked again: by then those have taken it, or nobody is there to run them."""


class Opening(NamedTuple):
    """A group for whose tasks there is room: how many may go, an instance that can take them, and whether only the limit of one look keeps more from going."""

    key: int
    most: int
    instance: str
    cut: bool


@dataclass(slots=True)
class Unblock:
    """
    Let BLOCKED tasks go for which an instance has room again. Answer: the groups that were asked, `asked` among them, when there is more to look
    at: give them to the next look; None when every group was asked.

    Tasks that need the same wait in one group: each group is asked once, and gives as many of its first tasks as its instances have room for, so that one
    free place does not wake a thousand.
    """

    asked: tuple[int, ...] = ()
    _openings: list[Opening] = field(default_factory=list)
    _unasked: bool = False

    def keys(self) -> Keys:
        return Keys()

    def more(self, ledger: Ledger) -> Keys | None:
        self._openings, self._unasked = _openings(ledger.routes, ledger.now, self.asked)
        wanted = tuple((each.key, each.most) for each in self._openings)
        return Keys(blocked=wanted) if wanted else None

    def apply(self, ledger: Ledger) -> tuple[int, ...] | None:
        routes = ledger.routes
        asked = dict.fromkeys(self.asked)
        again = self._unasked
        for key, most, instance_id, cut in self._openings:
            found = 0
            for task in ledger.blocked_in(key):
                routed.unblock(ledger, task, f"{instance_id} can take work")
                found += 1
            if found < most:
                routes.nobody_waits(key)
            elif cut:
                again = True
                continue
            else:
                # Those that go may find no agent, and others may wait for the same room who would.
                routes.look_again(key, ledger.now + LOOK_AGAIN)
            asked[key] = None
        return tuple(asked) if again else None


def _openings(routes: RouteBook, now: int, asked: Collection[int]) -> tuple[list[Opening], bool]:
    """Return the groups for whose tasks there is room, as far as one look goes, and whether groups are left that were not asked."""
    left = routes.rules.blocked_look
    openings: list[Opening] = []
    for key, group in list(routes.groups.items()):
        if key in asked:
            continue
        if left <= 0:
            return openings, True
        routes.asked(key)
        instance_id, room = _room(routes, group, now, left)
        if room:
            openings.append(Opening(key, min(room, left), instance_id, room > left))
            left -= min(room, left)
    return openings, False


def _room(routes: RouteBook, group: Group, now: int, most: int) -> tuple[str, int]:
    """Return an instance that can take work of a group, and how many tasks its eligible instances have room for; more than `most` are not counted."""
    plan = routes.inside.plan(group.requirements, now, plan_id="", fallbacks=0)
    # A breaker that is open although its time has passed half-opens by a clock that nobody sets, and that is seen.
    group.retry_at = plan.retry_at if plan.retry_at > now else 0
    if not plan.selected:
        return "", 0
    registry, load = routes.registry, routes.inside.load
    inquiry = Inquiry(registry, group.requirements, now, load, routes.probes.held(now))
    eligible, _ = sift(inquiry, registry.index.all)
    room = 0
    for slot in slots_of(eligible):
        instance = registry.index.instances[registry.index.ids[slot]]
        guards = routes.inside.guards(instance.id, instance.provider_id)
        if any(registry.breaker(*guard).state is BreakerState.HALF_OPEN for guard in guards):
            room += 1
            # Should the one that goes never report: until then its probe may be held.
            group.retry_at = now + routes.rules.breakers.probe_lease
        elif not instance.max_inflight:
            room += MORE
        else:
            room += instance.max_inflight - load.get(instance.id, 0)
        if room > most:
            break
    return plan.selected, room


def next_look(routes: RouteBook) -> int:
    """Return when a look may let something go although nothing changed, epoch ms; 0 when no time is known. It may have passed. Safe beside a transaction."""
    return min((group.retry_at for group in list(routes.groups.values()) if group.retry_at), default=0)


def look_begins(routes: RouteBook, now: int) -> None:
    """Forget the times that have come: the look that is about to begin sets them anew."""
    for group in list(routes.groups.values()):
        if group.retry_at <= now:
            group.retry_at = 0
