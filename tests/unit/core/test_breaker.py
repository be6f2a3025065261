"""Breakers: F3, F4."""

import pytest

from fleetd.core.breaker import Breaker, BreakerKind, BreakerRules, BreakerState, Change

RULES = BreakerRules()
NOW = 1_700_000_000_000


@pytest.fixture
def breaker():
    return Breaker(BreakerKind.INSTANCE, "a:1")


def strike(breaker, times=1, now=NOW, **options):
    return [breaker.fail(now, RULES, breaker.epoch, "TIMEOUT", **options) for _ in range(times)]


def test_the_third_strike_in_a_row_opens_it_for_five_minutes(breaker):
    """F3."""
    assert strike(breaker, 3) == [None, None, Change.OPENED]
    assert (breaker.state, breaker.opened_at, breaker.retry_at) == (BreakerState.OPEN, NOW, NOW + 300_000)
    assert breaker.last_error == "TIMEOUT"


def test_a_success_between_strikes_begins_the_count_anew(breaker):
    """F3."""
    strike(breaker, 2)
    breaker.succeed(NOW, RULES, breaker.epoch)
    assert strike(breaker, 2) == [None, None]


def test_it_half_opens_when_its_time_is_over_and_one_success_closes_it(breaker):
    """F3."""
    strike(breaker, 3)
    assert breaker.pass_time(NOW + 299_999) is None
    assert breaker.pass_time(NOW + 300_000) is Change.HALF_OPENED
    assert breaker.succeed(NOW + 300_001, RULES, breaker.epoch) is Change.CLOSED
    assert (breaker.state, breaker.failures, breaker.retry_at) == (BreakerState.CLOSED, 0, 0)


def test_a_failed_probe_opens_it_for_as_long_again(breaker):
    """F3."""
    strike(breaker, 3)
    breaker.pass_time(NOW + 300_000)
    assert strike(breaker, now=NOW + 300_500) == [Change.OPENED]
    assert breaker.retry_at == NOW + 600_500


def test_results_from_before_the_opening_change_nothing(breaker):
    """F3."""
    before = breaker.epoch
    strike(breaker, 3)
    assert breaker.succeed(NOW, RULES, before) is None
    breaker.pass_time(NOW + 300_000)
    assert breaker.succeed(NOW + 300_000, RULES, before) is None
    assert breaker.fail(NOW + 300_000, RULES, before, "503") is None
    assert breaker.state is BreakerState.HALF_OPEN


def test_refused_credentials_open_it_at_once_and_longer(breaker):
    """F4: AUTH and BILLING."""
    assert strike(breaker, open_for=RULES.refused_for) == [Change.OPENED]
    assert breaker.retry_at == NOW + 1_800_000


def test_too_many_failed_calls_of_the_last_minute_open_it(breaker):
    """F3: more than half of at least ten; 429 counts here alone (F4)."""
    for _ in range(5):
        breaker.succeed(NOW, RULES, 0)
    assert strike(breaker, 5, strike=False) == [None] * 5
    assert strike(breaker, 1, strike=False) == [Change.OPENED]


def test_nine_failed_calls_are_too_few_for_the_ratio(breaker):
    """F3."""
    assert strike(breaker, 9, strike=False) == [None] * 9
    assert strike(breaker, 1, strike=False) == [Change.OPENED]


def test_calls_of_more_than_a_minute_ago_do_not_count(breaker):
    """F3."""
    strike(breaker, 9, strike=False)
    assert strike(breaker, 1, now=NOW + 60_000, strike=False) == [None]


def test_a_wall_clock_that_is_set_back_leaves_no_witnesses_from_the_future(breaker):
    """F3."""
    strike(breaker, 9, strike=False)
    assert strike(breaker, 1, now=NOW - 3_600_000, strike=False) == [None]


def test_an_operator_opens_and_closes_it(breaker):
    """F3."""
    assert breaker.force(NOW, 60_000, "maintenance") is Change.OPENED
    assert (breaker.forced, breaker.last_error, breaker.retry_at) == (True, "maintenance", NOW + 60_000)
    assert breaker.reset() is Change.CLOSED
    assert breaker.reset() is None
    assert not breaker.forced


def test_a_restart_keeps_the_remaining_time(breaker):
    """F3: what is stored is enough to go on."""
    strike(breaker, 3)
    again = Breaker(
        breaker.kind,
        breaker.name,
        breaker.state,
        breaker.failures,
        breaker.opened_at,
        breaker.retry_at,
        breaker.last_error,
        breaker.forced,
        breaker.epoch,
    )
    assert again.pass_time(NOW + 299_999) is None
    assert again.pass_time(NOW + 300_000) is Change.HALF_OPENED


def test_the_calls_it_remembers_are_bounded_and_counted_right(breaker):
    """F3, S7."""
    for number in range(5_000):
        failed = number % 3 == 0
        if failed:
            breaker.fail(NOW, BreakerRules(strikes=10**9), 0, "503")
        else:
            breaker.succeed(NOW, RULES, 0)
    assert len(breaker.calls) == 1_000
    assert breaker.failed_calls == sum(failed for _, failed in breaker.calls)
