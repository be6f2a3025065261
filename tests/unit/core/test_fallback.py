"""When a rollout falls back, and how it comes back, at exact thresholds and times. G3, G4."""

from dataclasses import replace

import pytest

from fleetd.core.fallback import (
    Fallback,
    FallbackRules,
    Forced,
    Health,
    Move,
    Phase,
    Step,
    Sums,
    forced,
    judge,
    moved,
    released,
    reset,
    violations,
)

RULES = FallbackRules()
NOW = 1_750_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000

NORMAL = Fallback()
FALLEN = Fallback(Phase.FALLBACK, "too many errors", NOW, NOW + MINUTE, MINUTE, 0, 2)
ON_TRIAL = Fallback(Phase.TRIAL, "too many errors", NOW, NOW + 5 * MINUTE, MINUTE, 0, 3)

NOTHING = Sums()
WELL, ILL = Health(asked=True), Health(3, "503 Service Unavailable", asked=True)
UNASKED = Health()
GOOD = Sums(100, 2, 0, 100 * 1_500)
FAILING = Sums(100, 55, 0, 100 * 1_500)
ERRORS = "error rate too high: 55.00% (threshold: 50.00%)"


def of(total, *, errors=0, timeouts=0, average=1_000):
    return Sums(total, errors, timeouts, total * average)


def judged(state, new=NOTHING, old=NOTHING, health=UNASKED, elapsed=0, rules=RULES):
    return judge(state, rules, new, old, health, elapsed)


def names(sums, rules=RULES, share=1.0):
    return [each.name for each in violations(sums, rules, share)]


def after(state, step, *, at=NOW, epoch=9, rules=RULES, **more):
    return moved(state, Move(step, **more), rules, at, epoch)


# Thresholds


@pytest.mark.parametrize("total", [10, 30, 70, 100, 700, 1_000, 12_340])
def test_at_exactly_the_threshold_nothing_happens_and_one_more_trips(total):
    """G3: strictly greater; also where a product of floats is a little less than it should be."""
    half, third = total // 2, total * 3 // 10
    assert judged(NORMAL, of(total, errors=half)) is None
    assert judged(NORMAL, of(total, errors=half + 1)).step is Step.TRIP
    assert judged(NORMAL, of(total, timeouts=third)) is None
    assert judged(NORMAL, of(total, timeouts=third + 1)).step is Step.TRIP
    slow = of(total, average=240_000)
    assert judged(NORMAL, slow) is None
    assert judged(NORMAL, slow._replace(latency=slow.latency + 1)).step is Step.TRIP


@pytest.mark.parametrize("percent", range(1, 100))
def test_every_threshold_in_per_cent_is_exact(percent):
    """G3: 29 of 100 do not exceed 0.29, although 0.29 * 100 is 28.999999999999996."""
    share = float(f"0.{percent:02}")
    rules = replace(RULES, error_rate=share, timeout_rate=share, latency_share=share)
    for total in (100, 200, 700, 1_000, 33_300, 10**9):
        reached = total * percent // 100
        at = Sums(total, reached, reached, total * 3_000 * percent)
        assert names(at, rules) == []
        above = Sums(total, reached + 1, reached + 1, at.latency + 1)
        assert names(above, rules) == ["error_rate", "timeout_rate", "latency"]


@pytest.mark.parametrize("percent", [7, 29, 57, 58, 99])
def test_a_share_of_a_threshold_is_exact_too(percent):
    """G4: at exactly half the thresholds a trial is healthy."""
    rules = replace(RULES, error_rate=percent / 100, timeout_rate=percent / 100)
    for total in (200, 1_400, 20_000):
        reached = total * percent // 200
        assert names(of(total, errors=reached, timeouts=reached), rules, 0.5) == []
        found = names(of(total, errors=reached + 1, timeouts=reached + 1), rules, 0.5)
        assert found == ["error_rate", "timeout_rate"]


@pytest.mark.parametrize(("errors", "trips"), [(0, False), (10, True)])
def test_with_nine_samples_nothing_happens_with_ten_it_does(errors, trips):
    """G3: at least 10 samples."""
    assert judged(NORMAL, of(9, errors=min(errors, 9))) is None
    assert (judged(NORMAL, of(10, errors=errors)) is not None) is trips


