"""What one transaction wrote, as it was when it was written: the engine goes on changing the rows it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core.agent import Agent
from fleetd.core.event import Event
from fleetd.core.ledger import Changes, NewTask
from fleetd.core.limits import GateKey, GateRule
from fleetd.core.task import Run, Spec, Task


class Row(NamedTuple):
    """The columns of a task that the checker compares."""

    id: str
    status: int
    lease_epoch: int
    agent_id: str
    session_epoch: int
    accepted: bool
    attempt: int
    losses: int
    replays: int
    events: int
    queued: bool


def row_of(task: Task) -> Row:
    return Row(
        task.id,
        int(task.status),
        task.lease_epoch,
        task.agent_id,
        task.session_epoch,
        task.accepted,
        task.attempt,
        task.losses,
        task.replays,
        task.events,
        task.queued,
    )


@dataclass(slots=True)
class Written:
    """One write."""

    new: list[NewTask]
    rows: list[Row]
    events: list[Event]
    runs: list[Run]
    agents: list[Agent]
    removed: list[str]
    rules: dict[GateKey, GateRule]
    specs: dict[int, Spec]


@dataclass(slots=True)
class Record:
    """All writes of one transaction, in order."""

    writes: list[Written] = field(default_factory=list)

    def note(self, changes: Changes) -> None:
        rows = [row_of(task) for task in changes.tasks.values()]
        known = {row.id for row in rows}
        rows += [row_of(new.task) for new in changes.new_tasks if new.task.id not in known]
        self.writes.append(
            Written(
                list(changes.new_tasks),
                rows,
                list(changes.events),
                list(changes.runs),
                [agent.copy() for agent in changes.agents.values()],
                list(changes.agents_removed),
                dict(changes.rules),
                dict(changes.specs),
            )
        )
