"""Memory as it must be after a start: rebuilt from the store, with mercy for what was in flight (design rule 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetd.core.routebook import Group
from fleetd.core.task import Task
from fleetd.engine.figures import HOUR, MINUTE
from fleetd.store.base import Snapshot

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine


async def recover(engine: Engine) -> None:
    """
    Build the engine's memory from its store.

    Every session that stood before gets one full fresh TTL, and no timer of a lease fires before that has passed.
    """
    wall = engine.clock.wall()
    snapshot = await engine.store.snapshot(wall // MINUTE - HOUR)
    engine.daemon_id, engine.generation = snapshot.daemon_id, snapshot.generation
    engine.batch = snapshot.last_batch
    engine.last_event_seq = snapshot.last_event_seq
    engine.task_feed.last = snapshot.last_task_event
    engine.figures.load(snapshot.counts, snapshot.totals, snapshot.minutes)
    engine.lane_book.begin(wall)
    for row in snapshot.lanes:
        engine.lane_book.learn(row.id, row.key, row.count, row.head_seq, row.head_at)
    gates = engine.gates
    for key, rule in snapshot.rules.items():
        gates.set_rule(key, rule)
    for task in snapshot.live:
        gates.enter(engine.lane_book.lane(task.lane).gates)
    for org_id, count in snapshot.delayed.items():
        gates.wait(org_id, count)
    for lane in engine.lane_book.lanes():
        gates.wait(lane.key.org_id, lane.count)
    gates.commit()
    engine.lane_book.commit()
    _recover_routes(engine, snapshot)
    engine.hosts.load({row.host.id: row for row in snapshot.hosts})
    engine.mode_cycle.begin()
    engine.rollout_book.load(
        snapshot.rollouts, snapshot.rollout_states, snapshot.rollout_salts, snapshot.shadows
    )
    engine.rollouts.begin()
    held: dict[str, list[Task]] = {}
    for task in snapshot.live:
        held.setdefault(task.agent_id, []).append(task)
    for agent in snapshot.agents:
        engine.agents[agent.spec.agent_id] = agent
    for agent in snapshot.agents:
        if agent.session_open:
            tasks = held.pop(agent.spec.agent_id, [])
            engine.sessions.restore(agent, [t for t in tasks if t.session_epoch == agent.session_epoch])
        engine.sessions.changed(agent.spec.agent_id)
    now = engine.clock.now()
    for task in snapshot.live:
        session = engine.sessions.get(task.agent_id)
        grace = session.lease_ttl if session is not None else engine.rules.heartbeat_min
        engine.sweeper.restore_lease(task, now, wall, grace)
    interval = engine.rules.heartbeat(len(engine.sessions.by_agent))
    await engine.sweeper.refill(deadline_grace=interval * engine.rules.missed_heartbeats)


def _recover_routes(engine: Engine, snapshot: Snapshot) -> None:
    """Build the book of routes; leases go on where they are, and probes of half-open breakers are free again."""
    book = engine.routes
    put = {each.instance.id: (each.instance, each.condition) for each in snapshot.instances}
    book.load(snapshot.breakers, put)
    for task in snapshot.live:
        if task.route is not None and task.route.instance:
            for outlook in (book.inside, book.outside):
                outlook.load.add(task.route.instance)
    for key, route in snapshot.blocked.items():
        book.groups[key] = Group(route.requirements, route.above)
    engine.instance_notes.begin()
    engine.route_timers.begin()
