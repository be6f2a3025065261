"""Dispatcher: waiting for tasks. Whoever waits registers first, then reads, so that nothing ends unseen in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api import convert_tasks
from fleetd.api.calls import Call
from fleetd.api.convert_times import milliseconds
from fleetd.api.limits import Limits
from fleetd.api.methods_tasks import shown, unknown_task
from fleetd.api.pace import MARGIN
from fleetd.api.validate import Fields
from fleetd.core.task import Spec, Task
from fleetd.engine.engine import Engine
from fleetd.engine.feed import TaskWatch

Shown: TypeAlias = tuple[Task, Spec]


class WaitMethods:
    """Long polls on tasks."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def wait_task(self, request: pb.WaitTaskRequest, call: Call) -> pb.WaitTaskResponse:
        fields = Fields()
        task_id = fields.task_id("task_id", request.task_id)
        wait = _wait(request.wait if request.HasField("wait") else None, self._limits, fields)
        fields.check()
        task, spec = (await self._await([task_id], wait, call, first=True))[task_id]
        answer = pb.WaitTaskResponse(task=shown(self._engine.run_times, task, spec), terminal=task.terminal)
        if task.terminal:
            runs = await self._engine.store.get_runs(task_id)
            answer.result.CopyFrom(convert_tasks.results_out(task, runs)[0])
        return answer

    async def wait_tasks(self, request: pb.WaitTasksRequest, call: Call) -> pb.WaitTasksResponse:
        fields = Fields()
        wait = _wait(request.wait if request.HasField("wait") else None, self._limits, fields)
        if not request.task_ids:
            fields.refuse("task_ids", f"is required: 1 to {self._limits.batch:,} ids")
        elif fields.count("task_ids", len(request.task_ids), self._limits.batch):
            for place, task_id in enumerate(request.task_ids):
                fields.task_id(f"task_ids[{place}]", task_id)
        fields.check()
        rows = await self._await(list(dict.fromkeys(request.task_ids)), wait, call, first=request.first)
        asked = [rows[task_id] for task_id in request.task_ids]
        enough = any if request.first else all
        return pb.WaitTasksResponse(
            tasks=[shown(self._engine.run_times, task, spec) for task, spec in asked],
            satisfied=enough(task.terminal for task, _ in asked),
        )

    async def _await(self, ids: list[str], wait: int, call: Call, *, first: bool) -> Mapping[str, Shown]:
        """Return the tasks when one (`first`) or all of them are terminal, or as they are when the time is over."""
        watch = self._engine.feed.watch_tasks(ids)
        try:
            found = await self._read(ids)
            pending = {task_id for task_id in ids if not found[task_id][0].terminal}
            if not pending or (first and len(pending) < len(ids)):
                return found
            allowed = budget(wait, call, self._engine.clock.now())
            if allowed <= 0:
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(allowed / 1_000):
                    await _ended(watch, pending, first=first)
            return await self._read(ids)
        finally:
            watch.close()

    async def _read(self, ids: list[str]) -> Mapping[str, Shown]:
        rows = await self._engine.store.get_tasks(ids)
        for task_id in ids:
            if task_id not in rows:
                raise unknown_task(task_id)
        return {task_id: (row.task, row.spec) for task_id, row in rows.items()}


def budget(wait: int, call: Call, now: int) -> int:
    """Return how long a call may wait, in milliseconds: as asked, but never into its own deadline."""
    return wait if call.deadline is None else min(wait, call.deadline - MARGIN - now)


async def _ended(watch: TaskWatch, pending: set[str], *, first: bool) -> None:
    while pending:
        pending.discard(await watch.next())
        if first:
            return


def _wait(span: Duration | None, limits: Limits, fields: Fields) -> int:
    return limits.default_wait if span is None else milliseconds(span, "wait", fields, 0, limits.wait)
