"""
Agents as bare as the protocol allows, many in one process: `python agents.py KIND ADDRESS COUNT SLOTS`.

They end with stdin. All say `{"connected": COUNT}` first. Then, by kind:

* work: no-op agents: a lease is answered with start and complete in one message. Told `{"expect": N}`, they say when N more results were
  acknowledged.
* stamp: the same, and every lease is a line `{"start": …}` once its result was acknowledged (monotonic ns of its arrival).
* hold: one lease each, on a connection each: start it and keep it. They say `{"words": COUNT}` when all starts were acknowledged. Told
  `{"reconnect": ADDRESS}`, all come back at once with what they hold, and say `{"seconds": …, "adopted": …, "refusals": …}`; told `{"finish": true}`, they
  complete it and say `{"words": COUNT}` again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

import grpc

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1.agent_pb2 import AgentSpec
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.lease_pb2 import (
    REPORT_RESULT_ACCEPTED,
    CompleteWord,
    Lease,
    LeaseRef,
    Report,
    StartWord,
)
from fleet.v1.task_pb2 import Payload
from fleetd_client.backoff import Backoff

START, DONE = 1, 2
"""Report ids: acknowledgements carry the task's id as well."""
RESULT = CompleteWord(output=Payload(text="done"))
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
"""Without it all channels of a process to one address share a connection."""


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


