"""Claims a second, and what a large backlog or many lanes make of them. Unary claims of 100, one after the other, by one agent."""

from __future__ import annotations

from time import perf_counter
from typing import Any, NamedTuple

import grpc
from backlog import ROOM, fill
from figure import Figure, Sample, median
from process import daemon
from tasks import LANES, batch, skills

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.lease_pb2 import REPORT_RESULT_ACCEPTED, CompleteWord, Report

ROUND = 1_000
"""Tasks claimed and put back in a round; the smallest backlog holds so many."""
CLAIM = 100
AGENT = "claimer"


class Place(NamedTuple):
    """A daemon with a backlog in so many lanes, and the rates found there."""

    stub: Any
    lanes: int
    rates: list[float]


async def backlog(sample: Sample) -> list[Figure]:
    many = sample.size(1_000_000, 100_000)
    large, small = await _compare(sample, (many, 1), (ROUND, 1))
    return [
        Figure(
            "claim_rate_1m_vs_1k",
            large / small,
            "ratio",
            small,
            "claims/s with 1,000 pending",
            ">= 0.8",
            f"{large:,.0f} claims/s with {many:,} pending",
            details={"claims_per_s": large},
        )
    ]


async def lanes(sample: Sample) -> list[Figure]:
    pending = LANES * sample.size(50, 10)
    spread, single = await _compare(sample, (pending, LANES), (pending, 1))
    return [
        Figure(
            "claim_rate_5000_lanes_vs_1",
            spread / single,
            "ratio",
            single,
            "claims/s from one lane",
            ">= 0.6",
            f"{spread:,.0f} claims/s from 5,000 lanes, {pending:,} pending in either",
            details={"claims_per_s": spread},
        )
    ]


async def _compare(sample: Sample, one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    """Return the rates of two backlogs (pending, lanes), taken in turn."""
    for name, (pending, lane_count) in (("one", one), ("other", other)):
        await fill(sample.folder / name, pending, lanes=lane_count)
    async with (
        daemon(sample.folder / "one", ROOM) as first,
        daemon(sample.folder / "other", ROOM) as second,
        grpc.aio.insecure_channel(first.address) as first_channel,
        grpc.aio.insecure_channel(second.address) as second_channel,
    ):
        places = (
            Place(DispatcherStub(first_channel), one[1], []),
            Place(DispatcherStub(second_channel), other[1], []),
        )
        for place, it, (pending, _) in zip(places, (first, second), (one, other), strict=True):
            if it.ready["pending"] > pending:
                raise RuntimeError(f"{it.ready['pending']} tasks wait instead of {pending}")
            await _round(place)
            place.rates.clear()
        for _ in range(sample.size(20, 6)):
            for place in places:
                await _round(place)
        return median(places[0].rates), median(places[1].rates)


async def _round(place: Place) -> None:
    """Claim a thousand tasks, which is timed; complete them and submit as many, which is not."""
    stub = place.stub
    reports: list[Report] = []
    began = perf_counter()
    while len(reports) < ROUND:
        request = pb.ClaimTasksRequest(agent_id=AGENT, capabilities=skills(), max_tasks=CLAIM)
        answer = await stub.ClaimTasks(request)
        if len(answer.leases) != CLAIM:
            raise RuntimeError(f"a claim of {CLAIM} got {len(answer.leases)}")
        reports += [
            Report(task_id=lease.task_id, lease_epoch=lease.lease_epoch, complete=CompleteWord())
            for lease in answer.leases
        ]
    place.rates.append(ROUND / (perf_counter() - began))
    acks = (await stub.ReportTasks(pb.ReportTasksRequest(agent_id=AGENT, reports=reports))).acks
    if any(ack.result != REPORT_RESULT_ACCEPTED for ack in acks):
        raise RuntimeError("a result was not accepted")
    # In 5,000 lanes the claims took the urgent ones; what is put back is the same.
    first = place.lanes - ROUND if place.lanes > 1 else 0
    await stub.SubmitTasks(batch(ROUND, first, place.lanes))
