"""Dispatcher: taking, showing and changing tasks."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import task_pb2
from fleetd.api import convert_tasks
from fleetd.api.calls import Call
from fleetd.api.convert_audits import matching, named
from fleetd.api.convert_submissions import submission, update
from fleetd.api.convert_times import duration, timestamp
from fleetd.api.errors import describe
from fleetd.api.ids import NewId
from fleetd.api.limits import Limits
from fleetd.api.pace import GROUP
from fleetd.api.pages import fitting, make_token, page_size, read_number
from fleetd.api.validate import Fields, check_batch
from fleetd.core.audit import Audited, Nothing
from fleetd.core.interventions import Cancel, Retry, TimeoutRun
from fleetd.core.submission import Submission, Submit, Taken
from fleetd.core.task import TERMINAL, Checkpoint, Payload, Spec, Status, Task, TaskFilter
from fleetd.engine.engine import Engine
from fleetd.engine.run_times import RunTimes
from fleetd.errors import FleetError, InvalidArgument, NotFound, WrongState

REASON = 1_000
"""Characters of a reason kept in an event."""
EXAMINED = 10_000
"""Tasks one page may look at: some tens of milliseconds of a reader's time."""
BREATH = 128
"""Tasks of a batch converted in one go, about a millisecond, before other calls get their turn."""

ITEM_FIELDS = 8
"""Bad fields named for one task of a batch: a thousand bad tasks must still be answered in one message."""
SHOWN = 4 << 20
"""Bytes of tasks shown in the answer to a batch: more than a batch of the clients' 3 MiB asks for, and well below the largest message."""


