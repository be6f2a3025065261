"""Windows of outcomes against a list of them all: what counts, until when, and what it costs. G3, G5."""

import math
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetd.core.fallback import FallbackRules, Sums
from fleetd.core.rollout_window import SLICES, Window, class_of, upper_bound

SPAN = FallbackRules().window
SLICE = SPAN // SLICES
START = 1_234_567
SPANS = st.sampled_from((SPAN, 1, 7, 59, 60, 61, 119, 1_000, 3_599, 10_050, 3_600_000)) | st.integers(
    1, 10**7
)


class Outcome(NamedTuple):
    at: int
    latency: int
    error: bool
    timeout: bool


def add(window, at, latency=100, *, error=False, timeout=False):
    window.add(at, latency, error=error, timeout=timeout)


def total(outcomes):
    return Sums(
        len(outcomes),
        sum(one.error for one in outcomes),
        sum(one.timeout for one in outcomes),
        sum(one.latency for one in outcomes),
    )


def exact(outcomes, share):
    """Return the latency that `share` of the outcomes do not exceed, from a sorted list of all."""
    ordered = sorted(one.latency for one in outcomes)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


latencies = st.integers(0, 400_000) | st.integers(0, 60) | st.just(300_000)


@st.composite
def histories(draw):
    """Return a span, and outcomes with gaps from nothing to more than the whole of it."""
    span = draw(SPANS)
    gaps = (
        st.integers(0, max(1, span // 30)) | st.integers(0, span * 2) | st.sampled_from((0, span - 1, span))
    )
    rows = draw(st.lists(st.tuples(gaps, latencies, st.booleans(), st.booleans()), max_size=60))
    outcomes, now = [], START
    for gap, *rest in rows:
        now += gap
        outcomes.append(Outcome(now, *rest))
    return span, outcomes


@settings(deadline=None)
@given(histories(), st.data())
def test_the_sums_are_those_of_the_list_to_within_one_slice(history, data):
    """G3: nothing older than the window counts, everything younger than the window less one slice does, whatever the span."""
    span, outcomes = history
    window, length = Window(span), max(1, math.ceil(span / SLICES))
    for number, one in enumerate(outcomes):
        window.add(*one[:2], error=one.error, timeout=one.timeout)
        if data.draw(st.booleans()):
            check(window, outcomes[: number + 1], one.at, span, length)
    later = (outcomes[-1].at if outcomes else START) + data.draw(st.integers(0, span + 1))
    check(window, outcomes, later, span, length)


def check(window, outcomes, now, span, length):
    sums = window.sums(now)
    surely = [one for one in outcomes if now - one.at <= span - length]
    perhaps = [one for one in outcomes if now - one.at < span]
    # Slices go in order, so that what counts is an end of the list.
    counted = outcomes[len(outcomes) - sums.total :]
    assert sums == total(counted)
    assert len(surely) <= sums.total <= len(perhaps)
    if counted:
        p95 = exact(counted, 0.95)
        assert p95 <= window.percentile(now, 0.95) <= max(1, p95 * 1.05)


def test_an_outcome_counts_for_the_window_to_within_one_slice():
    """G3: a sliding window of 5 minutes."""
    for offset in (0, 1, SLICE // 2, SLICE - 1):
        window, at = Window(SPAN), START // SLICE * SLICE + offset
        add(window, at)
        assert window.sums(at + SPAN - SLICE).total == 1
        assert window.sums(at + SPAN).total == 0
    add(window, at + SPAN)
    assert window.sums(at + SPAN).total == 1, "it goes on after it was empty"


def test_the_window_slides_and_does_not_jump():
    """G3: with an outcome a second it holds the last 5 minutes at every second."""
    window = Window(SPAN)
    for second in range(2_000):
        add(window, START + second * 1_000, error=second % 2 == 0)
        sums = window.sums(START + second * 1_000)
        assert min(second + 1, 295) <= sums.total <= min(second + 1, 300)
        assert abs(sums.errors - sums.total / 2) <= 1


def test_a_timeout_and_an_error_of_one_outcome_count_in_both():
    """G5: timeout overlaps both."""
    window = Window(SPAN)
    add(window, START, 300_001, error=True, timeout=True)
    add(window, START, 300_001, timeout=True)
    add(window, START, 50, error=True)
    add(window, START, 48)
    assert window.sums(START) == (4, 2, 2, 600_100)
    assert window.sums(START).average == 150_025
    assert (window.sums(START).error_rate, window.sums(START).timeout_rate) == (0.5, 0.5)


def test_an_empty_window_says_nothing():
    """G3: no data decides nothing."""
    window = Window(SPAN)
    assert (window.sums(START), window.percentile(START, 0.95)) == (Sums(), 0)
    add(window, START)
    assert (window.sums(START + SPAN), window.percentile(START + SPAN, 0.95)) == (Sums(), 0)


def test_cleared_it_is_as_new():
    """G4b: nothing of what was before counts."""
    window = Window(SPAN)
    for at in range(START, START + SPAN, 500):
        add(window, at, at % 7_000, error=True, timeout=True)
    window.clear()
    now = START + SPAN
    assert (window.sums(now), window.percentile(now, 0.95)) == (Sums(), 0)
    add(window, now, 7)
    assert (window.sums(now), window.percentile(now, 0.95)) == ((1, 0, 0, 7), 7)
    assert window.sums(now + SPAN) == Sums()


def test_a_latency_is_shown_to_within_five_per_cent():
    """G5: never below what it was."""
    for latency in (*range(20_000), 240_000, 240_001, 300_000, 86_400_000):
        shown = upper_bound(class_of(latency))
        assert latency <= shown <= max(1, latency * 1.05)
        assert class_of(shown) == class_of(latency)


@pytest.mark.parametrize(
    ("count", "rank"), [(1, 1), (2, 2), (19, 19), (20, 19), (21, 20), (100, 95), (1_000, 950)]
)
def test_the_95th_percentile_is_that_of_the_rank(count, rank):
    """G5: of 100 outcomes 95 do not exceed it."""
    window = Window(SPAN)
    for number in range(count, 0, -1):
        add(window, START, number * 1_000)
    assert rank * 1_000 <= window.percentile(START, 0.95) <= rank * 1_050


def test_its_memory_does_not_grow_with_the_outcomes():
    """G5: so many slices and so many classes, whatever comes."""
    window = Window(SPAN)
    for number in range(60_000):
        add(window, START + number * 97, number * 7_919 % 86_400_000)
    classes = class_of(86_400_000) + 1
    assert len(window._slices) <= SLICES + 1
    assert len(window._classes) <= classes
    assert all(len(piece.classes) <= classes for piece in window._slices)
    assert classes < 400


@pytest.mark.parametrize("span", [1, 59, 61, 119, 3_599, SPAN])
def test_no_span_needs_more_slices(span):
    """G3."""
    window = Window(span)
    for at in range(START, START + min(3 * span, 10_000)):
        add(window, at)
        assert len(window._slices) <= SLICES + 1
