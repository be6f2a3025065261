"""Plans: who is chosen, who comes next, and why. R1 to R5, R7, R9, F1, F6."""

from collections import Counter

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState, BreakerView
from fleetd.core.instance import Condition, InstanceState, Kind
from fleetd.core.load import Load
from fleetd.core.registry import Registry
from fleetd.core.route import Requirements
from fleetd.core.routing import TRACED
from fleetd.errors import InvalidArgument
from tests.unit.core.routing_place import NOW, instance, plan, registry

DEGRADED = Condition(InstanceState.DEGRADED)
LOCAL, CLOUD, PAID = Kind.LOCAL, Kind.CLOUD, Kind.PAID


def chain(known, *args, **more):
    made = plan(known, *args, **more)
    return [made.selected, *made.fallback]


def opened(retry_at):
    return BreakerView(BreakerState.OPEN, retry_at, 1)


def test_a_plan_holds_all_that_it_was_made_from():
    """R3, R4: the sample of the specification, with its reasons."""
    asked = Requirements(("coding", "frontend"), ("local",))
    known = registry(
        instance("llamacpp:qwen", kind=LOCAL, tags=("coding", "frontend"), priority=7),
        instance("llamacpp:glm", kind=LOCAL, tags=("coding",)),
        instance("openai", tags=("coding",), ctx=0),
        instance("off:x", enabled=False),
        qwen=Condition(latency=40.0),
        glm=Condition(latency=219.0),
    )
    made = plan(known, asked, plan_id="p1", task_id="t1", seed="s", version=3)
    assert (made.plan_id, made.task_id, made.version, made.seed, made.made_at) == ("p1", "t1", 3, "s", NOW)
    assert (made.selected, made.fallback) == ("llamacpp:qwen", ("llamacpp:glm", "openai"))
    assert {key: round(value, 2) for key, value in made.scores.items()} == {
        "llamacpp:qwen": 0.92,
        "llamacpp:glm": 0.73,
        "openai": 0.56,
    }
    assert made.reasons == ("READY", "tags_match=coding,frontend", "ctx>=4096", "local_preferred")
    assert made.requirements is asked
    assert made.registry_version == known.version
    assert made.eliminated == (("enabled", 1, "disabled"),)
    assert (made.considered, made.summary) == (4, "3/4 instances: 1 disabled")
    assert (made.cause, made.trace, made.retry_at) == ("routed", (), 0)


def test_the_seed_is_the_task_unless_given():
    """R4."""
    known = registry(instance("p:i"))
    assert plan(known, task_id="t7").seed == "t7"


def test_nothing_that_fits_is_no_error_and_is_told_in_one_sentence():
    """R4: counts by cause, the weightiest first."""
    lacking = [instance(f"a:{n}", ctx=128_000, tags=("audio",)) for n in range(31)]
    small = [instance(f"b:{n}", ctx=100_000, tags=("vision",)) for n in range(20)]
    broken = [instance(f"c:{n}", ctx=200_000, tags=("vision",)) for n in range(4)]
    disabled = [instance(f"d:{n}", enabled=False) for n in range(2)]
    known = registry(*lacking, *small, *broken, *disabled)
    known = known.with_breakers({(BreakerKind.PROVIDER, "c"): opened(NOW + 60_000)})
    made = plan(known, Requirements(required=("vision",), min_ctx=128_000), trace=True)
    assert (made.selected, made.fallback, made.scores, made.reasons) == ("", (), {}, ())
    assert made.cause == "blocked"
    assert made.summary == "0/57 instances: 31 lack tag vision, 20 ctx<128000, 4 breaker_open"
    assert [each.count for each in made.eliminated] == [2, 4, 31, 20]
    assert len(made.trace) == 57
    assert Counter(each.eliminated_by for each in made.trace) == {
        "tags": 31,
        "ctx": 20,
        "breaker": 4,
        "enabled": 2,
    }


def test_an_empty_registry_plans_nothing():
    """R4."""
    made = plan(Registry())
    assert (made.selected, made.summary, made.considered, made.retry_at) == ("", "0/0 instances", 0, 0)


