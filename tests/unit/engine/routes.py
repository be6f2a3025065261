"""What the tests of routes in the engine have in common: instances in short, tasks with a route, and what is asked of them."""

from __future__ import annotations

from typing import Any

from fleetd.core.breaker import Breaker, BreakerKind
from fleetd.core.event import EventFilter, EventType
from fleetd.core.instance import Instance, InstanceState, provider_of
from fleetd.core.outcome import Advice
from fleetd.core.registration import PutInstances, SetState
from fleetd.core.route import Requirements, TaskRoute
from fleetd.core.settings import RouterRules, Rules
from fleetd.core.task import RetryPolicy, Task
from fleetd.core.words import Result, WordKind
from fleetd.engine.outbox import Offer
from tests.unit.engine.fleet import Agent, Fleet

ANY = Requirements(("general",))
HOUR = 3_600_000
RULES = Rules(
    retry=RetryPolicy(jitter=0.0),
    router=RouterRules(ladder_jitter=0.0),
    heartbeat_min=HOUR,
    heartbeat_max=HOUR,
    default_timeout=HOUR,
)
"""Waits without jitter, so that tests can name their moments; and agents that need not be heard while breakers are open."""


def instance(instance_id: str, **parts: Any) -> Instance:
    return Instance(
        **{"id": instance_id, "provider_id": provider_of(instance_id), "ctx": 32_768, "model": "m", **parts}
    )


async def register(fleet: Fleet, *instances: Instance | str) -> None:
    made = [instance(each) if isinstance(each, str) else each for each in instances]
    await fleet.do(PutInstances(tuple(made)))


async def put(fleet: Fleet, instance_id: str, state: InstanceState) -> None:
    """Set the state of an instance."""
    await fleet.do(SetState(instance_id, state, "said so"))


async def submit(fleet: Fleet, requirements: Requirements = ANY, **parts: Any) -> Task:
    return await fleet.submit(route=requirements, **parts)


async def route_of(fleet: Fleet, task_id: str) -> TaskRoute:
    route = (await fleet.task(task_id)).route
    assert route is not None
    return route


async def failed(agent: Agent, offer: Offer, code: str, instance_id: str = "", **parts: Any) -> Advice:
    """Say that a try on an instance failed; return what to do next."""
    ack = await agent.say(offer, WordKind.INSTANCE_FAILED, code=code, instance=instance_id, **parts)
    assert ack.result is Result.ACCEPTED, ack
    assert ack.next is not None
    return ack.next


def breaker(fleet: Fleet, name: str, kind: BreakerKind = BreakerKind.INSTANCE) -> Breaker:
    return fleet.engine.routes.breaker((kind, name))


async def fleet_events(fleet: Fleet, *kinds: EventType) -> list[tuple[EventType, Any]]:
    """Return the events of these kinds with what they say."""
    wanted = EventFilter(types=frozenset(kinds))
    page = await fleet.store.list_events(wanted, 0, 10_000, 1_000_000)
    return [(event.type, dict(event.payload or {})) for event in page.events]


def load(fleet: Fleet) -> dict[str, int]:
    """Return the work in flight; both sides of the book agree on it."""
    book = fleet.engine.routes
    assert dict(book.inside.load) == dict(book.outside.load)
    return dict(book.outside.load)
