"""What the Router leaves in a store: instances, breakers, plans, and BLOCKED tasks by what they wait for."""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace

import pytest

from fleetd.core.breaker import Breaker, BreakerKind, BreakerState
from fleetd.core.instance import Condition, Instance, InstanceState, Kind, ProbeKind
from fleetd.core.ledger import Changes, Keys, Registered, TaskPlan
from fleetd.core.route import (
    Candidate,
    Elimination,
    LatencyClass,
    Requirements,
    RoutePlan,
    ScoreTerm,
    TaskRoute,
)
from fleetd.core.task import Status
from fleetd.store.base import PLANS_KEPT, Load, Write
from tests.contract.place import a_new, a_plan, a_task, add, change, load, run, seqs, task, write

INSTANCE = Instance(
    id="openai:gpt-4o",
    provider_id="openai",
    kind=Kind.PAID,
    tags=("coding", "tool use"),
    ctx=128_000,
    model="gpt-4o",
    base_url="https://api.openai.com/v1",
    priority=7,
    max_retries=1,
    timeout=2,
    enabled=False,
    max_inflight=3,
    input_cost=2.5,
    output_cost=10.125,
    deprecated_at=4,
    credential="env:OPENAI_API_KEY",
    probe=ProbeKind.HTTP,
    probe_url="https://api.openai.com/v1/models",
    failover=True,
    source="catalogue",
)
CONDITION = Condition(InstanceState.DEGRADED, "slow: ünïcode", 5, 812.25, held=True, credentials=False)
REQUIREMENTS = Requirements(("coding",), ("cheap",), 32_000, LatencyClass.FAST, ("vision",), "m")
PLAN = RoutePlan(
    plan_id="plan",
    task_id="task-1",
    version=3,
    selected="a:b",
    fallback=("c:d", "e:f"),
    scores={"c:d": 0.1 + 0.2, "a:b": 1.0},
    reasons=("cheapest", "ünïcode"),
    requirements=REQUIREMENTS,
    registry_version=4,
    seed="seed",
    made_at=5,
    eliminated=(Elimination("ctx", 2, "too small"), Elimination("state", 1, "")),
    considered=6,
    cause="rerouted",
    summary="a:b: cheapest",
    retry_at=7,
)


def at_default(value: object, plain: object) -> set[str]:
    """Return the stored fields that a test of all of them does not look at."""
    stored = [one.name for one in fields(plain) if one.compare]
    return {name for name in stored if getattr(value, name) == getattr(plain, name)}


async def instances(store) -> dict[str, Registered]:
    return {one.instance.id: one for one in (await store.snapshot(0)).instances}


async def test_every_field_of_an_instance_comes_back_as_it_was_written(store):
    """R1"""
    assert not at_default(INSTANCE, Instance("", ""))
    assert not at_default(CONDITION, Condition())
    await write(store, instances={INSTANCE.id: Registered(INSTANCE, CONDITION)})

    (found,) = (await store.snapshot(0)).instances

    assert found == Registered(INSTANCE, CONDITION)
    instance, condition = found
    for name in ("kind", "probe", "enabled", "failover", "tags"):
        assert type(getattr(instance, name)) is type(getattr(INSTANCE, name))
    for name in ("state", "held", "credentials"):
        assert type(getattr(condition, name)) is type(getattr(CONDITION, name))


async def test_zero_is_not_taken_for_a_default(store):
    """R1: no retries and the lowest priority are choices"""
    bare = Instance("x", "", priority=0, max_retries=0, timeout=0, enabled=False, source="")
    await write(store, instances={"x": Registered(bare, Condition(latency=0.0)), "y": a_registered("y")})

    found = await instances(store)

    assert found == {"x": Registered(bare, Condition(latency=0.0)), "y": a_registered("y")}
    assert found["x"].condition.latency == 0.0
    assert found["y"].condition.latency is None


def a_registered(instance_id: str, **changed) -> Registered:
    return Registered(replace(Instance(instance_id, "p"), **changed), Condition())


async def test_instances_are_replaced_and_removed(store):
    """R1"""
    await write(store, instances={name: a_registered(name) for name in ("c:1", "a:1", "b:1")})
    assert list(await instances(store)) == ["a:1", "b:1", "c:1"]

    later = Registered(replace(INSTANCE, id="b:1"), CONDITION)
    await write(store, instances={"a:1": None, "b:1": later, "nowhere": None, "d:1": a_registered("d:1")})

    assert await instances(store) == {"b:1": later, "c:1": a_registered("c:1"), "d:1": a_registered("d:1")}
    await write(store, instances={"a:1": a_registered("a:1", ctx=5)})
    assert (await instances(store))["a:1"].instance.ctx == 5


