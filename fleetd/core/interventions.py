"""What operators and submitters may do to a task: cancel, time out, retry, update (spec D4, D5, D14, T2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from fleetd.core import runs
from fleetd.core.effect import Ordered
from fleetd.core.event import EventType
from fleetd.core.ledger import DueKind, Edge, Keys, Ledger, lane_key
from fleetd.core.task import WAITING, Mode, ModeSource, Order, Priority, Spec, Status, Task
from fleetd.errors import Conflict, FleetError, InvalidArgument, NotFound, WrongState


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel tasks by id. Answer: for each, in order, the Task, or the error that refused it."""

    task_ids: tuple[str, ...]
    reason: str = ""

    def keys(self) -> Keys:
        return Keys(task_ids=self.task_ids)

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> list[Task | FleetError]:
        answers: list[Task | FleetError] = []
        for task_id in self.task_ids:
            try:
                answers.append(self._cancel(ledger, task_id))
            except FleetError as error:
                answers.append(error)
        return answers

    def _cancel(self, ledger: Ledger, task_id: str) -> Task:
        task = find(ledger, task_id)
        if task.terminal:
            raise WrongState(
                "TASK_NOT_CANCELLABLE", f"task {task.id} is {task.status.name}", {"status": task.status.name}
            )
        if task.cancel_requested_at and task.order is Order.CANCEL:
            return task
        task.cancel_requested_at = ledger.now
        ledger.event(task, EventType.TASK_CANCEL_REQUESTED, {"reason": self.reason})
        if task.live:
            runs.order(ledger, task, Order.CANCEL, self.reason)
            ledger.effects.append(Ordered(task))
            return task
        task.error_code, task.error_message = "CANCELLED", self.reason or "cancelled on request"
        ledger.move(task, Status.CANCELLED)
        ledger.figures.cancelled += 1
        ledger.event(task, EventType.TASK_CANCELLED, {"reason": self.reason})
        return task


@dataclass(frozen=True, slots=True)
class TimeoutRun:
    """End a run as its run timeout would (D5, T7). Answer: the Task. `lease_epoch` 0 means whatever runs now."""

    task_id: str
    reason: str
    lease_epoch: int = 0

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Task:
        task = find(ledger, self.task_id)
        stale = self.lease_epoch not in (0, task.lease_epoch)
        if not task.live or stale:
            raise WrongState(
                "TASK_NOT_RUNNING", f"task {task.id} is {task.status.name}", {"status": task.status.name}
            )
        if task.order in (Order.NONE, Order.RELEASE):
            runs.order(ledger, task, Order.TIMEOUT, self.reason)
            ledger.effects.append(Ordered(task))
        return task


@dataclass(frozen=True, slots=True)
class Retry:
    """Put a FAILED or DEAD_LETTER task back with fresh attempts; its lease_epoch goes on (T2). Answer: the Task."""

    task_id: str
    reason: str

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        task = ledger.task(self.task_id)
        if task is None or not task.external_ref:
            return None
        return Keys(external_refs=((task.org_id, task.external_ref),))

    def apply(self, ledger: Ledger) -> Task:
        task = find(ledger, self.task_id)
        if task.status not in (Status.FAILED, Status.DEAD_LETTER):
            raise WrongState(
                "TASK_NOT_RETRYABLE",
                f"task {task.id} is {task.status.name}; only FAILED and DEAD_LETTER tasks can be retried",
                {"status": task.status.name},
            )
        if task.shadow:
            raise WrongState(
                "TASK_NOT_RETRYABLE",
                f"task {task.id} is the shadow of another; what it was compared with is over",
                {"status": task.status.name},
            )
        before = task.status
        fresh_start(ledger, task)
        ledger.enter_lane(task)
        ledger.event(task, EventType.TASK_REPLAYED, {"from": before.name, "reason": self.reason})
        ledger.changes.edges.append(
            Edge(task.seq, "retry_of", task.id, ledger.now, f"lease {task.lease_epoch}")
        )
        return task


