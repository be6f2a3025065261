"""The retry ladder and what follows it, at exact times. F1, F2, F4, F6, R7, R11."""

import pytest

from fleetd.core.failover import FAULTS, fault, next_step, retry_delay
from fleetd.core.instance import Instance
from fleetd.core.route import Step, StepKind

NOW = 1_750_000_000_000
HERE, OTHER, THIRD = "openai:gpt-4o", "anthropic:sonnet", "local:llama"
LADDER = ("TIMEOUT", "500", "502", "503", "504", "529", "429")
AT_ONCE = ("CONN_REFUSED", "PROCESS_EXITED", "FINGERPRINT_MISMATCH", "INSTANCE_NOT_READY")
UNUSABLE = ("AUTH", "BILLING", "BREAKER_OPEN", "NO_AVAILABLE_INSTANCE")
FINAL = ("BAD_REQUEST", "POLICY", "LOGIC_ERROR", "CANCELLED")
NO_INSTANCES = ("AGENT_ERROR", "AGENT_LOST", "LEASE_EXPIRED", "RUN_TIMEOUT", "HOST_UNREACHABLE")
LIMITS = ("PROVIDERS_EXHAUSTED", "TASK_TIMEOUT")


def step(code, *, max_retries=3, **given):
    """Return the next step; by default another instance stands ready and no deadline is set."""
    defaults = {
        "retries": 0,
        "retry_after": 0,
        "deadline": 0,
        "now": NOW,
        "following": OTHER,
        "only_eligible": False,
        "draw": 0.5,
        "jitter": 0.0,
    }
    instance = Instance(HERE, "openai", max_retries=max_retries)
    return next_step(fault(code), instance=instance, **(defaults | given))


def alone(code, **given):
    """Return the next step of a task whose only eligible instance is the one that failed."""
    return step(code, **({"following": "", "only_eligible": True} | given))


def brief(step):
    """Return a step without its words."""
    assert step.reason
    return step._replace(reason="")


def retry(delay):
    return Step(StepKind.RETRY_SAME, delay, HERE)


SWITCH = Step(StepKind.SWITCH, 0, OTHER)
EXHAUSTED = Step(StepKind.GIVE_UP, code="PROVIDERS_EXHAUSTED")
NO_TIME = Step(StepKind.GIVE_UP, code="TASK_TIMEOUT")
BLOCK = Step(StepKind.BLOCK, code="NO_AVAILABLE_INSTANCE")


def test_every_row_of_the_table_is_tested_here():
    """F4: a new code must find its place in this file."""
    rows = LADDER + AT_ONCE + UNUSABLE + FINAL + NO_INSTANCES + LIMITS + ("CONTEXT_EXCEEDED",)
    assert sorted(rows) == sorted(FAULTS)


@pytest.mark.parametrize("code", LADDER)
def test_a_first_try_and_three_retries_after_1_2_and_4_seconds_then_the_next_instance(code):
    """F2, F4, R11: the ladder, although another stands ready."""
    steps = [brief(step(code, retries=retries)) for retries in range(4)]
    assert steps == [retry(1_000), retry(2_000), retry(4_000), SWITCH]


@pytest.mark.parametrize("code", LADDER)
def test_after_the_last_ladder_come_the_dead_letters_by_the_name_of_the_limit(code):
    """F2: then the dead letters."""
    steps = [brief(alone(code, retries=retries)) for retries in range(4)]
    assert steps == [retry(1_000), retry(2_000), retry(4_000), EXHAUSTED]


@pytest.mark.parametrize("code", AT_ONCE)
def test_another_instance_is_tried_at_once(code):
    """F4, R7: waiting for a refused port buys nothing while a fallback exists."""
    assert brief(step(code)) == SWITCH
    assert brief(step(code, only_eligible=True)) == SWITCH


@pytest.mark.parametrize("code", AT_ONCE)
def test_the_only_eligible_instance_is_retried_by_the_ladder(code):
    """F2, F4."""
    steps = [brief(alone(code, retries=retries)) for retries in range(4)]
    assert steps == [retry(1_000), retry(2_000), retry(4_000), EXHAUSTED]
    assert brief(step(code, following=HERE)) == retry(1_000), "a fresh plan that selects it says the same"


@pytest.mark.parametrize("code", AT_ONCE)
def test_the_last_of_several_is_retried_by_the_ladder(code):
    """F4, R7: the others were given up, so nothing is left that the wait could be spared for."""
    assert brief(alone(code, following=OTHER, tried=(OTHER,))) == retry(1_000)
    assert brief(alone(code, following=OTHER, tried=(OTHER,), retries=3)) == EXHAUSTED