async def test_every_stored_field_of_a_breaker_comes_back_and_its_calls_are_forgotten(store):
    """F3: what is open stays open over a restart"""
    breaker = Breaker(BreakerKind.INSTANCE, "a:b", BreakerState.OPEN, 1, 2, 3, "CODE: why", True, 4)
    assert not at_default(breaker, Breaker(BreakerKind.PROVIDER, ""))
    breaker.window, breaker.window_failed = deque([(1, "x")]), 1
    breaker.source, breaker.shared = "task-1", True
    await write(store, breakers={breaker.key: breaker})

    (found,) = (await store.snapshot(0)).breakers

    assert found == breaker
    assert (found.window, found.window_failed, found.source, found.shared) == (deque(), 0, "", False)
    for name in ("kind", "state", "forced"):
        assert type(getattr(found, name)) is type(getattr(breaker, name))


async def test_a_breaker_is_named_by_its_kind_and_its_name(store):
    """F3"""
    provider, instance, host = (Breaker(kind, "local") for kind in BreakerKind)
    await write(store, breakers={one.key: one for one in (host, instance, provider)})

    later = Breaker(BreakerKind.INSTANCE, "local", BreakerState.HALF_OPEN, epoch=9)
    await write(store, breakers={later.key: later})

    assert (await store.snapshot(0)).breakers == [provider, later, host]


async def test_every_field_of_a_plan_but_its_trace_comes_back(store):
    """R5"""
    assert not at_default(PLAN, replace(a_plan("", 0), plan_id="", selected="", made_at=0)) - {"trace"}
    traced = replace(PLAN, trace=(Candidate("a:b", terms=(ScoreTerm("cost", 0.5),)), Candidate("x", "ctx")))
    await write(store, new_tasks=[a_new(a_task(1))], plans=[TaskPlan(1, traced)])

    (found,) = await store.get_plans("task-1")

    assert found == PLAN
    assert list(found.scores) == ["c:d", "a:b"]
    assert type(found.eliminated[0]) is Elimination
    assert type(found.requirements.latency_class) is LatencyClass


async def test_a_plan_that_found_nothing_comes_back(store):
    """R5, R6"""
    nothing = a_plan("task-1", 1, plan_id="", selected="", cause="", made_at=0)
    nothing.requirements = Requirements(min_ctx=0)
    await write(store, new_tasks=[a_new(a_task(1))], plans=[TaskPlan(1, nothing)])

    assert await store.get_plans("task-1") == [nothing]


async def test_plans_are_kept_by_version_oldest_first(store):
    """R5: a version written again replaces the first one"""
    plans = {version: a_plan("task-1", version) for version in (10, 2, 1)}
    await write(
        store,
        new_tasks=[a_new(a_task(1)), a_new(a_task(2)), a_new(a_task(3))],
        plans=[*(TaskPlan(1, plan) for plan in plans.values()), TaskPlan(2, a_plan("task-2", 1))],
    )

    again = a_plan("task-1", 2, selected="c:d")
    await write(store, plans=[TaskPlan(1, again)])

    assert await store.get_plans("task-1") == [plans[1], again, plans[10]]
    assert await store.get_plans("task-2") == [a_plan("task-2", 1)]
    assert await store.get_plans("task-3") == await store.get_plans("nowhere") == []


def a_blocked(seq: int, group: int, status: Status = Status.BLOCKED, **changed):
    return a_task(
        seq, status=status, blocked=group, route=TaskRoute(Requirements(model=f"model {group}")), **changed
    )


HIGHEST, LOWEST = 2**63 - 1, -(2**63)


async def test_only_the_newest_versions_of_a_plan_are_kept(store):
    """R4, R10."""
    await add(store, a_task(1), a_task(2))
    for version in range(1, PLANS_KEPT + 3):
        await write(store, plans=[TaskPlan(1, replace(PLAN, version=version))])
    await write(store, plans=[TaskPlan(2, PLAN)])
    assert [plan.version for plan in await store.get_plans("task-1")] == list(range(3, PLANS_KEPT + 3))
    assert await store.get_plans("task-2") == [PLAN]