@pytest.mark.parametrize("rules", [RULES, replace(RULES, min_samples=0), replace(RULES, error_rate=0.0)])
def test_no_data_decides_nothing(rules):
    """G3, G5."""
    assert judged(NORMAL, rules=rules) is None
    assert judged(NORMAL, NOTHING, FAILING, WELL, HOUR, rules) is None
    assert (NOTHING.error_rate, NOTHING.timeout_rate, NOTHING.average) == (0.0, 0.0, 0.0)


def test_the_reason_has_the_form_of_the_specification():
    """G3, seed 004."""
    assert judged(NORMAL, FAILING) == (Step.TRIP, "error rate too high: 55.00% (threshold: 50.00%)", True)


def test_all_violated_causes_are_named():
    """G3: joined by a semicolon."""
    bad = of(200, errors=110, timeouts=61, average=240_001)
    assert judged(NORMAL, bad, health=ILL).reason == (
        "error rate too high: 55.00% (threshold: 50.00%); "
        "timeout rate too high: 30.50% (threshold: 30.00%); "
        "average latency too high: 240001 ms (threshold: 240000 ms); "
        "health probe failed 3 times in a row: 503 Service Unavailable"
    )
    assert judged(NORMAL, bad._replace(errors=100), health=WELL).reason == (
        "timeout rate too high: 30.50% (threshold: 30.00%); "
        "average latency too high: 240001 ms (threshold: 240000 ms)"
    )


# The probe


def test_the_third_failure_of_the_probe_in_a_row_trips_without_any_outcome():
    """G3: failing 3 times in a row."""
    assert judged(NORMAL, health=Health(2, "refused", asked=True)) is None
    move = judged(NORMAL, health=Health(3, "refused", asked=True))
    assert move == (Step.TRIP, "health probe failed 3 times in a row: refused", True)
    assert judged(NORMAL, health=Health(4, asked=True)).reason == "health probe failed 4 times in a row"


def test_a_probe_that_was_never_answered_says_nothing():
    """G3: no data decides nothing."""
    rules = replace(RULES, probe_failures=0)
    assert judged(NORMAL, health=UNASKED, rules=rules) is None
    assert judged(NORMAL, GOOD, health=WELL) is None


# Upstream


@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (of(100, errors=55), "error"),
        (of(100, timeouts=40), "timeout"),
        (of(100, average=250_000), "average"),
    ],
)
def test_when_both_modes_fail_alike_the_new_one_is_not_blamed(bad, cause):
    """G3: the cause is upstream."""
    assert judged(NORMAL, bad, GOOD).reason.startswith(cause)
    assert judged(NORMAL, bad, bad) is None


def test_nine_outcomes_of_the_old_mode_excuse_nothing():
    """G3: the minimum is that of both."""
    assert judged(NORMAL, FAILING, of(9, errors=9)) is not None
    assert judged(NORMAL, FAILING, of(10, errors=10)) is None


@pytest.mark.parametrize(
    ("new", "old", "blamed"),
    [
        (of(100, errors=51), of(100, errors=49), False),
        (of(100, errors=51), of(100, errors=36), False),
        (of(100, errors=51), of(100, errors=35), True),
        (of(100, errors=100), of(100, errors=70), False),
        (of(100, errors=100), of(100, errors=69), True),
        (of(10, errors=6), of(1000, errors=419), True),
        (of(10, errors=6), of(1000, errors=420), False),
        (of(100, timeouts=31), of(100, timeouts=29), False),
        (of(100, timeouts=31), of(100, timeouts=21), True),
        (of(100, average=241_000), of(100, average=239_000), False),
        (of(100, average=241_000), of(100, average=168_000), True),
    ],
)
def test_an_old_mode_that_is_close_behind_fails_alike(new, old, blamed):
    """G3: an outage of both fills both windows at one pace; which is past the threshold first is chance."""
    assert (judged(NORMAL, new, old) is not None) is blamed


def test_each_cause_is_excused_by_itself_alone():
    """G3: what the old mode does not do is the new mode's own."""
    both = of(100, errors=55, timeouts=40)
    assert (
        judged(NORMAL, both, of(100, errors=60)).reason == "timeout rate too high: 40.00% (threshold: 30.00%)"
    )
    assert judged(NORMAL, both, of(100, timeouts=60)).reason == ERRORS
    assert judged(NORMAL, both, of(100, errors=60, timeouts=60)) is None
    assert judged(NORMAL, both, of(100, average=299_000)).reason.startswith(ERRORS)


