"""What the daemon says in the tests of the agent's session, and short forms of what the agent says."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from fleetd_client.session import Key, Session
from fleetd_client.stubs import (
    Acks,
    AgentSpec,
    Beacon,
    CheckpointWord,
    ClaimRequest,
    ClaimResponse,
    CompleteWord,
    FailWord,
    Hello,
    InstanceFailedWord,
    Lease,
    LeaseRef,
    Leases,
    Order,
    OrderKind,
    Orders,
    Payload,
    ProgressWord,
    Report,
    ReportAck,
    ReportResult,
    SessionEnd,
    Welcome,
)

INTERVAL = 10
TTL = 30


def new_session() -> Session:
    return Session(Hello(agent=AgentSpec(agent_id="a", max_concurrency=4), incarnation="i"))


def refs(keys: tuple[Key, ...]) -> list[LeaseRef]:
    return [LeaseRef(task_id=task_id, lease_epoch=epoch) for task_id, epoch in keys]


def welcome(*adopted: Key) -> ClaimResponse:
    return ClaimResponse(
        welcome=Welcome(
            session_epoch=1,
            heartbeat_interval=Duration(seconds=INTERVAL),
            lease_ttl=Duration(seconds=TTL),
            adopted=refs(adopted),
        )
    )


def leases(*keys: Key, exclusive: bool = False) -> ClaimResponse:
    given = [Lease(task_id=task_id, lease_epoch=epoch, exclusive=exclusive) for task_id, epoch in keys]
    return ClaimResponse(leases=Leases(leases=given))


def ack(report: Report, result: str = "ACCEPTED", message: str = "") -> ClaimResponse:
    its = ReportAck(
        report_id=report.report_id,
        task_id=report.task_id,
        lease_epoch=report.lease_epoch,
        result=ReportResult.Value(f"REPORT_RESULT_{result}"),
        message=message,
    )
    return ClaimResponse(acks=Acks(acks=[its]))


def beacon(sequence: int, *keys: Key) -> ClaimResponse:
    return ClaimResponse(
        beacon=Beacon(
            sequence=sequence,
            leases=refs(keys),
            heartbeat_interval=Duration(seconds=INTERVAL),
            lease_ttl=Duration(seconds=TTL),
        )
    )


def order(kind: str, key: Key = ("", 0), order_id: str = "o-1") -> ClaimResponse:
    its = Order(
        order_id=order_id,
        kind=OrderKind.Value(f"ORDER_KIND_{kind}"),
        task_id=key[0],
        lease_epoch=key[1],
    )
    return ClaimResponse(orders=Orders(orders=[its]))


def end(reason: str) -> ClaimResponse:
    return ClaimResponse(end=SessionEnd(reason=reason))


def complete(key: Key, text: str = "done") -> Report:
    return Report(task_id=key[0], lease_epoch=key[1], complete=CompleteWord(output=Payload(text=text)))


def fail(key: Key, code: str = "AGENT_ERROR", text: str = "") -> Report:
    output = Payload(text=text) if text else None
    return Report(task_id=key[0], lease_epoch=key[1], fail=FailWord(code=code, output=output))


def instance_failed(key: Key, code: str) -> Report:
    return Report(task_id=key[0], lease_epoch=key[1], instance_failed=InstanceFailedWord(code=code))


def progress(key: Key, percent: int) -> Report:
    return Report(task_id=key[0], lease_epoch=key[1], progress=ProgressWord(percent=percent))


def checkpoint(key: Key, data: bytes, step_id: str = "") -> Report:
    return Report(task_id=key[0], lease_epoch=key[1], checkpoint=CheckpointWord(data=data, step_id=step_id))


def reports_in(messages: list[ClaimRequest]) -> list[Report]:
    return [report for message in messages for report in message.reports.reports]


def words_in(messages: list[ClaimRequest]) -> list[tuple[str, str]]:
    """(task id, word) of every report, in order."""
    return [(report.task_id, report.WhichOneof("word") or "") for report in reports_in(messages)]