async def test_blocked_tasks_of_a_group_are_loaded_in_order_of_place(store):
    """R6: so many of the first ones, wherever they came in"""
    await add(
        store,
        a_blocked(1, HIGHEST, place=30),
        a_blocked(2, HIGHEST, place=10),
        a_blocked(3, LOWEST),
        a_blocked(4, HIGHEST, place=20),
        a_blocked(5, LOWEST),
        a_blocked(6, 7),
    )

    assert seqs((await load(store, blocked=((HIGHEST, 2),))).tasks) == [2, 4]
    assert seqs((await load(store, blocked=((HIGHEST, 9), (LOWEST, 1)))).tasks) == [2, 4, 1, 3]
    assert (await load(store, blocked=((8, 9), (HIGHEST, 0)))).tasks == []
    (found,) = (await load(store, blocked=((7, 9),))).tasks
    assert found == a_blocked(6, 7)


async def test_a_blocked_task_that_several_keys_name_is_loaded_once(store):
    """R6"""
    await add(store, a_blocked(1, 7), a_blocked(2, 7), a_blocked(3, 7))

    found = await load(store, task_ids=("task-2",), task_seqs=(2,), blocked=((7, 2), (7, 3), (7, 2)))

    assert sorted(seqs(found.tasks)) == [1, 2, 3]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.BLOCKED])
async def test_only_blocked_tasks_are_in_a_group(store, status):
    """R6: one that still has its number when it goes on does not come again"""
    await add(store, a_blocked(1, 7), a_blocked(2, 7))
    await change(store, a_blocked(1, 7, status))

    assert seqs((await load(store, blocked=((7, 9),))).tasks) == [2]
    assert (await store.snapshot(0)).blocked == {7: TaskRoute(Requirements(model="model 7"))}
    await change(store, a_blocked(2, 7, status))
    assert (await store.snapshot(0)).blocked == {}


async def test_a_script_finds_the_tasks_it_blocked_before(store):
    """R6"""
    await add(store, a_task(1), a_task(2))

    (_, found) = await run(
        store,
        Write(Changes(tasks={1: a_blocked(1, 7)}, new_tasks=[a_new(a_blocked(3, 7))])),
        Load(Keys(blocked=((7, 9),))),
    )

    assert seqs(found.tasks) == [1, 3]


async def test_the_snapshot_names_each_group_with_what_it_waits_for(store):
    """R6: found again after a start"""
    await add(
        store,
        a_blocked(1, LOWEST),
        a_blocked(2, 7),
        a_blocked(3, 7),
        replace(a_blocked(4, HIGHEST), route=TaskRoute(REQUIREMENTS, retry_at=5)),
        a_task(5, status=Status.BLOCKED),
        a_task(6, status=Status.PENDING, route=TaskRoute(REQUIREMENTS)),
    )

    assert (await store.snapshot(0)).blocked == {
        LOWEST: TaskRoute(Requirements(model=f"model {LOWEST}")),
        7: TaskRoute(Requirements(model="model 7")),
        HIGHEST: TaskRoute(REQUIREMENTS, retry_at=5),
    }


async def test_what_the_router_keeps_is_taken_back_with_its_transaction(store):
    """T8"""
    await write(store, instances={"a:1": a_registered("a:1")}, new_tasks=[a_new(a_task(1))])
    before = await store.snapshot(0)
    breaker = Breaker(BreakerKind.HOST, "h", BreakerState.OPEN)

    def script():
        yield Write(
            Changes(
                instances={"a:1": None, "b:1": a_registered("b:1")},
                breakers={breaker.key: breaker},
                plans=[TaskPlan(1, a_plan("task-1", 1))],
                tasks={1: a_blocked(1, 7)},
            )
        )
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        await store.transact(script)

    assert await store.snapshot(0) == before
    assert await store.get_plans("task-1") == []
    assert await task(store, "task-1") == a_task(1)


async def test_what_the_router_keeps_is_there_after_a_restart(durable_place):
    """R1, R5, R6, F3"""
    store = await durable_place.open()
    breaker = Breaker(BreakerKind.HOST, "h", BreakerState.OPEN, epoch=3)
    await write(
        store,
        new_tasks=[a_new(a_blocked(1, 7))],
        instances={INSTANCE.id: Registered(INSTANCE, CONDITION)},
        breakers={breaker.key: breaker},
        plans=[TaskPlan(1, PLAN)],
    )
    await store.close()

    again = await durable_place.open()

    snapshot = await again.snapshot(0)
    assert snapshot.instances == [Registered(INSTANCE, CONDITION)]
    assert snapshot.breakers == [breaker]
    assert snapshot.blocked == {7: TaskRoute(Requirements(model="model 7"))}
    assert snapshot.delayed == {"default": 1}
    assert await again.get_plans("task-1") == [PLAN]
    assert await task(again, "task-1") == a_blocked(1, 7)
