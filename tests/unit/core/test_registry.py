"""The registry: versions that share what did not change, and names that people use. R1, R4."""

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState, BreakerView
from fleetd.core.instance import Condition, InstanceState
from fleetd.core.registry import Registry
from tests.unit.core.routing_place import instance, plan, registry

OPEN = BreakerView(BreakerState.OPEN, 1_900_000_000_000, 1)
CLOSED = BreakerView(BreakerState.CLOSED, 0, 2)


@pytest.fixture
def known():
    return registry(
        instance("openai:gpt-4o", model="gpt-4o"),
        instance("azure:gpt-4o", model="gpt-4o"),
        instance("openai:o3", model="o3"),
        instance("llamacpp", model="Qwen3-Coder-30B"),
    )


def eligible(known):
    """Return the ids that a route over everything would take."""
    made = plan(known, fallbacks=10)
    return sorted([made.selected, *made.fallback]) if made.selected else []


def test_an_empty_registry_knows_nothing():
    """R1."""
    empty = Registry()
    assert (len(empty), empty.version, empty.ids(), empty.get("a"), empty.resolve("a")) == (
        0,
        0,
        (),
        None,
        (),
    )
    assert empty.nearest("a") == ""


def test_every_change_makes_a_new_version_and_leaves_the_old_one_as_it_was(known):
    """R4: plans name the version of the registry."""
    stopped = known.with_condition("openai:o3", Condition(InstanceState.STOPPED, "by hand"))
    broken = stopped.with_breakers({(BreakerKind.PROVIDER, "openai"): OPEN})
    fewer = broken.with_instances(
        {"azure:gpt-4o": (instance("azure:gpt-4o", enabled=False), Condition())}, ["llamacpp"]
    )
    assert [each.version for each in (known, stopped, broken, fewer)] == [1, 2, 3, 4]
    assert [len(each) for each in (known, stopped, broken, fewer)] == [4, 4, 4, 3]
    assert eligible(known) == ["azure:gpt-4o", "llamacpp", "openai:gpt-4o", "openai:o3"]
    assert eligible(stopped) == ["azure:gpt-4o", "llamacpp", "openai:gpt-4o"]
    assert eligible(broken) == ["azure:gpt-4o", "llamacpp"]
    assert eligible(fewer) == []
    assert known.condition("openai:o3").state is InstanceState.READY
    assert stopped.condition("openai:o3").reason == "by hand"


def test_a_probe_of_an_instance_that_was_removed_meanwhile_changes_nothing(known):
    """R1."""
    assert known.with_condition("gone", Condition()) is known
    assert known.with_instances({}, ["gone"]).ids() == known.ids()


def test_who_takes_the_place_of_a_removed_instance_inherits_nothing_from_it(known):
    """R1: a slot is given again, tags, state, latency and breaker are not."""
    bad = instance("openai:o3", tags=("vision",), priority=1, enabled=False, ctx=1, deprecated_at=5)
    busy = known.with_instances(
        {bad.id: (bad, Condition(InstanceState.ERROR, latency=1.0, credentials=False))}
    )
    busy = busy.with_breakers({(BreakerKind.INSTANCE, bad.id): OPEN, (BreakerKind.PROVIDER, "openai"): OPEN})
    after = busy.with_instances({"new:one": (instance("new:one"), Condition())}, [bad.id])
    fresh = plan(after, fallbacks=10, trace=True)
    found = {each.instance: each for each in fresh.trace}
    assert set(found) == {"azure:gpt-4o", "llamacpp", "new:one", "openai:gpt-4o"}
    assert found["new:one"].eliminated_by == ""
    assert found["new:one"].terms == found["azure:gpt-4o"].terms


def test_an_instance_that_comes_back_finds_its_breaker_as_it_was(known):
    """F3: a breaker outlives the definition of what it guards."""
    broken = known.with_breakers(
        {(BreakerKind.INSTANCE, "openai:o3"): OPEN, (BreakerKind.PROVIDER, "azure"): OPEN}
    )
    gone = broken.with_instances({}, ["openai:o3", "azure:gpt-4o"])
    back = gone.with_instances({key: (instance(key), Condition()) for key in ("openai:o3", "azure:gpt-4o")})
    assert eligible(back) == ["llamacpp", "openai:gpt-4o"]
    mended = back.with_breakers({(BreakerKind.INSTANCE, "openai:o3"): CLOSED})
    assert eligible(mended) == ["llamacpp", "openai:gpt-4o", "openai:o3"]


def test_a_breaker_that_was_never_struck_is_closed(known):
    """F3."""
    assert known.breaker(BreakerKind.PROVIDER, "openai").state is BreakerState.CLOSED
    broken = known.with_breakers({(BreakerKind.HOST, "openai"): OPEN, (BreakerKind.INSTANCE, "gone"): OPEN})
    assert broken.breaker(BreakerKind.HOST, "openai") == OPEN
    assert eligible(broken) == eligible(known)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("openai:o3", ("openai:o3",)),
        ("openai", ("openai:gpt-4o", "openai:o3")),
        ("GPT-4o", ("azure:gpt-4o", "openai:gpt-4o")),
        ("qwen3-coder-30b", ("llamacpp",)),
        ("llamacpp", ("llamacpp",)),
        ("gpt", ()),
        ("", ()),
    ],
)
def test_a_wanted_model_is_an_instance_or_a_provider_or_a_model(known, name, meant):
    """R2, F1."""
    assert known.resolve(name) == meant


@pytest.mark.parametrize(
    ("slip", "nearest"),
    [
        ("openai:o4", "openai:o3"),
        ("opnai", "openai"),
        ("gtp-4o", "gpt-4o"),
        ("LLAMACPP:x", ""),
        ("llama-cpp", "llamacpp"),
    ],
)
def test_an_unknown_name_has_a_nearest_one(known, slip, nearest):
    """R2, F1."""
    assert known.nearest(slip) == nearest


def test_ids_and_the_instances_of_a_provider_are_sorted(known):
    """R1: in whatever order they were registered."""
    assert known.ids() == ("azure:gpt-4o", "llamacpp", "openai:gpt-4o", "openai:o3")
    assert known.provider("openai") == ("openai:gpt-4o", "openai:o3")
    assert known.provider("nobody") == ()
