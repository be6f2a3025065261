"""What the engine knows around a task, for those who ask why it is not running (spec D9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetd.core.agent import Agent
from fleetd.core.explain import AgentView, Explanation, HostPlace, Surroundings, explain
from fleetd.core.host import HostState
from fleetd.core.hostbook import HostRow, host_of
from fleetd.core.lanes import Lane
from fleetd.core.limits import closure
from fleetd.core.modes import serves
from fleetd.core.task import Mode, ModeSource, Spec, Status, Task

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

COUNTED = 10_000
"""Tasks counted ahead of one at most: beyond that the exact number tells nobody anything."""


async def explain_task(engine: Engine, task: Task, spec: Spec) -> Explanation:
    """Tell why a task is not running. Looks at every registered agent and host that may run it: for people, not for hot paths."""
    lane = engine.lane_book.lane(task.lane) if task.status is Status.PENDING else None
    # One that was forced on somebody asks for less than it says.
    wanted = frozenset(spec.required_capabilities if lane is None else lane.key.capabilities)
    mode = task.mode if task.mode_source is ModeSource.EXPLICIT else Mode.UNDECIDED
    able: list[AgentView] = []
    places: list[HostPlace] = []
    known: set[str] = set()
    last_heard = agents = 0
    for agent_id, agent in engine.agents.items():
        if host_of(agent_id):
            continue
        agents += 1
        if not serves(mode, host=False):
            continue
        has = closure(agent.spec.capabilities)
        known |= has
        if task.reserved_agent and agent_id != task.reserved_agent:
            continue
        if wanted <= has:
            able.append(_view(engine, agent))
            last_heard = max(last_heard, agent.last_heartbeat_at)
    for name, row, kind in engine.hosts.seats() if serves(mode, host=True) else ():
        has = closure(kind.capabilities)
        known |= has
        if wanted <= has and task.reserved_agent in ("", name):
            places.append(_place(engine, name, row))
    group = engine.routes.groups.get(task.blocked) if task.status is Status.BLOCKED else None
    around = Surroundings(
        now=engine.clock.wall(),
        serving=engine.state == "SERVING",
        gates=lane.gates if lane is not None else (),
        able=tuple(able),
        lacking=tuple(name for name in spec.required_capabilities if name not in known),
        agents=agents,
        ahead=await engine.store.count_ahead(lane.id, task.place, COUNTED)
        if lane is not None and task.queued
        else 0,
        lane_count=lane.count if lane is not None else 0,
        better_lanes=_better(engine, lane) if lane is not None else 0,
        unable_since=last_heard,
        retry_at=group.retry_at if group is not None else 0,
        places=tuple(places),
        hosts=len(engine.hosts.present),
        undecided_for=engine.rules.undecided_for,
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


def _place(engine: Engine, name: str, row: HostRow) -> HostPlace:
    session, seat, agent = engine.sessions.get(name), engine.slot_book.seat(name), engine.agents.get(name)
    online = row.host.enabled and row.status.state is HostState.ONLINE
    return HostPlace(
        host_id=row.host.id,
        state=row.status.state.name if row.host.enabled else "DISABLED",
        why=row.status.reason or (agent.status_reason if agent is not None else ""),
        working=online and seat is not None and seat.ceiling > 0,
        held=len(session.held) if session is not None else 0,
        slots=seat.ceiling if seat is not None else 0,
    )


def _better(engine: Engine, lane: Lane) -> int:
    """Return how many other kinds of waiting tasks have a higher effective priority."""
    return sum(1 for other in engine.lane_book.lanes() if other.count and other.level > lane.level)
