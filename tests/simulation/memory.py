"""Whether the engine's memory is what its store says: a second engine is made from the store and the two are compared."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from fleetd.core.limits import FREE
from fleetd.core.task import Status
from fleetd.engine.engine import Engine
from fleetd.engine.figures import MINUTE
from tests.simulation import route_memory
from tests.simulation.daemon import Incidents
from tests.simulation.rollouts import NAMES

if TYPE_CHECKING:
    from tests.simulation.world import World


async def compare(world: World, engine: Engine) -> None:
    """Note a violation for every part of memory that differs; only between transactions of an idle engine."""
    fresh = Engine(world.store.real, world.clock, world.rules, Incidents(world), random=Random(0))
    try:
        await fresh.recover()
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the store does not stand for a fleet
        world.checker.violated(f"no engine can be built from the store: {error!r}", error)
        return
    for name, mine, stored in _parts(world, engine, fresh):
        if mine != stored:
            world.checker.violated(f"memory differs from the store in {name}: {_difference(mine, stored)}")
    due = {(entry.task_seq, entry.kind): entry.at for entry in await world.store.real.due(1_000)}
    # An entry that was cleared stays in the window and is dropped when it fires; one that is missing would never fire.
    window = engine.sweeper.due._at
    horizon = engine.sweeper.due._horizon
    missing = {key: at for key, at in due.items() if at < horizon and window.get(key) != at}
    if missing and not engine.sweeper.due.dry:
        world.checker.violated(f"the window on later things lacks {missing}")
    _heads(world, engine, fresh)
    for difference in route_memory.compare(engine, fresh):
        world.checker.violated(difference)


def _parts(world: World, engine: Engine, fresh: Engine) -> list[tuple[str, Any, Any]]:
    minute = world.clock.wall() // MINUTE
    return [
        ("the counts of lanes", _lanes(engine), _lanes(fresh)),
        ("the gates", _gates(engine), _gates(fresh)),
        ("the counts by status", _counts(engine), _counts(fresh)),
        ("the totals", engine.figures.totals, fresh.figures.totals),
        ("the last hour", engine.figures.last_hour(minute), fresh.figures.last_hour(minute)),
        ("the agents", engine.agents, fresh.agents),
        ("the leases", _held(engine), _held(fresh)),
        ("the seats", _seats(engine), {s.agent_id: len(s.held) for s in engine.sessions.all()}),
        ("the free slots", engine.slot_book.free, sum(s.free for s in engine.slot_book._seats.values())),
        ("the batch number", engine.batch, fresh.batch),
        ("the last event", engine.last_event_seq, fresh.last_event_seq),
        ("the last task event", engine.task_feed.last, fresh.task_feed.last),
        (
            "the definitions of rollouts",
            engine.rollout_book.present.defined,
            fresh.rollout_book.present.defined,
        ),
        ("the fallbacks", engine.rollout_book.present.states, fresh.rollout_book.present.states),
        ("the salts", engine.rollout_book.present.salts, fresh.rollout_book.present.salts),
        ("the epochs", _epochs(engine), _epochs(fresh)),
        ("the places of shadows", _places(engine), _places(fresh, engine)),
    ]


def _epochs(engine: Engine) -> dict[str, int]:
    return {name: engine.rollout_book.present.epoch(name) for name in NAMES}


def _places(engine: Engine, beside: Engine | None = None) -> dict[str, int]:
    """Return how many places are taken; what is no task's holds some of them `beside` the store."""
    pairs = beside.rollouts.pairs._pairs.values() if beside is not None else ()
    held = Counter(pair.decision.rollout for pair in pairs if pair.holds)
    return {name: engine.rollout_book.places.taken(name) + held[name] for name in NAMES}


def _lanes(engine: Engine) -> dict[Any, int]:
    return {lane.key: lane.count for lane in engine.lane_book.lanes() if lane.count}


def _heads(world: World, engine: Engine, fresh: Engine) -> None:
    """The head in memory is a hint: never behind the true one."""
    heads = {lane.key: lane.head_seq for lane in fresh.lane_book.lanes() if lane.count}
    for lane in engine.lane_book.lanes():
        if lane.key in heads and lane.head_seq > heads[lane.key]:
            world.checker.violated(
                f"lane {lane.key} begins at {lane.head_seq}, in the store at {heads[lane.key]}"
            )


def _gates(engine: Engine) -> dict[Any, Any]:
    found = {gate.key: (gate.rule, gate.running, gate.pending) for gate in engine.gates.all()}
    return {key: value for key, value in found.items() if value != (FREE, 0, 0)}


def _counts(engine: Engine) -> dict[Status, int]:
    return {status: count for status, count in engine.counts.items() if count}


def _held(engine: Engine) -> dict[Any, Any]:
    return {
        (session.agent_id, session.epoch): (dict(sorted(session.held.items())), sorted(session.accepted))
        for session in engine.sessions.all()
    }


def _seats(engine: Engine) -> dict[str, int]:
    return {agent_id: seat.held for agent_id, seat in engine.slot_book._seats.items()}


def _difference(mine: Any, stored: Any) -> str:
    if isinstance(mine, dict) and isinstance(stored, dict):
        keys = [key for key in dict.fromkeys([*mine, *stored]) if mine.get(key) != stored.get(key)]
        return ", ".join(f"{key}: {mine.get(key)} and {stored.get(key)}" for key in keys)
    return f"{mine} and {stored}"
