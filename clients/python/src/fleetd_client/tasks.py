"""What the clients' methods ask the daemon: Python arguments to plans. Pure, shared by the asynchronous and the synchronous client."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar, Unpack

from google.protobuf.field_mask_pb2 import FieldMask

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.decision import use
from fleetd_client.errors import FleetError, InvalidArgument, from_item
from fleetd_client.payload import pack
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.requirements import RouteNeeds, requirements
from fleetd_client.times import Moment, Span, duration, seconds, timestamp
from fleetd_client.words import number

M = TypeVar("M")

# One long poll; longer waits are made of several, so that a lost connection costs one of them.
LONG_POLL = 60.0
# The daemon's limits of one batch, with room for the envelope below its 8 MiB message.
BATCH_ITEMS = 1_000
BATCH_BYTES = 3 * 1024 * 1024


class TaskOptions(TypedDict, total=False):
    """What a task may have besides its title. Spans are seconds or timedelta; moments seconds since 1970 or aware datetimes."""

    description: str
    org_id: str
    task_type: str
    input: Any  # bytes, str, or anything JSON can hold
    content_type: str  # of the input; by its kind unless given
    metadata: Mapping[str, str]
    tags: Iterable[str]
    labels: Mapping[str, str]
    priority: str | int  # LOW, MEDIUM, HIGH, URGENT
    capabilities: Iterable[str]
    execution_mode: str | int  # UNDECIDED, SSH_CLI, PULL
    max_attempts: int
    retry_policy: s.RetryPolicy
    run_at: Moment
    timeout: Span  # longest run
    schedule_to_start: Span
    deadline: Moment
    estimated_duration: Span
    parent_task_id: str
    external_ref: str
    idempotency_key: str  # generated unless given
    traceparent: str
    exclusive: bool
    agent_id: str  # an agent or a host that shall run it
    route: RouteNeeds | s.RouteRequirements  # what it needs of a model instance; no routing unless given
    rollout: str | s.RolloutUse  # that decides in which mode it is done, for its org_id
    session_id: str  # beside a rollout that keeps the work of a session together


class TaskMatch(TypedDict, total=False):
    """Which tasks; parts that are given must all hold."""

    statuses: Iterable[str | int]
    org_id: str
    agent_id: str
    task_type: str
    tag: str
    labels: Mapping[str, str]
    created_after: Moment
    created_before: Moment
    parent_task_id: str
    external_ref: str


class EventMatch(TypedDict, total=False):
    """Which events; parts that are given must all hold."""

    task_id: str
    agent_id: str
    org_id: str
    types: Iterable[str | int]
    after: Moment
    before: Moment


class TaskUpdate(TypedDict, total=False):
    """New values of a task; only what is given changes. run_at=None means at once."""

    title: str
    description: str
    priority: str | int
    tags: Iterable[str]
    capabilities: Iterable[str]
    run_at: Moment | None
    estimated_duration: Span
    labels: Mapping[str, str]
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one task of a batch: its id, or the error it was refused with."""

    task_id: str
    duplicate: bool
    error: FleetError | None


def _priority(value: str | int | None) -> Any:
    return number(s.Priority, "PRIORITY", value, "priority")


# How each option becomes a field; absent ones cost nothing (a process submits thousands a second).
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any] | None]] = {
    "description": ("description", None),
    "org_id": ("org_id", None),
    "task_type": ("task_type", None),
    "metadata": ("metadata", None),
    "tags": ("tags", None),
    "labels": ("labels", None),
    "priority": ("priority", _priority),
    "capabilities": ("required_capabilities", None),
    "execution_mode": (
        "execution_mode",
        lambda value: number(s.ExecutionMode, "EXECUTION_MODE", value, "execution_mode"),
    ),
    "max_attempts": ("max_attempts", None),
    "retry_policy": ("retry_policy", None),
    "run_at": ("run_at", lambda value: timestamp("run_at", value)),
    "timeout": ("timeout", duration),
    "schedule_to_start": ("schedule_to_start", duration),
    "deadline": ("deadline", lambda value: timestamp("deadline", value)),
    "estimated_duration": ("estimated_duration", duration),
    "parent_task_id": ("parent_task_id", None),
    "external_ref": ("external_ref", None),
    "idempotency_key": ("idempotency_key", None),
    "traceparent": ("traceparent", None),
    "exclusive": ("exclusive", None),
    "agent_id": ("agent_id", None),
    "route": ("route", requirements),
    "rollout": ("rollout", use),
}


def task(title: str, **options: Unpack[TaskOptions]) -> s.SubmitTaskRequest:
    """A task to submit, with an idempotency key of its own unless one is given. Raises TypeError for an option that there is not."""
    fields: dict[str, Any] = {
        "title": title,
        "input": pack(options.pop("input", None), options.pop("content_type", "")),
    }
    session = options.pop("session_id", "")
    if session:
        options["rollout"] = use(options.get("rollout"), session_id=session)
    for name, value in options.items():
        known = _FIELDS.get(name)
        if known is None:
            raise TypeError(f"a task has no {name!r}, but {', '.join(TaskOptions.__annotations__)}")
        if value is not None:
            field, convert = known
            fields[field] = value if convert is None else convert(value)
    if not fields.get("idempotency_key"):
        fields["idempotency_key"] = new_key()
    return s.SubmitTaskRequest(**fields)