@pytest.mark.parametrize(("fitting", "removed"), [(150, 20), (20, 300), (300, 300), (300, 0), (0, 300)])
def test_a_full_trace_is_bounded_and_its_sums_reconcile(fitting, removed):
    """R4."""
    known = registry(
        *(instance(f"a:{n}", tags=("x",) * (n % 2)) for n in range(fitting)),
        *(instance(f"b:{n}", ctx=1 if n % 3 else 99_999, enabled=n % 3 > 0) for n in range(removed)),
    )
    made = plan(known, Requirements(("x",)), trace=True, fallbacks=10)
    assert len(made.trace) == min(TRACED, fitting + removed)
    told = Counter(each.eliminated_by for each in made.trace)
    counts = Counter({each.filter: each.count for each in made.eliminated})
    counts[""] = fitting
    assert counts.total() == made.considered
    assert told <= counts
    if fitting + removed <= TRACED:
        assert told == +counts
    elif fitting and removed:
        assert min(told[""], told.total() - told[""]) > 0
    best = [each.instance for each in made.trace if not each.eliminated_by][: len(chain(known))]
    assert best == ([made.selected, *made.fallback[:2]] if fitting else [])
    for each in made.trace:
        assert each.raw == sum(term.value for term in each.terms)
        assert bool(each.terms) != bool(each.eliminated_by)


def test_a_ready_cloud_instance_is_eligible_although_nothing_is_known_of_it():
    """R3a: neither window nor latency, and a score that is below nothing."""
    known = registry(instance("cloud:x", ctx=0), instance("paid:x", kind=PAID, ctx=0))
    made = plan(known, Requirements(("vision",), ("local",), min_ctx=200_000))
    assert {made.selected, *made.fallback} == {"cloud:x", "paid:x"}
    assert all(score < 0.41 for score in made.scores.values())


def test_a_window_that_is_too_small_never_beats_one_that_suffices():
    """R3b: whatever else speaks for it."""
    known = registry(
        instance("a:small", kind=LOCAL, ctx=4_095, tags=("coding", "frontend"), priority=1),
        instance("b:large", ctx=4_096),
        small=Condition(latency=1.0),
    )
    made = plan(known, Requirements(("coding", "frontend"), ("local", "fast")))
    assert (made.selected, made.fallback) == ("b:large", ())
    assert made.eliminated == (("ctx", 1, "ctx<4096"),)


def test_degraded_instances_come_after_every_ready_one():
    """R1: although they score higher."""
    known = registry(instance("a:x", tags=("coding",)), instance("a:y", ctx=0), instance("a:z"), x=DEGRADED)
    assert chain(known, Requirements(("coding",))) == ["a:z", "a:y", "a:x"]
    assert plan(known, Requirements(("coding",), model="a:x")).reasons[:2] == ("DEGRADED", "model=a:x")


def test_a_wanted_model_goes_first_and_the_others_follow():
    """R2, R3, F1."""
    known = registry(
        instance("a:x", tags=("coding",)),
        instance("b:x", model="gpt-4o"),
        instance("c:x", model="gpt-4o", ctx=0),
        instance("d:x", model="gpt-4o", enabled=False),
    )
    assert chain(known, Requirements(("coding",), model="GPT-4o")) == ["b:x", "c:x", "a:x"]
    assert chain(known, Requirements(("coding",), model="d")) == ["a:x", "b:x", "c:x"]


def test_an_unknown_model_is_refused_with_the_nearest_name():
    """R2."""
    with pytest.raises(
        InvalidArgument, match="no instance, provider or model is called gtp-4o; the nearest name is gpt-4o"
    ):
        plan(registry(instance("openai:x", model="gpt-4o")), Requirements(model="gtp-4o"))
    with pytest.raises(InvalidArgument) as caught:
        plan(registry(), Requirements(model="gpt-4o"))
    assert caught.value.fields == (
        ("requirements.model", "no instance, provider or model is called gpt-4o; no name is like it"),
    )


def test_a_pinned_instance_goes_first_while_it_is_eligible():
    """R8: before what the task asked for and before better ones."""
    known = registry(
        instance("a:x", model="m1"), instance("b:x", tags=("coding",)), instance("c:x"), c=DEGRADED
    )
    asked = Requirements(("coding",), model="m1")
    made = plan(known, asked, pinned="c:x")
    assert (made.selected, made.fallback) == ("c:x", ("a:x", "b:x"))
    assert made.reasons[1] == "pinned"
    assert chain(known.with_condition("c:x", Condition(InstanceState.ERROR)), asked, pinned="c:x") == [
        "a:x",
        "b:x",
    ]
    assert chain(known, asked, pinned="gone") == ["a:x", "b:x", "c:x"]


