"""The real store in memory with the faults of real disks: slow, full, broken, or silent about what became of a commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from fleetd.store.base import CommitUnclear, Script, StoreBroken, StoreFull, Write
from fleetd.store.sqlite import SqliteStore
from tests.simulation.daemon import Killed
from tests.simulation.record import Record

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

MOST_OPERATIONS = 10_000
"""Operations of one transaction: ten times what a full batch needs, so that more means that it has no end."""


class FaultyStore:
    """Passes everything on to a SqliteStore. Time passes in a transaction, before its commit and after it, and others act meanwhile."""

    def __init__(self, world: World) -> None:
        self.real = SqliteStore(":memory:")
        self.full_until = 0
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def transact(self, script: Callable[[], Script[T]]) -> T:
        world, faults, random = self._world, self._world.faults, self._world.random
        daemon = world.daemon
        world.checker.routes.gathered()
        slow = random.random() < faults.slow
        await self._take(1, 12_000 if slow else 6)
        failure = self._failure()
        record = Record()
        try:
            result = await self.real.transact(lambda: _watched(script(), record, failure))
        except (StoreFull, CommitUnclear, StoreBroken) as error:
            world.history.note("store", f"{type(error).__name__}, nothing written")
            world.checker.rollouts.unseen()
            raise
        world.checker.committed(record, result)
        await self._take(0, 12_000 if slow else 3)
        world.checker.rollouts.heard()
        if daemon is not None and not daemon.alive:
            raise Killed
        if random.random() < faults.unclear:
            world.history.note("store", "CommitUnclear, written")
            raise CommitUnclear("the answer to COMMIT was lost")
        return result

    async def last_batch(self) -> int:
        if self._world.random.random() < self._world.faults.broken:
            raise StoreBroken("the marker cannot be read")
        return await self.real.last_batch()

    async def _take(self, least: int, most: int) -> None:
        """Let time pass; a daemon that dies in it takes the transaction with it."""
        world = self._world
        daemon = world.daemon
        await world.pass_time(world.random.randrange(least, most))
        while daemon is not None and daemon.alive and daemon.suspended:
            await world.pass_time(daemon.suspended_until - world.clock.now())
        if daemon is not None and not daemon.alive:
            raise Killed

    def _failure(self) -> Exception | None:
        faults, random = self._world.faults, self._world.random
        if self._world.clock.now() < self.full_until or random.random() < faults.full:
            return StoreFull("there is no room")
        if random.random() < faults.unclear:
            return CommitUnclear("the connection was lost before the commit")
        if random.random() < faults.broken / 4:
            return StoreBroken("the disk reports an error")
        return None


def _watched(script: Script[T], record: Record, failure: Exception | None) -> Script[T]:
    """Run a script and note what it writes; with a `failure` it is rolled back at its end."""
    answer: Any = None
    operations = 0
    try:
        while True:
            try:
                operation = script.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                break
            operations += 1
            if operations > MOST_OPERATIONS:
                raise Killed(f"a transaction of more than {MOST_OPERATIONS} operations")
            if isinstance(operation, Write):
                record.note(operation.changes)
            answer = yield operation
    finally:
        script.close()
    if failure is not None:
        raise failure
    return result
