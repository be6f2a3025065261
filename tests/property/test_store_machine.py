"""The stores against a small model: whatever is written, in whatever order, both know the same (spec T2, T5, T8, D3, D10, D12, R6, G6)."""

from __future__ import annotations

import copy
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fleetd.core.event import Event, EventFilter, EventType
from fleetd.core.ledger import Changes, Due, DueKind, Keys
from fleetd.core.route import Requirements, TaskRoute
from fleetd.core.task import LIVE, MOVES, TERMINAL, WAITING, Ending, Run, Spec, Status, Task, TaskFilter
from fleetd.core.task_event import TaskEvent
from fleetd.store.base import Heads, Intern, LaneRow, Load, Parts, Retention, Store, Trimmed, Write
from fleetd.store.sqlite import SqliteStore
from tests.contract.place import LANE, a_new, run, seqs

LANES = [LANE, LANE._replace(priority=4), LANE._replace(org_id="o")]
OVER = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
DEAD = {Status.DEAD_LETTER, Status.DISCARDED}
GROUPS = [-5, 6]
"""What BLOCKED tasks wait for."""


SEEDS = st.integers(0, 2**32)
"""What a batch holds in detail hangs on a number: hypothesis searches over the steps, and runs out of choices when it must make these, too."""


class Refused(Exception):
    """What a script raises to take everything back."""