def test_ties_go_by_priority_then_price_when_cheap_then_load():
    """R3: in this order; price counts for those who prefer cheap."""
    known = registry(
        instance("a:x", priority=2, input_cost=9.0),
        instance("b:x", priority=1, input_cost=3.0, output_cost=3.1),
        instance("c:x", priority=1, input_cost=6.0),
        instance("d:x", priority=1, input_cost=6.0),
    )
    load = {"c:x": 1}
    assert chain(known, Requirements(prefer=("cheap",)), load=load, fallbacks=3) == [
        "d:x",
        "c:x",
        "b:x",
        "a:x",
    ]
    assert chain(known, load={**load, "d:x": 2}, fallbacks=3) == ["b:x", "c:x", "d:x", "a:x"]


def test_load_is_measured_against_room():
    """R3, D10r: in-flight/max_inflight; without a limit in-flight as such."""
    known = registry(
        instance("a:x", max_inflight=10),
        instance("b:x", max_inflight=4),
        instance("c:x"),
        instance("d:x", max_inflight=2),
    )
    load = {"a:x": 4, "b:x": 2, "c:x": 1, "d:x": 2}
    made = plan(known, load=load, fallbacks=3)
    assert [made.selected, *made.fallback] == ["a:x", "b:x", "c:x"]
    assert made.eliminated == (("capacity", 1, "at max_inflight"),)


@pytest.mark.parametrize("room", [0, 20])
def test_concurrent_routes_over_equal_idle_instances_differ_by_at_most_one(room):
    """R4."""
    known = registry(*(instance(f"p:{number}", max_inflight=room) for number in range(7)))
    load = Load()
    for number in range(100):
        load.add(plan(known, task_id=f"task {number}", load=load).selected)
        counts = [load.get(key, 0) for key in known.ids()]
        assert max(counts) - min(counts) <= 1


def test_ties_spread_by_task_whatever_the_order_of_registration():
    """R3, R4: each of ten equal ones is chosen for about a tenth of the tasks, and again for the same task."""
    equal = [instance(f"p:{number}") for number in range(10)]
    known, backwards = registry(*equal), registry(*reversed(equal))
    chosen = [plan(known, task_id=f"task {number}").selected for number in range(2_000)]
    assert chosen == [plan(backwards, task_id=f"task {number}").selected for number in range(2_000)]
    counts = Counter(chosen)
    assert len(counts) == 10
    assert min(counts.values()) > 150
    assert max(counts.values()) < 250


def test_the_order_of_two_equal_instances_does_not_depend_on_a_third():
    """R4: the hash is of task and instance alone."""
    equal = [instance(f"p:{number}") for number in range(6)]
    for number in range(50):
        whole = chain(registry(*equal), task_id=f"task {number}", fallbacks=10)
        assert chain(registry(*equal[1:]), task_id=f"task {number}", fallbacks=10) == [
            x for x in whole if x != "p:0"
        ]


@pytest.mark.parametrize("needs", [(), ("general",)])
def test_with_a_failover_list_and_no_needs_priority_decides(needs):
    """R3, F1: 1 before 2 before 3, enabled ones only, a wanted model first."""
    known = registry(
        instance("c", priority=1, failover=True, ctx=0),
        instance("b", priority=2, failover=True, tags=("general",)),
        instance("a", priority=3, failover=True, kind=LOCAL),
        instance("d", priority=0, failover=True, enabled=False),
    ).with_condition("a", Condition(latency=5.0))
    made = plan(known, Requirements(needs, ("local", "fast")))
    assert [made.selected, *made.fallback] == ["c", "b", "a"]
    assert made.reasons[-1] == "priority=1"
    assert chain(known, Requirements(needs, model="a"))[0] == "a"
    assert chain(known, Requirements(("general", "coding")))[0] == "b"
    assert chain(known, Requirements(needs, required=("general",))) == ["b"]


def test_without_a_failover_list_the_score_comes_before_priority():
    """R3."""
    known = registry(instance("a:x", priority=1, ctx=0), instance("b:x", priority=9))
    assert chain(known, Requirements(("general",))) == ["b:x", "a:x"]


