"""Naming the agent or host that shall run a task (spec M4)."""

from __future__ import annotations

from dataclasses import dataclass

from fleetd.core import runs
from fleetd.core.event import EventType
from fleetd.core.host import HostAgent
from fleetd.core.hostbook import PREFIX, HostRow, seat_name
from fleetd.core.interventions import find
from fleetd.core.ledger import DueKind, Keys, Ledger, lane_key
from fleetd.core.limits import closure
from fleetd.core.task import WAITING, Mode, ModeSource, Spec, Status, Task
from fleetd.errors import InvalidArgument, NotFound, WrongState


@dataclass(frozen=True, slots=True)
class Assign:
    """
    Reserve a waiting task for an agent or host. Answer: the Task.

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

    def apply(self, ledger: Ledger) -> Task:
        task = find(ledger, self.task_id)
        spec = ledger.specs[task.seq]
        name, capabilities, mode = self._target(ledger, spec)
        self._check_mode(task, mode)
        offered = task.status is Status.ASSIGNED and not task.accepted and self.force
        if task.status not in WAITING and not offered:
            hint = "; force moves it" if task.status is Status.ASSIGNED and not task.accepted else ""
            raise WrongState(
                "TASK_NOT_ASSIGNABLE",
                f"task {task.id} is {task.status.name}{hint}",
                {"status": task.status.name},
            )
        lacking = [each for each in spec.required_capabilities if each not in closure(capabilities)]
        if lacking and not self.force:
            raise WrongState(
                "CAPABILITY_MISMATCH",
                f"{self.target} lacks {', '.join(lacking)}; force assigns it all the same",
                {"lacking": ",".join(lacking)},
            )
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
        return task

    def _target(self, ledger: Ledger, spec: Spec) -> tuple[str, tuple[str, ...], Mode]:
        """Return the name the lease will be held under, what that one can do, and the mode that goes with it."""
        agent = None if self.target.startswith(PREFIX) else ledger.agent(self.target)
        row = ledger.hosts.rows().get(self.target)
        if agent is not None and (self.mode is not Mode.SSH_CLI or row is None):
            self._refuse_mode(Mode.PULL, "an agent")
            return self.target, agent.spec.capabilities, Mode.PULL
        if row is None:
            raise NotFound(
                "AGENT_NOT_FOUND",
                f"neither an agent nor a host is called {self.target!r}",
                {"agent_id": self.target},
            )
        self._refuse_mode(Mode.SSH_CLI, "a host")
        best = _best(row, spec)
        return seat_name(row.host.id, best.type), best.capabilities, Mode.SSH_CLI

    def _refuse_mode(self, served: Mode, what: str) -> None:
        if self.mode not in (None, served):
            right = f"must be {served.name} or left out: {self.target} is {what}"
            raise InvalidArgument([("execution_mode", right)])

    def _check_mode(self, task: Task, mode: Mode) -> None:
        if self.mode is None and task.mode_source is ModeSource.EXPLICIT and task.mode is not mode:
            raise WrongState(
                "MODE_MISMATCH",
                f"task {task.id} was submitted as {task.mode.name}; name execution_mode {mode.name} to change that",
                {"execution_mode": task.mode.name},
            )


def _best(row: HostRow, spec: Spec) -> HostAgent:
    """Return the host's agent that lacks the fewest of the task's capabilities, the first one of them."""

    def lacking(agent: HostAgent) -> int:
        has = closure(agent.capabilities)
        return sum(each not in has for each in spec.required_capabilities)

    return min(row.host.agents, key=lacking)
