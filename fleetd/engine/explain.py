"""What the engine knows around a task, for those who ask why it is not running (spec D9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetd.core.agent import Agent
from fleetd.core.explain import AgentView, Explanation, Surroundings, explain
from fleetd.core.lanes import Lane
from fleetd.core.limits import closure
from fleetd.core.task import Spec, Status, Task

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

COUNTED = 10_000
"""Tasks counted ahead of one at most: beyond that the exact number tells nobody anything."""


async def explain_task(engine: Engine, task: Task, spec: Spec) -> Explanation:
    """Tell why a task is not running. Looks at every registered agent: for people, not for hot paths."""
    wanted = frozenset(spec.required_capabilities)
    able: list[AgentView] = []
    known: set[str] = set()
    last_heard = 0
    for agent_id, agent in engine.agents.items():
        has = closure(agent.spec.capabilities)
        known |= has
        if task.reserved_agent and agent_id != task.reserved_agent:
            continue
        if wanted <= has:
            able.append(_view(engine, agent))
            last_heard = max(last_heard, agent.last_heartbeat_at)
    group = engine.routes.groups.get(task.blocked) if task.status is Status.BLOCKED else None
    lane = engine.lane_book.lane(task.lane) if task.status is Status.PENDING else None
    around = Surroundings(
        now=engine.clock.wall(),
        serving=engine.state == "SERVING",
        gates=lane.gates if lane is not None else (),
        able=tuple(able),
        lacking=tuple(name for name in spec.required_capabilities if name not in known),
        agents=len(engine.agents),
        ahead=await engine.store.count_ahead(lane.id, task.place, COUNTED)
        if lane is not None and task.queued
        else 0,
        lane_count=lane.count if lane is not None else 0,
        better_lanes=_better(engine, lane) if lane is not None else 0,
        unable_since=last_heard,
        retry_at=group.retry_at if group is not None else 0,
    )
    return explain(task, around)


def _view(engine: Engine, agent: Agent) -> AgentView:
    session = engine.sessions.get(agent.spec.agent_id)
    seat = engine.slot_book.seat(agent.spec.agent_id)
    return AgentView(
        agent_id=agent.spec.agent_id,
        connected=session is not None and session.connected,
        draining=agent.draining,
        stopped=agent.stopped,
        error=agent.error_since > 0,
        held=len(session.held) if session is not None else 0,
        ceiling=seat.ceiling if seat is not None else 0,
    )


def _better(engine: Engine, lane: Lane) -> int:
    """Return how many other kinds of waiting tasks have a higher effective priority."""
    return sum(1 for other in engine.lane_book.lanes() if other.count and other.level > lane.level)