def test_the_probe_is_of_the_new_mode_alone_and_never_upstream():
    """G3."""
    assert judged(NORMAL, FAILING, FAILING, ILL).reason.startswith("health probe failed")


# From fallback to trial


def test_the_trial_begins_when_the_dwell_is_over_and_not_before():
    """G4: dwell 60 s."""
    assert judged(FALLEN, GOOD, elapsed=MINUTE - 1) is None
    assert judged(FALLEN, elapsed=MINUTE) == (Step.BEGIN_TRIAL, FALLEN.reason, True)
    longer = replace(FALLEN, dwell=4 * MINUTE)
    assert judged(longer, elapsed=4 * MINUTE - 1) is None
    assert judged(longer, elapsed=4 * MINUTE).step is Step.BEGIN_TRIAL


def test_a_dwell_that_was_never_set_is_the_first_one():
    """G4."""
    unset = replace(FALLEN, dwell=0)
    assert judged(unset, elapsed=MINUTE - 1) is None
    assert judged(unset, elapsed=MINUTE).step is Step.BEGIN_TRIAL


def test_no_trial_while_the_probe_fails():
    """G4: it would fail beforehand; as soon as the probe is well the trial begins."""
    assert judged(FALLEN, health=ILL, elapsed=HOUR) is None
    for health in (Health(2, "refused", asked=True), WELL, UNASKED):
        assert judged(FALLEN, health=health, elapsed=HOUR).step is Step.BEGIN_TRIAL


def test_outcomes_do_not_shorten_or_prolong_a_fallback():
    """G4: what comes in then is late."""
    for new in (GOOD, FAILING, NOTHING):
        assert judged(FALLEN, new, elapsed=MINUTE - 1) is None
        assert judged(FALLEN, new, elapsed=MINUTE).step is Step.BEGIN_TRIAL


def test_a_trial_keeps_the_reason_of_its_fallback_and_has_an_end():
    """G4, G5."""
    state = after(FALLEN, Step.BEGIN_TRIAL, at=NOW + MINUTE)
    assert state == replace(FALLEN, phase=Phase.TRIAL, since=NOW + MINUTE, until=NOW + 6 * MINUTE, epoch=9)


# The end of a trial


def test_a_trial_recovers_with_ten_samples_at_half_the_thresholds():
    """G4: healthy at half the thresholds, exactly half too."""
    half = of(20, errors=5, timeouts=3, average=120_000)
    assert judged(ON_TRIAL, half) == (Step.RECOVER, "", True)
    assert judged(ON_TRIAL, of(9)) is None
    assert judged(ON_TRIAL, of(10)).step is Step.RECOVER


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (of(20, errors=6), "error rate too high: 30.00% (threshold: 25.00%)"),
        (of(20, timeouts=4), "timeout rate too high: 20.00% (threshold: 15.00%)"),
        (of(20, average=120_001), "average latency too high: 120001 ms (threshold: 120000 ms)"),
        (
            of(20, errors=6, timeouts=4),
            "error rate too high: 30.00% (threshold: 25.00%); timeout rate too high: 20.00% (threshold: 15.00%)",
        ),
    ],
)
def test_a_trial_fails_just_above_half_the_thresholds(bad, reason):
    """G4."""
    assert judged(NORMAL, bad) is None
    assert judged(ON_TRIAL, bad) == (Step.FAIL_TRIAL, reason, True)


def test_a_trial_fails_with_the_probe_whatever_the_outcomes_say():
    """G4."""
    for new in (NOTHING, GOOD):
        move = judged(ON_TRIAL, new, FAILING, ILL)
        assert move == (
            Step.FAIL_TRIAL,
            "health probe failed 3 times in a row: 503 Service Unavailable",
            True,
        )
    assert judged(ON_TRIAL, health=Health(2, asked=True)) is None


