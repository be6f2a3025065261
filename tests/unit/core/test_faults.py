"""The error table and the retry ladder: F2, F3a, F4, F6, R7."""

import pytest

from fleetd.core.faults import TABLE, Blame, Counts, Outlook, fault, next_step
from fleetd.core.instance import Instance
from fleetd.core.route import StepKind

NOW = 1_700_000_000_000
ONE = Instance("a:1", "a")
OTHER = Outlook("b:1", eligible=True, others=True)
ALONE = Outlook("", eligible=True, others=False)
TRIED = Outlook("", eligible=True, others=True)
NOTHING = Outlook("", eligible=False, others=False)


def step(code, retries=0, outlook=OTHER, **options):
    return next_step(fault(code), options.pop("instance", ONE), retries, outlook, now=NOW, **options)


@pytest.mark.parametrize(
    ("codes", "ladder", "following", "counts"),
    [
        ("CONN_REFUSED PROCESS_EXITED FINGERPRINT_MISMATCH", False, True, Counts.STRIKE),
        ("TIMEOUT 500 502 503 504 529", True, True, Counts.STRIKE),
        ("429", True, True, Counts.RATIO),
        ("AUTH BILLING", False, True, Counts.REFUSED),
        ("INSTANCE_NOT_READY BREAKER_OPEN NO_AVAILABLE_INSTANCE CONTEXT_EXCEEDED", False, True, Counts.NOTHING),
        ("BAD_REQUEST POLICY LOGIC_ERROR CANCELLED", False, False, Counts.NOTHING),
        ("AGENT_ERROR AGENT_LOST LEASE_EXPIRED RUN_TIMEOUT HOST_UNREACHABLE WHATEVER", False, False, Counts.NOTHING),
    ],
)  # fmt: skip
def test_the_error_table_is_the_specifications(codes, ladder, following, counts):
    """F4."""
    for code in codes.split():
        row = fault(code)
        assert (row.code, row.ladder, row.next_instance, row.counts) == (code, ladder, following, counts)


def test_a_poisoned_task_blames_no_instance():
    """F3a: what the caller or the handler did wrong never counts for a breaker."""
    for row in TABLE.values():
        if row.blame in (Blame.CALLER, Blame.AGENT, Blame.HOST, Blame.NOBODY):
            assert row.counts is Counts.NOTHING


def test_the_ladder_waits_one_two_and_four_seconds_and_then_goes_on():
    """F2."""
    steps = [step("503", retries) for retries in range(4)]
    assert [one.kind for one in steps] == [StepKind.RETRY_SAME] * 3 + [StepKind.SWITCH]
    assert [one.delay for one in steps] == [1_000, 2_000, 4_000, 0]
    assert steps[3].instance == "b:1"


def test_a_refused_port_is_not_waited_for_while_there_is_another_instance():
    """F4, R7."""
    assert step("CONN_REFUSED").kind is StepKind.SWITCH
    assert step("CONN_REFUSED", outlook=ALONE) == step("503", outlook=ALONE)._replace(
        reason="retry 1 of 3 after CONN_REFUSED"
    )


def test_what_a_provider_asks_for_is_honoured():
    """F4: Retry-After."""
    assert step("429", retry_after=7_000).delay == 7_000
    assert step("429", 2, retry_after=3_000).delay == 4_000
    assert step("429", retry_after=31_000).kind is StepKind.SWITCH
    assert step("429", retry_after=31_000, outlook=ALONE).delay == 31_000


def test_jitter_makes_waits_longer_by_its_share():
    """F2."""
    assert step("503", 1, spread=0.25).delay == 2_500


def test_nobody_sleeps_past_the_deadline():
    """F2."""
    assert step("503", 1, deadline=NOW + 2_001).kind is StepKind.RETRY_SAME
    assert step("503", 1, deadline=NOW + 2_000).kind is StepKind.SWITCH
    late = step("503", 1, deadline=NOW + 2_000, outlook=ALONE)
    assert (late.kind, late.code) == (StepKind.GIVE_UP, "TASK_TIMEOUT")


def test_when_every_instance_was_tried_the_providers_are_exhausted():
    """F2: then the dead letters."""
    last = step("CONN_REFUSED", 3, outlook=TRIED)
    assert (last.kind, last.code) == (StepKind.GIVE_UP, "PROVIDERS_EXHAUSTED")


def test_when_every_breaker_is_open_the_task_waits():
    """F6."""
    assert step("503", 1, outlook=NOTHING).kind is StepKind.BLOCK
    assert step("NO_AVAILABLE_INSTANCE", outlook=NOTHING).kind is StepKind.BLOCK


def test_an_exceeded_context_goes_to_a_larger_one_or_fails():
    """F4."""
    assert step("CONTEXT_EXCEEDED").kind is StepKind.SWITCH
    final = step("CONTEXT_EXCEEDED", outlook=ALONE)
    assert (final.kind, final.code) == (StepKind.GIVE_UP, "CONTEXT_EXCEEDED")


@pytest.mark.parametrize("code", ["BAD_REQUEST", "POLICY", "LOGIC_ERROR", "CANCELLED", "AGENT_ERROR"])
def test_a_mistake_of_the_caller_is_tried_nowhere_else(code):
    """F3a, F4."""
    only = step(code)
    assert (only.kind, only.code) == (StepKind.GIVE_UP, code)


def test_refused_credentials_are_not_tried_again():
    """F4: AUTH and BILLING."""
    assert step("AUTH").kind is StepKind.SWITCH
    assert step("AUTH", outlook=ALONE).kind is StepKind.GIVE_UP
