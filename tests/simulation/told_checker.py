"""
What must hold of what runs tell, after every transaction (G6).

Which events are to be stored follows from the words and from nothing else: those of a lease that stands, from the number on that comes next in it, each once and in
the order in which the words were heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fleet.v1.task_event_pb2 import TaskEvent as Sent
from fleetd.core.task_event import TaskEvent
from fleetd.core.words import Ack, Result, Word
from fleetd.store.base import Retention
from tests.simulation.model import Lease, TaskModel

if TYPE_CHECKING:
    from tests.simulation.checker import Checker
    from tests.simulation.record import Record
    from tests.simulation.world import World

PAGE = 50
MOST = 1 << 20
FOR_EVER = 1 << 60


class Fact(NamedTuple):
    """One event as it must be stored; `time` is when it was taken."""

    position: int
    task_id: str
    seq: int
    lease_epoch: int
    time: int
    body: bytes


def fact_of(event: TaskEvent) -> Fact:
    return Fact(event.position, event.task_id, event.seq, event.lease_epoch, event.time, event.body)


class ToldChecker:
    """Every event that was ever told, and what has left since."""

    def __init__(self, world: World, checker: Checker) -> None:
        self._world = world
        self._violated = checker.violated
        self._tasks = checker.tasks
        # By position, and by task and seq, both from 1.
        self._facts: list[Fact] = []
        self._by_task: dict[str, list[Fact]] = {}
        # What has left goes from the old end: so many of all, so many of each task.
        self._gone = 0
        self._gone_of: dict[str, int] = {}
        # How many events were told under a lease.
        self._of_lease: dict[tuple[str, int], int] = {}
        # Of the transaction that is judged: what must have been written, and the leases that words have ended.
        self._due: list[tuple[str, int, bytes]] = []
        self._ended: dict[tuple[str, int], None] = {}

    # what watchers may expect

    def newest(self, task_id: str) -> int:
        """Return the seq of the newest event of a task, or the position of the newest one of all ("")."""
        return len(self._by_task.get(task_id, ())) if task_id else len(self._facts)

    def oldest(self, task_id: str) -> int:
        """Return the seq, or the position, of the oldest event kept."""
        return 1 + (self._gone_of.get(task_id, 0) if task_id else self._gone)

    def differs(self, sent: Sent) -> str:
        """Return how an event differs from what was told, "" when it does not."""
        facts = self._facts
        if not 0 < sent.position <= len(facts):
            return f"position {sent.position} of {len(facts)}"
        fact = facts[sent.position - 1]
        told = Sent.FromString(fact.body)
        name = told.id or f"{fact.task_id}-{fact.seq}"
        expected = (fact.task_id, fact.seq, fact.lease_epoch, name, told.message.content)
        seen = (sent.task_id, sent.seq, sent.lease_epoch, sent.id, sent.message.content)
        return "" if seen == expected else f"{seen} at position {sent.position}, told was {expected}"

    # transactions

    def ended(self, ack: Ack) -> None:
        """A word ended its lease: what comes behind it in the same transaction does not count."""
        self._ended[ack.task_id, ack.lease_epoch] = None

    def heard(self, ack: Ack, word: Word, agent_id: str, task: TaskModel | None, stood: Stood) -> None:
        """Judge the answer to a word with events."""
        key = word.task_id, word.lease_epoch
        count = self._of_lease.get(key, 0)
        last = word.first + len(word.events) - 1
        what = f"{agent_id} tells {word.first} to {last} of lease {word.lease_epoch} of {word.task_id}, {count} of it were told"
        named = Lease(word.lease_epoch, agent_id)
        if ack.result is Result.ACCEPTED:
            if key in self._ended:
                self._violated(f"{what}: ACCEPTED, and the lease was over")
            if not word.first <= count + 1 <= last:
                self._violated(f"{what}: ACCEPTED")
            fresh = word.events[max(0, count + 1 - word.first) :]
            self._due += [(*key, told.body) for told in fresh]
            self._of_lease[key] = max(count, last)
        elif ack.result is Result.DUPLICATE:
            if last > count:
                self._violated(f"{what}: DUPLICATE")
            if stood.highest > word.lease_epoch:
                self._violated(f"{what}: DUPLICATE, and lease {stood.highest} was given")
        elif ack.result is Result.REJECTED:
            if ack.reason != "EVENTS_MISSING" or f"must be {count + 1}," not in ack.message:
                self._violated(f"{what}: REJECTED, {ack.reason}, {ack.message}")
            if word.first <= count + 1 or stood.lease != named or key in self._ended:
                self._violated(f"{what}: REJECTED, the lease was {stood.lease}")
        elif last <= count and task is not None and task.highest == word.lease_epoch:
            run = task.runs.get(word.lease_epoch)
            if run is not None and run.agent_id == agent_id:
                self._violated(f"{what}: LEASE_LOST, and no other lease was given")

    def settle(self, record: Record) -> None:
        """Compare what was written with what was said."""
        due, self._due = self._due, []
        self._ended.clear()
        written = [fact_of(event) for each in record.writes for event in each.told]
        if [(fact.task_id, fact.lease_epoch, fact.body) for fact in written] != due:
            self._violated(f"{written} were written, told were {due}")
        for fact in written:
            of_task = self._by_task.setdefault(fact.task_id, [])
            if (fact.position, fact.seq) != (len(self._facts) + 1, len(of_task) + 1):
                self._violated(f"{fact} follows position {len(self._facts)} and seq {len(of_task)}")
            self._world.history.note(
                "told", f"{fact.position} {fact.task_id} {fact.seq} by {fact.lease_epoch}"
            )
            self._facts.append(fact)
            of_task.append(fact)
        for each in record.writes:
            for task_id, count in each.told_counts.items():
                if count != self.newest(task_id):
                    self._violated(
                        f"the row of {task_id} counts {count} task events, told were {self.newest(task_id)}"
                    )

    def acknowledged(self, word: Word) -> None:
        """An agent came to know that all of a word is stored."""
        last = word.first + len(word.events) - 1
        if last > self._of_lease.get((word.task_id, word.lease_epoch), 0):
            self._violated(
                f"{word.first} to {last} of lease {word.lease_epoch} of {word.task_id} were acknowledged and are not stored"
            )

    # retention

    def left(self, before: int, count: int) -> None:
        """Everything older than a time (epoch ms) left from the old end, so many in all."""
        began = self._gone
        while self._gone < len(self._facts) and (fact := self._facts[self._gone]).time < before:
            self._gone += 1
            self._gone_of[fact.task_id] = self._gone_of.get(fact.task_id, 0) + 1
        if count != self._gone - began:
            self._violated(f"{count} task events left, {self._gone - began} were old enough")
        if count:
            self._world.history.note("told", f"{count} leave")

    # the store

    async def compare(self) -> None:
        """Everything told is there, in its order, and nothing else."""
        kept = await self._pages("")
        if kept != self._facts[self._gone :]:
            self._violated(f"the task events {kept} are stored, told were {self._facts[self._gone :]}")

    async def compare_tasks(self) -> None:
        """The same of each task, and what its row counts."""
        rows = await self._world.store.get_tasks(list(self._tasks))
        for task_id, row in rows.items():
            if row.task.task_event_seq != self.newest(task_id):
                self._violated(
                    f"{task_id} is stored with {row.task.task_event_seq} task events, told were {self.newest(task_id)}"
                )
            facts = self._by_task.get(task_id, [])[self._gone_of.get(task_id, 0) :]
            if await self._pages(task_id) != facts:
                self._violated(f"the task events of {task_id} are not {facts}")

    async def _pages(self, task_id: str) -> list[Fact]:
        facts: list[Fact] = []
        first = self.oldest(task_id)
        while True:
            page = await self._world.store.list_task_events(task_id, first, PAGE, MOST)
            if (page.oldest, page.last) != (self.oldest(task_id), self.newest(task_id)):
                self._violated(
                    f"task events of {task_id or 'all'} are {page.oldest} to {page.last},"
                    f" not {self.oldest(task_id)} to {self.newest(task_id)}"
                )
            facts += map(fact_of, page.events)
            if page.end or not page.events:
                return facts
            newest = facts[-1]
            first = 1 + (newest.seq if task_id else newest.position)

    async def leave(self) -> None:
        """Let every task leave at the very end: its events go along, and positions are not given again."""
        store = self._world.store
        while (await store.trim(Retention(FOR_EVER, FOR_EVER), PAGE)).more:
            pass
        page = await store.list_task_events("", 0, PAGE, MOST)
        if (page.events, page.oldest, page.last) != ([], len(self._facts) + 1, len(self._facts)):
            self._violated(f"every task has left, and its events are {page}, told were {len(self._facts)}")
        last = (await store.snapshot(0)).last_task_event
        if last != len(self._facts):
            self._violated(f"position {last} is the last one, {len(self._facts)} were given")


class Stood(NamedTuple):
    """Where the leases of a task stood before a transaction: the one that stands, and the newest one ever given."""

    lease: Lease | None
    highest: int
