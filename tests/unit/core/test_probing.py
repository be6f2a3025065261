"""What probes say about an instance: from state to state, and what does not make it flip."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd.core.instance import Condition, InstanceState
from fleetd.core.probing import Outcome, ProbeResult, ProbeRules, Record, judge

RULES = ProbeRules()
UNKNOWN, READY, DEGRADED, ERROR, STOPPED, DISCONNECTED = InstanceState
NOW = 1_700_000_000_000

OK = ProbeResult(Outcome.OK, 40.0)
SLOW = ProbeResult(Outcome.OK, 1_400.0)
FAILED = ProbeResult(Outcome.FAILED, detail="HTTP 503")
REFUSED = ProbeResult(Outcome.REFUSED, detail="connection refused")


def after(
    *results: ProbeResult, start: Condition | None = None, rules: ProbeRules = RULES
) -> list[Condition]:
    """Return the conditions an instance goes through, a second apart."""
    condition, record, seen = start or Condition(UNKNOWN, "not probed yet"), Record(), []
    for number, result in enumerate(results, 1):
        condition, record = judge(condition, record, result, rules, NOW + number * 1_000)
        seen.append(condition)
    return seen


def states(*results: ProbeResult, **more) -> list[InstanceState]:
    return [condition.state for condition in after(*results, **more)]


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([OK], [READY]),
        ([FAILED], [UNKNOWN]),
        ([FAILED, FAILED], [UNKNOWN, ERROR]),
        ([OK, FAILED, OK], [READY, DEGRADED, READY]),
        ([OK, FAILED, FAILED], [READY, DEGRADED, ERROR]),
        ([OK, FAILED, FAILED, FAILED, OK], [READY, DEGRADED, ERROR, ERROR, READY]),
        ([OK, REFUSED, OK], [READY, DISCONNECTED, READY]),
        ([REFUSED, REFUSED, REFUSED], [DISCONNECTED] * 3),
        ([REFUSED, FAILED], [DISCONNECTED, ERROR]),
        ([OK, FAILED, REFUSED, OK], [READY, DEGRADED, DISCONNECTED, READY]),
    ],
)
def test_refused_is_disconnected_two_failures_are_an_error_and_one_success_is_ready(results, expected):
    """R1: refused → DISCONNECTED, 2 failures → ERROR, 1 success → READY, half-failing → DEGRADED."""
    assert states(*results) == expected


def test_a_disconnected_instance_whose_probes_fail_otherwise_stays_out_of_work():
    assert states(FAILED, start=Condition(DISCONNECTED)) == [DISCONNECTED]


def test_the_number_of_failures_is_a_setting():
    assert states(FAILED, start=Condition(READY), rules=ProbeRules(failures_to_error=1)) == [ERROR]
    assert states(*[FAILED] * 3, start=Condition(READY), rules=ProbeRules(failures_to_error=3)) == [
        DEGRADED,
        DEGRADED,
        ERROR,
    ]


def test_the_latency_is_a_weighted_mean_that_begins_with_the_first_probe():
    """R1: ewma 0.3."""
    first, second, third = after(*(ProbeResult(Outcome.OK, latency) for latency in (100.0, 200.0, 0.0)))
    assert (first.latency, second.latency, third.latency) == (100.0, 130.0, 91.0)


def test_failures_keep_the_latency_and_an_absence_ends_it():
    """R1, R9: after a recovery only what is now counts."""
    seen = after(SLOW, FAILED, FAILED, OK)
    assert [each.latency for each in seen] == [1_400.0, 1_400.0, 1_400.0, 40.0]
    assert [each.state for each in seen] == [DEGRADED, DEGRADED, ERROR, READY]


def test_a_slow_instance_is_degraded_until_it_is_clearly_fast_again():
    """R1: slow → DEGRADED, with hysteresis."""
    start = Condition(READY, latency=900.0)
    seen = after(
        ProbeResult(Outcome.OK, 1_300.0),
        *[ProbeResult(Outcome.OK, 900.0)] * 5,
        ProbeResult(Outcome.OK, 300.0),
        start=start,
    )
    assert seen[0].latency == 1_020.0
    assert seen[0].reason == "slow: answers take more than 1,000 ms"
    assert [each.state for each in seen] == [DEGRADED] * 6 + [READY]
    assert seen[5].latency is not None
    assert 800 < seen[5].latency < 1_000, "below the threshold, and still degraded"
    assert after(ProbeResult(Outcome.OK, 900.0), start=start)[0].state is READY


def test_an_instance_that_fails_half_of_its_probes_is_degraded_until_three_quarters_succeed():
    """R1: half-failing → DEGRADED, with hysteresis."""
    seen = after(OK, FAILED, OK, FAILED, OK, FAILED, OK, *[OK] * 8)
    assert [each.state for each in seen[:5]] == [READY, DEGRADED, READY, DEGRADED, READY]
    flapping = seen[7 - 1 :]
    assert [each.state for each in flapping[:1]] == [READY], "three of seven are less than a half"
    worse = after(FAILED, OK, FAILED, OK, FAILED, OK, FAILED, *[OK] * 9, start=Condition(READY, latency=40.0))
    assert [each.state for each in worse[:4]] == [DEGRADED, READY, DEGRADED, DEGRADED]
    assert worse[3].reason == "half-failing: 2 of the last 4 probes failed"
    assert [each.state for each in worse[7:]] == [DEGRADED] * 5 + [READY] * 4
    assert worse[11].reason == "half-failing: 3 of the last 10 probes failed"


@pytest.mark.parametrize(
    "start", [Condition(READY, held=True), Condition(ERROR, "by hand", held=True), Condition(STOPPED)]
)
@pytest.mark.parametrize("result", [OK, SLOW, FAILED, REFUSED])
def test_what_an_operator_holds_or_stopped_is_left_alone(start, result):
    """R1: held states are left alone."""
    record = Record(failures=1)
    assert judge(start, record, result, RULES, NOW) == (start, record)


def test_since_is_when_the_state_began_and_the_reason_tells_why():
    seen = after(OK, OK, FAILED, FAILED, FAILED, OK)
    assert [each.since for each in seen] == [NOW + second * 1_000 for second in (1, 1, 3, 4, 4, 6)]
    assert [each.reason for each in seen] == [
        "", "", "1 failed probe: HTTP 503", "2 failed probes in a row: HTTP 503", "3 failed probes in a row: HTTP 503", "",
    ]  # fmt: skip


def test_credentials_are_not_the_probes_business():
    assert not after(OK, start=Condition(UNKNOWN, credentials=False))[0].credentials


@given(
    st.lists(st.sampled_from([OK, SLOW, FAILED, REFUSED])),
    st.sampled_from([UNKNOWN, READY, DEGRADED, ERROR, DISCONNECTED]),
)
def test_whatever_probes_say_the_state_follows_from_them(results, state):
    """R1: no success without work after it, no work after two failures or a refusal."""
    seen = [Condition(state), *after(*results, start=Condition(state))]
    for number, (before, now) in enumerate(pairwise(seen)):
        result = results[number]
        assert (result.outcome is Outcome.OK) <= (now.state in {READY, DEGRADED})
        assert (result.outcome is Outcome.REFUSED) <= (now.state is DISCONNECTED)
        if result is FAILED and number and results[number - 1] is FAILED:
            assert now.state is ERROR
        if result is FAILED and before.state not in {READY, DEGRADED}:
            assert now.state not in {READY, DEGRADED}
        assert bool(now.reason) is (now.state is not READY)
