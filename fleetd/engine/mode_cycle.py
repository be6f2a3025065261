"""The cycle of the dispatcher: UNDECIDED tasks that no host has taken in time are left to agents (spec M2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fleetd.core.deciding import DecideModes, LaneLook
from fleetd.core.ledger import Ledger
from fleetd.core.task import Mode

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

CYCLE = 10_000
"""Milliseconds between two looks at what waits."""
LOOKED_AT = 1_000
"""Tasks looked at in one transaction."""


class ModeCycle:
    """
    Runs while there are hosts. Without them nothing is to be decided: whoever claims a task decides, and a million waiting tasks need no event each.

    What a host can take it is given at once, by the dispatch; this is only what follows when none has.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._after: dict[int, int] = {}
        # By lane, the first place that was entered since the last look: what comes back to an earlier place is undecided again.
        self._entered: dict[int, int] = {}
        self._looking = self._again = False
        self._last = 0

    def begin(self) -> None:
        """Begin the cycle when there are hosts."""
        if self._engine.hosts.present:
            self._engine.sweeper.timers.set(("modes", ""), self._engine.clock.now() + CYCLE)

    def released(self, ledger: Ledger) -> None:
        """A transaction was committed: hosts may have come, or tasks that shall not wait for one."""
        if not self._engine.hosts.present:
            return
        if self._engine.sweeper.timers.at(("modes", "")) is None:
            self.begin()
        for task in ledger.entered.values():
            self._entered[task.lane] = min(task.place, self._entered.get(task.lane, task.place))
        if ledger.entered and not self._engine.rules.undecided_for:
            self.look()

    def fire(self) -> None:
        """Look, and come back after the cycle."""
        self.look()
        self.begin()

    def look(self) -> None:
        """Decide what has waited long enough."""
        engine = self._engine
        if self._looking:
            self._again = True
        if self._looking or engine.state != "SERVING":
            return
        for lane_id, place in self._entered.items():
            self._after[lane_id] = min(self._after.get(lane_id, 0), place - 1)
        self._entered.clear()
        oldest = engine.clock.wall() - engine.rules.undecided_for
        looks = [
            LaneLook(lane.id, lane.key.capabilities, self._after.get(lane.id, 0), LOOKED_AT)
            for lane in engine.lane_book.lanes()
            if lane.count
            and lane.key.mode == Mode.UNDECIDED
            and not lane.key.agent
            and lane.head_at <= oldest
        ]
        if not looks:
            return
        share = max(1, LOOKED_AT // len(looks))
        # In turn, where there are more lanes than one transaction looks at.
        looks.sort(key=lambda look: (look.lane <= self._last, look.lane))
        del looks[LOOKED_AT:]
        self._last = looks[-1].lane
        self._looking = True
        command = DecideModes(tuple(look._replace(limit=share) for look in looks))
        engine.post_internal(command).add_done_callback(self._looked)

    def _looked(self, future: asyncio.Future[Any]) -> None:
        self._looking, moved = False, self._again
        self._again = False
        if future.cancelled() or future.exception() is not None:
            return
        for lane, looked in future.result().items():
            moved = moved or (not looked.end and looked.place > self._after.get(lane, 0))
            self._after[lane] = looked.place
        if moved:
            self.look()
