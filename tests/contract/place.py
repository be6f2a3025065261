"""Places where a store can live, and short words for what tests write there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetd.core.event import Event, EventType
from fleetd.core.lanes import LaneKey
from fleetd.core.ledger import Changes, Keys, Minute, NewTask
from fleetd.core.route import Requirements, RoutePlan
from fleetd.core.task import Payload, Spec, Status, Task
from fleetd.store.base import (
    Heads,
    Intern,
    Load,
    Loaded,
    Mark,
    Operation,
    Parts,
    Script,
    Store,
    TaskParts,
    Write,
)

NOW = 1_700_000_000_000
LANE = LaneKey("default", ("code",), 3, 2, "")


@dataclass
class Place:
    """Makes stores, and knows those it opened."""

    make: Callable[[], Store]
    made: list[Store] = field(default_factory=list)

    async def open(self) -> Store:
        store = self.make()
        self.made.append(store)
        await store.open()
        return store

    async def close(self) -> None:
        for store in self.made:
            await store.close()


def a_task(seq: int, **fields: Any) -> Task:
    since = NOW + seq
    values = {"id": f"task-{seq}", "place": seq, "created_at": since, "queued_at": since}
    return Task(seq=seq, **{**values, **fields})


def a_new(task: Task, spec: Spec | None = None, data: bytes | None = None) -> NewTask:
    payload = None if data is None else Payload(data, "text/plain")
    return NewTask(task, spec or Spec(f"title of {task.id}"), payload)


def an_event(kind: EventType = EventType.TASK_CREATED, ref: int = 0, **fields: Any) -> Event:
    return Event(kind, **{"time": NOW, "task_ref": ref, "task_id": f"task-{ref}" if ref else "", **fields})


def a_plan(task_id: str, version: int, **fields: Any) -> RoutePlan:
    values = {
        "plan_id": f"plan-{version}",
        "selected": "a:b",
        "fallback": (),
        "scores": {},
        "reasons": (),
        "requirements": Requirements(),
        "registry_version": 0,
        "seed": "",
        "made_at": NOW + version,
    }
    return RoutePlan(task_id=task_id, version=version, **{**values, **fields})


async def run(store: Store, *operations: Operation) -> list[Any]:
    """Carry out operations in one transaction; return their results."""

    def script() -> Script[list[Any]]:
        results: list[Any] = []
        for operation in operations:
            result = yield operation
            results.append(result)
        return results

    return await store.transact(script)


async def write(store: Store, **changes: Any) -> None:
    await run(store, Write(Changes(**changes)))


async def add(store: Store, *tasks: Task, spec: Spec | None = None) -> None:
    await write(store, new_tasks=[a_new(task, spec) for task in tasks])


async def change(store: Store, *tasks: Task) -> None:
    await write(store, tasks={task.seq: task for task in tasks})


async def load(store: Store, **keys: Any) -> Loaded:
    return (await run(store, Load(Keys(**keys))))[0]


async def task(store: Store, task_id: str) -> Task:
    return (await store.get_tasks([task_id]))[task_id].task


async def heads(store: Store, lane: int, limit: int = 100, after: int = 0) -> list[Task]:
    return (await run(store, Heads(lane, limit, after)))[0]


async def parts(store: Store, *seqs: int) -> dict[int, TaskParts]:
    return (await run(store, Parts(seqs)))[0]


async def lane_ids(store: Store, *keys: LaneKey) -> list[int]:
    return (await run(store, Intern(keys)))[0]


async def mark(
    store: Store, batch: int, minute: int = 1, figures: Minute | None = None, **counts: int
) -> None:
    await run(
        store, Mark(batch, minute, figures or Minute(), {Status[name]: n for name, n in counts.items()})
    )


async def all_events(store: Store, wanted: Any) -> list[Event]:
    return (await store.list_events(wanted, 0, 1_000, 1_000)).events


def seqs(found: Sequence[Any]) -> list[int]:
    """Return the seqs of tasks, rows of tasks or events, in their order."""
    return [getattr(one, "task", one).seq for one in found]
