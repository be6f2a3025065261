"""Tasks, results and lineage into messages; task filters out of them."""

from __future__ import annotations

from collections.abc import Sequence

from fleet.v1 import dispatcher_pb2, task_pb2
from fleetd.api.convert_decisions import task_rollout_into
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_payloads import artifacts_out, checkpoint_out, payload_out
from fleetd.api.convert_routes import requirements_into
from fleetd.api.convert_times import duration, epoch, timestamp
from fleetd.api.limits import KEY, LABEL_VALUE, Limits
from fleetd.api.validate import WORD, Fields
from fleetd.core.hostbook import PREFIX, host_of
from fleetd.core.ledger import Edge
from fleetd.core.route import TaskRoute
from fleetd.core.task import (
    TERMINAL,
    Checkpoint,
    Ending,
    Payload,
    RetryPolicy,
    Run,
    Spec,
    Status,
    Task,
    TaskFilter,
)

STATUS_NAMES = {v.number: v.name for v in task_pb2.TaskStatus.DESCRIPTOR.values if v.number}
SHOWN_AS_DISCARDED = frozenset({Status.DISCARDED, Status.DEAD_LETTER})


def task_out(
    task: Task, spec: Spec, payload: Payload | None = None, checkpoint: Checkpoint | None = None
) -> task_pb2.Task:
    """Return the task as callers see it; input and checkpoint only when given."""
    message = task_pb2.Task(
        id=task.id,
        org_id=task.org_id,
        title=spec.title,
        description=spec.description,
        task_type=task.task_type,
        priority=enum_out(task.priority),
        execution_mode=enum_out(task.mode),
        mode_source=enum_out(task.mode_source),
        status=enum_out(task.status),
        max_attempts=task.max_attempts,
        version=task.version,
        created_at=timestamp(task.created_at),
        updated_at=timestamp(task.updated_at),
        queued_at=timestamp(task.queued_at),
    )
    if spec.metadata:
        message.metadata.update(spec.metadata)
    if spec.labels:
        message.labels.update(spec.labels)
    if spec.tags:
        message.tags.extend(spec.tags)
    if spec.required_capabilities:
        message.required_capabilities.extend(spec.required_capabilities)
    for name, shown in _TEXTS:
        text = getattr(task, name)
        if text:
            setattr(message, shown, text)
    if task.agent_id.startswith(PREFIX):
        message.host_id = host_of(task.agent_id)
    if spec.traceparent:
        message.traceparent = spec.traceparent
    if task.exclusive:
        message.exclusive = True
    if task.route is not None:
        _route(message, task, task.route)
    if task.rollout is not None:
        task_rollout_into(message.rollout, task.rollout)
    if task.lease_epoch:
        _progress(message, task, spec)
    _schedule(message, task, spec)
    if payload is not None:
        message.input.CopyFrom(payload_out(payload))
    if checkpoint is not None:
        message.checkpoint.CopyFrom(checkpoint_out(checkpoint))
    return message


_TEXTS = (
    ("parent_id", "parent_task_id"),
    ("external_ref", "external_ref"),
    ("idempotency_key", "idempotency_key"),
    ("agent_id", "agent_id"),
    ("reserved_agent", "reserved_for"),
)


def _route(message: task_pb2.Task, task: Task, route: TaskRoute) -> None:
    """Fill in what only a task has that is routed: the instance its lease works on, else the one its plan has selected."""
    requirements_into(message.route, route.requirements)
    instance = (route.instance if task.live else "") or route.selected
    if instance and task.status is not Status.BLOCKED:
        message.instance = instance
    if route.version:
        message.plan_version = route.version


def _progress(message: task_pb2.Task, task: Task, spec: Spec) -> None:
    """Fill in what only a task has that was claimed once."""
    message.lease_epoch = task.lease_epoch
    message.progress = task.progress
    message.progress_message = task.progress_message
    message.attempt = task.attempt
    message.losses = task.losses
    message.task_event_seq = task.task_event_seq
    if task.assigned_at:
        message.assigned_at.CopyFrom(timestamp(task.assigned_at))
    if task.started_at:
        message.started_at.CopyFrom(timestamp(task.started_at))
    if task.status is Status.RUNNING and spec.estimated_duration:
        message.estimated_completion.CopyFrom(timestamp(task.started_at + spec.estimated_duration))


