"""What runs tell in one world, and how that is kept: who tells, who watches, and what has been kept long enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from fleetd.engine import task_feed
from fleetd.engine.retention import RetentionOptions, sweep
from fleetd.rpc import watch_task
from tests.simulation.told_watcher import ToldWatcher

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class TellingTrouble:
    """
    How much one seed tells, and what goes wrong with it.

    `share` of runs that tell anything, `unruly` how often a word skips numbers or comes late, `watchers` of single tasks, `slow` the mean pause of a slow
    watcher (ms), `buffer` and `page` the bounds of a watcher, `kept` how long task events are kept (ms, 0 = for ever).
    """

    share: float
    unruly: float
    watchers: int
    slow: int
    buffer: int
    page: int
    kept: int


def draw(random: Random) -> TellingTrouble | None:
    """Draw the troubles of one seed; None for the seeds in which nobody tells anything."""
    if random.random() < 0.65:
        return None
    return TellingTrouble(
        share=random.choice((0.3, 0.8, 1.0)),
        unruly=random.choice((0.0, 0.1, 0.3)),
        watchers=random.choice((2, 5)),
        slow=random.choice((200, 2_000, 8_000)),
        buffer=random.choice((3, 12, task_feed.EVENTS)),
        page=random.choice((2, 7, watch_task.PAGE)),
        kept=random.choice((0, 8_000, 30_000)),
    )


@contextmanager
def tight(trouble: TellingTrouble | None) -> Iterator[None]:
    """Narrow the bounds of watchers as long as the context lasts."""
    with ExitStack() as stack:
        if trouble is not None:
            for module, name, value in (
                (task_feed, "EVENTS", trouble.buffer),
                (watch_task, "PAGE", trouble.page),
                (watch_task, "DELIVERY", 400 if trouble.page < 10 else watch_task.DELIVERY),
            ):
                stack.callback(setattr, module, name, vars(module)[name])
                setattr(module, name, value)
        yield


class Telling:
    """Watchers of what runs tell, and the sweeps that let old events leave."""

    def __init__(self, world: World, trouble: TellingTrouble) -> None:
        self.trouble = trouble
        self._world = world
        self._watchers: list[ToldWatcher] = []
        self._sweep_at = 0

    @property
    def done(self) -> bool:
        """True when every watcher has seen what there is."""
        return all(watcher.done for watcher in self._watchers)

    def start(self) -> None:
        """One watcher of everything that keeps up, one that does not; those of single tasks come when there are some."""
        self._watch("watcher", "", 0, 0)
        self._watch("slow watcher", "", self._world.random.choice((0, -1)), self.trouble.slow)
        for number in range(self.trouble.watchers):
            self._world.agenda.after(
                self._world.random.randrange(2_000, 60_000), lambda n=number: self._watch_one(n)
            )

    def mend(self) -> None:
        """Watchers keep up by themselves once the world is calm."""

    def _watch_one(self, number: int) -> None:
        """Watch a task, one that runs if there is any."""
        world = self._world
        tasks = list(world.checker.tasks.values())
        fitting = [task.id for task in tasks if task.lease is not None] or [task.id for task in tasks]
        if fitting:
            first = world.random.choice((0, 0, -1))
            slow = world.random.choice((0, self.trouble.slow))
            self._watch(f"watcher-{number}", world.random.choice(fitting), first, slow)

    def _watch(self, name: str, task_id: str, first: int, slow: int) -> None:
        watcher = ToldWatcher(self._world, name, task_id, first, slow)
        self._watchers.append(watcher)
        watcher.start()

    async def sweep(self) -> None:
        """Let old events leave, now and then, between two transactions. With rollouts nothing does: their comparisons would leave as well."""
        world, daemon = self._world, self._world.daemon
        if not self.trouble.kept or world.rollouts is not None or world.calm:
            return
        if daemon is None or daemon.suspended or world.clock.now() < self._sweep_at:
            return
        self._sweep_at = world.clock.now() + world.random.randrange(1_000, 12_000)
        options = RetentionOptions(tasks=0, dead_letters=0, events=self.trouble.kept, audits=0)
        gone = await sweep(daemon.engine, options)
        world.checker.told.left(world.clock.wall() - self.trouble.kept, gone.task_events)
