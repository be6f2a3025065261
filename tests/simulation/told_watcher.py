"""Those who watch what runs tell, over every restart of the daemon: they must miss nothing and see nothing twice (G6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.limits import Limits
from fleetd.api.methods_task_events import TaskEventMethods
from fleetd.errors import FleetError
from fleetd.rpc.watch_task import TaskWatch
from tests.simulation.model import OVER

if TYPE_CHECKING:
    from tests.simulation.daemon import Daemon
    from tests.simulation.world import World

LIMITS = Limits()


class ToldWatcher:
    """
    One watcher of a task, or of all ("" as id), through the call that serves them. `_next` is the number that comes next, None before anything came. A slow one
    pauses for `slow` ms on average between two messages.
    """

    def __init__(self, world: World, name: str, task_id: str, first: int, slow: int) -> None:
        self._world = world
        self._name = name
        self._task_id = task_id
        self._first = first
        self._slow = slow
        self._least = 0
        self._next: int | None = None
        self._finished = False

    @property
    def done(self) -> bool:
        """True when everything that was told was seen."""
        return self._next == self._world.checker.told.newest(self._task_id) + 1

    def start(self) -> None:
        self._later(1)

    def _later(self, most: int) -> None:
        self._world.agenda.after(self._world.random.randrange(1, most + 1), self._open)

    def _open(self) -> None:
        daemon = self._world.daemon
        if daemon is None or daemon.suspended:
            self._later(2_000)
        elif self._world.calm and self._finished and self.done:
            self._later(10_000)
        else:
            daemon.run(self._watch(daemon), lambda _: None)

    async def _watch(self, daemon: Daemon) -> None:
        """Watch until the stream ends, however it does, and come back."""
        try:
            await self._read(daemon)
        except FleetError as error:
            self._refused(error)
        finally:
            self._later(8_000 if self._finished else 1_000)

    async def _read(self, daemon: Daemon) -> None:
        world, engine, told = self._world, daemon.engine, self._world.checker.told
        first = self._next if self._next is not None else self._first
        self._finished = False
        if self._next is None:
            # What was distributed, not what was written: a transaction may be about to let its events out.
            present = told.newest(self._task_id) if self._task_id else engine.task_feed.last
            self._least = present + 1 if first < 0 else told.oldest(self._task_id)
        self._note(f"watches from {first}")
        watch = TaskWatch(engine, TaskEventMethods(engine, LIMITS))
        messages = watch.messages(pb.WatchTaskRequest(task_id=self._task_id, from_seq=first))
        try:
            async for data in messages:
                if not world.calm and world.random.random() < world.faults.loss / 2:
                    self._note("its stream breaks")
                    return
                self._hear(pb.WatchTaskResponse.FromString(data))
                if self._slow and not world.calm and world.random.random() < 0.5:
                    await self._pause(world.random.randrange(1, 2 * self._slow))
        finally:
            await messages.aclose()

    async def _pause(self, milliseconds: int) -> None:
        over = asyncio.get_running_loop().create_future()
        self._world.agenda.after(milliseconds, lambda: over.done() or over.set_result(None))
        await over

    def _hear(self, message: pb.WatchTaskResponse) -> None:
        told = self._world.checker.told
        numbers = [event.seq if self._task_id else event.position for event in message.events]
        resume = message.resume_from_seq
        if self._next is None:
            self._next = numbers[0] if numbers else resume
            present = told.newest(self._task_id) + 1 if self._first < 0 else told.oldest(self._task_id)
            if not self._least <= self._next <= present:
                self._wrong(
                    f"asked for {self._first} and was sent {self._next}, not {self._least} to {present}"
                )
        for number, event in zip(numbers, message.events, strict=True):
            if number != self._next:
                self._wrong(f"was shown {number}, {self._next} comes next")
            self._next = number + 1
            if difference := told.differs(event):
                self._wrong(f"was shown {difference}")
        self._note(f"sees {numbers[0]} to {numbers[-1]}" if numbers else f"is told to go on from {resume}")
        if resume != self._next:
            self._wrong(f"is to go on from {resume}, {self._next} comes next")
        if message.finished:
            self._finished = True
            if message.finished not in OVER:
                self._wrong(f"is told that the task is over in state {message.finished}")

    def _refused(self, error: FleetError) -> None:
        told = self._world.checker.told
        self._note(f"is cut: {error.reason} {error.metadata}")
        if error.reason == "WATCHER_TOO_SLOW":
            resume = int(error.metadata["resume_from_seq"])
            if resume != self._next:
                self._wrong(f"is to come back from {resume}, {self._next} comes next")
        elif error.reason == "EVENTS_TRIMMED":
            oldest = int(error.metadata["oldest_seq"])
            if self._next is None or not self._next < oldest <= told.oldest(self._task_id):
                self._wrong(f"wanted {self._next} and was told that the oldest one is {oldest}")
            self._next = oldest
        elif error.reason != "DRAINING":
            self._wrong(f"was refused: {error.reason}, {error.message}")

    def _note(self, what: str) -> None:
        self._world.history.note(self._name, f"{self._task_id or 'everything'}: {what}")

    def _wrong(self, what: str) -> None:
        self._world.checker.violated(f"the {self._name} of {self._task_id or 'everything'} {what}")
