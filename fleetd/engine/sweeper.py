"""Time: what is due becomes commands. One heap for live things, one window on the table of later things; nothing is polled (design rule 6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetd.core.interventions import TimeoutRun
from fleetd.core.ledger import Due
from fleetd.core.task import Status, Task
from fleetd.core.timers import EndGraces, EndOffers, FireDue
from fleetd.engine.due import WINDOW, DueWindow
from fleetd.engine.timers import Timers

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine
    from fleetd.engine.transaction import Command

RETRY_INTERNAL = 1_000
"""Milliseconds until the engine repeats work of its own that the store refused."""

FIRED_AT_ONCE = 1_000
"""Timers turned into commands in one turn; the rest follow in the next."""

TimerKey = tuple[str, str]
"""("lease", task id), of which there is one a lease, ("session" | "drain" | "trial", agent id), or ("dispatch" | "unblock" | "modes" | "rollouts", "")."""


@dataclass(slots=True)
class _LeaseTimer:
    """What a lease waits for: its offer to be accepted, its run to begin, its run to end, or an order to be confirmed."""

    kind: str
    lease_epoch: int


class Sweeper:
    """The timers of one engine, in monotonic milliseconds."""

    def __init__(self, engine: Engine) -> None:
        self.timers: Timers[TimerKey] = Timers()
        self.due = DueWindow()
        self._engine = engine
        self._leases: dict[str, _LeaseTimer] = {}

    def next(self) -> int | None:
        """Return when something is due, None when nothing ever is."""
        times = [at for at in (self.timers.next(), self.due.next()) if at is not None]
        return min(times) if times else None

    def set_lease(self, kind: str, task: Task, at: int) -> None:
        """Set the timer of a lease ("offer", "start", "run" or "grace"); it replaces the one before."""
        self._leases[task.id] = _LeaseTimer(kind, task.lease_epoch)
        self.timers.set(("lease", task.id), at)

    def cancel_lease(self, task_id: str) -> None:
        if self._leases.pop(task_id, None) is not None:
            self.timers.cancel(("lease", task_id))

    def restore_lease(self, task: Task, now: int, wall: int, grace: int) -> None:
        """Set the timer a live task had before a restart; it does not fire within `grace` ms."""
        rules = self._engine.rules
        if task.order:
            kind, at = "grace", task.order_at + rules.stop_grace
        elif task.status is Status.RUNNING:
            kind, at = "run", task.started_at + self._engine.run_timeout(task)
        elif not task.accepted:
            kind, at = "offer", task.assigned_at + rules.offer_timeout
        else:
            kind, at = "start", task.assigned_at + self._engine.start_timeout(task)
        self.set_lease(kind, task, now + max(grace, at - wall))

    async def refill(self, deadline_grace: int = 0) -> None:
        """Read the table of later things when the window ran dry."""
        if not self.due.dry:
            return
        entries = await self._engine.store.due(WINDOW)
        self.due.refill(entries, self._engine.clock.now(), self._engine.clock.wall())
        if deadline_grace:
            self.due.hold_back(self._engine.clock.now() + deadline_grace)

    def put_off_lease(self, task_id: str, until: int) -> None:
        """Let the timer of a lease not fire before `until`."""
        at = self.timers.at(("lease", task_id))
        if at is not None and at < until:
            self.timers.set(("lease", task_id), until)

    def fire(self) -> None:
        """Turn everything that is due into commands."""
        now = self._engine.pulse.beat()
        ended: dict[str, list[tuple[str, int]]] = {"offer": [], "start": [], "grace": []}
        for kind, name in self.timers.pop(now, FIRED_AT_ONCE):
            if kind == "session":
                self._engine.sessions.expire(name)
            elif kind == "drain":
                self._engine.sessions.end_drain(name)
            elif kind == "trial":
                self._engine.sessions.seat(name)
            elif kind == "dispatch":
                self._engine.nudge()
            elif kind == "modes":
                self._engine.mode_cycle.fire()
            elif kind == "rollouts":
                self._engine.rollouts.fire()
            elif kind == "unblock":
                self._engine.route_timers.fire()
            else:
                self._fire_lease(name, ended)
        offers, starts, graces = ended["offer"], ended["start"], ended["grace"]
        if offers:
            self._post_leases(EndOffers(tuple(offers)), offers)
        if starts:
            self._post_leases(EndOffers(tuple(starts), accepted=True), starts)
        if graces:
            self._post_leases(EndGraces(tuple(graces)), graces)
        entries = self.due.pop(now)
        if entries:
            self._post_due(entries)

    def _fire_lease(self, task_id: str, ended: dict[str, list[tuple[str, int]]]) -> None:
        timer = self._leases.get(task_id)
        if timer is None:
            return
        if timer.kind in ended:
            ended[timer.kind].append((task_id, timer.lease_epoch))
        else:
            self._post_leases(
                TimeoutRun(task_id, "run timeout", timer.lease_epoch), [(task_id, timer.lease_epoch)]
            )

    def _post_leases(self, command: Command, leases: list[tuple[str, int]]) -> None:
        def landed(future: asyncio.Future[Any]) -> None:
            if future.cancelled() or future.exception() is None:
                return
            for task_id, epoch in leases:
                timer, key = self._leases.get(task_id), ("lease", task_id)
                # Another timer is there when the lease went on meanwhile, or another one began.
                if timer is not None and timer.lease_epoch == epoch and self.timers.at(key) is None:
                    self.timers.set(key, self._engine.clock.now() + RETRY_INTERNAL)

        self._engine.post_internal(command).add_done_callback(landed)

    def _post_due(self, entries: tuple[Due, ...]) -> None:
        def landed(future: asyncio.Future[Any]) -> None:
            if not future.cancelled() and future.exception() is not None:
                self.due.postpone(entries, self._engine.clock.now() + RETRY_INTERNAL)

        self._engine.post_internal(FireDue(entries)).add_done_callback(landed)