def fresh_start(ledger: Ledger, task: Task) -> None:
    """Make a FAILED or DEAD_LETTER task PENDING with fresh attempts; the caller puts it into its lane. Raises WrongState, nothing changed."""
    if task.deadline and task.deadline <= ledger.now:
        raise WrongState("DEADLINE_PASSED", f"the deadline of task {task.id} has passed")
    holder = ledger.task_by_ref(task.org_id, task.external_ref) if task.external_ref else None
    if holder is not None:
        raise WrongState("EXTERNAL_REF_IN_USE", f"external_ref now belongs to task {holder.id}")
    ledger.move(task, Status.PENDING)
    ledger.take_ref(task)
    ledger.clear_due(task, DueKind.REPLAY)
    task.attempt = task.losses = 0
    task.finished_at = task.run_at = task.start_by = 0
    task.cancel_requested_at = 0
    task.error_code = task.error_message = task.dead_reason = ""
    if task.route is not None:
        # What failed then may be well now, and what was too large may be smaller.
        task.route.made_at, task.route.tried, task.route.above = 0, (), 0
    if task.mode_source is not ModeSource.EXPLICIT:
        task.mode, task.mode_source = Mode.UNDECIDED, ModeSource.NONE
    task.queued_at = ledger.now
    if task.deadline:
        ledger.add_due(task, DueKind.DEADLINE, task.deadline)
    if task.reserved_agent:
        ledger.add_due(task, DueKind.RESERVATION, ledger.now + ledger.rules.reservation)


class Updated(NamedTuple):
    """Answer of Update."""

    task: Task
    spec: Spec


@dataclass(frozen=True, slots=True)
class Update:
    """
    Change fields of a task (D14). Answer: Updated.

    `changes` maps field names to validated values: title, description, tags, required_capabilities, estimated_duration, labels, metadata
    (as in Spec), priority (Priority) and run_at (epoch ms, 0 = at once).
    """

    task_id: str
    changes: Mapping[str, Any]
    expected_version: int | None = None

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,), specs=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Updated:
        task = find(ledger, self.task_id)
        if self.expected_version is not None and task.version != self.expected_version:
            raise Conflict(
                "VERSION_MISMATCH",
                f"task {task.id} is at version {task.version}, not {self.expected_version}",
                {"version": str(task.version)},
            )
        if task.status not in WAITING:
            late = sorted(set(self.changes) - {"labels", "metadata"})
            if late:
                raise WrongState(
                    "TASK_NOT_UPDATABLE",
                    f"{', '.join(late)} can only change while the task is PENDING or BLOCKED, not {task.status.name}",
                    {"status": task.status.name},
                )
        run_at = self.changes.get("run_at", 0)
        if task.deadline and run_at >= task.deadline:
            raise InvalidArgument([("changes.run_at", "must be before deadline")])
        spec = ledger.specs[task.seq]
        in_spec = {name: value for name, value in self.changes.items() if name not in ("priority", "run_at")}
        if in_spec:
            spec = replace(spec, **in_spec)
            ledger.specs[task.seq] = ledger.changes.specs[task.seq] = spec
        ledger.touch(task)
        self._requeue(ledger, task, spec)
        ledger.event(task, EventType.TASK_UPDATED, {"fields": sorted(self.changes)})
        return Updated(task, spec)

    def _requeue(self, ledger: Ledger, task: Task, spec: Spec) -> None:
        """Move a waiting task to the lane and time it now belongs to."""
        if not {"priority", "required_capabilities", "run_at"} & set(self.changes):
            return
        if task.queued:
            ledger.leave_lane(task)
        task.priority = Priority(self.changes.get("priority", task.priority))
        if "run_at" in self.changes:
            ledger.clear_due(task, DueKind.START)
            run_at = self.changes["run_at"]
            task.run_at = run_at if run_at > ledger.now else 0
            task.queued_at = max(ledger.now, task.run_at)
            if task.run_at:
                ledger.add_due(task, DueKind.START, task.run_at)
            if task.reserved_agent:
                ledger.add_due(task, DueKind.RESERVATION, task.queued_at + ledger.rules.reservation)
        ledger.homeless[task.seq] = task, lane_key(task, spec.required_capabilities)


def find(ledger: Ledger, task_id: str) -> Task:
    """Return the task; NotFound when there is none."""
    task = ledger.task(task_id)
    if task is None:
        raise NotFound("TASK_NOT_FOUND", f"there is no task {task_id!r}", {"task_id": task_id})
    return task
