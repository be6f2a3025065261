"""
The events of one lease on their way to the daemon: numbered from 1, gathered into words, mended when a word is refused (G6).

A word that was sent never changes, so that it can be said again as it was. One that is refused stored nothing; what followed it is refused,
too, as a gap. It is halved until the bad event stands alone and is left out, and the rest is numbered anew and told again.
"""

from __future__ import annotations

from fleetd_client.stubs import EventsWord, Report, TaskEvent

# The daemon's limits of one word, the second with room for the envelope.
WORD_EVENTS = 1_000
WORD_BYTES = 1024 * 1024 - 16 * 1024
# Why a word is refused that does not follow the last one stored.
MISSING = "EVENTS_MISSING"


class Telling:
    """One lease's; `last` is its last word, which waits until all its events are stored."""

    __slots__ = ("_bytes", "_next", "_open", "last", "words")

    def __init__(self) -> None:
        self.last: Report | None = None
        self.words: dict[int, Report] = {}  # unacknowledged, in order
        self._next = 1  # the number of the next event
        self._open: Report | None = None  # not sent yet, and the newest word of its lease: it may grow
        self._bytes = 0

    def gather(self, report: Report) -> bool:
        """Number the events of a report. True when they travel in an older word; else the report is a word of its own, to be queued."""
        events = report.events.events
        count, size = len(events), report.events.ByteSize()
        first, self._next = self._next, self._next + count
        older = self._open
        if older is not None:
            room = len(older.events.events) + count <= WORD_EVENTS and self._bytes + size <= WORD_BYTES
            if room:
                older.events.events.extend(events)
                self._bytes += size
                return True
        report.events.first = first
        self._bytes = size
        return False

    def queued(self, report: Report, *, grows: bool) -> None:
        """A word has its report_id; with `grows` it takes in what comes until it is sent or another word of the lease follows."""
        self.words[report.report_id] = report
        self._open = report if grows else None

    def close(self) -> None:
        """The newest word is sent, or another one follows: it must not grow any more."""
        self._open = None

    def mend(self, refused: Report, reason: str) -> tuple[list[Report], list[TaskEvent]]:
        """What is to be told instead of a refused word and those after it, numbered anew; and the events that are left out."""
        later = list(self.words.values())
        self.words.clear()
        self.close()
        events = list(refused.events.events)
        if reason == MISSING:
            # The daemon lacks what it once had: nothing can follow any more.
            return [], events + [event for word in later for event in word.events.events]
        self._next = refused.events.first
        middle = len(events) // 2
        halves = [events[:middle], events[middle:]] if middle else []
        parts = [*halves, *(list(word.events.events) for word in later)]
        return [self._word(refused, part) for part in parts], [] if halves else events

    def _word(self, like: Report, events: list[TaskEvent]) -> Report:
        first, self._next = self._next, self._next + len(events)
        word = EventsWord(first=first, events=events)
        return Report(task_id=like.task_id, lease_epoch=like.lease_epoch, events=word)
