"""Task events: told by agents on streams, stored, and sent on to watchers, who must get each of them once and in order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from time import monotonic_ns, perf_counter
from typing import NamedTuple

import grpc
from figure import Figure, Sample, median
from floors import connect
from process import Child, Daemon, child, cpu_seconds, daemon
from tasks import batch
from tellers import EVENTS, event

from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleetd.store import migrations

TASKS = 50


class Run(NamedTuple):
    """One repetition: events acknowledged and events delivered to all a second, µs of the daemon's processor for one, events of a transaction, watchers cut."""

    rate: float
    delivered: float
    cpu: float
    shared: float
    cuts: int


async def measure(sample: Sample) -> list[Figure]:
    count, repetitions = sample.size(100_000, 20_000), sample.size(5, 3)
    runs: list[Run] = []
    floor: list[float] = []
    data = sample.folder / "events"
    async with (
        daemon(data) as one,
        grpc.aio.insecure_channel(one.address) as channel,
        child("tellers.py", one.address, TASKS) as tellers,
    ):
        await tellers.hear()
        request = batch(TASKS)
        for task in request.tasks:
            task.timeout.seconds = 3_600
        answer = await DispatcherStub(channel).SubmitTasks(request)
        await tellers.hear()
        async with child("watchers.py", one.address, *(item.task_id for item in answer.items)) as watchers:
            await watchers.hear()
            await _run(one, data, tellers, watchers, count // 4)
            for number in range(repetitions):
                runs.append(await _run(one, data, tellers, watchers, count))
                floor.append(bare(sample.folder / f"bare-{number}.db", count, round(runs[-1].shared)))
    rate, cpu = median(run.rate for run in runs), median(run.cpu for run in runs)
    delivered, cuts = median(run.delivered for run in runs), sum(run.cuts for run in runs)
    return [
        Figure(
            "events_per_s",
            rate,
            "events/s",
            median(floor),
            "events/s, bare SQLite, the same rows in transactions of the same size",
            ">= 10000",
            f"{cpu:.0f} µs of daemon CPU an event, {delivered:,.0f}/s delivered to two watchers each, {cuts} watchers cut",
            details={
                "daemon_cpu_us_per_event": cpu,
                "delivered_per_s": delivered,
                "events_per_transaction": median(run.shared for run in runs),
                "watchers_cut": cuts,
                "runs": [run.rate for run in runs],
            },
        )
    ]


def bare(file: Path, count: int, size: int) -> float:
    """Return events a second of plain sqlite3: the rows of the daemon in its own schema, so many in a transaction, with the counts of the tasks they belong to."""
    bodies = [event(number).SerializeToString() for number in range(1, EVENTS + 1)]
    with closing(connect(file)) as db:
        migrations.migrate(db, migrations.known("sqlite"))
        began = perf_counter()
        for first in range(1, count + 1, size):
            rows = []
            for position in range(first, min(first + size, count + 1)):
                word, place = divmod(position - 1, EVENTS)
                seq, task = divmod(word, TASKS)
                rows.append(
                    (position, task, seq * EVENTS + place + 1, 1, 1_700_000_000_000, 0, 0, bodies[place])
                )
            newest = {row[1]: row[2] for row in rows}
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO task_events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            db.executemany(
                "UPDATE tasks SET task_event_seq = ? WHERE seq = ?", [(s, t) for t, s in newest.items()]
            )
            db.execute("UPDATE daemons SET task_event_position = ?", (rows[-1][0],))
            db.execute("COMMIT")
        took = perf_counter() - began
        (stored,) = db.execute("SELECT count(*) FROM task_events").fetchone()
    if stored != count:
        raise RuntimeError(f"{stored} of {count} events were stored")
    return count / took


async def _run(one: Daemon, data: Path, tellers: Child, watchers: Child, count: int) -> Run:
    count -= count % (TASKS * EVENTS)
    before = _state(data)
    watchers.say(expect=count)
    tellers.say(expect=count)
    await tellers.hear()
    used, began = cpu_seconds(one.pid), monotonic_ns()
    told = await tellers.hear()
    seen = await watchers.hear()
    used = cpu_seconds(one.pid) - used
    after = _state(data)
    if told["refused"] or after.events - before.events != count:
        raise RuntimeError(
            f"{told['refused']} words refused, {after.events - before.events} of {count} stored"
        )
    return Run(
        count * 1e9 / (told["at"] - began),
        count * 1e9 / (seen["at"] - began),
        used * 1e6 / count,
        count / (after.batches - before.batches),
        seen["cuts"],
    )


class _State(NamedTuple):
    batches: int
    events: int


def _state(data: Path) -> _State:
    """Return how many transactions and task events the store has had."""
    (file,) = data.glob("*.db")
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return _State(*db.execute("SELECT last_batch, task_event_position FROM daemons").fetchone())
