"""
Every plan against a brute-force oracle, over real instances in random conditions.

Runs on an extract of the catalogue. `ROUTING_CATALOGUE=path ROUTING_QUESTIONS=10000` runs it over a whole catalogue, with -s it prints
what it saw.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from fleetd.core.instance import InstanceState
from fleetd.core.load import Load
from fleetd.core.registry import Registry
from fleetd.core.routing import reject, route
from tests.property.routing_oracle import ONE, Answer, Oracle
from tests.property.routing_world import EXTRACT, NOW, Question, World, catalogue, question, world

QUESTIONS = int(os.environ.get("ROUTING_QUESTIONS", "1500"))
KNOWN = catalogue(Path(os.environ.get("ROUTING_CATALOGUE", EXTRACT)))
PER_WORLD = 50


def plan_of(registry: Registry, place: World, asked: Question, load=None, **more):
    return route(
        registry,
        asked.requirements,
        plan_id="plan",
        task_id="task",
        seed=asked.seed,
        now=NOW,
        load=place.load if load is None else load,
        probing=place.probing,
        fallbacks=asked.fallbacks,
        tried=asked.tried,
        avoid_provider=asked.avoid_provider,
        pinned=asked.pinned,
        above=asked.above,
        **more,
    )


def compare(plan, right: Answer):
    chain = [plan.selected, *plan.fallback] if plan.selected else []
    assert chain == right.chain
    counts = Counter()
    for each in plan.eliminated:
        counts[each.filter] += each.count
    assert counts == Counter(right.removed.values())
    assert plan.considered == len(right.removed) + len(right.order)
    assert plan.retry_at == right.retry_at
    for key, score in plan.scores.items():
        assert score == pytest.approx((0.5 + right.raw[key] / ONE) / 1.25, abs=1e-6)
    traced = [each for each in plan.trace if not each.eliminated_by]
    assert [each.instance for each in traced] == right.order[: len(traced)]
    for each in traced:
        assert each.raw == pytest.approx(right.raw[each.instance] / ONE, abs=1e-6)
        assert each.raw == sum(term.value for term in each.terms)
    gone = {each.instance: each.eliminated_by for each in plan.trace if each.eliminated_by}
    assert gone.items() <= right.removed.items()
    assert len(plan.trace) in {0, min(200, plan.considered)}


def tighter(rng: random.Random, asked: Question, tags: list[str]) -> Question:
    """Ask for more: a larger window, another required tag, another need."""
    old = asked.requirements
    requirements = old._replace(
        min_ctx=old.min_ctx * rng.choice((1, 1, 2, 10)),
        required=(*old.required, *rng.sample(tags, rng.choice((0, 1)))),
        needs=(*old.needs, rng.choice(tags)),
    )
    return replace(asked, requirements=requirements)


@pytest.mark.parametrize("number", range(-(-QUESTIONS // PER_WORLD)))
def test_every_plan_equals_the_oracles(number):
    """R1, R3, R3a, R3b, R4, R5, R7: eligibility, order, completeness, determinism, permutation, load kept or given anew."""
    rng = random.Random(number)
    place = world(rng, KNOWN)
    registry, detours, oracle = place.registry(), place.registry_by_detours(rng), Oracle(place)
    assert detours.ids() == registry.ids()
    load = Load()
    for key, count in place.load.items():
        for step in (1, 1, count, -2):
            load.on(registry.index).add(key, step)
    outcomes = Counter()
    for _ in range(min(PER_WORLD, QUESTIONS)):
        asked = question(rng, place)
        right = oracle.answer(asked)
        traced = rng.random() < 0.2
        plan = plan_of(registry, place, asked, trace=traced)
        compare(plan, right)
        assert repr(plan_of(registry, place, asked, load=load, trace=traced)) == repr(plan)
        plan.registry_version = detours.version
        assert repr(plan_of(detours, place, asked, load=load, trace=traced)) == repr(plan)
        outcomes["routed" if plan.selected else "blocked"] += 1
        outcomes["eligible"] += len(right.order)
    print(f"world {number}: {len(registry)} instances, {dict(outcomes)}")


@pytest.mark.parametrize("number", range(-(-QUESTIONS // PER_WORLD // 5)))
def test_asking_for_more_never_makes_more_instances_eligible(number):
    """R3: monotonicity; and one by one the filters say the same as together."""
    rng = random.Random(1_000 + number)
    place = world(rng, KNOWN)
    registry = place.registry()
    load = Load(place.load)
    tags = sorted({tag for instance in KNOWN for tag in instance.tags})
    for _ in range(5):
        asked = replace(question(rng, place), tried=[], above=0)
        steps = [asked, tighter(rng, asked, tags)]
        steps.append(tighter(rng, steps[-1], tags))
        sets = []
        for step in steps:
            kept = {
                key
                for key in place.instances
                if reject(registry, key, step.requirements, now=NOW, load=load, probing=place.probing) is None
            }
            plan = plan_of(registry, place, step, load=load)
            assert len(kept) == plan.considered - sum(each.count for each in plan.eliminated)
            sets.append(kept)
        assert all(small <= large for large, small in pairwise(sets))


def test_no_ready_instance_is_left_out_for_what_is_not_known_of_it():
    """R3a: all that is known of them is that they are READY."""
    rng = random.Random(7)
    place = world(rng, [replace(instance, ctx=0, tags=()) for instance in KNOWN])
    registry = place.registry()
    for key in registry.ids():
        condition = replace(
            registry.condition(key), state=InstanceState.READY, latency=None, credentials=True
        )
        registry = registry.with_condition(key, condition)
    for _ in range(30):
        asked = question(rng, place)
        asked = replace(asked, above=0, tried=[], requirements=asked.requirements._replace(required=()))
        plan = plan_of(registry, place, asked)
        told = {each.filter for each in plan.eliminated}
        assert told <= {"enabled", "deprecated", "breaker", "capacity"}
