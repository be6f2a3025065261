"""What percentages promise, over any keys, salts and percentages. G2."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from fleetd.core.fallback import Fallback
from fleetd.core.rollout import STEPS, BucketBy, Cause, Rollout, RolloutMode, bucket, decide, within

KEYS = 2_000
words = st.text(max_size=40)
hundredths = st.integers(0, STEPS) | st.sampled_from((0, 1, STEPS - 1, STEPS))
percents = hundredths.map(lambda number: number / 100)
populations = st.text(st.characters(codec="ascii", categories=("L", "N")), max_size=12)


def keys(population):
    return [f"{population}-{number}" for number in range(KEYS)]


def within_four_sigma(seen, share, count=KEYS):
    """Tell whether so many of `count` are what chance makes of `share`; the half is for shares near 0 and 1."""
    return abs(seen - share * count) <= 4 * math.sqrt(count * share * (1 - share)) + 0.5


def decided(key, session="", **definition):
    rollout = Rollout("chat", RolloutMode("old"), RolloutMode("new"), "old", **definition)
    return decide(rollout, Fallback(), None, key, session, 1, lambda own: False)


@given(words, words, percents, percents)
def test_growing_a_percentage_never_moves_anyone_out(salt, key, one, other):
    """G2: growing a percentage only adds members."""
    less, more = sorted((one, other))
    place = bucket(salt, key)
    assert within(place, more) or not within(place, less)


@given(words, words.filter(bool), words, st.sampled_from(BucketBy), percents, percents)
def test_a_decision_for_the_new_mode_stays_when_the_percentage_grows(salt, org, session, by, one, other):
    """G2: through the whole decision, for work and for its shadow."""
    less, more = sorted((one, other))
    before, after = (
        decided(org, session, salt=salt, bucket_by=by, percent=percent) for percent in (less, more)
    )
    assert (before.mode, after.mode) != ("new", "old")
    assert before.bucket == after.bucket
    shadows = [
        decided(org, session, salt=salt, bucket_by=by, shadow_percent=percent).shadow
        for percent in (less, more)
    ]
    assert shadows != ["new", ""]


@given(words, words.filter(bool), words, st.sampled_from(BucketBy))
def test_nobody_is_in_nothing_and_everybody_in_all(salt, org, session, by):
    """G2: 0 and 100."""
    none = decided(org, session, salt=salt, bucket_by=by, percent=0.0, shadow_percent=0.0)
    assert (none.mode, none.cause, none.shadow) == ("old", Cause.DEFAULT_MODE, "")
    everybody = decided(org, session, salt=salt, bucket_by=by, percent=100.0)
    assert (everybody.mode, everybody.cause) == ("new", Cause.PERCENT)
    assert decided(org, session, salt=salt, bucket_by=by, shadow_percent=100.0).shadow == "new"


@given(words, words, percents)
def test_the_same_key_is_always_in_the_same_bucket(salt, key, percent):
    """G2: sticky, whatever else the definition says and whatever was asked before."""
    place = bucket(salt, key)
    assert 0 <= place < STEPS
    bucket(salt + "x", key)
    assert bucket(salt, key) == place
    if key:
        seen = decided(key, salt=salt, percent=percent, allow=frozenset({"x"}), version=7)
        assert seen.bucket == decided(key, salt=salt).bucket


@settings(deadline=None)
@given(hundredths)
def test_exactly_so_many_of_the_buckets_belong_to_a_percentage(number):
    """G2: two decimals, and no bucket too many by rounding."""
    percent = float(f"{number // 100}.{number % 100:02}")
    assert sum(within(place, percent) for place in range(STEPS)) == number


# Chance has its exceptions: over free draws one of some thousand would leave four sigma, so that these draw the same for ever.
@settings(max_examples=50, deadline=None, derandomize=True)
@given(populations, populations, percents)
def test_the_observed_share_is_the_percentage(salt, population, percent):
    """G2: within four sigma."""
    inside = sum(within(bucket(salt, key), percent) for key in keys(population))
    assert within_four_sigma(inside, percent / 100)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(populations, populations, populations, percents, percents)
def test_different_salts_are_independent(salt, pinch, population, one, other):
    """G2: who is in one rollout is in another as often as chance has it."""
    other_salt = f"{salt}/{pinch}+"
    both = sum(
        within(bucket(salt, key), one) and within(bucket(other_salt, key), other) for key in keys(population)
    )
    assert within_four_sigma(both, one * other / STEPS)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(populations, populations, percents)
def test_a_shadow_is_independent_of_the_percentage(salt, population, percent):
    """G2: among those who remain with the old mode the shadow percentage is what it says."""
    decisions = [decided(key, salt=salt, percent=percent, shadow_percent=30.0) for key in keys(population)]
    remaining = [decision for decision in decisions if decision.mode == "old"]
    shadowed = sum(decision.shadow == "new" for decision in remaining)
    assert within_four_sigma(shadowed, 0.3, len(remaining))


def test_the_buckets_are_uniform():
    """G2: chi-square of 100 classes over 100 000 keys; 99 degrees of freedom, so that 156 is four sigma above."""
    classes = [0] * 100
    for number in range(100_000):
        classes[bucket("pepper/org", f"org-{number}") // 100] += 1
    assert sum((seen - 1_000) ** 2 / 1_000 for seen in classes) < 156
