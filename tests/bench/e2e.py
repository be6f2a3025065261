"""End to end: tasks submitted in batches of 100, leased over streams, started and completed by agents in another process, results durable."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from time import monotonic_ns
from typing import NamedTuple

import grpc
from figure import Figure, Sample, median
from pipeline import plain, same_rows
from process import Child, Daemon, child, cpu_seconds, daemon, until
from tasks import BATCH, batch

from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.health_pb2 import GetAgentLoadRequest, GetQueueStatusRequest
from fleet.v1.health_pb2_grpc import HealthStub

AGENTS, SLOTS = 4, 500
"""Enough slots that no agent waits for the round trip of a batch, few enough agents that their messages stay large."""
SUBMITTERS = 4


class Run(NamedTuple):
    """One repetition: tasks a second, and microseconds of the daemon's processor time for a task."""

    rate: float
    cpu: float


async def measure(sample: Sample) -> list[Figure]:
    count, repetitions = sample.size(20_000, 5_000), sample.size(5, 3)
    bare: list[float] = []
    floor: list[float] = []
    raw: list[Run] = []
    async with daemon(sample.folder / "e2e") as one, grpc.aio.insecure_channel(one.address) as channel:
        stub = DispatcherStub(channel)
        async with child("agents.py", "work", one.address, AGENTS, SLOTS) as agents:
            await agents.hear()
            await _raw(one, stub, agents, count // 4)
            for number in range(repetitions):
                bare.append(plain(sample.folder / f"plain-{number}.db", count))
                floor.append(same_rows(sample.folder / f"same-{number}.db", count))
                raw.append(await _raw(one, stub, agents, count))
        runtime = await _runtime(sample.folder / "runtime", count // 2, repetitions)
    rate, rows = median(run.rate for run in raw), median(floor)
    share = median(run.rate / one for run, one in zip(raw, floor, strict=True))
    return [
        Figure(
            "e2e_tasks_per_s",
            rate,
            "tasks/s",
            median(bare),
            "tasks/s, bare SQLite, one row a task",
            ">= 8000",
            f"{median(run.cpu for run in raw):.0f} µs of daemon CPU a task",
            details={
                "daemon_cpu_us_per_task": median(run.cpu for run in raw),
                "runs": [run.rate for run in raw],
            },
        ),
        Figure(
            "e2e_runtime_tasks_per_s",
            median(run.rate for run in runtime),
            "tasks/s",
            rate,
            "tasks/s, raw-stub agents",
            ">= 4000",
            f"{median(run.cpu for run in runtime):.0f} µs of daemon CPU a task",
            details={
                "daemon_cpu_us_per_task": median(run.cpu for run in runtime),
                "runs": [run.rate for run in runtime],
            },
        ),
        Figure(
            "e2e_vs_sqlite_pipeline",
            share,
            "ratio",
            rows,
            "tasks/s, bare SQLite, the same rows",
            ">= 0.4",
            f"{rate:,.0f} ÷ {rows:,.0f} tasks/s",
        ),
    ]


async def submit(stub: DispatcherStub, count: int) -> None:
    """Submit so many tasks in batches, a few callers at once."""
    request = batch()

    async def caller(batches: int) -> None:
        for _ in range(batches):
            answer = await stub.SubmitTasks(request)
            refused = [item.error.message for item in answer.items if not item.task_id]
            if refused:
                raise RuntimeError(f"a task was refused: {refused[0]}")

    await asyncio.gather(*(caller(count // BATCH // SUBMITTERS) for _ in range(SUBMITTERS)))


async def connected(health: HealthStub, agents: int) -> bool:
    """Tell whether so many agents are connected."""
    return bool((await health.GetAgentLoad(GetAgentLoadRequest())).connected >= agents)


async def _raw(one: Daemon, stub: DispatcherStub, agents: Child, count: int) -> Run:
    count -= count % (BATCH * SUBMITTERS)
    agents.say(expect=count)
    await agents.hear()
    used, began = cpu_seconds(one.pid), monotonic_ns()
    await submit(stub, count)
    done = await agents.hear()
    if done["refused"]:
        raise RuntimeError(f"{done['refused']} words were not accepted")
    return _run(one, count, used, done["at"] - began)


async def _runtime(data: Path, count: int, repetitions: int) -> list[Run]:
    async with daemon(data) as one, grpc.aio.insecure_channel(one.address) as channel:
        stub, health = DispatcherStub(channel), HealthStub(channel)
        async with child("runtime.py", one.address, AGENTS, SLOTS):
            await until(partial(connected, health, AGENTS))
            await _through(one, stub, health, count // 4)
            return [await _through(one, stub, health, count) for _ in range(repetitions)]


async def _through(one: Daemon, stub: DispatcherStub, health: HealthStub, count: int) -> Run:
    count -= count % (BATCH * SUBMITTERS)
    goal = (await _completed(health)) + count
    used, began = cpu_seconds(one.pid), monotonic_ns()
    await submit(stub, count)

    async def reached() -> bool:
        return await _completed(health) >= goal

    await until(reached)
    return _run(one, count, used, monotonic_ns() - began)


async def _completed(health: HealthStub) -> int:
    return int((await health.GetQueueStatus(GetQueueStatusRequest())).all.completed)


def _run(one: Daemon, count: int, used: float, nanoseconds: int) -> Run:
    return Run(count * 1e9 / nanoseconds, (cpu_seconds(one.pid) - used) * 1e6 / count)