def result_of(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("an inline store must not suspend")


@dataclass
class Model:
    """What a store must know, in plain dictionaries."""

    tasks: dict[int, Task] = field(default_factory=dict)
    specs: dict[int, Spec] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    told: list[TaskEvent] = field(default_factory=list)
    position: int = 0
    due: dict[tuple[int, int], int] = field(default_factory=dict)
    number: int = 0
    event_seq: int = 0

    def write(self, changes: Changes) -> None:
        for new in changes.new_tasks:
            self.tasks[new.task.seq], self.specs[new.task.seq] = new.task, new.spec
        self.tasks.update(changes.tasks)
        self.number = max([self.number, *(task.place for task in self.tasks.values()), *self.tasks])
        self.runs += changes.runs
        for seq, kinds in changes.due_done:
            self.due = {(s, k): at for (s, k), at in self.due.items() if s != seq or not k & kinds}
        self.due |= {(entry.task_seq, entry.kind): entry.at for entry in changes.due}
        for event in changes.events:
            self.event_seq += 1
            event.seq = self.event_seq
        self.events += changes.events
        for event in changes.task_events:
            self.position += 1
            event.position = self.position
            self.tasks[event.task_ref].task_event_seq = event.seq
        self.told += changes.task_events

    @property
    def sound(self) -> bool:
        """Tell whether keys and open references are unique (T3, T4)."""
        tasks = self.tasks.values()
        keys = Counter((task.org_id, task.idempotency_key) for task in tasks if task.idempotency_key)
        refs = Counter(
            (task.org_id, task.external_ref) for task in tasks if task.external_ref and not task.terminal
        )
        return not any(count > 1 for count in (*keys.values(), *refs.values()))

    def queue(self, lane: int) -> list[Task]:
        waiting = (task for task in self.tasks.values() if task.queued and task.lane == lane)
        return sorted(waiting, key=lambda task: task.place)

    def group(self, group: int) -> list[Task]:
        waiting = (
            task for task in self.tasks.values() if task.status is Status.BLOCKED and task.blocked == group
        )
        return sorted(waiting, key=lambda task: (task.place, task.seq))

    def newest(self, *statuses: Status) -> list[int]:
        return sorted((task.seq for task in self.tasks.values() if task.status in statuses), reverse=True)

    def trim(self, retention: Retention, limit: int) -> Trimmed:
        def old(statuses: Iterable[Status], before: int) -> list[Task]:
            found = [t for t in self.tasks.values() if t.status in statuses and t.finished_at < before]
            return sorted(found, key=lambda task: (task.finished_at, task.seq))

        spoken = 0
        while spoken < min(limit, len(self.told)) and self.told[spoken].time < retention.events_before:
            spoken += 1
        self.told = self.told[spoken:]
        over, dead = old(OVER, retention.tasks_before), old(DEAD, retention.dead_before)
        ended = {task.seq for task in (over + dead)[:limit]}
        # Their events go first, so many at a time; a task that has some left stays until then.
        last = sorted((e.task_ref, e.seq) for e in self.told if e.task_ref in ended)[:limit]
        self.told = [event for event in self.told if (event.task_ref, event.seq) not in last]
        gone = ended - {event.task_ref for event in self.told}
        self.tasks = {seq: task for seq, task in self.tasks.items() if seq not in gone}
        self.specs = {seq: spec for seq, spec in self.specs.items() if seq not in gone}
        self.runs = [one for one in self.runs if one.task_seq not in gone]
        self.due = {key: at for key, at in self.due.items() if key[0] not in gone}
        left = 0
        while left < min(limit, len(self.events)) and self.events[left].time < retention.events_before:
            left += 1
        self.events = self.events[left:]
        more = limit in (len(ended), left, spoken, len(last))
        return Trimmed(len(gone), left, more=more, task_events=spoken + len(last))


class StoreMachine(RuleBasedStateMachine):
    """One model, one store in memory, and one in a file that is closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "fleetd.db"
        self.stores: list[Store] = [SqliteStore(":memory:"), SqliteStore(self.path, inline=True)]
        self.model = Model()
        self.now = 10_000

    def teardown(self) -> None:
        for store in self.stores:
            result_of(store.close())
        self.folder.cleanup()

    def ask(self, question: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        """Return what both stores answer, which must be the same."""
        first, second = [result_of(question(store)) for store in self.stores]
        assert first == second
        return first

    @initialize()
    def begin(self) -> None:
        for store in self.stores:
            result_of(store.open())
        assert self.ask(lambda store: run(store, Intern(LANES))) == [[1, 2, 3]]

    # Three rules write: hypothesis leaves some rules out of a run, and one that writes nothing finds nothing.
    @rule(seed=SEEDS, many=st.integers(1, 5))
    def submit(self, seed: int, many: int) -> None:
        self.write(seed, many, 0)

    @precondition(lambda self: self.model.tasks)
    @rule(seed=SEEDS, few=st.integers(1, 5))
    def move(self, seed: int, few: int) -> None:
        self.write(seed, 0, few)

    @precondition(lambda self: self.model.tasks)
    @rule(seed=SEEDS, many=st.integers(0, 2), few=st.integers(0, 3), broken=st.booleans())
    def submit_and_move(self, seed: int, many: int, few: int, broken: bool) -> None:
        self.write(seed, many, few, broken=broken)

    def write(self, seed: int, many: int, few: int, *, broken: bool = False) -> None:
        """Write new tasks and moves of old ones as one batch; then the script looks at what it wrote, and commits or not."""
        chance = Random(seed)
        # Now and then the clock is set back.
        self.now += chance.randint(-30, 50)
        before = self.model
        changes = Changes()
        number = before.number
        for _ in range(many):
            number += 1
            self.add(chance, changes, number)
        for seq in chance.sample(sorted(before.tasks), min(few, len(before.tasks))):
            number = self.change(chance, changes, before.tasks[seq], number)
        self.say(chance, changes, before)
        after = copy.deepcopy(before)
        after.write(copy.deepcopy(changes))
        keys = self.some_keys(chance, after)
        lane, limit = chance.randint(1, 3), chance.randint(1, 4)
        place = chance.randint(0, 6)

        def script() -> Any:
            yield Write(copy.deepcopy(changes))
            loaded = yield Load(keys)
            assert sorted(loaded.tasks, key=lambda task: task.seq) == self.named(after, keys)
            assert loaded.next_task_seq == after.number + 1
            everything = yield Load(Keys(task_ids=tuple(task.id for task in after.tasks.values())))
            assert {task.seq: task for task in everything.tasks} == after.tasks
            behind = [task for task in after.queue(lane) if task.place > place]
            assert (yield Heads(lane, limit, place)) == behind[:limit]
            for every in (1, 2, 3):
                assert (yield Heads(every, 1_000)) == after.queue(every)
            parts = yield Parts(list(after.tasks))
            assert {seq: part.spec for seq, part in parts.items()} == after.specs
            if broken:
                raise Refused

        for store in self.stores:
            if not after.sound:
                with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
                    result_of(store.transact(script))
            elif broken:
                with pytest.raises(Refused):
                    result_of(store.transact(script))
            else:
                result_of(store.transact(script))
                self.model = after

    def add(self, chance: Random, changes: Changes, number: int) -> None:
        # Some come as if they had been here for long: ways through all statuses would be long to search.
        status = chance.choice([*[Status.PENDING] * 12, *Status])
        delayed = status is Status.PENDING and chance.randint(0, 3) == 0
        task = Task(
            seq=number,
            id=f"task-{number}",
            org_id=chance.choice(["default", "o"]),
            lane=chance.randint(1, 3),
            place=number,
            status=status,
            queued=status is Status.PENDING and not delayed,
            agent_id=chance.choice("ab"),
            finished_at=self.now if status in TERMINAL else 0,
            queued_at=self.now,
            idempotency_key=chance.choice([*[""] * 12, "k", "l"]),
            external_ref=chance.choice([*[""] * 8, "r"]),
            due=DueKind.START if delayed else 0,
        )
        self.block(chance, task)
        changes.new_tasks.append(a_new(task, Spec(task.id, tags=("t",) * (number % 3))))
        if delayed:
            changes.due.append(Due(self.now + number % 7, DueKind.START, number))
        self.tell(changes, task, EventType.TASK_CREATED)

    def change(self, chance: Random, changes: Changes, old: Task, number: int) -> int:
        """Move a task as the rules allow (T2), or change something else of it."""
        task = copy.copy(old)
        task.version += 1
        status = chance.choice([task.status, *sorted(MOVES[task.status])])
        if task.status in LIVE and status not in LIVE:
            changes.runs.append(
                Run(
                    task_seq=task.seq,
                    lease_epoch=task.lease_epoch,
                    agent_id=task.agent_id,
                    attempt=1,
                    ending=Ending.COMPLETED,
                    status=status,
                )
            )
        if status is Status.PENDING and task.status is Status.DEAD_LETTER:
            number += 1
            task.place, task.replays = number, task.replays + 1
        if status is Status.ASSIGNED and task.status is not status:
            task.lease_epoch, task.agent_id = task.lease_epoch + 1, chance.choice("ab")
        if status in TERMINAL and task.status is not status:
            task.finished_at = self.now
        task.status = status
        self.block(chance, task)
        task.queued = status is Status.PENDING and chance.random() < 0.5
        if task.due and (task.queued or task.terminal):
            changes.due_done.append((task.seq, task.due))
            task.due = 0
        if status is Status.PENDING and not task.queued and not task.due:
            task.due = DueKind.START
            changes.due.append(Due(self.now + 5, DueKind.START, task.seq))
        changes.tasks[task.seq] = task
        self.tell(changes, task, EventType.TASK_UPDATED)
        return number

    def block(self, chance: Random, task: Task) -> None:
        """Let a BLOCKED task wait for something, and any other for nothing."""
        task.blocked = chance.choice(GROUPS) if task.status is Status.BLOCKED else 0
        if task.blocked:
            task.route = TaskRoute(Requirements(model=f"model {task.blocked}"), version=task.version)

    def tell(self, changes: Changes, task: Task, kind: EventType) -> None:
        changes.events.append(
            Event(kind, self.now, task.seq, task.id, agent_id=task.agent_id, payload={"v": task.version})
        )

    def say(self, chance: Random, changes: Changes, before: Model) -> None:
        """Let some tasks tell something: new ones, changed ones, and such as change in nothing else (G6)."""
        present = before.tasks | {new.task.seq: new.task for new in changes.new_tasks} | changes.tasks
        rows = {seq: copy.copy(task) for seq, task in present.items()}
        for _ in range(chance.choice([0, 0, 1, 3, 40])):
            task = rows[chance.choice(sorted(rows))]
            task.task_event_seq += 1
            changes.task_events.append(
                TaskEvent(
                    task.seq, task.id, task.task_event_seq, task.lease_epoch, self.now, b"e" * (task.seq % 3)
                )
            )
        for known in (changes.tasks, {new.task.seq: new.task for new in changes.new_tasks}):
            for seq, task in known.items():
                task.task_event_seq = rows[seq].task_event_seq

    def some_keys(self, chance: Random, after: Model) -> Keys:
        some = chance.choices([*sorted(after.tasks), 999], k=chance.randint(0, 4))
        return Keys(
            task_ids=tuple(f"task-{seq}" for seq in some[:2]),
            task_seqs=tuple(some[1:]),
            held_by=("a",) if chance.random() < 0.5 else (),
            external_refs=(("o", "r"),) if chance.random() < 0.5 else (),
            idempotency=(("default", "k"),) if chance.random() < 0.5 else (),
            blocked=tuple((group, chance.randint(1, 3)) for group in GROUPS if chance.random() < 0.5),
        )

    def named(self, model: Model, keys: Keys) -> list[Task]:
        blocked = {task.seq for group, limit in keys.blocked for task in model.group(group)[:limit]}
        return [
            task
            for _, task in sorted(model.tasks.items())
            if task.id in keys.task_ids
            or task.seq in keys.task_seqs
            or (task.live and task.agent_id in keys.held_by)
            or (not task.terminal and (task.org_id, task.external_ref) in keys.external_refs)
            or (task.org_id, task.idempotency_key) in keys.idempotency
            or task.seq in blocked
        ]

    @rule(
        tasks=st.integers(0, 200),
        dead=st.integers(0, 200),
        events=st.integers(0, 200),
        limit=st.integers(1, 30),
    )
    def trim(self, tasks: int, dead: int, events: int, limit: int) -> None:
        retention = Retention(self.now - tasks, self.now - dead, self.now - events)
        assert self.ask(lambda store: store.trim(retention, limit)) == self.model.trim(retention, limit)

    @rule(seed=SEEDS, limit=st.integers(1, 5))
    def listen(self, seed: int, limit: int) -> None:
        """Pages of what one task told, and of all."""
        chance, model = Random(seed), self.model
        seq, first = chance.choice([*sorted(model.tasks), 999]), chance.randint(0, 5)
        page = self.ask(lambda store: store.list_task_events(f"task-{seq}", first, limit, 1 << 20))
        mine = sorted((e for e in model.told if e.task_ref == seq), key=lambda event: event.seq)
        if seq not in model.tasks:
            assert page is None
            assert not mine
        else:
            count = model.tasks[seq].task_event_seq
            wanted = [event for event in mine if event.seq >= first]
            assert (page.events, page.end) == (wanted[:limit], len(wanted) <= limit)
            assert (page.last, page.oldest) == (count, mine[0].seq if mine else count + 1)
            assert [event.seq for event in mine] == list(range(page.oldest, count + 1))
        place = chance.randint(0, model.position + 1)
        everything = self.ask(lambda store: store.list_task_events("", place, limit, 1 << 20))
        wanted = [event for event in model.told if event.position >= place]
        assert (everything.events, everything.end) == (wanted[:limit], len(wanted) <= limit)
        oldest = model.told[0].position if model.told else model.position + 1
        assert (everything.oldest, everything.last) == (oldest, model.position)

    @rule()
    def reopen(self) -> None:
        result_of(self.stores[1].close())
        self.stores[1] = SqliteStore(self.path, inline=True)
        result_of(self.stores[1].open())

    @rule(seed=SEEDS, limit=st.integers(1, 5))
    def read(self, seed: int, limit: int) -> None:
        """Lists, pages and counts."""
        chance = Random(seed)
        model = self.model
        status = chance.choice(list(Status))
        wanted = TaskFilter(statuses=frozenset({status}))
        page = self.ask(lambda store: store.list_tasks(wanted, 0, limit, 1_000))
        assert seqs(page.rows) == model.newest(status)[:limit]
        lane, place = chance.randint(1, 3), chance.randint(0, model.number + 2)
        ahead = sum(task.place < place for task in model.queue(lane))
        assert self.ask(lambda store: store.count_ahead(lane, place, limit)) == min(limit, ahead)
        dead = len(model.newest(Status.DEAD_LETTER))
        assert self.ask(lambda store: store.count_dead_letters(limit)) == min(limit, dead)
        for task in list(model.tasks.values())[:limit]:
            runs = [one for one in model.runs if one.task_seq == task.seq]
            assert self.ask(lambda store, task=task: store.get_runs(task.id)) == runs
            found = self.ask(
                lambda store, task=task: store.list_events(EventFilter(task_id=task.id), 0, 1_000, 1_000)
            )
            assert found.events == [event for event in model.events if event.task_ref == task.seq]

    @invariant()
    def both_know_what_the_model_knows(self) -> None:
        model = self.model
        for store in self.stores:
            snapshot = result_of(store.snapshot(0))
            assert snapshot.last_event_seq == model.event_seq
            assert snapshot.lanes == [lane_row(model, n, key) for n, key in enumerate(LANES, 1)]
            waiting = [t for t in model.tasks.values() if t.status in WAITING and not t.queued]
            assert snapshot.delayed == Counter(task.org_id for task in waiting)
            groups = {task.blocked: task.route.requirements for task in waiting if task.blocked}
            assert {key: route.requirements for key, route in snapshot.blocked.items()} == groups
            assert snapshot.live == [task for _, task in sorted(model.tasks.items()) if task.live]
            page = result_of(store.list_tasks(TaskFilter(), 0, 1_000, 1_000))
            assert [row.task for row in page.rows] == [model.tasks[seq] for seq in model.newest(*Status)]
            assert [row.spec for row in page.rows] == [model.specs[seq] for seq in model.newest(*Status)]
            assert result_of(store.list_events(EventFilter(), 0, 1_000, 1_000)).events == model.events
            oldest = model.events[0].seq if model.events else model.event_seq + 1
            assert result_of(store.oldest_event()) == oldest
            entries = sorted(Due(at, kind, seq) for (seq, kind), at in model.due.items())
            assert result_of(store.due(1_000)) == entries


def lane_row(model: Model, lane: int, key: Any) -> LaneRow:
    queue = model.queue(lane)
    head = queue[0] if queue else Task(seq=0, id="")
    return LaneRow(lane, key, len(queue), head.place, head.queued_at)


# About ten seconds on two busy cores.
StoreMachine.TestCase.settings = settings(
    max_examples=20, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStores = StoreMachine.TestCase