def new_key() -> str:
    """
    A key that nobody else has: milliseconds since 1970, then 80 random bits. Keys made one after the other lie side by side in the daemon's
    index, which then writes few pages for a batch.
    """
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


def submit(title: str, **options: Unpack[TaskOptions]) -> Plan[s.Task]:
    """Submit one task and return it as the daemon took it. A repeated idempotency_key returns the first one."""
    response = yield from ask(m.SUBMIT_TASK, task(title, **options))
    return response.task


def submit_many(tasks: Iterable[s.SubmitTaskRequest]) -> Plan[list[Submitted]]:
    """Submit tasks made by `task(...)`, in as few calls as the limits allow; one answer for each, in order."""
    answers: list[Submitted] = []
    for batch in in_batches(map(_keyed, tasks), BATCH_ITEMS, BATCH_BYTES):
        response = yield from ask(m.SUBMIT_TASKS, s.SubmitTasksRequest(tasks=batch))
        answers += [
            Submitted(one.task_id, one.duplicate, from_item(one.error) if one.HasField("error") else None)
            for one in response.items
        ]
    return answers


def get(task_id: str, *, include_input: bool = False) -> Plan[s.Task]:
    """One task; with include_input also its input and checkpoint."""
    return ask(m.GET_TASK, s.GetTaskRequest(task_id=task_id, include_input=include_input))


def task_page(position: Any, *, page_size: int = 100, **match: Unpack[TaskMatch]) -> Plan[Page[s.Task]]:
    """Tasks that match, newest first."""
    request = s.ListTasksRequest(filter=_task_filter(match), page_size=page_size, page_token=position or "")
    response = yield from ask(m.LIST_TASKS, request)
    return Page(response.tasks, response.next_page_token or None)


def wait(
    task_id: str, *, timeout: Span | None = None, clock: Callable[[], float] = time.monotonic
) -> Plan[s.WaitTaskResponse]:
    """Wait until the task is terminal, or `timeout` is over (then `.terminal` is False). No timeout waits for ever."""
    end = None if timeout is None else clock() + seconds(timeout)
    while True:
        turn = LONG_POLL if end is None else min(max(end - clock(), 0.0), LONG_POLL)
        request = s.WaitTaskRequest(task_id=task_id, wait=duration(turn))
        response = yield from ask(m.WAIT_TASK, request, extra=turn)
        if response.terminal or (end is not None and clock() >= end):
            return response