async def lines() -> Any:
    """Yield what is told, until the end of stdin."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield json.loads(line)


class Agent:
    """One agent; `leased` and `acked` are called with what comes."""

    def __init__(self, agent_id: str, slots: int) -> None:
        self.held: dict[str, int] = {}
        self.leased: Callable[[Agent, list[Lease]], list[Report]] = lambda _agent, _leases: []
        self.acked: Callable[[int, str], None] = lambda _report_id, _task_id: None
        self.refused: list[str] = []
        self._spec = AgentSpec(agent_id=agent_id, max_concurrency=slots)
        self._stream: Any = None
        self._writing = asyncio.Lock()
        self._pinging: asyncio.Task[None] | None = None

    async def open(self, channel: Any) -> int:
        """Say hello on a new stream; return how many leases were adopted."""
        self._stream = DispatcherStub(channel).Claim()
        hello = pb.Hello(agent=self._spec, incarnation="bench", protocol_version=1, held=self._refs())
        await self._write(pb.ClaimRequest(hello=hello))
        message = await self._stream.read()
        if message is grpc.aio.EOF or not message.HasField("welcome"):
            raise RuntimeError(f"the first message was no welcome: {message}")
        return len(message.welcome.adopted)

    async def come_back(self, channel: Any) -> tuple[int, int]:
        """Open as often as it takes, as any agent would; return how many leases were adopted, and how often it was turned away."""
        backoff = Backoff()
        while True:
            try:
                return await self.open(channel), backoff.tries
            except grpc.aio.AioRpcError:
                await asyncio.sleep(backoff.next())

    async def serve(self) -> None:
        """Hear the daemon out until the stream ends."""
        self._pinging = asyncio.create_task(self._ping())
        try:
            while (message := await self._stream.read()) is not grpc.aio.EOF:
                kind = message.WhichOneof("kind")
                if kind == "leases":
                    self.held.update((lease.task_id, lease.lease_epoch) for lease in message.leases.leases)
                    await self.report(self.leased(self, message.leases.leases))
                elif kind == "acks":
                    self._hear(message.acks.acks)
        except grpc.aio.AioRpcError:
            return
        finally:
            self._pinging.cancel()

    async def report(self, reports: list[Report]) -> None:
        # 1,000 reports are the most one message may carry.
        for first in range(0, len(reports), 1_000):
            await self._write(pb.ClaimRequest(reports=pb.Reports(reports=reports[first : first + 1_000])))

    def _hear(self, acks: Any) -> None:
        for ack in acks:
            if ack.result != REPORT_RESULT_ACCEPTED:
                self.refused.append(ack.reason or str(ack.result))
            if ack.report_id == DONE:
                self.held.pop(ack.task_id, None)
            self.acked(ack.report_id, ack.task_id)

    async def _write(self, message: pb.ClaimRequest) -> None:
        async with self._writing:
            await self._stream.write(message)

    async def _ping(self) -> None:
        sequence = 0
        while True:
            await asyncio.sleep(10)
            sequence += 1
            await self._write(pb.ClaimRequest(ping=pb.Ping(sequence=sequence, held=self._refs())))

    def _refs(self) -> list[LeaseRef]:
        return [LeaseRef(task_id=task_id, lease_epoch=epoch) for task_id, epoch in self.held.items()]


def start(lease: Lease) -> Report:
    return Report(report_id=START, task_id=lease.task_id, lease_epoch=lease.lease_epoch, start=StartWord())


def complete(task_id: str, lease_epoch: int) -> Report:
    return Report(report_id=DONE, task_id=task_id, lease_epoch=lease_epoch, complete=RESULT)


def no_op(_agent: Agent, leases: list[Lease]) -> list[Report]:
    return [
        report for lease in leases for report in (start(lease), complete(lease.task_id, lease.lease_epoch))
    ]


async def connected(address: str, count: int, slots: int) -> list[Agent]:
    """Return so many agents, all on one connection."""
    channel = grpc.aio.insecure_channel(address)
    agents = [Agent(f"agent-{number}", slots) for number in range(count)]
    for agent in agents:
        await agent.open(channel)
    return agents


async def work(address: str, count: int, slots: int) -> None:
    agents = await connected(address, count, slots)
    done = expected = 0

    def acked(report_id: int, _task_id: str) -> None:
        nonlocal done
        done += report_id == DONE
        if report_id == DONE and done == expected:
            refused = sum(len(agent.refused) for agent in agents)
            say(at=monotonic_ns(), refused=refused)

    for agent in agents:
        agent.leased, agent.acked = no_op, acked
    serving = [asyncio.create_task(agent.serve()) for agent in agents]
    say(connected=count)
    async for told in lines():
        expected = done + told["expect"]
        say(expecting=expected)
    await stop(serving)


async def stamp(address: str, count: int, slots: int) -> None:
    agents = await connected(address, count, slots)
    arrived: dict[str, int] = {}

    def leased(agent: Agent, leases: list[Lease]) -> list[Report]:
        now = monotonic_ns()
        arrived.update((lease.task_id, now) for lease in leases)
        return no_op(agent, leases)

    def acked(report_id: int, task_id: str) -> None:
        if report_id == DONE:
            say(start=arrived.pop(task_id))

    for agent in agents:
        agent.leased = leased
        agent.acked = acked
    serving = [asyncio.create_task(agent.serve()) for agent in agents]
    say(connected=count)
    async for _ in lines():
        pass
    await stop(serving)


async def hold(address: str, count: int, slots: int) -> None:
    agents = [Agent(f"agent-{number}", slots) for number in range(count)]
    heard = {START: 0, DONE: 0}

    def acked(report_id: int, _task_id: str) -> None:
        heard[report_id] += 1
        if heard[report_id] == count:
            say(words=count, refused=sum(len(agent.refused) for agent in agents))

    for agent in agents:
        agent.leased = lambda _agent, leases: [start(lease) for lease in leases]
        agent.acked = acked
    channels = [grpc.aio.insecure_channel(address, options=OWN_CONNECTION) for _ in agents]
    for agent, channel in zip(agents, channels, strict=True):
        await agent.open(channel)
    serving = [asyncio.create_task(agent.serve()) for agent in agents]
    say(connected=count)
    async for told in lines():
        if "reconnect" in told:
            await stop(serving)
            await asyncio.gather(*(channel.close() for channel in channels))
            channels = [grpc.aio.insecure_channel(told["reconnect"], options=OWN_CONNECTION) for _ in agents]
            began = monotonic()
            back = await asyncio.gather(*map(Agent.come_back, agents, channels))
            took = monotonic() - began
            serving = [asyncio.create_task(agent.serve()) for agent in agents]
            say(seconds=took, adopted=sum(one[0] for one in back), refusals=sum(one[1] for one in back))
        else:
            for agent in agents:
                await agent.report([complete(task_id, epoch) for task_id, epoch in agent.held.items()])
    await stop(serving)


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


KINDS = {"work": work, "stamp": stamp, "hold": hold}

if __name__ == "__main__":
    asyncio.run(KINDS[sys.argv[1]](sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