@pytest.mark.parametrize("code", UNUSABLE)
def test_what_another_try_cannot_mend_is_not_tried_again(code):
    """F4, F6: the next instance, or the task waits."""
    assert brief(step(code)) == SWITCH
    assert brief(alone(code)) == BLOCK
    assert brief(step(code, following=HERE)) == BLOCK
    assert brief(step(code, following="", retry_at=NOW + 1_800_000)) == BLOCK._replace(delay=1_800_000)


@pytest.mark.parametrize("code", FINAL)
@pytest.mark.parametrize("following", [OTHER, HERE, ""])
def test_final_errors_are_final_wherever_else_it_could_run(code, following):
    """F4: no/no/no → FAILED, also when the deadline has passed."""
    for deadline in (0, NOW - 1):
        given = step(code, following=following, deadline=deadline, only_eligible=not following)
        assert brief(given) == Step(StepKind.GIVE_UP, code=code)


@pytest.mark.parametrize("code", [*NO_INSTANCES, "SOMETHING ELSE"])
def test_errors_that_concern_no_instance_leave_the_plan_as_it_is(code):
    """F4: no instance is blamed, no other is chosen."""
    known = code if code in FAULTS else "AGENT_ERROR"
    assert brief(step(code)) == brief(alone(code)) == Step(StepKind.PROCEED, code=known)


@pytest.mark.parametrize("code", LIMITS)
def test_a_limit_that_is_used_up_stays_so(code):
    """F2: the entry names the limit."""
    assert brief(step(code)) == Step(StepKind.GIVE_UP, code=code)


def test_a_context_that_is_too_long_goes_to_a_larger_one_or_fails():
    """F4: only larger ctx, else FAILED."""
    code = "CONTEXT_EXCEEDED"
    final = Step(StepKind.GIVE_UP, code=code)
    assert brief(step(code)) == SWITCH, "the plan asked for more context"
    assert brief(step(code, following="")) == final
    assert brief(alone(code)) == final, "the instance itself is not larger than itself"
    assert brief(step(code, following="", retry_at=NOW)) == final


def test_a_larger_context_behind_an_open_breaker_is_waited_for():
    """F4, F6: it exists, so that the task is not without hope."""
    waits = step("CONTEXT_EXCEEDED", following="", retry_at=NOW + 120_000)
    assert brief(waits) == BLOCK._replace(delay=120_000)


def test_a_larger_context_that_was_given_up_is_exhausted():
    """F2, F4: a dead letter, as another day may mend it."""
    assert brief(step("CONTEXT_EXCEEDED", tried=(OTHER,))) == EXHAUSTED


@pytest.mark.parametrize("code", [*LADDER, *AT_ONCE])
def test_when_nothing_is_eligible_the_task_waits_for_the_first_breaker(code):
    """F6: it does not go to the dead letters."""
    given = step(code, retries=3, following="", broken=True, retry_at=NOW + 42_000)
    assert brief(given) == BLOCK._replace(delay=42_000)
    assert "42 s" in given.reason
    assert brief(step(code, retries=3, following="", broken=True)) == BLOCK, "no time is known"
    assert brief(step(code, retries=3, following="", broken=True, retry_at=NOW - 5)) == BLOCK


@pytest.mark.parametrize("code", [*LADDER, *AT_ONCE])
def test_an_open_breaker_ends_the_ladder(code):
    """F3, F6: other tasks opened it meanwhile, and it is theirs and ours."""
    assert brief(step(code, broken=True)) == SWITCH
    assert brief(step(code, broken=True, following="", retry_at=NOW + 1)) == BLOCK._replace(delay=1)
    assert brief(step(code, broken=True, tried=(OTHER,))) == EXHAUSTED, "not all breakers are open"


@pytest.mark.parametrize("code", LADDER)
def test_an_instance_that_was_given_up_is_no_other(code):
    """R7: bounded; it is not returned to for want of an untried one."""
    assert brief(step(code, retries=3, following=OTHER, tried=(THIRD, OTHER))) == EXHAUSTED
    assert brief(step(code, retries=3, following=OTHER, tried=(THIRD, HERE))) == SWITCH
    assert brief(step(code, retries=3, following=HERE, tried=(HERE,))) == EXHAUSTED


@pytest.mark.parametrize("max_retries", [0, 1, 2, 5])
def test_each_provider_has_its_own_number_of_retries(max_retries):
    """F1, F2: up to max_retries."""
    steps = [step("503", max_retries=max_retries, retries=retries) for retries in range(max_retries + 1)]
    assert [one.kind for one in steps] == [StepKind.RETRY_SAME] * max_retries + [StepKind.SWITCH]


