"""Naming the agent or host that shall run a task (spec M4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fleetd.core import runs
from fleetd.core.event import EventType
from fleetd.core.interventions import find
from fleetd.core.ledger import DueKind, Keys, Ledger, lane_key
from fleetd.core.target import capability_mismatch, find_target
from fleetd.core.task import WAITING, Mode, ModeSource, Spec, Status, Task
from fleetd.errors import WrongState


class Assigned(NamedTuple):
    """A task that was assigned, as it is after the transaction: whoever it was assigned to may have it already."""

    task: Task
    spec: Spec


@dataclass(frozen=True, slots=True)
class Assign:
    """
    Reserve a waiting task for an agent or host. Answer: Assigned.

    `mode` None: PULL for a registered agent, SSH_CLI for a host, an agent when the name is both. `force` moves a task that was offered and not accepted, and one
    whose capabilities the target lacks. The reservation lasts a minute from when the task waits; a second one replaces it.
    """

    task_id: str
    target: str
    mode: Mode | None = None
    force: bool = False
    reason: str = ""

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,), specs=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Assigned:
        task = find(ledger, self.task_id)
        spec = ledger.specs[task.seq]
        name, mode, lacking = find_target(ledger, self.target, self.mode, spec.required_capabilities)
        self._check_mode(task, mode)
        offered = task.status is Status.ASSIGNED and not task.accepted and self.force
        if task.status not in WAITING and not offered:
            hint = "; force moves it" if task.status is Status.ASSIGNED and not task.accepted else ""
            raise WrongState(
                "TASK_NOT_ASSIGNABLE",
                f"task {task.id} is {task.status.name}{hint}",
                {"status": task.status.name},
            )
        if lacking and not self.force:
            raise capability_mismatch(self.target, lacking, "; force assigns it all the same")
        if offered:
            runs.release(ledger, task, f"assigned to {self.target}", tell=True)
        if task.queued:
            ledger.leave_lane(task)
        task.reserved_agent = name
        if self.mode is not None:
            task.mode, task.mode_source = mode, ModeSource.EXPLICIT
        begins = max(ledger.now, task.run_at)
        ledger.add_due(task, DueKind.RESERVATION, begins + ledger.rules.reservation)
        # By the name alone: whoever forces it says that the target can do it.
        wanted = () if lacking else spec.required_capabilities
        ledger.homeless[task.seq] = task, lane_key(task, wanted)
        payload = {"fields": ["reserved_for"], "reserved_for": name, "reason": self.reason}
        ledger.touch(task)
        ledger.event(task, EventType.TASK_UPDATED, payload)
        return Assigned(task, spec)

    def _check_mode(self, task: Task, mode: Mode) -> None:
        if self.mode is None and task.mode_source is ModeSource.EXPLICIT and task.mode is not mode:
            raise WrongState(
                "MODE_MISMATCH",
                f"task {task.id} was submitted as {task.mode.name}; name execution_mode {mode.name} to change that",
                {"execution_mode": task.mode.name},
            )
