"""Scores: the formula to the last digit, and sets split by it. R3."""

import random

import pytest

from fleetd.core.instance import Condition, Kind
from fleetd.core.route import LatencyClass, Requirements
from fleetd.core.scores import UNIT, ByScore, display, score, terms
from tests.unit.core.routing_place import inquiry, instance, registry

SAMPLE = Requirements(needs=("coding", "frontend"), prefer=("local",), min_ctx=4_096)


def told(requirements, latency=None, **parts):
    known = registry(instance("p:i", **parts), i=Condition(latency=latency))
    return terms(inquiry(known, requirements), known.get("p:i"))


def raw(requirements, latency=None, **parts):
    return sum(term.value for term in told(requirements, latency, **parts))


@pytest.mark.parametrize(
    ("kind", "tags", "latency", "total", "shown"),
    [
        (Kind.LOCAL, ("coding", "frontend"), 50.0, 0.65, 0.92),
        (Kind.LOCAL, ("coding", "frontend"), 3.0, 0.65, 0.92),
        (Kind.LOCAL, ("coding",), 219.0, 0.412444, 0.73),
        (Kind.CLOUD, ("coding",), 275.0, 0.33, 0.66),
    ],
)
def test_the_known_samples(kind, tags, latency, total, shown):
    """R3: the samples of the specification."""
    known = registry(instance("p:i", kind=kind, tags=tags), i=Condition(latency=latency))
    units = score(inquiry(known, SAMPLE), known.get("p:i"))
    assert units / UNIT == pytest.approx(total, abs=1e-6)
    assert round(display(units), 2) == shown
    assert raw(SAMPLE, latency, kind=kind, tags=tags) == pytest.approx(total, abs=1e-9)


def test_terms_tell_what_they_came_from():
    """R4: the terms and the raw score they make."""
    assert told(SAMPLE, 219.0, kind=Kind.LOCAL, tags=("coding", "pdf")) == (
        ("tags", 0.2, "coding"),
        ("ctx", 0.1, "32768"),
        ("latency", 0.062444, "219 ms"),
        ("preference", 0.05, "local"),
    )
    assert told(SAMPLE, ctx=0) == (
        ("tags", 0.0, ""),
        ("ctx", 0.02, "unknown"),
        ("latency", 0.0, "unknown"),
        ("preference", -0.02, "cloud"),
    )


@pytest.mark.parametrize(
    ("latency", "normal", "fast", "batch"),
    [
        (None, 0.0, 0.0, 0.0),
        (0.0, 0.1, 0.1, 0.0),
        (50.0, 0.1, 0.1, 0.0),
        (140.0, 0.08, 0.08, 0.0),
        (200.0, 0.066667, 0.066667, 0.0),
        (200.001, 0.066666, 0.033333, 0.0),
        (275.0, 0.05, 0.025, 0.0),
        (499.999, 0.0, 0.0, 0.0),
        (500.0, 0.0, 0.0, 0.0),
        (9_000.0, 0.0, 0.0, 0.0),
    ],
)
@pytest.mark.parametrize("prefer", [(), ("fast",)])
def test_latency_falls_from_50_to_500_ms_by_class(latency, normal, fast, batch, prefer):
    """R3: halved above 200 ms for fast, left out for batch, doubled for prefer fast."""
    for latency_class, value in zip(LatencyClass, (normal, fast, batch), strict=True):
        asked = Requirements(prefer=prefer, latency_class=latency_class)
        got = told(asked, latency)[2].value
        assert got == pytest.approx(value * (2 if prefer else 1), abs=2e-6), latency_class


@pytest.mark.parametrize(
    ("prefer", "local", "cloud", "paid"),
    [
        ((), 0.0, -0.02, -0.02),
        (("local",), 0.05, -0.02, -0.02),
        (("cloud",), 0.0, 0.05, -0.02),
        (("cloud", "local"), 0.05, 0.05, -0.02),
        (("cheap",), 0.0, -0.02, -0.02),
    ],
)
def test_the_place_counts_as_preferred(prefer, local, cloud, paid):
    """R3."""
    got = {kind: told(Requirements(prefer=prefer), kind=kind)[3].value for kind in Kind}
    assert got == {Kind.LOCAL: local, Kind.CLOUD: cloud, Kind.PAID: paid}


def test_every_matched_need_counts_the_same():
    """R3: +0.2 each; tags that nobody asked for count nothing."""
    asked = Requirements(needs=("a", "b", "c", "d", "e"))
    got = [told(asked, tags=tuple("abcdefgh"[:count]))[0].value for count in range(8)]
    assert got == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0]


def test_a_set_is_split_as_its_members_score():
    """R3: the score of a set's parts and of one instance are two readings of one formula."""
    rng = random.Random(4)
    instances = [
        instance(
            f"p:{number}",
            kind=rng.choice(list(Kind)),
            tags=tuple(rng.sample("abcd", rng.randrange(5))),
            ctx=rng.choice((0, 9_000)),
        )
        for number in range(150)
    ]
    latencies = (None, 10.0, 50.0, 200.0, 200.001, 275.0, 499.0, 600.0)
    known = registry(*instances, **{str(n): Condition(latency=rng.choice(latencies)) for n in range(150)})
    for latency_class in LatencyClass:
        for prefer in ((), ("fast", "local"), ("cloud",)):
            asked = inquiry(known, Requirements(("a", "b", "c"), prefer, latency_class=latency_class))
            by_score = ByScore(asked)
            parts = [known.index.names(part) for part in by_score.split(asked.index.all)]
            values = [{score(asked, known.get(key)) for key in part} for part in parts]
            assert all(len(value) == 1 for value in values)
            flat = [value.pop() for value in values]
            assert flat == sorted(set(flat), reverse=True)
            assert sum(map(len, parts)) == 150
            slots = known.index.slots
            assert [by_score.units(slots[part[0]]) for part in parts] == flat


def test_the_score_of_one_that_no_split_met_is_computed():
    """R4: a pinned instance is scored, too."""
    known = registry(instance("p:i", tags=("coding",)))
    asked = inquiry(known, SAMPLE)
    assert ByScore(asked).units(known.index.slots["p:i"]) == score(asked, known.get("p:i"))
