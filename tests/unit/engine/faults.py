"""A store whose transactions fail as told: everything else is the real store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from fleetd.store.base import CommitUnclear, Script, StoreFull
from fleetd.store.sqlite import SqliteStore

FULL = "full"
UNCLEAR_NOT_WRITTEN = "unclear, not written"
UNCLEAR_WRITTEN = "unclear, written"


class FaultyStore(SqliteStore):
    """
    The next transactions meet `faults`, one each.

    The script runs whole every time, on the real database, before the fault strikes: memory has been changed by then.
    """

    def __init__(self) -> None:
        super().__init__(":memory:", inline=True)
        self.faults: deque[str] = deque()
        self.readable = True

    async def transact(self, script: Callable[[], Script[Any]]) -> Any:
        fault = self.faults.popleft() if self.faults else ""
        if fault == FULL:
            return await super().transact(_then(script, StoreFull("no room")))
        if fault == UNCLEAR_NOT_WRITTEN:
            return await super().transact(_then(script, CommitUnclear("disk I/O error")))
        answer = await super().transact(script)
        if fault == UNCLEAR_WRITTEN:
            raise CommitUnclear("disk I/O error")
        return answer

    async def last_batch(self) -> int:
        if not self.readable:
            raise OSError("disk I/O error")
        return await super().last_batch()


def _then(script: Callable[[], Script[Any]], error: Exception) -> Callable[[], Script[Any]]:
    def run() -> Script[Any]:
        yield from script()
        raise error

    return run
