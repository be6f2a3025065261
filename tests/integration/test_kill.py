"""Power cuts: a daemon killed with SIGKILL under load has lost nothing it acknowledged and accepted nothing twice."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import lease_pb2, task_pb2
from fleet.v1.agent_pb2 import AgentSpec
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from tests.integration.daemon import Daemon

ROUNDS = 20
BATCHES_A_ROUND = 100
"""Bound on what one round submits; the daemon is killed long before."""
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Each round a connection of its own: a shared one to the same port may still wait for its next try since the daemon of the round before died."""


@dataclass
class Book:
    """What the daemon acknowledged, in the words of those who heard it."""

    submitted: set[str] = field(default_factory=set)
    completed: dict[str, int] = field(default_factory=dict)
    accepted_twice: list[str] = field(default_factory=list)
    kill_at: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)


async def submit(stub: DispatcherStub, book: Book, keys: itertools.count[int]) -> None:
    """Submit batches until the daemon dies; note what was acknowledged."""
    for _ in range(BATCHES_A_ROUND):
        tasks = [
            pb.SubmitTaskRequest(title="t", idempotency_key=f"key-{next(keys)}", max_attempts=100)
            for _ in range(10)
        ]
        answer = await stub.SubmitTasks(pb.SubmitTasksRequest(tasks=tasks))
        book.submitted.update(item.task_id for item in answer.items)


async def work(stub: DispatcherStub, book: Book, agent_id: str, incarnation: str) -> None:
    """Be an agent until the daemon dies: start and complete whatever comes, note what was acknowledged."""
    stream = stub.Claim()
    spec = AgentSpec(agent_id=agent_id, max_concurrency=20)
    await stream.write(
        pb.ClaimRequest(hello=pb.Hello(agent=spec, incarnation=incarnation, protocol_version=1))
    )
    while True:
        message = await stream.read()
        if message == grpc.aio.EOF:
            return
        reports = []
        for lease in message.leases.leases:
            about = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}
            reports.append(lease_pb2.Report(start=lease_pb2.StartWord(), report_id=1, **about))
            done = lease_pb2.CompleteWord(output=task_pb2.Payload(text=f"by {lease.lease_epoch}"))
            reports.append(lease_pb2.Report(complete=done, report_id=2, **about))
        if reports:
            await stream.write(pb.ClaimRequest(reports=pb.Reports(reports=reports)))
        for ack in message.acks.acks:
            if ack.report_id == 2 and ack.result == lease_pb2.REPORT_RESULT_ACCEPTED:
                if ack.task_id in book.completed:
                    book.accepted_twice.append(ack.task_id)
                book.completed[ack.task_id] = ack.lease_epoch
        if len(book.completed) >= book.kill_at:
            book.enough.set()


async def until_it_dies(*jobs: asyncio.Task[None]) -> None:
    for job in jobs:
        try:
            await job
        except grpc.aio.AioRpcError as error:
            # A write that meets the dying connection is reported by grpc's core as INTERNAL, on this side of the wire.
            died = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            if not died and error.details() != "Internal error from Core":
                raise


@pytest.mark.parametrize("rounds", [ROUNDS])
async def test_twenty_power_cuts_lose_no_acknowledged_word_and_accept_none_twice(tmp_path: Path, rounds: int):
    """T4, T5, D6, S7: compare what was acknowledged with what is there after each start."""
    daemon = Daemon(tmp_path / "data", "agents.heartbeat_min=1s")
    book, keys = Book(), itertools.count()
    try:
        for number in range(rounds):
            await daemon.start()
            async with grpc.aio.insecure_channel(daemon.address, OWN_CONNECTION) as channel:
                stub = DispatcherStub(channel)
                await compare(stub, book)
                # Between 10 and 106 results into the round, another place in the stream of commits each time.
                book.kill_at = len(book.completed) + 10 + number * 31 % 97
                book.enough.clear()
                jobs = [
                    asyncio.create_task(submit(stub, book, keys)),
                    asyncio.create_task(work(stub, book, "agent-1", f"process-{number}")),
                    asyncio.create_task(work(stub, book, "agent-2", f"process-{number}")),
                ]
                await book.enough.wait()
                await daemon.kill()
                await until_it_dies(*jobs)
        await daemon.start()
        async with grpc.aio.insecure_channel(daemon.address, OWN_CONNECTION) as channel:
            await compare(DispatcherStub(channel), book)
    finally:
        await daemon.close()
    assert not book.accepted_twice
    assert len(book.completed) >= 10 * rounds


async def compare(stub: DispatcherStub, book: Book) -> None:
    """Everything acknowledged must be there, as it was acknowledged."""
    there: dict[str, task_pb2.Task] = {}
    token = ""
    while True:
        page = await stub.ListTasks(pb.ListTasksRequest(page_size=1000, page_token=token))
        there.update({task.id: task for task in page.tasks})
        token = page.next_page_token
        if not token:
            break
    assert not book.submitted - set(there)
    for task_id, epoch in book.completed.items():
        assert there[task_id].status == task_pb2.TASK_STATUS_COMPLETED
        assert there[task_id].lease_epoch == epoch
