"""Load: counts of work in flight, kept as sets that a route can read. R3, R4, D10r."""

import random

import pytest

from fleetd.core.instance import Condition
from fleetd.core.load import Load
from tests.unit.core.routing_place import instance, registry


def order(load, known):
    """Return the ids, those that are equally busy together."""
    return [known.index.names(part) for part in load.on(known.index).split(known.index.all)]


def test_counts_go_up_and_down_and_never_below_nothing():
    """R4."""
    load = Load({"a": 2, "b": 0})
    load.add("a")
    load.add("b", -1)
    load.add("c", 2)
    load.add("c", -5)
    assert dict(load) == {"a": 3}
    assert len(load) == 1
    with pytest.raises(KeyError):
        load["b"]


def test_sets_follow_the_counts():
    """R3, D10r: an instance is full at its room, and busier the more of it is taken."""
    known = registry(instance("p:a", max_inflight=2), instance("p:b", max_inflight=4), instance("p:c"))
    load = Load()
    assert order(load, known) == [["p:a", "p:b", "p:c"]]
    load.add("p:a")
    load.add("p:b", 2)
    assert order(load, known) == [["p:c"], ["p:a", "p:b"]]
    load.add("p:a")
    load.add("p:c", 3)
    assert order(load, known) == [["p:b"], ["p:a"], ["p:c"]]
    assert known.index.names(load.full) == ["p:a"]
    load.add("p:a", -1)
    assert load.full == 0


def test_another_index_is_read_anew():
    """R4: instances came, went and were given more room meanwhile; work on one that is unknown waits for it."""
    known = registry(instance("p:a", max_inflight=1), instance("p:b"))
    load = Load({"p:a": 1, "p:new": 1})
    assert known.index.names(load.on(known.index).full) == ["p:a"]
    put = {"p:a": (instance("p:a", max_inflight=4), Condition()), "p:new": (instance("p:new"), Condition())}
    later = known.with_instances(put, ["p:b"])
    assert order(load, later) == [["p:a"], ["p:new"]]
    assert load.full == 0


def test_changes_one_by_one_lead_where_a_new_start_leads():
    """R4."""
    rng = random.Random(1)
    known = registry(*(instance(f"p:{n}", max_inflight=n % 4) for n in range(40)))
    load = Load().on(known.index)
    for _ in range(2_000):
        load.add(f"p:{rng.randrange(45)}", rng.choice((-2, -1, 1, 1)))
    fresh = Load(load)
    assert order(load, known) == order(fresh, known)
    assert load.full == fresh.full