def _schedule(message: task_pb2.Task, task: Task, spec: Spec) -> None:
    if task.retry is not None:
        message.retry_policy.CopyFrom(retry_out(task.retry))
    if task.run_at:
        message.run_at.CopyFrom(timestamp(task.run_at))
        if task.status is Status.PENDING and not task.queued:
            message.next_retry_at.CopyFrom(timestamp(task.run_at))
    if task.timeout:
        message.timeout.CopyFrom(duration(task.timeout))
    if spec.schedule_to_start:
        message.schedule_to_start.CopyFrom(duration(spec.schedule_to_start))
    if task.deadline:
        message.deadline.CopyFrom(timestamp(task.deadline))
    if spec.estimated_duration:
        message.estimated_duration.CopyFrom(duration(spec.estimated_duration))
    if task.finished_at:
        message.finished_at.CopyFrom(timestamp(task.finished_at))
    if task.cancel_requested_at:
        message.cancel_requested_at.CopyFrom(timestamp(task.cancel_requested_at))
    if task.error_code:
        message.error.CopyFrom(task_pb2.TaskError(code=task.error_code, message=task.error_message))
    if task.dead_reason:
        message.dead_letter_reason = task.dead_reason
    if task.replays:
        message.replay_count = task.replays


def retry_out(policy: RetryPolicy) -> task_pb2.RetryPolicy:
    return task_pb2.RetryPolicy(
        initial_backoff=duration(policy.initial_backoff),
        multiplier=policy.multiplier,
        max_backoff=duration(policy.max_backoff),
        jitter=policy.jitter,
    )


def results_out(task: Task, runs: Sequence[Run]) -> tuple[task_pb2.TaskResult, list[task_pb2.TaskResult]]:
    """
    Return the result of a terminal task, and how earlier runs ended, oldest first.

    The last run is the result when it made the task terminal; a task that ended while it waited has none, and its row tells.
    """
    last = runs[-1] if runs else None
    decisive = last is not None and last.lease_epoch == task.lease_epoch and last.status in TERMINAL
    if last is not None and decisive:
        return run_out(task.id, last), [run_out(task.id, run) for run in runs[:-1]]
    result = task_pb2.TaskResult(
        task_id=task.id,
        status=enum_out(Status.DEAD_LETTER if task.status in SHOWN_AS_DISCARDED else task.status),
        finished_at=timestamp(task.finished_at),
        attempt=task.attempt,
        lease_epoch=task.lease_epoch,
    )
    if task.error_code:
        result.error.CopyFrom(task_pb2.TaskError(code=task.error_code, message=task.error_message))
    return result, [run_out(task.id, run) for run in runs]


def run_out(task_id: str, run: Run) -> task_pb2.TaskResult:
    """Return how one lease ended; one that made room for another attempt is shown as FAILED, with its ending as the code when it has no other."""
    status = run.status if run.status in TERMINAL else Status.FAILED
    message = task_pb2.TaskResult(
        task_id=task_id,
        status=enum_out(status),
        finished_at=timestamp(run.finished_at),
        agent_id=run.agent_id,
        attempt=run.attempt,
        lease_epoch=run.lease_epoch,
    )
    if run.output is not None:
        message.output.CopyFrom(payload_out(run.output))
    if run.artifacts:
        message.artifacts.extend(artifacts_out(run.artifacts))
    if run.started_at:
        message.execution_time.CopyFrom(duration(run.finished_at - run.started_at))
    if status is not Status.COMPLETED:
        code = run.error_code or Ending(run.ending).name
        message.error.CopyFrom(task_pb2.TaskError(code=code, message=run.error_message))
    return message


def filter_in(message: dispatcher_pb2.TaskFilter, limits: Limits, fields: Fields) -> TaskFilter:
    """Return which tasks are wanted."""
    for place, status in enumerate(message.statuses):
        fields.known(f"filter.statuses[{place}]", status, STATUS_NAMES)
    return TaskFilter(
        statuses=frozenset(Status(status) for status in message.statuses if status in STATUS_NAMES),
        org_id=fields.name("filter.org_id", message.org_id),
        agent_id=fields.name("filter.agent_id", message.agent_id),
        task_type=fields.text("filter.task_type", message.task_type, WORD),
        tag=fields.text("filter.tag", message.tag, WORD),
        labels=fields.pairs("filter.labels", message.labels, limits.labels, LABEL_VALUE),
        created_after=epoch(message.created_after, "filter.created_after", fields)
        if message.HasField("created_after")
        else 0,
        created_before=epoch(message.created_before, "filter.created_before", fields)
        if message.HasField("created_before")
        else 0,
        parent_id=fields.task_id("filter.parent_task_id", message.parent_task_id, required=False),
        external_ref=fields.text("filter.external_ref", message.external_ref, KEY),
    )


def edge_out(task_id: str, edge: Edge) -> dispatcher_pb2.LineageEdge:
    return dispatcher_pb2.LineageEdge(
        kind=edge.kind,
        task_id=task_id,
        from_task_id=edge.from_task_id,
        time=timestamp(edge.at),
        detail=edge.detail,
    )
