"""Dead letters into messages; their filters out of them (spec F5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import task_pb2
from fleetd.api.convert_tasks import run_out
from fleetd.api.convert_times import epoch, timestamp
from fleetd.api.errors import describe
from fleetd.api.pages import fitting
from fleetd.api.validate import WORD, Fields
from fleetd.core.ledger import DueKind
from fleetd.core.settings import Rules
from fleetd.core.task import Run, Spec, Status, Task, TaskFilter
from fleetd.errors import FleetError

EXHAUSTED = ("ATTEMPTS_EXHAUSTED", "PROVIDERS_EXHAUSTED", "TASK_TIMEOUT", "POISON")
"""Limits whose end makes a dead letter."""
EVERY = TaskFilter(statuses=frozenset({Status.DEAD_LETTER}))


def dead_letter_out(task: Task, spec: Spec, rules: Rules) -> pb.DeadLetter:
    """Return the entry without its attempts."""
    message = pb.DeadLetter(
        id=task.id,
        org_id=task.org_id,
        title=spec.title,
        task_type=task.task_type,
        reason=task.dead_reason,
        error=task_pb2.TaskError(code=task.error_code, message=task.error_message),
        first_time=timestamp(task.created_at),
        last_time=timestamp(task.finished_at),
        replay_count=task.replays,
    )
    if task.route is not None:
        for one in task.route.tries:
            message.tries.add(instance=one.instance, code=one.code, at=timestamp(one.at))
    if task.due & DueKind.REPLAY:
        message.next_retry_at.CopyFrom(timestamp(task.finished_at + rules.replay_wait(task.replays)))
    return message


def attempts_out(task_id: str, runs: Sequence[Run], limit: int) -> Iterable[task_pb2.TaskResult]:
    """Return how the runs ended, oldest first: of the newest as many as fit into `limit` bytes."""
    newest = fitting((run_out(task_id, run) for run in reversed(runs)), limit)
    return reversed(newest)


def dead_letter_filter_in(message: pb.DeadLetterFilter, fields: Fields) -> TaskFilter:
    """Return which dead letters are wanted; EVERY when no part of the filter is set."""
    if message.reason and message.reason not in EXHAUSTED:
        fields.refuse("filter.reason", f"must be one of {', '.join(EXHAUSTED)}")
    return TaskFilter(
        statuses=EVERY.statuses,
        org_id=fields.name("filter.org_id", message.org_id),
        task_type=fields.text("filter.task_type", message.task_type, WORD),
        tag=fields.text("filter.tag", message.tag, WORD),
        error_code=fields.text("filter.error_code", message.error_code, WORD),
        dead_reason=message.reason,
        finished_after=epoch(message.after, "filter.after", fields) if message.HasField("after") else 0,
        finished_before=epoch(message.before, "filter.before", fields) if message.HasField("before") else 0,
    )


def refused_out(item_id: str, error: FleetError) -> pb.RefusedItem:
    problem = describe(error)
    return pb.RefusedItem(id=item_id, reason=problem.reason, message=problem.message)
