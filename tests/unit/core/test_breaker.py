"""Breakers at exact times: what opens them, what closes them, and what they do not hear. F3, F6, F8."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import pytest

from fleetd.core.breaker import (
    ERROR_CHARS,
    WINDOW_KEPT,
    Breaker,
    BreakerKind,
    BreakerRules,
    BreakerState,
    BreakerView,
    Change,
)
from fleetd.engine.half_open import Probes

RULES = BreakerRules()
NOW = 1_750_000_000_000
STORED = ("kind", "name", "state", "failures", "opened_at", "retry_at", "last_error", "forced", "epoch")


@pytest.fixture
def breaker():
    return Breaker(BreakerKind.PROVIDER, "openai")


def fail(breaker, at=NOW, rules=RULES, code="503", message="overloaded", **more):
    return breaker.fail(at, rules, code, message, **({"epoch": breaker.epoch} | more))


def succeed(breaker, at=NOW, rules=RULES, **more):
    return breaker.succeed(at, rules, **({"epoch": breaker.epoch} | more))


def opened(breaker, at=NOW):
    """Open a breaker by three strikes."""
    assert [fail(breaker, at) for _ in range(3)] == [None, None, Change.OPENED]
    return breaker


def half_opened(breaker, at=NOW):
    """Open it so long ago that it is half-open at `at`."""
    opened(breaker, at - RULES.open_for)
    assert breaker.due(at) is Change.HALF_OPENED
    return breaker


def stored(breaker):
    """Return the breaker as a store would give it back after a restart."""
    return Breaker(**{name: getattr(breaker, name) for name in STORED})


def test_the_third_strike_in_a_row_opens_for_five_minutes(breaker):
    """F3: 3 consecutive failures → open 5 min."""
    assert fail(breaker, NOW) is None
    assert fail(breaker, NOW + 1) is None
    assert (breaker.state, breaker.failures, breaker.admits(NOW + 1)) == (BreakerState.CLOSED, 2, True)
    assert fail(breaker, NOW + 2) is Change.OPENED
    assert breaker.view == (BreakerState.OPEN, NOW + 300_002, 1)
    assert (breaker.failures, breaker.opened_at, breaker.forced) == (3, NOW + 2, False)
    assert breaker.last_error == "503: overloaded"


def test_a_success_in_between_begins_the_count_anew(breaker):
    """F3: consecutive ones count."""
    rules = replace(RULES, window_calls=1_000)
    for _ in range(5):
        assert [fail(breaker, rules=rules), fail(breaker, rules=rules)] == [None, None]
        assert succeed(breaker, rules=rules) is None
        assert breaker.failures == 0
    assert breaker.state is BreakerState.CLOSED


def test_it_half_opens_at_the_millisecond_and_one_success_closes_it(breaker):
    """F3: open 5 min → half-open → one success closes."""
    opened(breaker)
    until = NOW + 300_000
    assert (breaker.admits(until - 1), breaker.due(until - 1)) == (False, None)
    assert (breaker.admits(until), breaker.due(until), breaker.due(until)) == (True, Change.HALF_OPENED, None)
    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.admits(until)
    assert succeed(breaker, until + 10) is Change.CLOSED
    assert breaker.view == (BreakerState.CLOSED, 0, 2)
    assert (breaker.failures, breaker.opened_at) == (0, NOW)
    assert [fail(breaker, until + 11), fail(breaker, until + 12)] == [None, None], "it begins with no strikes"


def test_a_failed_probe_opens_it_for_the_whole_time_again(breaker):
    """F3."""
    half_opened(breaker)
    assert fail(breaker, NOW + 7) is Change.OPENED
    assert breaker.view == (BreakerState.OPEN, NOW + 300_007, 2)
    assert (breaker.failures, breaker.opened_at) == (4, NOW + 7)


def test_a_probe_that_is_rate_limited_did_not_succeed(breaker):
    """F3, F3c: it opens again, so that nothing stays half-open for ever."""
    half_opened(breaker)
    assert fail(breaker, NOW + 7, code="429", ratio_only=True) is Change.OPENED
    assert (breaker.retry_at, breaker.failures) == (NOW + 300_007, 3)


def test_the_outcome_of_a_call_that_passed_when_the_time_had_come_counts_although_nobody_half_opened_it(
    breaker,
):
    """F3c: recovery does not depend on a timer."""
    opened(breaker)
    assert succeed(breaker, NOW + 299_999) is None
    assert succeed(breaker, NOW + 300_000) is Change.CLOSED
    opened(breaker, NOW + 300_000)
    assert fail(breaker, NOW + 600_000) is Change.OPENED
    assert breaker.retry_at == NOW + 900_000


@pytest.mark.parametrize("outcome", [fail, succeed])
def test_late_results_from_before_the_opening_change_nothing(breaker, outcome):
    """F3: in whatever state they find it."""
    opened(breaker)
    for at in (NOW + 1, NOW + 300_000, NOW + 300_001):
        before = replace(breaker)
        assert outcome(breaker, at, epoch=0) is None
        assert breaker == before
        breaker.due(at)
    assert breaker.state is BreakerState.HALF_OPEN
    assert succeed(breaker, NOW + 300_002) is Change.CLOSED
    before = replace(breaker)
    for epoch in (0, 1):
        assert outcome(breaker, NOW + 300_003, epoch=epoch) is None
    assert (breaker, len(breaker.window)) == (before, 0)


@pytest.mark.parametrize("outcome", [fail, succeed])
def test_while_it_is_open_no_outcome_changes_it(breaker, outcome):
    """F3: it is not prolonged, and not closed, by calls that were let through by force."""
    opened(breaker)
    before = replace(breaker)
    assert outcome(breaker, NOW + 100_000) is None
    assert breaker == before


def test_half_opening_keeps_the_epoch_of_the_opening(breaker):
    """F3: a call that passed at the millisecond the breaker half-opened is not late."""
    opened(breaker)
    seen = breaker.view.epoch
    breaker.due(NOW + 300_000)
    assert succeed(breaker, NOW + 300_001, epoch=seen) is Change.CLOSED


def test_auth_and_billing_open_at_once_for_half_an_hour(breaker):
    """F4: opens for 30 min."""
    assert fail(breaker, code="AUTH", message="", open_for=RULES.auth_open_for) is Change.OPENED
    assert breaker.view == (BreakerState.OPEN, NOW + 1_800_000, 1)
    assert (breaker.failures, breaker.last_error) == (1, "AUTH")
    breaker.due(NOW + 1_800_000)
    assert fail(breaker, NOW + 1_800_000, code="AUTH", open_for=RULES.auth_open_for) is Change.OPENED
    assert breaker.retry_at == NOW + 3_600_000


@pytest.mark.parametrize(
    ("succeeded", "failed", "opens"),
    [
        (4, 5, False),
        (5, 5, False),
        (4, 6, True),
        (50, 50, False),
        (49, 50, True),
        (0, 9, False),
        (0, 10, True),
    ],
)
def test_more_than_half_of_ten_calls_in_a_minute_open_it(breaker, succeeded, failed, opens):
    """F3: above 50 % of at least 10 calls in 60 s; 429 counts for that alone (F4)."""
    for _ in range(succeeded):
        succeed(breaker)
    changes = [fail(breaker, code="429", ratio_only=True) for _ in range(failed)]
    assert changes == [None] * (failed - 1) + [Change.OPENED if opens else None]
    assert breaker.failures == 0


def test_strikes_and_successes_by_turns_open_it_by_their_ratio(breaker):
    """F3: a strike counts for the ratio, too."""
    pattern = "ffsffsffsf"
    changes = [(fail if one == "f" else succeed)(breaker, NOW + at) for at, one in enumerate(pattern)]
    assert changes == [None] * 9 + [Change.OPENED]
    assert breaker.view == (BreakerState.OPEN, NOW + 9 + 300_000, 1)


@pytest.mark.parametrize(("gap", "opens"), [(59_999, True), (60_000, False)])
def test_calls_leave_the_window_after_a_minute(breaker, gap, opens):
    """F3: in 60 s."""
    fail(breaker, NOW, code="429", ratio_only=True)
    changes = [fail(breaker, NOW + gap, code="429", ratio_only=True) for _ in range(9)]
    assert changes[-1] is (Change.OPENED if opens else None)


def test_old_successes_do_not_hide_new_failures(breaker):
    """F3."""
    for _ in range(90):
        succeed(breaker)
    changes = [fail(breaker, NOW + 60_000, code="429", ratio_only=True) for _ in range(10)]
    assert changes == [None] * 9 + [Change.OPENED]


def test_a_success_never_opens_it(breaker):
    """F3: although the tenth call makes the ratio known."""
    for _ in range(9):
        fail(breaker, code="429", ratio_only=True)
    assert succeed(breaker) is None
    assert breaker.state is BreakerState.CLOSED


def test_what_it_remembers_is_bounded(breaker):
    """F3, S7: the last hundred calls, or as many as its rule needs."""
    for _ in range(1_000):
        succeed(breaker)
    assert len(breaker.window) == WINDOW_KEPT
    changes = [fail(breaker, code="429", ratio_only=True) for _ in range(51)]
    assert changes == [None] * 50 + [Change.OPENED], "51 of the last 100"
    wide = Breaker(BreakerKind.INSTANCE, "a:b")
    rules = replace(RULES, window_calls=300)
    changes = [fail(wide, code="429", ratio_only=True, rules=rules) for _ in range(300)]
    assert changes == [None] * 299 + [Change.OPENED]
    fail(breaker, message="x" * 10_000, at=breaker.retry_at)
    assert len(breaker.last_error) == ERROR_CHARS


def test_what_opened_it_is_forgotten_when_it_closes(breaker):
    """F3: ten old failures and one new one do not open it again."""
    for _ in range(10):
        fail(breaker, code="429", ratio_only=True)
    until = breaker.retry_at
    succeed(breaker, until)
    assert fail(breaker, until + 1, code="429", ratio_only=True) is None
    assert (len(breaker.window), breaker.window_failed) == (1, 1)


def test_the_strikes_of_a_single_task_open_nothing(breaker):
    """F3a: however often one poisoned task fails; the first strike of another opens it."""
    assert [fail(breaker, NOW + n * 70_000, source="poisoned") for n in range(9)] == [None] * 9
    assert breaker.failures == 9
    assert fail(breaker, NOW + 700_000, source="another") is Change.OPENED


def test_the_ratio_of_a_single_task_opens_nothing(breaker):
    """F3a: nor by the ratio rule."""
    limited = {"code": "429", "ratio_only": True}
    assert [fail(breaker, source="poisoned", **limited) for _ in range(30)] == [None] * 30
    assert fail(breaker, source="another", **limited) is Change.OPENED


@pytest.mark.parametrize(
    "sources", [("a", "a", "b"), ("a", "b", "b"), ("", "a", "a"), ("a", "", "a"), ("", "", "")]
)
def test_strikes_of_two_tasks_or_of_unknown_ones_open(breaker, sources):
    """F3, F3a."""
    assert [fail(breaker, source=source) for source in sources] == [None, None, Change.OPENED]


def test_a_success_forgets_whose_the_strikes_were(breaker):
    """F3a."""
    fail(breaker, source="a")
    fail(breaker, source="b")
    succeed(breaker)
    assert [fail(breaker, source="b") for _ in range(3)] == [None] * 3


def test_after_a_restart_the_strikes_of_before_are_somebody_elses(breaker):
    """F3: whose they were is not stored."""
    fail(breaker, source="a")
    fail(breaker, source="a")
    assert fail(stored(breaker), source="a") is Change.OPENED


def test_one_strike_is_enough_where_one_is_asked_for(breaker):
    """F3: thresholds are configuration."""
    assert fail(breaker, rules=replace(RULES, strikes=1), source="a") is Change.OPENED


def test_forced_open_it_stays_so_for_its_time(breaker):
    """F3: force open."""
    assert breaker.force(NOW, 60_000, "maintenance") is Change.OPENED
    assert breaker.view == (BreakerState.OPEN, NOW + 60_000, 1)
    assert (breaker.forced, breaker.last_error) == (True, "forced open: maintenance")
    assert (succeed(breaker, NOW + 59_999), fail(breaker, NOW + 59_999), breaker.forced) == (None, None, True)
    assert breaker.due(NOW + 60_000) is Change.HALF_OPENED
    assert not breaker.forced
    assert fail(breaker, NOW + 60_001) is Change.OPENED
    assert (breaker.forced, breaker.retry_at) == (False, NOW + 360_001)


def test_an_open_one_can_be_forced_and_begins_a_new_epoch(breaker):
    """F3: what it then admits when its time has come is not of before."""
    opened(breaker)
    assert breaker.force(NOW + 10, 1_000, "longer") is Change.OPENED
    assert breaker.view == (BreakerState.OPEN, NOW + 1_010, 2)
    assert succeed(breaker, NOW + 2_000, epoch=1) is None


@pytest.mark.parametrize("prepare", [opened, half_opened, lambda breaker: breaker.force(NOW, 1_000, "why")])
def test_a_reset_closes_and_forgets(breaker, prepare):
    """F3: reset one or all."""
    prepare(breaker)
    epoch = breaker.epoch
    assert breaker.reset(NOW) is Change.CLOSED
    assert breaker.view == (BreakerState.CLOSED, 0, epoch + 1)
    assert (breaker.failures, breaker.forced, breaker.last_error) == (0, False, "")
    assert fail(breaker, epoch=epoch) is None, "late"
    assert [fail(breaker), fail(breaker), fail(breaker)] == [None, None, Change.OPENED]


def test_a_reset_of_a_closed_one_takes_its_strikes_away(breaker):
    """F3: it keeps its epoch, as nothing opened or closed."""
    for _ in range(9):
        fail(breaker, code="429", ratio_only=True)
    fail(succeeded := Breaker(BreakerKind.HOST, "h"))
    assert (breaker.reset(NOW), succeeded.reset(NOW)) == (None, None)
    assert (succeeded.failures, breaker.epoch, len(breaker.window), breaker.window_failed) == (0, 0, 0, 0)
    assert fail(breaker, code="429", ratio_only=True) is None


@pytest.mark.parametrize("after", [0, 1, 123_456, 299_999])
def test_a_restart_keeps_the_remaining_time(breaker, after):
    """F3: persisted, surviving a restart with its remaining time."""
    opened(breaker)
    again = stored(breaker)
    assert again == breaker
    assert (again.admits(NOW + after), again.due(NOW + after)) == (False, None)
    assert again.due(NOW + 300_000) is Change.HALF_OPENED
    assert succeed(again, NOW + 300_000, epoch=breaker.epoch) is Change.CLOSED


def test_what_is_not_stored_is_no_part_of_a_breakers_identity():
    """F3: the test's list of stored fields is the module's."""
    assert tuple(one.name for one in fields(Breaker) if one.compare) == STORED


def test_a_copy_shares_nothing(breaker):
    """F3: a transaction that is taken back leaves the breaker as it was."""
    fail(breaker, source="a")
    fail(breaker, source="b")
    copy = breaker.copy()
    before = (replace(breaker), list(breaker.window), breaker.window_failed)
    assert (copy, list(copy.window), copy.window_failed) == before
    assert fail(copy, source="b") is Change.OPENED
    assert (breaker, list(breaker.window), breaker.window_failed) == before
    assert fail(breaker, source="b") is Change.OPENED, "whose strikes they were is copied, too"


def test_one_that_was_never_struck_is_closed():
    """F3."""
    assert BreakerView() == Breaker(BreakerKind.HOST, "h").view == (BreakerState.CLOSED, 0, 0)


K, OTHER = (BreakerKind.PROVIDER, "openai"), (BreakerKind.PROVIDER, "other")


def test_one_probe_at_a_time():
    """F3b: MUST NOT admit every caller when half-open."""
    probes = Probes()
    token = probes.take(K, NOW, RULES)
    assert token is not None
    assert [probes.take(K, NOW + later, RULES) for later in (0, 1, 59_999)] == [None] * 3
    assert probes.take(OTHER, NOW, RULES) not in (None, token)
    assert probes.held(NOW) == {K: NOW + 60_000, OTHER: NOW + 60_000}
    assert probes.release(K, token)
    assert probes.take(K, NOW + 1, RULES) is not None


def test_a_probe_that_never_reports_loses_its_place():
    """F3c: MUST NOT stay half-open for ever."""
    probes = Probes()
    first = probes.take(K, NOW, RULES)
    second = probes.take(K, NOW + 60_000, RULES)
    assert second is not None
    assert second != first
    assert not probes.release(K, first), "the place is another's now"
    assert probes.take(K, NOW + 60_001, RULES) is None
    assert probes.release(K, second)
    assert not probes.release(K, second)


def test_a_probe_that_comes_late_and_finds_its_place_free_gives_it_back():
    """F3c."""
    probes = Probes()
    token = probes.take(K, NOW, RULES)
    assert probes.release(K, token)
    assert probes.held(NOW) == {}


@pytest.mark.parametrize(("later", "held"), [(59_999, {K: NOW + 60_000}), (60_000, {})])
def test_only_probes_whose_lease_stands_are_held(later, held):
    """F3b, F3c."""
    probes = Probes()
    probes.take(K, NOW, RULES)
    assert probes.held(NOW + later) == held


def test_the_result_of_a_probe_counts_although_its_lease_is_over(breaker):
    """F3c: an instance that needs longer than the lease would otherwise never be well again."""
    half_opened(breaker)
    probes = Probes()
    slow = probes.take(breaker.key, NOW, RULES)
    assert probes.take(breaker.key, NOW + 60_000, RULES) is not None
    assert not probes.release(breaker.key, slow)
    assert succeed(breaker, NOW + 90_000) is Change.CLOSED


def test_threads_that_ask_at_once_get_one_probe_between_them():
    """F3b: safe between threads."""
    probes = Probes()
    gate = threading.Barrier(8)

    def ask(_):
        gate.wait()
        return [probes.take((BreakerKind.PROVIDER, f"k{n}"), NOW, RULES) for n in range(200)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    for column in zip(*answers, strict=True):
        assert sum(token is not None for token in column) == 1
    tokens = [token for row in answers for token in row if token is not None]
    assert len(set(tokens)) == 200
