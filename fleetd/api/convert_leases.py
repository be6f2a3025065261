"""Leases, words about them, acknowledgements and orders (spec T5, T6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from fleet.v1 import agent_pb2, dispatcher_pb2, lease_pb2
from fleetd.api.convert_decisions import task_rollout_into
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_payloads import artifacts_in, checkpoint_out, payload_in, payload_out
from fleetd.api.convert_routes import assignment_into, error_code, next_into
from fleetd.api.convert_task_events import events_in
from fleetd.api.convert_times import duration_into, milliseconds, timestamp
from fleetd.api.limits import DAY, Limits
from fleetd.api.validate import WORD, Fields
from fleetd.core.attendance import LeaseRef
from fleetd.core.definition import ID_CHARS
from fleetd.core.words import Ack, Word, WordKind
from fleetd.engine.outbox import Offer, OrderItem
from fleetd.errors import InvalidArgument

MESSAGE = 1_000
"""Characters of a progress message, and those kept of a release reason."""
ERROR_MESSAGE = 4_096
STEP = 256
TOLD = 10_000
"""Events in all words of one message: as small as they can be, they cost a tenth of a second."""
ACKS, NEXT_BYTES = 1_000, 1 << 20
"""Acknowledgements of one message, and bytes of next steps in it. An acknowledgement has less than 3 KB otherwise, its id and up to ten refused fields, so all
stay below what a message may have."""

M = TypeVar("M", bound=Message)


def lease_into(message: lease_pb2.Lease, offer: Offer) -> None:
    """Fill an empty message with all that is needed to run a lease; parts that are not set are not touched, which is dearer than a look."""
    task, spec = offer.task, offer.spec
    message.task_id = task.id
    message.lease_epoch = offer.lease_epoch
    message.org_id = task.org_id
    message.title = spec.title
    message.priority = enum_out(task.priority)
    message.attempt = offer.attempt
    message.max_attempts = task.max_attempts
    duration_into(message.timeout, offer.timeout)
    if spec.description:
        message.description = spec.description
    if task.task_type:
        message.task_type = task.task_type
    if spec.traceparent:
        message.traceparent = spec.traceparent
    if task.exclusive:
        message.exclusive = True
    if task.parent_id:
        message.parent_task_id = task.parent_id
    if spec.tags:
        message.tags.extend(spec.tags)
    if spec.required_capabilities:
        message.required_capabilities.extend(spec.required_capabilities)
    if offer.input is not None:
        message.input.CopyFrom(payload_out(offer.input))
    if spec.metadata:
        message.metadata.update(spec.metadata)
    if spec.labels:
        message.labels.update(spec.labels)
    if offer.checkpoint is not None:
        message.checkpoint.CopyFrom(checkpoint_out(offer.checkpoint))
    if task.deadline:
        message.deadline.CopyFrom(timestamp(task.deadline))
    if offer.route is not None:
        assignment_into(message.route, offer.route)
    if task.rollout is not None:
        task_rollout_into(message.rollout, task.rollout)


def lease_out(offer: Offer) -> lease_pb2.Lease:
    """Return a lease with all that is needed to run it."""
    message = lease_pb2.Lease()
    lease_into(message, offer)
    return message


def leases_out(offers: Iterable[Offer], limit: int) -> Iterator[dispatcher_pb2.ClaimResponse]:
    """Return messages with these leases, each of at most `limit` bytes; a larger lease goes alone."""
    response = dispatcher_pb2.ClaimResponse()
    leases, size = response.leases.leases, 0
    for offer in offers:
        # Made where it stays: to put a finished message into another one is to copy it.
        lease = leases.add()
        lease_into(lease, offer)
        weight = lease.ByteSize()
        if size and size + weight > limit:
            following = dispatcher_pb2.ClaimResponse()
            following.leases.leases.append(lease)
            del leases[-1]
            yield response
            response, leases, size = following, following.leases.leases, 0
        size += weight
    if size:
        yield response


def refs_in(messages: Sequence[lease_pb2.LeaseRef], path: str, limit: int, fields: Fields) -> list[LeaseRef]:
    """Return leases by name."""
    if not fields.count(path, len(messages), limit):
        return []
    for place, ref in enumerate(messages):
        fields.task_id(f"{path}[{place}].task_id", ref.task_id)
    return [LeaseRef(ref.task_id, ref.lease_epoch) for ref in messages]


def refs_out(refs: Iterable[LeaseRef]) -> list[lease_pb2.LeaseRef]:
    return [lease_pb2.LeaseRef(task_id=ref.task_id, lease_epoch=ref.lease_epoch) for ref in refs]


def ack_into(message: lease_pb2.ReportAck, ack: Ack) -> None:
    """Fill an empty message with the answer to one word."""
    message.report_id = ack.report_id
    message.task_id = ack.task_id
    message.lease_epoch = ack.lease_epoch
    message.result = enum_out(ack.result)
    if ack.message:
        message.message = ack.message
    if ack.reason:
        message.reason = ack.reason
    if ack.next is not None:
        next_into(message.next, ack.next)


def acks_out(acks: Sequence[Ack]) -> Iterator[dispatcher_pb2.ClaimResponse]:
    """Return messages with these answers."""
    response = dispatcher_pb2.ClaimResponse()
    answers, size = response.acks.acks, 0
    for ack in acks:
        if len(answers) >= ACKS or size > NEXT_BYTES:
            yield response
            response = dispatcher_pb2.ClaimResponse()
            answers, size = response.acks.acks, 0
        answer = answers.add()
        ack_into(answer, ack)
        if ack.next is not None:
            size += answer.next.ByteSize()
    if answers:
        yield response


def order_out(order: OrderItem) -> agent_pb2.Order:
    message = agent_pb2.Order(
        order_id=order.order_id,
        kind=enum_out(order.kind),
        task_id=order.task_id,
        lease_epoch=order.lease_epoch,
        reason=order.reason,
    )
    if order.deadline:
        message.deadline.CopyFrom(timestamp(order.deadline))
    return message


def order_ids_in(ids: Iterable[str], path: str, fields: Fields) -> list[str]:
    """Return the ids of orders that an agent says it obeyed; it is under one at a time, so a long list is a mistake."""
    return list(fields.words(path, ids, 64, WORD))


def words_in(reports: Sequence[lease_pb2.Report], limits: Limits) -> tuple[Word, ...]:
    """Return the words; a bad one carries its refusal and never sinks the others. Raises InvalidArgument when there are too many."""
    if len(reports) > limits.batch:
        raise InvalidArgument(
            [("reports", f"must have at most {limits.batch:,} entries, not {len(reports):,}")]
        )
    told = sum([len(report.events.events) for report in reports if report.HasField("events")])
    if told > TOLD:
        right = f"must have at most {TOLD:,} events in all their words, not {told:,}"
        raise InvalidArgument([("reports", right)])
    fields = Fields()
    return tuple([_word(report, limits, fields) for report in reports])


def split(messages: Iterable[M], limit: int) -> Iterator[list[M]]:
    """Cut a list so that each part has at most `limit` bytes; a larger message goes alone."""
    part: list[M] = []
    size = 0
    for message in messages:
        weight = message.ByteSize()
        if part and size + weight > limit:
            yield part
            part, size = [], 0
        part.append(message)
        size += weight
    if part:
        yield part


KINDS = {
    "accept": WordKind.ACCEPT,
    "start": WordKind.START,
    "progress": WordKind.PROGRESS,
    "checkpoint": WordKind.CHECKPOINT,
    "complete": WordKind.COMPLETE,
    "fail": WordKind.FAIL,
    "release": WordKind.RELEASE,
    "stopped": WordKind.STOPPED,
    "instance_failed": WordKind.INSTANCE_FAILED,
    "events": WordKind.EVENTS,
}
BARE = frozenset({"accept", "start", "stopped"})


def _word(report: lease_pb2.Report, limits: Limits, fields: Fields) -> Word:
    """Return one word; `fields` is empty before and after."""
    said = report.WhichOneof("word")
    task_id, epoch, report_id = report.task_id, report.lease_epoch, report.report_id
    if not 0 < len(task_id) <= WORD:
        return Word(
            task_id[:WORD],
            epoch,
            WordKind.ACCEPT,
            report_id,
            refusal="task_id: is required, the id of a task",
        )
    if epoch < 1:
        refusal = "lease_epoch: is required, as given in the lease"
        return Word(task_id, epoch, WordKind.ACCEPT, report_id, refusal=refusal)
    if said is None:
        refusal = f"word: is required, one of {', '.join(KINDS)}"
        return Word(task_id, epoch, WordKind.ACCEPT, report_id, refusal=refusal)
    kind = KINDS[said]
    if said in BARE:
        return Word(task_id, epoch, kind, report_id)
    if said == "progress":
        progress = report.progress
        word = Word(
            task_id,
            epoch,
            kind,
            report_id,
            percent=fields.number("progress.percent", progress.percent, 0, 100),
            message=fields.text("progress.message", progress.message, MESSAGE),
        )
    elif said == "checkpoint":
        checkpoint = report.checkpoint
        if len(checkpoint.data) > limits.input:
            fields.refuse("checkpoint.data", f"must have at most {limits.input:,} bytes")
        step_id = fields.text("checkpoint.step_id", checkpoint.step_id, STEP)
        word = Word(task_id, epoch, kind, report_id, data=checkpoint.data, step_id=step_id)
    elif said == "complete":
        complete = report.complete
        artifacts = complete.artifacts
        word = Word(
            task_id,
            epoch,
            kind,
            report_id,
            output=payload_in(complete.output, "complete.output", limits.input, fields),
            artifacts=artifacts_in(artifacts, "complete.artifacts", limits, fields) if artifacts else (),
            digest=fields.text("complete.digest", complete.digest, WORD),
        )
    elif said == "fail":
        fail = report.fail
        word = Word(
            task_id,
            epoch,
            kind,
            report_id,
            # Any unknown code counts as AGENT_ERROR, so an absurd one does not keep the run from failing.
            code=fail.code if len(fail.code) <= WORD else "AGENT_ERROR",
            message=fail.message[:ERROR_MESSAGE],
            output=payload_in(fail.output, "fail.output", limits.input, fields),
            artifacts=artifacts_in(fail.artifacts, "fail.artifacts", limits, fields),
        )
    elif said == "events":
        told = report.events
        word = Word(task_id, epoch, kind, report_id, first=told.first, events=events_in(told, fields))
    elif said == "instance_failed":
        failed = report.instance_failed
        path = "instance_failed"
        word = Word(
            task_id,
            epoch,
            kind,
            report_id,
            instance=fields.text(f"{path}.instance", failed.instance, ID_CHARS),
            code=error_code(f"{path}.code", failed.code, fields),
            message=failed.message[:ERROR_MESSAGE],
            retry_after=milliseconds(failed.retry_after, f"{path}.retry_after", fields, 0, DAY)
            if failed.HasField("retry_after")
            else 0,
        )
    else:
        return Word(task_id, epoch, kind, report_id, message=report.release.reason[:MESSAGE])
    if fields.errors:
        refusal = "; ".join(f"{path}: {right}" for path, right in fields.errors[:10])
        fields.errors.clear()
        return Word(task_id, epoch, kind, report_id, refusal=refusal)
    return word
