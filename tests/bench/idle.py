"""Many agents that have nothing to do: what they cost the daemon, beside as many bare streams with one reader and one writer task each."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import NamedTuple

import grpc
from figure import Figure, Sample
from process import child, cpu_seconds, daemon, resident_bytes

from fleet.v1.health_pb2 import GetAgentLoadRequest
from fleet.v1.health_pb2_grpc import HealthStub

STREAMS_A_CONNECTION = 250
"""Shared connections leave the streams themselves to be compared: a connection of its own adds the same to either side."""
OPENING = 50
MEMORY_BAR = 1.5


class Cost(NamedTuple):
    """Share of one core, and KiB for each stream."""

    cores: float
    kib: float


async def measure(sample: Sample) -> list[Figure]:
    count, seconds = sample.size(5_000, 1_000), sample.size(30, 10)
    async with child("echo.py") as bare:
        address = (await bare.hear())["address"]
        floor = await _cost("bare", bare.pid, address, count, seconds)
    async with daemon(sample.folder / "data") as one, grpc.aio.insecure_channel(one.address) as channel:
        health = HealthStub(channel)
        await health.GetAgentLoad(GetAgentLoadRequest())
        cost = await _cost("daemon", one.pid, one.address, count, seconds, health)
    memory = cost.kib / floor.kib
    return [
        Figure(
            "agents_idle",
            cost.cores,
            "cores",
            floor.cores,
            "cores, bare streams with a reader and a writer task",
            "<= 0.35",
            f"{count:,} agents; {cost.kib:.0f} KiB each, bare {floor.kib:.0f}: {memory:.2f} × (bar ≤ {MEMORY_BAR})",
            also=memory <= MEMORY_BAR,
            details={
                "agents": count,
                "kib_per_agent": cost.kib,
                "bare_kib_per_stream": floor.kib,
                "memory_ratio": memory,
            },
        )
    ]


async def _cost(
    kind: str, pid: int, address: str, count: int, seconds: int, health: HealthStub | None = None
) -> Cost:
    before = resident_bytes(pid)
    async with child("streams.py", kind, address, count, STREAMS_A_CONNECTION, OPENING) as streams:
        await streams.hear()
        # Some pings first: connecting is not idling.
        await asyncio.sleep(seconds / 5)
        used, began = cpu_seconds(pid), monotonic()
        await asyncio.sleep(seconds)
        cores = (cpu_seconds(pid) - used) / (monotonic() - began)
        kib = (resident_bytes(pid) - before) / 1_024 / count
        if health is not None:
            load = await health.GetAgentLoad(GetAgentLoadRequest())
            if load.connected != count:
                raise RuntimeError(f"{load.connected} of {count} agents are connected")
        return Cost(cores, kib)
