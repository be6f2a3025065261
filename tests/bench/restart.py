"""From the start of a process to READY, after a power cut, with a backlog; beside the same with an empty store."""

from __future__ import annotations

import grpc
from backlog import ROOM, fill
from e2e import submit
from figure import Figure, Sample, median
from process import Daemon, daemon

from fleet.v1.dispatcher_pb2_grpc import DispatcherStub

BEFORE_THE_CUT = 4_000
"""Tasks submitted before each power cut: their pages are in the write-ahead log, which the next start has to read."""


async def measure(sample: Sample) -> list[Figure]:
    pending = sample.size(1_000_000, 100_000)
    delayed = pending // 5
    repetitions = sample.size(5, 3)
    await fill(sample.folder / "full", pending, delayed=delayed)
    full: list[float] = []
    empty: list[float] = []
    async with daemon(sample.folder / "full", ROOM) as one, daemon(sample.folder / "empty", ROOM) as other:
        for _ in range(repetitions):
            empty.append(await _cut(other))
            full.append(await _cut(one))
        waiting = one.ready["pending"]
    if waiting < pending - delayed:
        raise RuntimeError(f"{waiting} tasks wait after the restart instead of {pending - delayed}")
    return [
        Figure(
            "restart_ready_s",
            median(full),
            "s",
            median(empty),
            "s, a nearly empty store",
            "<= 3",
            f"{pending:,} pending, {delayed:,} of them delayed; after SIGKILL",
            details={"runs": full, "pending": pending},
        )
    ]


async def _cut(one: Daemon) -> float:
    async with grpc.aio.insecure_channel(one.address) as channel:
        await submit(DispatcherStub(channel), BEFORE_THE_CUT)
    one.kill()
    return await one.start()
