"""Dispatcher: why a task is not running (spec D9)."""

from __future__ import annotations

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import timestamp
from fleetd.api.methods_tasks import unknown_task
from fleetd.api.validate import Fields
from fleetd.core.explain import Explanation
from fleetd.core.task import Task
from fleetd.engine.engine import Engine


class ExplainMethods:
    """Answers for those who wonder."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def explain_task(self, request: pb.ExplainTaskRequest, call: Call) -> pb.ExplainTaskResponse:
        fields = Fields()
        task_id = fields.task_id("task_id", request.task_id)
        fields.check()
        row = (await self._engine.store.get_tasks([task_id])).get(task_id)
        if row is None:
            raise unknown_task(task_id)
        return explanation_out(row.task, await self._engine.explain(row.task, row.spec))


def explanation_out(task: Task, explanation: Explanation) -> pb.ExplainTaskResponse:
    message = pb.ExplainTaskResponse(
        task_id=task.id, status=enum_out(task.status), sentence=explanation.sentence
    )
    for reason in explanation.reasons:
        message.reasons.add(code=reason.code, text=reason.text, numbers=dict(reason.numbers))
    if explanation.unschedulable_since:
        message.unschedulable_since.CopyFrom(timestamp(explanation.unschedulable_since))
    return message
