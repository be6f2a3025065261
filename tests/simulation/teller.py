"""What one run tells while it works: in numbered words, said until they are acknowledged, and now and then out of turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.v1.task_event_pb2 import TaskEvent
from fleetd.core.task_event import Told
from fleetd.core.words import Ack, Result, Word, WordKind

if TYPE_CHECKING:
    from tests.simulation.process import Process, Work

LATE = 40_000
"""Milliseconds after which a word is said again at the latest: longer than most leases stand."""


class Teller:
    """The events of one lease as its process counts them. `_known`: so many are known to be stored."""

    def __init__(self, process: Process, work: Work) -> None:
        self._process = process
        self._work = work
        self._random = process.world.random
        assert process.world.telling is not None
        self._trouble = process.world.telling.trouble
        self._told: list[Told] = []
        self._known = 0

    def start(self, duration: int) -> None:
        """Plan what is told within the duration of a run."""
        if self._random.random() < self._trouble.share:
            for _ in range(self._random.choice((1, 2, 4, 8))):
                self._process.later(self._random.randrange(duration), self._tell)

    def _tell(self) -> None:
        if self._work.ended or self._work.ref not in self._process.works:
            return
        random = self._random
        if not self._process.world.calm and random.random() < self._trouble.unruly:
            self._misbehave()
        first = len(self._told) + 1
        if random.random() < 0.15:
            # What is on its way goes along again.
            first = self._known + 1
        self._told += [self._event() for _ in range(random.randrange(1, 6))]
        self._say(first)

    def _misbehave(self) -> None:
        """Leave numbers out, or say again later what was said: by then the lease may be over."""
        random, first = self._random, len(self._told) + 1
        way = random.random()
        if way < 0.4:
            events = tuple(self._event() for _ in range(random.randrange(1, 6)))
            self._utter(first + random.randrange(1, 4), events)
        elif way < 0.8 and self._told:
            some = random.randrange(1, first)
            self._process.later(random.randrange(1, LATE), lambda: self._say(some))
        else:
            self._process.later(random.randrange(1, LATE), self._tell_late)

    def _tell_late(self) -> None:
        """Tell something new, whether the run has ended or not."""
        self._told.append(self._event())
        self._say(len(self._told))

    def heard(self, word: Word, ack: Ack) -> None:
        """Take in what became of a word; behind a gap everything is said anew that is not known to be stored."""
        if ack.result in (Result.ACCEPTED, Result.DUPLICATE):
            self._known = max(self._known, min(word.first + len(word.events) - 1, len(self._told)))
        elif ack.result is Result.REJECTED and not self._work.ended and self._known < len(self._told):
            self._say(self._known + 1)

    def _event(self) -> Told:
        process = self._process
        content = f"{process.name} tells {process.world.number()}"
        named = self._random.random() < 0.1
        event = TaskEvent(message={"content": content}, id=content if named else "")
        return Told(event.SerializeToString(deterministic=True), named=named)

    def _say(self, first: int) -> None:
        self._utter(first, tuple(self._told[first - 1 :]))

    def _utter(self, first: int, events: tuple[Told, ...]) -> None:
        self._process.utter(self._work.ref, WordKind.EVENTS, first=first, events=events)