def test_a_trial_ends_after_its_time_with_whatever_it_saw():
    """G4: few outcomes must not keep a rollout in it."""
    end = RULES.trial_for
    for few, step in (
        (of(1), Step.RECOVER),
        (of(4, errors=1), Step.RECOVER),
        (of(3, errors=1), Step.FAIL_TRIAL),
    ):
        assert judged(ON_TRIAL, few, elapsed=end - 1) is None
        assert judged(ON_TRIAL, few, elapsed=end).step is step


@pytest.mark.parametrize("health", [UNASKED, WELL, Health(2, "refused", asked=True)])
def test_a_fallback_without_any_traffic_ends_by_itself_g4a(health):
    """G4a: MUST NOT stay in fallback for ever because no samples arrive."""
    state = after(NORMAL, Step.TRIP, reason=ERRORS)
    assert judged(state, health=health, elapsed=RULES.dwell - 1) is None
    move = judged(state, health=health, elapsed=RULES.dwell)
    state = moved(state, move, RULES, NOW + RULES.dwell, 3)
    assert judged(state, health=health, elapsed=RULES.trial_for - 1) is None
    move = judged(state, health=health, elapsed=RULES.trial_for)
    assert move.step is Step.RECOVER
    assert moved(state, move, RULES, NOW + HOUR, 4).phase is Phase.NORMAL


# Dwells


