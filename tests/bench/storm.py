"""A storm: the daemon is killed and started again, and 2,000 agents come back at once, each with the lease it holds."""

from __future__ import annotations

import grpc
from figure import Figure, Sample, median
from process import Child, Daemon, child, daemon
from tasks import batch

from fleet.v1.dispatcher_pb2 import ListEventsRequest
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.event_pb2 import (
    EVENT_TYPE_AGENT_LOST,
    EVENT_TYPE_TASK_LEASE_EXPIRED,
    EVENT_TYPE_TASK_RELEASED,
    EventFilter,
)

LOSSES = (EVENT_TYPE_AGENT_LOST, EVENT_TYPE_TASK_LEASE_EXPIRED, EVENT_TYPE_TASK_RELEASED)


async def measure(sample: Sample) -> list[Figure]:
    count, repetitions = sample.size(2_000, 500), 3
    floor: list[float] = []
    storms: list[float] = []
    refusals: list[int] = []
    async with (
        daemon(sample.folder / "data") as one,
        child("agents.py", "hold", one.address, count, 1) as agents,
    ):
        await agents.hear()
        async with grpc.aio.insecure_channel(one.address) as channel:
            await DispatcherStub(channel).SubmitTasks(batch(count // 2))
            await DispatcherStub(channel).SubmitTasks(batch(count // 2))
        await _all_accepted(agents)
        for _ in range(repetitions):
            floor.append(await _bare(count))
            storms.append(await _storm(one, agents, count, refusals))
        agents.say(finish=True)
        await _all_accepted(agents)
        await _check_losses(one)
    return [
        Figure(
            "heartbeat_storm_s",
            median(storms),
            "s",
            median(floor),
            "s, bare streams with a reader and a writer task",
            "<= 5",
            f"{count:,} agents adopt a lease each, {max(refusals):,} hellos refused and repeated; nothing lost",
            details={"agents": count, "runs": storms, "refusals": refusals},
        )
    ]


async def _storm(one: Daemon, agents: Child, count: int, refusals: list[int]) -> float:
    """Return seconds from the first hello to the last welcome; note how often agents were turned away and came again."""
    one.kill()
    await one.start()
    agents.say(reconnect=one.address)
    back = await agents.hear()
    if back["adopted"] != count:
        raise RuntimeError(f"{back['adopted']} of {count} leases were adopted")
    refusals.append(back["refusals"])
    return float(back["seconds"])


async def _bare(count: int) -> float:
    async with child("echo.py") as bare:
        address = (await bare.hear())["address"]
        async with child("streams.py", "bare", address, count, 1, count) as streams:
            return float((await streams.hear())["seconds"])


async def _all_accepted(agents: Child) -> None:
    heard = await agents.hear()
    if heard["refused"]:
        raise RuntimeError(f"{heard['refused']} words were not accepted")


async def _check_losses(one: Daemon) -> None:
    async with grpc.aio.insecure_channel(one.address) as channel:
        lost = await DispatcherStub(channel).ListEvents(ListEventsRequest(filter=EventFilter(types=LOSSES)))
    if lost.events:
        raise RuntimeError(f"something was lost: {lost.events[0]}")