def test_longer_ladders_double_up_to_a_minute():
    """F2."""
    waits = [step("503", max_retries=1_000, retries=retries).delay for retries in (*range(8), 999)]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]


@pytest.mark.parametrize("code", LADDER)
@pytest.mark.parametrize(
    ("retry_after", "delay"), [(500, 2_000), (2_000, 2_000), (2_001, 2_001), (60_000, 60_000)]
)
def test_retry_after_is_honoured(code, retry_after, delay):
    """F2, F4: never sooner than the provider asked, nor than the ladder says."""
    assert brief(step(code, retries=1, retry_after=retry_after)) == retry(delay)


def test_a_long_retry_after_is_waited_out_only_when_nobody_else_stands_ready():
    """F4."""
    assert brief(step("429", retry_after=60_001)) == SWITCH
    assert brief(alone("429", retry_after=3_600_000)) == retry(3_600_000)
    assert brief(alone("429", retry_after=3_600_000, deadline=NOW + 3_600_000)) == NO_TIME


@pytest.mark.parametrize(
    ("left", "expected"), [(4_001, retry(4_000)), (4_000, SWITCH), (1, SWITCH), (0, NO_TIME), (-1, NO_TIME)]
)
def test_it_never_sleeps_past_the_deadline(left, expected):
    """F2, T3: then the next provider, while there is time."""
    assert brief(step("503", retries=2, deadline=NOW + left)) == expected


@pytest.mark.parametrize(
    ("left", "expected"), [(4_001, retry(4_000)), (4_000, NO_TIME), (1, NO_TIME), (0, NO_TIME)]
)
def test_without_time_for_a_retry_the_limit_is_the_deadline(left, expected):
    """F2: the entry names the limit that was exhausted."""
    assert brief(alone("503", retries=2, deadline=NOW + left)) == expected
    assert brief(alone("CONN_REFUSED", retries=2, deadline=NOW + left)) == expected


def test_with_its_retries_used_up_the_limit_is_the_providers_although_little_time_is_left():
    """F2."""
    assert brief(alone("503", retries=3, deadline=NOW + 1)) == EXHAUSTED


@pytest.mark.parametrize(("draw", "delay"), [(0.0, 1_600), (0.25, 1_800), (0.5, 2_000), (0.75, 2_200)])
def test_jitter_spreads_the_wait_evenly_around_itself(draw, delay):
    """F2: jitter configurable."""
    assert step("503", retries=1, draw=draw, jitter=0.2).delay == delay


def test_jitter_never_undercuts_what_the_provider_asked_for():
    """F2."""
    assert step("429", retries=1, draw=0.0, jitter=0.5, retry_after=1_900).delay == 1_900
    assert step("429", retries=1, draw=0.75, jitter=0.5, retry_after=1_900).delay == 2_500


def test_a_jittered_wait_respects_the_deadline():
    """F2: the wait that would be, not the ladder's."""
    assert brief(step("503", deadline=NOW + 1_100, draw=0.75, jitter=0.2)) == SWITCH
    assert brief(step("503", deadline=NOW + 1_100, draw=0.25, jitter=0.2)) == retry(900)


@pytest.mark.parametrize(
    ("code", "is_alone", "exhausted"),
    [
        ("503", False, [False, False, False, True]),
        ("CONN_REFUSED", False, [True, True, True, True]),
        ("CONN_REFUSED", True, [False, False, False, True]),
        ("AUTH", True, [True, True, True, True]),
        ("BAD_REQUEST", True, [True, True, True, True]),
    ],
)
def test_a_call_is_exhausted_when_no_retry_is_left(code, is_alone, exhausted):
    """F3: one strike per exhausted call."""
    delays = [
        retry_delay(
            fault(code),
            instance=Instance(HERE, "openai"),
            retries=retries,
            retry_after=0,
            deadline=0,
            now=NOW,
            alone=is_alone,
            draw=0.5,
            jitter=0.0,
        )
        for retries in range(4)
    ]
    assert [delay is None for delay in delays] == exhausted


def test_the_reasons_are_for_people():
    """F2, R11."""
    assert step("503", retries=1).reason == "503: retry 2 of 3"
    assert step("503", retries=3).reason == "503 at openai:gpt-4o"
    assert (
        alone("503", retries=3).reason
        == "503 at openai:gpt-4o after 3 retries, and no instance is left to try"
    )
    assert alone("503", deadline=NOW + 1).reason == "503, and no time before the deadline for another try"
