"""Submitting one task at a time: 64 callers, by the raw stub and by the client, beside the bare echo at 64 callers."""

from __future__ import annotations

import grpc
from figure import Figure, Sample, median
from floors import echo_call, rate
from process import child, cpu_seconds, daemon
from tasks import TEXT, task

from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleetd_client import FleetClient

CALLERS = 64


async def measure(sample: Sample) -> list[Figure]:
    seconds, rounds = (1.0, 3) if sample.quick else (3.0, 5)
    echo: list[float] = []
    unary: list[float] = []
    client: list[float] = []
    cpu: list[float] = []
    async with child("echo.py") as bare, daemon(sample.folder / "data") as one:
        bare_address = (await bare.hear())["address"]
        async with (
            grpc.aio.insecure_channel(bare_address) as bare_channel,
            grpc.aio.insecure_channel(one.address) as channel,
            FleetClient(one.address) as fleet,
        ):
            echo_one, stub, request = echo_call(bare_channel), DispatcherStub(channel), task()
            calls = (
                (echo, echo_one),
                (unary, lambda: stub.SubmitTask(request)),
                (client, lambda: fleet.submit(request.title, description=TEXT, task_type="review")),
            )
            for _, call in calls:
                await rate(call, CALLERS, seconds / 4)
            for _ in range(rounds):
                for rates, call in calls:
                    used = cpu_seconds(one.pid)
                    rates.append(await rate(call, CALLERS, seconds))
                    if rates is unary:
                        cpu.append((cpu_seconds(one.pid) - used) * 1e6 / (rates[-1] * seconds))
    floor = median(echo)
    return [
        Figure(
            "submit_unary_vs_echo",
            median(one / other for one, other in zip(unary, echo, strict=True)),
            "ratio",
            floor,
            "calls/s, bare unary echo, 64 callers",
            ">= 0.55",
            f"{median(unary):,.0f} ÷ {floor:,.0f} calls/s; {median(cpu):.0f} µs of daemon CPU a call",
            details={"submit_per_s": median(unary), "daemon_cpu_us_per_call": median(cpu)},
        ),
        Figure(
            "client_submit_per_s",
            median(client),
            "tasks/s",
            floor,
            "calls/s, bare unary echo, 64 callers",
            ">= 8000",
            "64 callers of FleetClient.submit",
            details={"runs": client},
        ),
    ]
