"""Looking again at what waits for an instance: BLOCKED tasks, group by group (spec T1, F6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core import routed
from fleetd.core.breaker import BreakerState
from fleetd.core.filters import sift
from fleetd.core.inquiry import Inquiry
from fleetd.core.ledger import Keys, Ledger
from fleetd.core.masks import slots_of
from fleetd.core.routebook import Group, RouteBook, ahead

MORE = 1 << 30
"""Room of an instance without a limit."""
LOOK_AGAIN = 5_000
"""Milliseconds until a group whose instances had room for some of its tasks is asked again: by then those have taken it, or nobody is there to run them."""


class Opening(NamedTuple):
    """Room for tasks of a group, and an instance that has some; `cut`: there may be more room than one look gives."""

    group: int
    room: int
    instance: str
    cut: bool


@dataclass(slots=True)
class Unblock:
    """
    Let BLOCKED tasks of these groups go for which an instance has room again. Answer: the groups of which there may be more to let go.

    Tasks that need the same wait in one group: each group is asked once, and gives as many of its first tasks as its instances have room for, so that one
    free place does not wake a thousand.
    """

    groups: tuple[int, ...]
    _openings: list[Opening] = field(default_factory=list)
    _unasked: tuple[int, ...] = ()

    def keys(self) -> Keys:
        return Keys()

    def more(self, ledger: Ledger) -> Keys | None:
        routes, self._openings, self._unasked = ledger.routes, [], ()
        left = routes.rules.blocked_look
        for number, key in enumerate(self.groups):
            if left <= 0:
                self._unasked = self.groups[number:]
                break
            group = routes.groups.get(key)
            instance_id, room = _room(routes, group, ledger.now, left) if group is not None else ("", 0)
            if room:
                left -= room
                self._openings.append(Opening(key, room, instance_id, cut=left <= 0))
        wanted = tuple((each.group, each.room) for each in self._openings)
        return Keys(blocked=wanted) if wanted else None

    def apply(self, ledger: Ledger) -> tuple[int, ...]:
        again: list[int] = []
        for key, room, instance_id, cut in self._openings:
            found = 0
            for task in ledger.blocked_in(key):
                routed.unblock(ledger, task, f"{instance_id} can take work")
                found += 1
            if key not in ledger.blocked_beyond:
                ledger.routes.forget_group(key)
            elif cut or found < room:
                # Others may wait behind those that were read: there is more room, or a command before this one took some.
                again.append(key)
            else:
                # Those that go may find no agent, and others may wait for the same room who would.
                ledger.routes.look_again(key, ledger.now + LOOK_AGAIN)
        return (*again, *self._unasked)


def _room(routes: RouteBook, group: Group, now: int, most: int) -> tuple[str, int]:
    """Return an instance that can take work of a group, and how many tasks its eligible instances have room for, at most `most`."""
    plan = routes.inside.plan(group.requirements, now, plan_id="", fallbacks=0, above=group.above)
    group.retry_at = ahead(plan.retry_at, now)
    if not plan.selected:
        return "", 0
    registry, load = routes.registry, routes.inside.load
    inquiry = Inquiry(registry, group.requirements, now, load, routes.probes.held(now), above=group.above)
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
        if room >= most:
            break
    return plan.selected, min(room, most)


def next_look(routes: RouteBook) -> int:
    """Return when a look may let something go although nothing changed, epoch ms: a time that has passed and was not looked at, too; 0 when none is known."""
    # A list: a transaction may be adding to the groups on its own thread.
    return min((group.retry_at for group in list(routes.groups.values()) if group.retry_at), default=0)
