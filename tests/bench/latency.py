"""From SubmitTask to the lease in the agent, on an idle system, beside what the same steps cost without the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import monotonic_ns

import grpc
from e2e import connected
from figure import Figure, Sample, median, quantile
from floors import Echo, OneRow, echo_call
from process import Child, child, daemon, until
from tasks import task

from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.health_pb2_grpc import HealthStub

PAUSE = 0.005
"""Seconds between two samples: the next one finds everybody asleep, as on an idle system."""
WARM_UP = 50
MILLISECOND = 1e6


async def measure(sample: Sample) -> list[Figure]:
    count = sample.size(1_000, 200)
    call: list[float] = []
    trip: list[float] = []
    commit: list[float] = []
    start: list[float] = []
    async with child("echo.py") as bare, daemon(sample.folder / "raw") as one:
        bare_address = (await bare.hear())["address"]
        async with (
            child("agents.py", "stamp", one.address, 1, 1) as agent,
            grpc.aio.insecure_channel(bare_address) as bare_channel,
            grpc.aio.insecure_channel(one.address) as channel,
        ):
            await agent.hear()
            stub, echo = DispatcherStub(channel), Echo(bare_channel)
            unary, row = echo_call(bare_channel), OneRow(sample.folder / "one.db")
            # Each step is taken in turn, so that all of them meet the same machine.
            for number in range(count + WARM_UP):
                for kept, step in ((call, unary), (trip, echo.round_trip)):
                    kept.append(await _timed(step))
                    await asyncio.sleep(PAUSE)
                began = monotonic_ns()
                row.commit()
                commit.append(_since(began))
                await asyncio.sleep(PAUSE)
                start.append(await _submit_to_start(stub, agent, number))
                await asyncio.sleep(PAUSE)
            echo.close()
            row.close()
    call, trip, commit, start = (kept[WARM_UP:] for kept in (call, trip, commit, start))
    handler = await _runtime(sample.folder / "runtime", count // 2)
    steps = {
        "unary echo": median(call),
        "one-row commit": median(commit),
        "half a round trip": median(trip) / 2,
    }
    floor, p50, p99 = sum(steps.values()), median(start), quantile(start, 0.99)
    parts = ", ".join(f"{name} {value:.2f}" for name, value in steps.items())
    unit = "ms, the same steps without the daemon"
    return [
        Figure(
            "submit_to_start_vs_floor",
            p50 / floor,
            "ratio",
            floor,
            unit,
            "<= 1.8",
            parts,
            details={
                f"{name.replace(' ', '_').replace('-', '_')}_p50_ms": value for name, value in steps.items()
            },
        ),
        Figure(
            "submit_to_start_p50_ms",
            p50,
            "ms",
            floor,
            unit,
            note=f"handler of the client's runtime: {median(handler):.2f} ms",
            details={"runtime_p50_ms": median(handler)},
        ),
        Figure(
            "submit_to_start_p99_ms",
            p99,
            "ms",
            quantile(call, 0.99) + quantile(commit, 0.99) + quantile(trip, 0.99) / 2,
            "ms, p99 of the same steps",
            note=f"handler of the client's runtime: {quantile(handler, 0.99):.2f} ms",
            details={"runtime_p99_ms": quantile(handler, 0.99)},
        ),
    ]


async def _runtime(data: Path, count: int) -> list[float]:
    """Return milliseconds from the submit to the first line of an async handler of the client's runtime."""
    async with daemon(data) as one, grpc.aio.insecure_channel(one.address) as channel:
        stub, health = DispatcherStub(channel), HealthStub(channel)
        async with child("runtime.py", one.address, 1, 1, "stamp") as agent:
            await until(partial(connected, health, 1))
            found = []
            for number in range(count + WARM_UP):
                found.append(await _submit_to_start(stub, agent, number))
                # The handler says that it begins; its result is acknowledged within this pause.
                await asyncio.sleep(2 * PAUSE)
            return found[WARM_UP:]


async def _submit_to_start(stub: DispatcherStub, agent: Child, number: int) -> float:
    """Return milliseconds; both processes read the machine's one monotonic clock."""
    request = task(number)
    began = monotonic_ns()
    await stub.SubmitTask(request)
    return float((await agent.hear())["start"] - began) / MILLISECOND


async def _timed(step: Callable[[], Awaitable[object]]) -> float:
    began = monotonic_ns()
    await step()
    return _since(began)


def _since(began: int) -> float:
    return (monotonic_ns() - began) / MILLISECOND
