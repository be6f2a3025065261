"""Filters: who is eligible at all, and the words for who is not. R1, R3, R7, D10r, F3."""

import pytest

from fleetd.core.breaker import BreakerKind, BreakerState, BreakerView
from fleetd.core.filters import FILTERS, sift
from fleetd.core.instance import Condition, InstanceState
from fleetd.core.route import Requirements
from fleetd.core.routing import reject
from tests.unit.core.routing_place import NOW, inquiry, instance, registry


def refusal(known, requirements=Requirements(), load=None, probing=None):  # noqa: B008 - immutable
    refused = reject(known, "p:i", requirements, now=NOW, load=load or {}, probing=probing or {})
    return refused and refused[1:4]


@pytest.mark.parametrize(
    ("parts", "condition", "words"),
    [
        ({"enabled": False}, {}, ("enabled", "disabled", "enabled")),
        (
            {"credential": "env:KEY"},
            {"credentials": False},
            ("credentials", "no_credentials", "env:KEY must exist"),
        ),
        ({"deprecated_at": NOW}, {}, ("deprecated", f"deprecated at {NOW}", f"later than {NOW}")),
        ({}, {"state": InstanceState.UNKNOWN}, ("state", "UNKNOWN", "READY or DEGRADED")),
        (
            {},
            {"state": InstanceState.ERROR, "reason": "HTTP 500"},
            ("state", "ERROR (HTTP 500)", "READY or DEGRADED"),
        ),
        ({}, {"state": InstanceState.STOPPED}, ("state", "STOPPED", "READY or DEGRADED")),
        ({}, {"state": InstanceState.DISCONNECTED}, ("state", "DISCONNECTED", "READY or DEGRADED")),
        ({"tags": ("audio", "pdf")}, {}, ("tags", "audio,pdf", "audio,vision")),
        ({"tags": ("audio", "vision"), "ctx": 4_095}, {}, ("ctx", "ctx=4095", "ctx>=4096, or unknown")),
        ({"tags": ("audio", "vision"), "max_inflight": 2}, {}, ("capacity", "2 in flight", "fewer than 2")),
    ],
)
def test_each_filter_says_what_it_saw_and_what_it_wanted(parts, condition, words):
    """R1, R3, R4, D10r."""
    known = registry(instance("p:i", **parts), i=Condition(**condition))
    assert refusal(known, Requirements(required=("audio", "vision")), load={"p:i": 2}) == words


@pytest.mark.parametrize(
    ("parts", "condition"),
    [
        ({}, {}),
        ({"deprecated_at": NOW + 1}, {}),
        ({}, {"state": InstanceState.DEGRADED}),
        ({"ctx": 4_096}, {}),
        ({"ctx": 0}, {}),
        ({"max_inflight": 3}, {}),
        ({"max_inflight": 0}, {}),
        ({"tags": ("other",)}, {}),
    ],
)
def test_who_just_meets_them_passes(parts, condition):
    """R1, R3a: an unknown window is no small one. D10r: no limit is no limit."""
    known = registry(instance("p:i", **parts), i=Condition(**condition))
    assert refusal(known, load={"p:i": 2}) is None


def test_an_unknown_instance_is_refused_as_such():
    """R8."""
    refused = reject(registry(), "x", Requirements(), now=NOW, load={}, probing={})
    assert refused[:4] == ("x", "known", "not registered", "a registered instance")


@pytest.mark.parametrize(("kind", "name"), [(BreakerKind.PROVIDER, "p"), (BreakerKind.INSTANCE, "p:i")])
def test_a_breaker_refuses_while_open_and_while_its_one_probe_is_held(kind, name):
    """F3, F3b: half-open passes unless somebody probes already; a lease that is over holds nothing."""
    key, said = (kind, name), f"{kind.name.lower()}:{name}"
    known = registry(instance("p:i"), instance("q:i"))

    def seen(state, probing):
        return refusal(known.with_breakers({(kind, name): BreakerView(state, NOW + 5, 1)}), probing=probing)

    wanted = "CLOSED, or HALF_OPEN with its probe free"
    assert seen(BreakerState.CLOSED, {key: NOW + 9}) is None
    assert seen(BreakerState.OPEN, {}) == ("breaker", f"{said} OPEN until {NOW + 5}", wanted)
    assert seen(BreakerState.HALF_OPEN, {}) is None
    assert seen(BreakerState.HALF_OPEN, {key: NOW}) is None
    assert seen(BreakerState.HALF_OPEN, {(BreakerKind.INSTANCE, "q:i"): NOW + 9, (BreakerKind.HOST, "p"): NOW + 9}) is None
    assert seen(BreakerState.HALF_OPEN, {key: NOW + 9}) == (
        "breaker",
        f"{said} HALF_OPEN, probed until {NOW + 9}",
        wanted,
    )


def test_two_breakers_of_one_instance_are_both_named():
    """F3."""
    half = BreakerView(BreakerState.HALF_OPEN, 0, 2)
    opened = BreakerView(BreakerState.OPEN, 7, 1)
    known = registry(instance("p:i")).with_breakers(
        {(BreakerKind.PROVIDER, "p"): opened, (BreakerKind.INSTANCE, "p:i"): half}
    )
    observed = refusal(known, probing={(BreakerKind.INSTANCE, "p:i"): NOW + 1})[1]
    assert observed == f"provider:p OPEN until 7, instance:p:i HALF_OPEN, probed until {NOW + 1}"


def test_tried_instances_are_left_out_while_an_untried_one_is_eligible():
    """R7: never back to one that was tried while another is left; with none left it may be tried again."""
    known = registry(instance("p:a"), instance("p:b"), instance("p:c", enabled=False))

    def left(*tried):
        asked = inquiry(known, tried=tried)
        mask, removals = sift(asked, asked.index.all)
        return known.index.names(mask), [removal.detail for removal in removals]

    assert left("p:a", "gone") == (["p:b"], ["disabled", "tried"])
    assert left("p:a", "p:b") == (["p:a", "p:b"], ["disabled"])


def test_a_larger_window_must_be_known_to_be_larger():
    """F4: after CONTEXT_EXCEEDED an unknown window is no answer."""
    known = registry(instance("p:a", ctx=8_000), instance("p:b", ctx=8_001), instance("p:c", ctx=0))
    asked = inquiry(known, above=8_000)
    mask, removals = sift(asked, asked.index.all)
    assert known.index.names(mask) == ["p:b"]
    assert [(each.filter.name, each.detail) for each in removals] == [("larger_ctx", "ctx not above 8000")]
    gone = known.get("p:c")
    assert removals[0].filter.saw(asked, gone) == ("ctx=unknown", "ctx>8000")


def test_the_first_filter_that_refuses_is_the_one_that_is_told():
    """R4: each instance is counted once; cheap filters come first."""
    bad = instance("p:i", enabled=False, deprecated_at=1, ctx=1, max_inflight=1)
    known = registry(bad, i=Condition(InstanceState.ERROR, credentials=False))
    asked = inquiry(known, Requirements(required=("vision", "pdf")), load={"p:i": 1})
    _, removals = sift(asked, asked.index.all)
    assert [(each.filter.name, each.mask.bit_count()) for each in removals] == [("enabled", 1)]


def test_every_filter_has_a_name_of_its_own():
    """R4."""
    names = [each.name for each in FILTERS]
    assert len(set(names)) == len(names)
