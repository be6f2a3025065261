"""Runs one handler and takes its words."""

from __future__ import annotations

import asyncio

from fleetd_client.effects import Begin, Stop
from fleetd_client.run import Runs
from fleetd_client.stubs import Lease

KEY = ("t", 3)


class Desk:
    """Runs one handler; collects its words."""

    def __init__(self, *handlers, certain=lambda: True):
        self.words: asyncio.Queue = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        by_type = {getattr(handler, "task_type", ""): handler for handler in handlers}
        self.runs = Runs("a", by_type, self._say, certain)

    def _say(self, report):
        self._loop.call_soon_threadsafe(self.words.put_nowait, report)

    def begin(self, **lease):
        self.runs.apply([Begin(Lease(task_id=KEY[0], lease_epoch=KEY[1], **lease))])

    def stop(self, why="cancel"):
        self.runs.apply([Stop(KEY, why)])

    async def word(self):
        async with asyncio.timeout(10):
            report = await self.words.get()
        assert (report.task_id, report.lease_epoch) == KEY
        return report


def plainly(function):
    """The same handler as a plain function."""

    def plain(ctx):
        return asyncio.run(function(ctx))

    return plain