class TaskMethods:
    """Everything about tasks that does not wait."""

    def __init__(self, engine: Engine, limits: Limits, new_id: NewId) -> None:
        self._engine = engine
        self._limits = limits
        self._new_id = new_id

    async def submit_task(self, request: pb.SubmitTaskRequest, call: Call) -> pb.SubmitTaskResponse:
        item = submission(request, self._limits, self._new_id)
        answer: Taken | FleetError = (await self._engine.execute(Submit((item,))))[0]
        if isinstance(answer, FleetError):
            raise answer
        task = shown(self._engine.run_times, answer.task, answer.spec)
        return pb.SubmitTaskResponse(task=task, duplicate=answer.duplicate)

    async def submit_tasks(self, request: pb.SubmitTasksRequest, call: Call) -> pb.SubmitTasksResponse:
        check_batch("tasks", len(request.tasks), self._limits.batch)
        refused: dict[int, FleetError] = {}
        taken: list[Submission] = []
        for place, message in enumerate(request.tasks):
            try:
                taken.append(submission(message, self._limits, self._new_id))
            except InvalidArgument as error:
                refused[place] = error
            if place % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        answers = iter(await self._engine.execute(Submit(tuple(taken))) if taken else ())
        response = pb.SubmitTasksResponse()
        items, times, room = response.items, self._engine.run_times, SHOWN if request.return_tasks else 0
        for place in range(len(request.tasks)):
            room = _item_into(items.add(), refused.get(place) or next(answers), times, room)
            if place % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        return response

    async def get_task(self, request: pb.GetTaskRequest, call: Call) -> task_pb2.Task:
        return await self._show(_checked(request.task_id), include_input=request.include_input)

    async def list_tasks(self, request: pb.ListTasksRequest, call: Call) -> pb.ListTasksResponse:
        fields = Fields()
        wanted = convert_tasks.filter_in(request.filter, self._limits, fields)
        limit = page_size(request.page_size, 50, self._limits.page, fields)
        mark = request.filter.SerializeToString(deterministic=True)
        before = read_number(request.page_token, mark, fields)
        fields.check()
        page = await self._engine.store.list_tasks(wanted, before, limit, EXAMINED)
        times = self._engine.run_times
        tasks = fitting((shown(times, row.task, row.spec) for row in page.rows), self._limits.delivery)
        cut = len(tasks) < len(page.rows)
        following = page.rows[len(tasks) - 1].task.seq if cut else page.next_before
        return pb.ListTasksResponse(
            tasks=tasks, next_page_token=make_token(str(following), mark) if following else ""
        )

    async def get_task_result(self, request: pb.GetTaskResultRequest, call: Call) -> pb.GetTaskResultResponse:
        task_id = _checked(request.task_id)
        rows = await self._engine.store.get_tasks([task_id])
        if task_id not in rows:
            raise unknown_task(task_id)
        task = rows[task_id].task
        if not task.terminal:
            raise WrongState(
                "TASK_NOT_FINISHED", f"task {task.id} is {task.status.name}", {"status": task.status.name}
            )
        result, history = convert_tasks.results_out(task, await self._engine.store.get_runs(task_id))
        return pb.GetTaskResultResponse(result=result, history=history if request.include_history else ())

    async def cancel_task(self, request: pb.CancelTaskRequest, call: Call) -> task_pb2.Task:
        task_id, reason = _checked_with_reason(request.task_id, request.reason)
        answer: Task | FleetError = (
            await self._engine.execute(
                Audited(Cancel((task_id,), reason), call.actor, "CancelTask", task_id, reason)
            )
        )[0]
        if isinstance(answer, FleetError):
            raise answer
        return await self._show(task_id)

    async def cancel_tasks(self, request: pb.CancelTasksRequest, call: Call) -> pb.CancelTasksResponse:
        fields = Fields()
        wanted = convert_tasks.filter_in(request.filter, self._limits, fields)
        fields.text("reason", request.reason, REASON)
        ids = tuple(dict.fromkeys(request.task_ids))
        if fields.count("task_ids", len(ids), self._limits.batch):
            for place, task_id in enumerate(ids):
                fields.task_id(f"task_ids[{place}]", task_id)
        if ids and wanted != TaskFilter():
            fields.refuse("task_ids", "must not be given together with filter")
        if not ids and wanted == TaskFilter() and not request.allow_all:
            fields.refuse(
                "allow_all", "must be true to cancel every task: there are no task_ids and no filter"
            )
        fields.check()
        answer = pb.CancelTasksResponse()
        if not request.dry_run:
            target = named(ids) if ids else matching(request.filter)
            await self._engine.execute(Audited(Nothing(), call.actor, "CancelTasks", target, request.reason))
        if ids:
            for start in range(0, len(ids), GROUP):
                await self._cancel_named(ids[start : start + GROUP], request, answer)
        else:
            await self._cancel_matching(wanted, request, answer)
        return answer

    async def timeout_task(self, request: pb.TimeoutTaskRequest, call: Call) -> task_pb2.Task:
        task_id, reason = _checked_with_reason(request.task_id, request.reason)
        act = TimeoutRun(task_id, reason or "ended by an operator")
        await self._engine.execute(Audited(act, call.actor, "TimeoutTask", task_id, reason))
        return await self._show(task_id)

    async def retry_task(self, request: pb.RetryTaskRequest, call: Call) -> task_pb2.Task:
        task_id, reason = _checked_with_reason(request.task_id, request.reason)
        await self._engine.execute(Audited(Retry(task_id, reason), call.actor, "RetryTask", task_id, reason))
        return await self._show(task_id)

    async def update_task(self, request: pb.UpdateTaskRequest, call: Call) -> task_pb2.Task:
        act = update(request, self._limits)
        answer = await self._engine.execute(Audited(act, call.actor, "UpdateTask", act.task_id))
        return shown(self._engine.run_times, answer.task, answer.spec)

    async def get_task_lineage(
        self, request: pb.GetTaskLineageRequest, call: Call
    ) -> pb.GetTaskLineageResponse:
        task_id = _checked(request.task_id)
        edges = await self._engine.store.lineage(task_id)
        if not edges and not await self._engine.store.get_tasks([task_id]):
            raise unknown_task(task_id)
        return pb.GetTaskLineageResponse(edges=[convert_tasks.edge_out(owner, edge) for owner, edge in edges])

    async def _show(self, task_id: str, *, include_input: bool = False) -> task_pb2.Task:
        rows = await self._engine.store.get_tasks([task_id], with_parts=include_input)
        row = rows.get(task_id)
        if row is None:
            raise unknown_task(task_id)
        times = self._engine.run_times
        if row.parts is None:
            return shown(times, row.task, row.spec)
        return shown(times, row.task, row.spec, row.parts.input, row.parts.checkpoint)

    async def _cancel_named(
        self, ids: tuple[str, ...], request: pb.CancelTasksRequest, answer: pb.CancelTasksResponse
    ) -> None:
        """Cancel some ids; those that are unknown or terminal are skipped."""
        if request.dry_run:
            rows = await self._engine.store.get_tasks(ids)
            cancellable = [task_id for task_id in ids if task_id in rows and not rows[task_id].task.terminal]
            answer.matched += len(cancellable)
            answer.skipped_task_ids.extend(task_id for task_id in ids if task_id not in set(cancellable))
            return
        tasks: list[Task | FleetError] = await self._engine.execute(Cancel(ids, request.reason))
        for task_id, task in zip(ids, tasks, strict=True):
            if isinstance(task, FleetError):
                answer.skipped_task_ids.append(task_id)
            else:
                answer.matched += 1
                if task.status is Status.CANCELLED:
                    answer.cancelled += 1
                else:
                    answer.requested += 1

    async def _cancel_matching(
        self, wanted: TaskFilter, request: pb.CancelTasksRequest, answer: pb.CancelTasksResponse
    ) -> None:
        """Cancel page by page; a task that ended after its page was read is not counted."""
        narrowed = replace(wanted, statuses=(wanted.statuses or frozenset(Status)) - TERMINAL)
        before = 0
        while narrowed.statuses:
            page = await self._engine.store.list_tasks(narrowed, before, GROUP, EXAMINED)
            if request.dry_run:
                answer.matched += len(page.rows)
            elif page.rows:
                await self._cancel_named(tuple(row.task.id for row in page.rows), request, answer)
                del answer.skipped_task_ids[:]
            before = page.next_before
            if not before:
                return