def wait_many(
    task_ids: Sequence[str],
    *,
    first: bool = False,
    timeout: Span | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Plan[s.WaitTasksResponse]:
    """Wait until every one, or the first, of up to 1,000 tasks is terminal, or `timeout` is over (then `.satisfied` is False)."""
    end = None if timeout is None else clock() + seconds(timeout)
    while True:
        turn = LONG_POLL if end is None else min(max(end - clock(), 0.0), LONG_POLL)
        request = s.WaitTasksRequest(task_ids=task_ids, first=first, wait=duration(turn))
        response = yield from ask(m.WAIT_TASKS, request, extra=turn)
        if response.satisfied or (end is not None and clock() >= end):
            return response


def result(task_id: str) -> Plan[s.TaskResult]:
    """The result of a terminal task; FailedPrecondition (TASK_NOT_FINISHED) while there is none."""
    response = yield from ask(m.GET_TASK_RESULT, s.GetTaskResultRequest(task_id=task_id))
    return response.result


def history(task_id: str) -> Plan[list[s.TaskResult]]:
    """How every run of a terminal task ended, oldest first, its result last."""
    request = s.GetTaskResultRequest(task_id=task_id, include_history=True)
    response = yield from ask(m.GET_TASK_RESULT, request)
    return [*response.history, response.result]


def cancel(task_id: str, *, reason: str = "") -> Plan[s.Task]:
    """Cancel a task: at once when it waits, through its agent when it runs."""
    return ask(m.CANCEL_TASK, s.CancelTaskRequest(task_id=task_id, reason=reason))


def cancel_many(
    task_ids: Iterable[str] = (),
    *,
    reason: str = "",
    dry_run: bool = False,
    allow_all: bool = False,
    **match: Unpack[TaskMatch],
) -> Plan[s.CancelTasksResponse]:
    """Cancel these tasks, or those that match; dry_run only counts. Without ids and filter allow_all is needed."""
    ids = list(task_ids)
    request = s.CancelTasksRequest(
        task_ids=ids,
        filter=None if ids and not match else _task_filter(match),
        allow_all=allow_all,
        dry_run=dry_run,
        reason=reason,
    )
    return ask(m.CANCEL_TASKS, request)


def timeout_task(task_id: str, *, reason: str = "") -> Plan[s.Task]:
    """End a run as its run timeout would."""
    return ask(m.TIMEOUT_TASK, s.TimeoutTaskRequest(task_id=task_id, reason=reason))


def retry(task_id: str, *, reason: str = "") -> Plan[s.Task]:
    """Put a failed or dead-lettered task back in the queue with fresh attempts."""
    return ask(m.RETRY_TASK, s.RetryTaskRequest(task_id=task_id, reason=reason))


def assign(
    task_id: str,
    agent_id: str,
    *,
    execution_mode: str | int | None = None,
    force: bool = False,
    reason: str = "",
) -> Plan[s.Task]:
    """
    Reserve a waiting task for an agent or host, for a minute from when it may run. `execution_mode` PULL or SSH_CLI makes the mode explicit; `force` also
    moves a task that was offered and not accepted, and one whose capabilities the target lacks.
    """
    request = s.AssignTaskRequest(
        task_id=task_id,
        agent_id=agent_id,
        execution_mode=number(s.ExecutionMode, "EXECUTION_MODE", execution_mode, "execution_mode"),
        force=force,
        reason=reason,
    )
    return ask(m.ASSIGN_TASK, request)


def update(
    task_id: str, *, expected_version: int | None = None, **changes: Unpack[TaskUpdate]
) -> Plan[s.Task]:
    """Change the given fields of a task; Aborted when expected_version is stale."""
    if not changes:
        raise InvalidArgument([("changes", "at least one of " + ", ".join(TaskUpdate.__annotations__))])
    mask = ["required_capabilities" if field == "capabilities" else field for field in changes]
    values = s.TaskChanges(
        title=changes.get("title", ""),
        description=changes.get("description", ""),
        priority=_priority(changes.get("priority")),
        tags=changes.get("tags"),
        required_capabilities=changes.get("capabilities"),
        run_at=timestamp("run_at", changes.get("run_at")),
        estimated_duration=duration(changes.get("estimated_duration")),
        labels=changes.get("labels"),
        metadata=changes.get("metadata"),
    )
    request = s.UpdateTaskRequest(
        task_id=task_id,
        update_mask=FieldMask(paths=mask),
        changes=values,
        expected_version=expected_version,
    )
    return ask(m.UPDATE_TASK, request)


def event_page(
    position: Any, *, after_seq: int = 0, page_size: int = 1_000, **match: Unpack[EventMatch]
) -> Plan[Page[s.Event]]:
    """Events after a seq, oldest first, up to the present end of the log."""
    start = after_seq if position is None else position
    request = s.ListEventsRequest(after_seq=start, filter=event_filter(match), page_size=page_size)
    response = yield from ask(m.LIST_EVENTS, request)
    return Page(response.events, None if response.end else response.next_after_seq)


def lineage(task_id: str) -> Plan[list[s.LineageEdge]]:
    """What a task came from and what came of it."""
    response = yield from ask(m.GET_TASK_LINEAGE, s.GetTaskLineageRequest(task_id=task_id))
    return list(response.edges)


def explain(task_id: str) -> Plan[s.ExplainTaskResponse]:
    """Why a task is not running: reason codes with numbers, and one sentence."""
    return ask(m.EXPLAIN_TASK, s.ExplainTaskRequest(task_id=task_id))


def event_filter(match: EventMatch) -> s.EventFilter:
    return s.EventFilter(
        task_id=match.get("task_id", ""),
        agent_id=match.get("agent_id", ""),
        org_id=match.get("org_id", ""),
        types=[number(s.EventType, "EVENT_TYPE", one, "types") for one in match.get("types", ())],
        after=timestamp("after", match.get("after")),
        before=timestamp("before", match.get("before")),
    )


def _task_filter(match: TaskMatch) -> s.TaskFilter:
    return s.TaskFilter(
        statuses=[number(s.TaskStatus, "TASK_STATUS", one, "statuses") for one in match.get("statuses", ())],
        org_id=match.get("org_id", ""),
        agent_id=match.get("agent_id", ""),
        task_type=match.get("task_type", ""),
        tag=match.get("tag", ""),
        labels=match.get("labels"),
        created_after=timestamp("created_after", match.get("created_after")),
        created_before=timestamp("created_before", match.get("created_before")),
        parent_task_id=match.get("parent_task_id", ""),
        external_ref=match.get("external_ref", ""),
    )


def in_batches(messages: Iterable[M], items: int, size: int) -> Iterable[list[M]]:
    """Cut messages into lists of at most so many and so many bytes; a larger one travels alone."""
    batch: list[M] = []
    filled = 0
    for one in messages:
        its = one.ByteSize()  # type: ignore[attr-defined]
        if batch and (len(batch) == items or filled + its > size):
            yield batch
            batch, filled = [], 0
        batch.append(one)
        filled += its
    if batch:
        yield batch


def _keyed(request: s.SubmitTaskRequest) -> s.SubmitTaskRequest:
    if not request.idempotency_key:
        request.idempotency_key = new_key()
    return request
