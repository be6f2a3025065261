"""Routes through the API over 1,000 instances: one a call by 64 callers, 100 a call, and by 64 callers of the client, beside the bare echo at 64 callers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from itertools import cycle
from random import Random
from typing import Any

import grpc
import instances
from figure import Figure, Sample, median
from floors import echo_call, rate
from process import child, cpu_seconds, daemon

from fleet.v1 import route_pb2
from fleet.v1 import router_pb2 as pb
from fleet.v1.router_pb2_grpc import RouterStub
from fleetd.core.catalogue import providers
from fleetd.core.route import Requirements
from fleetd_client import FleetClient

CALLERS = 64
NUMBER = 1_000
BATCH = 100
BATCH_CALLERS = 4
VARIETY = 500


async def measure(sample: Sample) -> list[Figure]:
    seconds, rounds = (1.0, 3) if sample.quick else (3.0, 5)
    rates: dict[str, list[float]] = {"echo": [], "unary": [], "batch": [], "client": []}
    cpu: dict[str, list[float]] = {name: [] for name in rates}
    async with child("echo.py") as bare, daemon(sample.folder / "data") as one:
        bare_address = (await bare.hear())["address"]
        async with (
            grpc.aio.insecure_channel(bare_address) as bare_channel,
            grpc.aio.insecure_channel(one.address) as channel,
            FleetClient(one.address) as fleet,
        ):
            stub = RouterStub(channel)
            wanted = await _load(stub)
            calls = {
                "echo": (bare.pid, echo_call(bare_channel), CALLERS, 1),
                "unary": (one.pid, _unary(stub, wanted), CALLERS, 1),
                "batch": (one.pid, _batch(stub, wanted), BATCH_CALLERS, BATCH),
                "client": (one.pid, _client(fleet, wanted), CALLERS, 1),
            }
            for _, call, callers, _ in calls.values():
                await rate(call, callers, seconds / 4)
            for _ in range(rounds):
                for name, (pid, call, callers, size) in calls.items():
                    used = cpu_seconds(pid)
                    rates[name].append(size * await rate(call, callers, seconds))
                    cpu[name].append((cpu_seconds(pid) - used) * 1e6 / (rates[name][-1] * seconds))
    floor = median(rates["echo"])
    echo = "calls/s, bare unary echo, 64 callers"
    used_us = {name: median(each) for name, each in cpu.items()}
    costs = {name: f"{each:.0f} µs of daemon CPU a route" for name, each in used_us.items()}
    return [
        Figure(
            "route_unary_vs_echo",
            median(one / other for one, other in zip(rates["unary"], rates["echo"], strict=True)),
            "ratio",
            floor,
            echo,
            ">= 0.7",
            f"{median(rates['unary']):,.0f} ÷ {floor:,.0f} calls/s; {costs['unary']}, the echo {used_us['echo']:.0f}",
            details={
                "route_per_s": median(rates["unary"]),
                "daemon_cpu_us_per_route": used_us["unary"],
                "echo_cpu_us_per_call": used_us["echo"],
            },
        ),
        Figure(
            "route_batch_per_s",
            median(rates["batch"]),
            "routes/s",
            floor,
            echo,
            ">= 8000",
            f"RouteTasks of {BATCH}, {BATCH_CALLERS} callers; {costs['batch']}",
            details={"runs": rates["batch"], "daemon_cpu_us_per_route": used_us["batch"]},
        ),
        Figure(
            "client_route_per_s",
            median(rates["client"]),
            "routes/s",
            floor,
            echo,
            ">= 5000",
            f"64 callers of FleetClient.route; {costs['client']}",
            details={"runs": rates["client"], "daemon_cpu_us_per_route": used_us["client"]},
        ),
    ]


async def _load(stub: Any) -> list[Requirements]:
    """Load the catalogue into the daemon; return what is asked of it."""
    data = json.dumps(instances.catalogue(NUMBER)).encode()
    form = pb.CATALOGUE_FORMAT_PROVIDERS
    answer = await stub.ImportCatalogue(pb.ImportCatalogueRequest(format=form, data=data))
    if answer.loaded != NUMBER:
        raise RuntimeError(f"{answer.loaded} of {NUMBER} instances were loaded: {answer.problems[:3]}")
    known = providers(json.loads(data)).instances
    return instances.requirements(known, VARIETY, Random(NUMBER))


def _unary(stub: Any, wanted: list[Requirements]) -> Callable[[], Awaitable[object]]:
    requests = cycle([_request(each) for each in wanted])

    async def call() -> object:
        answer = await stub.RouteTask(next(requests))
        if not answer.selected:
            raise RuntimeError(f"nothing was selected: {answer.plan.summary}")
        return answer

    return call


def _batch(stub: Any, wanted: list[Requirements]) -> Callable[[], Awaitable[object]]:
    every = [_request(each) for each in wanted]
    requests = cycle(
        [pb.RouteTasksRequest(items=every[first : first + BATCH]) for first in range(0, VARIETY, BATCH)]
    )

    async def call() -> object:
        answer = await stub.RouteTasks(next(requests))
        if not all(item.route.selected for item in answer.items):
            raise RuntimeError("a route of a batch selected nothing")
        return answer

    return call


def _client(fleet: FleetClient, wanted: list[Requirements]) -> Callable[[], Awaitable[object]]:
    needs = cycle([{**each._asdict(), "latency_class": int(each.latency_class)} for each in wanted])

    async def call() -> object:
        return await fleet.route("Review the change", **next(needs))

    return call


def _request(wanted: Requirements) -> pb.RouteTaskRequest:
    return pb.RouteTaskRequest(
        title="Review the change",
        requirements=route_pb2.RouteRequirements(
            needs=wanted.needs,
            prefer=wanted.prefer,
            min_ctx=wanted.min_ctx,
            latency_class=int(wanted.latency_class),
            required=wanted.required,
            model=wanted.model,
        ),
    )