def shown(
    times: RunTimes,
    task: Task,
    spec: Spec,
    payload: Payload | None = None,
    checkpoint: Checkpoint | None = None,
) -> task_pb2.Task:
    """Return the task as callers see it. While it runs, the `times` of its type tell when it will end, unless its submitter did."""
    message = convert_tasks.task_out(task, spec, payload, checkpoint)
    if task.status is Status.RUNNING and not spec.estimated_duration:
        expected = times.expected(task.org_id, task.task_type)
        if expected:
            message.estimated_completion.CopyFrom(timestamp(task.started_at + expected))
    return message


def unknown_task(task_id: str) -> NotFound:
    return NotFound("TASK_NOT_FOUND", f"there is no task {task_id!r}", {"task_id": task_id})


def _item_into(item: pb.SubmitTasksItem, answer: Taken | FleetError, times: RunTimes, room: int) -> int:
    """Fill an empty item; the task is shown while there is room for it, in bytes. Return the room that is left."""
    if isinstance(answer, FleetError):
        item.error.CopyFrom(_item_error(answer))
        return room
    item.task_id = answer.task.id
    if answer.duplicate:
        item.duplicate = True
    if room > 0:
        task = shown(times, answer.task, answer.spec)
        room -= task.ByteSize()
        if room >= 0:
            item.task.CopyFrom(task)
    return room


def _item_error(refusal: FleetError) -> pb.ItemError:
    problem = describe(refusal)
    error = pb.ItemError(
        code=int(problem.code), reason=problem.reason, message=problem.message, metadata=problem.metadata
    )
    first = problem.fields[:ITEM_FIELDS]
    error.fields.extend(pb.FieldError(field=path, description=right) for path, right in first)
    if len(first) < len(problem.fields):
        error.fields.add(field="…", description=f"and {len(problem.fields) - len(first)} more")
    if problem.retry_after is not None:
        error.retry_after.CopyFrom(duration(problem.retry_after))
    return error


def _checked(task_id: str) -> str:
    fields = Fields()
    fields.task_id("task_id", task_id)
    fields.check()
    return task_id


def _checked_with_reason(task_id: str, reason: str) -> tuple[str, str]:
    fields = Fields()
    fields.task_id("task_id", task_id)
    fields.text("reason", reason, REASON)
    fields.check()
    return task_id, reason