@pytest.mark.parametrize(
    ("fallbacks", "expected"),
    [
        (0, ["l:1"]),
        (1, ["l:1", "c:best"]),
        (2, ["l:1", "l:2", "c:best"]),
        (3, ["l:1", "l:2", "l:3", "c:best"]),
        (10, ["l:1", "l:2", "l:3", "c:good", "c:best"]),
    ],
)
def test_the_chain_holds_the_next_best_and_ends_with_the_best_cloud_one(fallbacks, expected):
    """R5: local → cloud → fail."""
    known = registry(
        instance("l:1", kind=LOCAL, tags=("a", "b", "c")),
        instance("l:2", kind=LOCAL, tags=("a", "b")),
        instance("l:3", kind=LOCAL, tags=("a",)),
        instance("c:best", ctx=4_096),
        instance("c:good", ctx=0),
        instance("c:no", enabled=False, tags=("a", "b", "c")),
    )
    assert chain(known, Requirements(("a", "b", "c"), ("local",)), fallbacks=fallbacks) == expected


def test_a_selected_cloud_instance_is_not_repeated_and_paid_ones_are_no_last_resort():
    """R5: no duplicates."""
    known = registry(
        instance("c:x", tags=("a",)), instance("l:1", kind=LOCAL), instance("l:2", kind=LOCAL, ctx=0)
    )
    assert chain(known, Requirements(("a",))) == ["c:x", "l:1", "l:2"]
    paid = known.with_instances({"p:x": (instance("p:x", kind=PAID, ctx=0), Condition())}, ["c:x"])
    assert chain(paid, fallbacks=1) == ["l:1", "l:2"]


def test_another_provider_comes_first_after_an_error_of_the_whole_provider():
    """R5: even before the wanted model and READY before DEGRADED."""
    known = registry(instance("a:x", tags=("a",), model="m1"), instance("a:y"), instance("b:z"), z=DEGRADED)
    asked = Requirements(("a",), model="m1")
    assert chain(known, asked, avoid_provider="a", fallbacks=1) == ["b:z", "a:x"]
    assert chain(known, asked, avoid_provider="a", tried=["a:x"], fallbacks=1) == ["b:z", "a:y"]
    assert chain(known, asked, avoid_provider="nobody", fallbacks=2) == ["a:x", "a:y", "b:z"]


def test_later_routes_return_to_an_instance_that_recovered():
    """R9: no sticky fallback."""
    known = registry(instance("a:x", tags=("a",)), instance("b:x"))
    asked = Requirements(("a",))
    failed = known.with_breakers({(BreakerKind.INSTANCE, "a:x"): opened(NOW + 9)})
    healed = failed.with_breakers({(BreakerKind.INSTANCE, "a:x"): BreakerView(BreakerState.HALF_OPEN, 0, 2)})
    assert [plan(each, asked).selected for each in (known, failed, healed)] == ["a:x", "b:x", "a:x"]
    assert plan(healed, asked, probing={(BreakerKind.INSTANCE, "a:x"): NOW + 5}).selected == "b:x"


def test_a_plan_without_instance_knows_when_to_look_again():
    """F6: the earliest time at which a breaker alone no longer keeps somebody away."""
    known = registry(instance("a:x"), instance("a:y"), instance("b:x", tags=("no",)), instance("c:x", ctx=1))
    breakers = {
        (BreakerKind.PROVIDER, "a"): opened(NOW + 50),
        (BreakerKind.INSTANCE, "a:x"): opened(NOW + 30),
        (BreakerKind.INSTANCE, "a:y"): opened(NOW + 70),
        (BreakerKind.PROVIDER, "b"): opened(NOW + 60),
        (BreakerKind.PROVIDER, "c"): opened(NOW + 10),
        (BreakerKind.HOST, "c"): opened(NOW + 1),
    }
    known = known.with_breakers(breakers)
    assert plan(known).retry_at == NOW + 50
    assert plan(known, Requirements(required=("no",))).retry_at == NOW + 60
    assert plan(known, Requirements(required=("none",))).retry_at == 0
    half = known.with_breakers({(BreakerKind.PROVIDER, "b"): BreakerView(BreakerState.HALF_OPEN, 0, 2)})
    assert plan(half, probing={(BreakerKind.PROVIDER, "b"): NOW + 20}).retry_at == NOW + 20
    assert plan(half).retry_at == 0
    assert plan(registry(instance("a:x", enabled=False))).retry_at == 0