def test_each_failed_trial_doubles_the_dwell_up_to_half_an_hour():
    """G4: ×2 per failed trial up to 30 min."""
    state, dwells = after(NORMAL, Step.TRIP), []
    for number in range(1, 8):
        state = after(after(state, Step.BEGIN_TRIAL), Step.FAIL_TRIAL, reason=f"again {number}")
        assert (state.phase, state.failed_trials) == (Phase.FALLBACK, number)
        assert (state.reason, state.until) == (f"again {number}", NOW + state.dwell)
        dwells.append(state.dwell // MINUTE)
    assert dwells == [2, 4, 8, 16, 30, 30, 30]


def test_a_trial_that_failed_like_the_old_mode_does_not_double_the_dwell():
    """G3, G4: it falls back again, the new mode is not blamed."""
    move = judged(ON_TRIAL, FAILING, FAILING)
    assert move == (Step.FAIL_TRIAL, "error rate too high: 55.00% (threshold: 25.00%)", False)
    state = moved(ON_TRIAL, move, RULES, NOW, 4)
    assert (state.phase, state.dwell, state.failed_trials) == (Phase.FALLBACK, MINUTE, 1)


def test_alike_in_one_cause_and_alone_in_another_is_blamed():
    """G3: per cause."""
    bad = of(100, errors=55, timeouts=40)
    assert judged(ON_TRIAL, bad, of(100, errors=55)).blamed is True
    assert judged(ON_TRIAL, bad, of(100, errors=55, timeouts=40)).blamed is False
    assert judged(ON_TRIAL, bad, of(9, errors=9, timeouts=9)).blamed is True
    assert judged(ON_TRIAL, of(100, errors=26), of(100, errors=26)).blamed is False, (
        "half the thresholds for both"
    )
    assert judged(ON_TRIAL, of(100, errors=26), of(100, errors=19)).blamed is False, "close behind"
    assert judged(ON_TRIAL, of(100, errors=26), of(100, errors=18)).blamed is True


@pytest.mark.parametrize(
    ("healthy", "minutes"),
    [(0, 16), (HOUR - 1, 16), (HOUR, 8), (2 * HOUR - 1, 8), (2 * HOUR, 4), (4 * HOUR, 1), (1_000 * HOUR, 1)],
)
def test_the_dwell_halves_with_every_healthy_hour(healthy, minutes):
    """G4."""
    well = after(replace(ON_TRIAL, dwell=16 * MINUTE, failed_trials=4), Step.RECOVER)
    assert well == Fallback(Phase.NORMAL, "", NOW, 0, 16 * MINUTE, 0, 9)
    state = after(well, Step.TRIP, at=NOW + healthy, reason=ERRORS)
    assert state.dwell == minutes * MINUTE
    assert (state.since, state.until) == (NOW + healthy, NOW + healthy + state.dwell)


def test_a_clock_that_was_set_back_does_not_lengthen_the_dwell():
    """G4."""
    well = replace(NORMAL, since=NOW, dwell=4 * MINUTE)
    assert after(well, Step.TRIP, at=NOW - 10 * HOUR).dwell == 4 * MINUTE


@pytest.mark.parametrize("since", [0, NOW - 10 * HOUR])
def test_the_first_fallback_has_the_first_dwell(since):
    """G4."""
    state = after(replace(NORMAL, since=since), Step.TRIP, reason=ERRORS)
    assert state == Fallback(Phase.FALLBACK, ERRORS, NOW, NOW + MINUTE, MINUTE, 0, 9)


def test_the_dwell_keeps_within_the_bounds_when_they_were_changed():
    """G4."""
    longer = replace(RULES, dwell=5 * MINUTE)
    assert after(ON_TRIAL, Step.FAIL_TRIAL, rules=longer).dwell == 5 * MINUTE
    assert after(replace(NORMAL, dwell=MINUTE, since=NOW), Step.TRIP, rules=longer).dwell == 5 * MINUTE
    shorter = replace(RULES, dwell_max=2 * MINUTE)
    assert after(replace(ON_TRIAL, dwell=30 * MINUTE), Step.FAIL_TRIAL, rules=shorter).dwell == 2 * MINUTE
    assert after(replace(NORMAL, dwell=30 * MINUTE, since=NOW), Step.TRIP, rules=shorter).dwell == 2 * MINUTE


# By hand


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("state", [NORMAL, FALLEN, ON_TRIAL])
def test_nothing_happens_by_itself_while_something_is_forced(state, on):
    """G4."""
    what = Forced(on, "by hand", "ann", NOW + HOUR)
    held = forced(state, what, 7)
    assert held == replace(state, forced=what, epoch=7)
    for new in (NOTHING, GOOD, FAILING):
        for health in (WELL, ILL):
            assert judged(held, new, health=health, elapsed=10 * HOUR) is None


def test_released_a_healthy_rollout_is_what_it_was():
    """G4: with the healthy time it had, and only new outcomes count."""
    well = replace(NORMAL, since=NOW - HOUR, dwell=4 * MINUTE)
    held = forced(well, Forced(on=True, reason="by hand"), 7)
    assert released(held, NOW, 8) == replace(well, epoch=8)


def test_released_a_fallback_has_its_whole_dwell_before_it():
    """G4."""
    held = forced(replace(FALLEN, dwell=4 * MINUTE), Forced(on=False, reason="by hand"), 7)
    later = NOW + HOUR
    state = released(held, later, 8)
    assert state == replace(FALLEN, dwell=4 * MINUTE, since=later, until=later + 4 * MINUTE, epoch=8)


def test_released_a_trial_begins_anew():
    """G4: one that ran out meanwhile would recover on the outcomes of nobody."""
    held = forced(ON_TRIAL, Forced(on=True, reason="by hand"), 7)
    later = NOW + HOUR
    state = released(released(held, later - MINUTE, 8), later, 9)
    assert state == replace(ON_TRIAL, since=later, until=later + RULES.trial_for, epoch=9)


def test_a_reset_forgets_the_fallback_its_dwell_its_reason_and_what_was_forced():
    """G4: manual reset starts a new epoch."""
    assert reset(NOW, 12) == Fallback(Phase.NORMAL, "", NOW, 0, 0, 0, 12, None)
    assert after(reset(NOW, 12), Step.TRIP).dwell == MINUTE


def test_right_after_a_reset_the_outcomes_of_before_do_not_trip_it_again_g4b():
    """G4b: an outcome counts when its epoch is not older than the state's."""
    outcomes = [(1, True)] * 50
    state = moved(NORMAL, judged(NORMAL, counted(NORMAL, outcomes)), RULES, NOW, 2)
    assert state.phase is Phase.FALLBACK
    state = reset(NOW + 1, 3)
    outcomes += [(1, True)] * 20 + [(2, True)] * 20  # they come late
    assert judged(state, counted(state, outcomes)) is None
    outcomes += [(3, True)] * 9
    assert judged(state, counted(state, outcomes)) is None
    outcomes += [(3, True)]
    assert judged(state, counted(state, outcomes)).reason.startswith("error rate too high: 100.00%")


def counted(state, outcomes):
    recent = [error for epoch, error in outcomes if epoch >= state.epoch]
    return of(len(recent), errors=sum(recent))
