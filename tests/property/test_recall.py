"""What a registry remembers changes no plan: many questions in any order against one registry that has heard none of them before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from threading import Barrier, Thread
from typing import Any

import pytest

from fleetd.core import recall
from fleetd.core.breaker import BreakerState
from fleetd.core.load import Load
from fleetd.core.registry import Registry
from fleetd.core.routing import route
from fleetd.errors import InvalidArgument
from tests.property.routing_world import EXTRACT, NOW, Question, World, catalogue, question, world

KNOWN = catalogue(EXTRACT)
DAY = 86_400_000


def answer(registry: Registry, asked: Question, **how: Any) -> str:
    """Return a plan, or the error, to the byte."""
    try:
        return repr(
            route(
                registry,
                asked.requirements,
                plan_id="plan",
                task_id="task",
                seed=asked.seed,
                fallbacks=asked.fallbacks,
                tried=asked.tried,
                avoid_provider=asked.avoid_provider,
                pinned=asked.pinned,
                above=asked.above,
                **how,
            )
        )
    except InvalidArgument as error:
        return repr(error.fields)


def forgetful(registry: Registry) -> Registry:
    """Return an equal registry that remembers nothing, the version too."""
    fresh = registry.with_breakers({})
    assert not fresh.recalled
    fresh.version = registry.version
    return fresh


def varied(rng: random.Random, place: World, asked: list[Question]) -> Question:
    """Ask what was asked before, as another task would: other seeds, tries, pins; now and then for a model that nobody knows."""
    old, other = rng.choice(asked), question(rng, place)
    requirements = old.requirements
    if rng.random() < 0.02:
        requirements = requirements._replace(model="nobody:knows-it")
    return replace(rng.choice((old, other)), requirements=requirements)


def situations(rng: random.Random, place: World, load: Load) -> Iterator[dict[str, Any]]:
    """Yield moments one after the other: work comes and goes, probes are taken and end, dates pass; time may be set back."""
    ids, now = list(place.instances), NOW
    halves = [key for key, view in place.breakers.items() if view.state is BreakerState.HALF_OPEN]
    probing = dict(place.probing)
    while True:
        for key in rng.sample(ids, rng.choice((0, 1, 20))):
            load.add(key, rng.choice((-3, -1, 1, 1, 4)))
        if halves and rng.random() < 0.3:
            probing[rng.choice(halves)] = now + rng.randrange(-10_000, 60_000)
        if rng.random() < 0.2:
            now += rng.choice((1, 10_000, DAY * 90, -DAY * 400))
        yield {"now": now, "load": load, "probing": probing, "trace": rng.random() < 0.1}


@pytest.mark.parametrize("number", range(20))
def test_a_plan_is_the_same_whatever_its_registry_was_asked_before(number, monkeypatch):
    """R4: the same arguments, the same plan, to the byte; also when little is remembered of much that is asked."""
    rng = random.Random(40_000 + number)
    place = world(rng, KNOWN)
    if number % 4 == 3:
        monkeypatch.setattr(recall, "REMEMBERED", 3)
        monkeypatch.setattr(recall, "PARTS", 2)
        monkeypatch.setattr(recall, "CHOSEN", 1)
    registry = place.registry()
    asked = [question(rng, place) for _ in range(6)]
    moments = situations(rng, place, Load(place.load))
    for _ in range(200):
        one, how = varied(rng, place, asked), next(moments)
        assert answer(registry, one, **how) == answer(forgetful(registry), one, **how)
    assert 0 < len(registry.recalled) <= recall.REMEMBERED
    assert recall.REMEMBERED == 3 or any(each.order is not None for each in registry.recalled.values())


@pytest.mark.parametrize("number", range(3))
def test_two_threads_that_ask_one_registry_get_the_plans_of_one(number):
    """R4: the event loop and transactions route by one registry at the same time."""
    rng = random.Random(50_000 + number)
    place = world(rng, KNOWN)
    asked = [varied(rng, place, [question(rng, place) for _ in range(3)]) for _ in range(60)]
    how: dict[str, Any] = {"now": NOW, "probing": place.probing}
    alone = [
        answer(fresh, each, load=place.load, **how)
        for each in asked
        for fresh in [forgetful(place.registry())]
    ]
    together = place.registry()
    begin, heard = Barrier(2), {}

    def ask(name: str, order: list[int]) -> None:
        load = Load(place.load)
        begin.wait()
        heard[name] = {place_in: answer(together, asked[place_in], load=load, **how) for place_in in order}

    numbers = list(range(len(asked)))
    threads = [Thread(target=ask, args=(name, numbers)) for name in ("loop", "writer")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for plans in heard.values():
        assert [plans[place_in] for place_in in numbers] == alone


def test_a_change_of_instances_conditions_or_breakers_begins_with_nothing_remembered():
    """R4: a plan says what its registry says, not what one before it said."""
    rng = random.Random(1)
    place = world(rng, KNOWN)
    registry = place.registry()
    one = question(rng, place)
    answer(registry, one, now=NOW, load=place.load, probing={})
    key = registry.ids()[0]
    instance, condition = registry.get(key), registry.condition(key)
    assert registry.recalled
    assert not registry.with_instances({key: (instance, condition)}).recalled
    assert not registry.with_condition(key, condition).recalled
    assert not registry.with_breakers(place.breakers).recalled
