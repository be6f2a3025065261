"""What has been kept long enough leaves, in small batches off the hot path (spec D12)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetd.store.base import CommitUnclear, Retention, StoreBroken, StoreFull, Trimmed

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine
    from fleetd.engine.log import Log

BATCH = 500
"""Tasks, events, task events, and lines of the audit log that leave in one transaction: a few milliseconds in which the engine waits."""


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """How long rows are kept, and how often that is looked at; milliseconds, 0 = for ever."""

    tasks: int = 7 * 86_400_000
    dead_letters: int = 30 * 86_400_000
    events: int = 7 * 86_400_000
    audits: int = 365 * 86_400_000
    interval: int = 60_000


async def sweep(engine: Engine, options: RetentionOptions) -> Trimmed:
    """Let everything leave whose time has passed; return how much did."""
    wall = engine.clock.wall()
    retention = Retention(
        tasks_before=wall - options.tasks if options.tasks else 0,
        dead_before=wall - options.dead_letters if options.dead_letters else 0,
        events_before=wall - options.events if options.events else 0,
        audits_before=wall - options.audits if options.audits else 0,
    )
    tasks = events = audits = task_events = 0
    while True:
        trimmed = await engine.store.trim(retention, BATCH)
        tasks, events, audits = tasks + trimmed.tasks, events + trimmed.events, audits + trimmed.audits
        task_events += trimmed.task_events
        if not trimmed.more:
            return Trimmed(tasks, events, audits, task_events=task_events)
        # The engine's transactions wait for the same connection: let them go first.
        await asyncio.sleep(0)


async def keep_sweeping(engine: Engine, options: RetentionOptions, log: Log) -> None:
    """Sweep every interval until cancelled. A store that refuses is tried again at the next one."""
    while True:
        try:
            gone = await sweep(engine, options)
        except (StoreFull, StoreBroken, CommitUnclear) as error:
            log.warning("retention_failed", message=str(error))
        else:
            if gone != Trimmed():
                log.info(
                    "retention",
                    tasks=gone.tasks,
                    events=gone.events,
                    audits=gone.audits,
                    task_events=gone.task_events,
                )
        await asyncio.sleep(options.interval / 1_000)
