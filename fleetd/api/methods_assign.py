"""Dispatcher: naming the agent or host that shall run a task (spec M4)."""

from __future__ import annotations

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import task_pb2
from fleetd.api.calls import Call
from fleetd.api.methods_tasks import REASON, shown
from fleetd.api.validate import Fields
from fleetd.core.assigning import Assign, Assigned
from fleetd.core.audit import Audited
from fleetd.core.task import Mode
from fleetd.engine.engine import Engine

SERVED: dict[int, str] = {
    task_pb2.EXECUTION_MODE_UNSPECIFIED: "left out",
    task_pb2.EXECUTION_MODE_SSH_CLI: "SSH_CLI",
    task_pb2.EXECUTION_MODE_PULL: "PULL",
}
"""Modes that somebody serves."""


class AssignMethods:
    """Submit and assign in one is SubmitTask with agent_id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def assign_task(self, request: pb.AssignTaskRequest, call: Call) -> task_pb2.Task:
        fields = Fields()
        task_id = fields.task_id("task_id", request.task_id)
        target = fields.name("agent_id", request.agent_id, required=True)
        mode = fields.known("execution_mode", request.execution_mode, SERVED)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        act = Assign(task_id, target, Mode(mode) if mode else None, request.force, reason)
        why = f"{target}: {reason}" if reason else target
        answer: Assigned = await self._engine.execute(
            Audited(act, call.actor, "AssignTask", task_id, f"{why} (forced)" if request.force else why)
        )
        return shown(self._engine.run_times, answer.task, answer.spec)
