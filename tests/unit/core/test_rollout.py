"""Which mode work gets, and why: the order of the causes, what percentages keep together, what is forced and what is on trial. G1, G2."""

from dataclasses import replace
from itertools import combinations

import pytest

from fleetd.core.fallback import Fallback, Forced, Phase
from fleetd.core.rollout import STEPS, BucketBy, Cause, Rollout, RolloutMode, bucket, decide, within

OLD, NEW = "direct_llm", "runtime_orchestrator"
ROLLOUT = Rollout("chat", RolloutMode(OLD), RolloutMode(NEW), default=OLD, salt="pepper")
STAGE_1 = replace(ROLLOUT, allow=frozenset({"org-uuid-1", "org-uuid-2"}))
STAGE_2 = replace(ROLLOUT, default=NEW)
EVERYBODY = replace(ROLLOUT, percent=100.0)

NORMAL = Fallback()
FALLEN = Fallback(Phase.FALLBACK, "error rate too high: 55.00% (threshold: 50.00%)", dwell=60_000)
ON_TRIAL = replace(FALLEN, phase=Phase.TRIAL)
FORCED_ON = Forced(on=True, reason="the runtime is moved", actor="ann")
FORCED_OFF = Forced(on=False, reason="the alarm is false", actor="ann")


def never(own):
    raise AssertionError("nobody is on trial")


def decided(rollout, whole=NORMAL, own=None, *, org="acme", session="", epoch=1, take_trial=never):
    return decide(rollout, whole, own, org, session, epoch, take_trial)


def chosen(*args, **more):
    decision = decided(*args, **more)
    return decision.mode, decision.cause


# One way for every cause to come about; each adds to the definition, or to where the rollout stands. The mode it leads to comes last.
BY = {
    Cause.FORCED: ({}, {"forced": FORCED_ON}, OLD),
    Cause.AUTO_FALLBACK: ({}, {"phase": Phase.FALLBACK, "reason": "too slow"}, OLD),
    Cause.EXPLICIT_MODE: ({"explicit": NEW}, {}, NEW),
    Cause.DENY_LIST: ({"deny": frozenset({"acme"})}, {}, OLD),
    Cause.ALLOW_LIST: ({"allow": frozenset({"acme"})}, {}, NEW),
    Cause.PERCENT: ({"percent": 100.0}, {}, NEW),
    Cause.DEFAULT_MODE: ({}, {}, OLD),
}


def under(*causes, **more):
    """Decide while all of these causes apply."""
    rollout, whole = ROLLOUT, NORMAL
    for cause in causes:
        definition, state, _ = BY[cause]
        rollout, whole = replace(rollout, **definition), replace(whole, **state)
    return chosen(replace(rollout, **more), whole)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_comes_about_alone(cause):
    """G1: the cause is always returned."""
    assert under(cause) == (BY[cause][2], cause)


def test_the_causes_are_numbered_in_their_order():
    """G1."""
    assert list(BY) == sorted(Cause)


@pytest.mark.parametrize(("earlier", "later"), list(combinations(Cause, 2)))
def test_of_any_two_causes_the_earlier_one_wins(earlier, later):
    """G1: forced > auto-fallback > explicit mode > deny list > allow list > percent > default mode."""
    for default in (OLD, NEW):
        assert under(earlier, later, default=default) == (BY[earlier][2], earlier)
        assert under(later, earlier, default=default) == (BY[earlier][2], earlier)


def test_with_all_causes_at_once_each_wins_over_those_that_follow():
    """G1."""
    for first in Cause:
        assert under(*(cause for cause in Cause if cause >= first))[1] is first


def test_an_explicit_old_mode_wins_over_the_allow_list_and_everybody():
    """G1."""
    rollout = replace(STAGE_1, explicit=OLD, percent=100.0, default=NEW)
    assert chosen(rollout, org="org-uuid-1") == (OLD, Cause.EXPLICIT_MODE)


def test_who_is_denied_and_allowed_is_denied():
    """G1: the deny list is asked before the allow list."""
    rollout = replace(EVERYBODY, allow=frozenset({"acme"}), deny=frozenset({"acme"}), default=NEW)
    assert chosen(rollout) == (OLD, Cause.DENY_LIST)
    assert chosen(rollout, org="other") == (NEW, Cause.PERCENT)


def test_in_stage_1_the_listed_orgs_get_the_new_mode_and_all_others_the_old():
    """G1, seed 004."""
    for org in ("org-uuid-1", "org-uuid-2"):
        assert chosen(STAGE_1, org=org) == (NEW, Cause.ALLOW_LIST)
    for org in ("org-uuid-3", "", "org-uuid-1 ", "ORG-UUID-1"):
        assert chosen(STAGE_1, org=org) == (OLD, Cause.DEFAULT_MODE)


def test_in_stage_2_all_get_the_new_mode_and_the_old_remains_to_fall_back_to():
    """G1, seed 004."""
    for org in ("acme", "org-uuid-3", ""):
        assert chosen(STAGE_2, org=org) == (NEW, Cause.DEFAULT_MODE)
        assert chosen(STAGE_2, FALLEN, org=org) == (OLD, Cause.AUTO_FALLBACK)


def test_the_way_back_of_the_seed_puts_everybody_into_the_old_mode():
    """G4, seed 004: CHAT_EXECUTION_MODE=direct_llm with an empty list."""
    assert {chosen(ROLLOUT, org=f"org-{n}") for n in range(500)} == {(OLD, Cause.DEFAULT_MODE)}


def test_the_reasons_say_what_was_asked():
    """G1: sentences for people."""
    assert decided(replace(ROLLOUT, explicit=NEW)).reason == f"explicit_mode is {NEW}"
    assert decided(replace(ROLLOUT, deny=frozenset({"acme"}))).reason == "org acme is in deny_orgs"
    assert decided(replace(ROLLOUT, allow=frozenset({"acme"}))).reason == "org acme is in allow_orgs"
    assert decided(ROLLOUT).reason == f"the default mode is {OLD}"
    assert decided(ROLLOUT, FALLEN).reason == f"in fallback: {FALLEN.reason}"
    forced = replace(NORMAL, forced=FORCED_ON)
    assert decided(ROLLOUT, forced).reason == "fallback forced on by ann: the runtime is moved"
    nobody = replace(NORMAL, forced=FORCED_ON._replace(actor=""))
    assert decided(ROLLOUT, nobody).reason == "fallback forced on: the runtime is moved"
    place = bucket("pepper/org", "acme") / 100
    below = decided(replace(ROLLOUT, percent=99.99)).reason
    assert below == f"bucket {place:.2f} of the org is below 99.99 %"


def test_a_decision_names_its_rollout_org_and_epoch_whatever_the_cause():
    """G4b: by the epoch an outcome is known to be of today."""
    for whole in (NORMAL, FALLEN, replace(NORMAL, forced=FORCED_ON)):
        decision = decided(EVERYBODY, whole, epoch=7)
        assert (decision.rollout, decision.org_id, decision.epoch) == ("chat", "acme", 7)
        assert (decision.trial, decision.shadow) == (False, "")


# Forced


@pytest.mark.parametrize("phase", Phase)
def test_forced_on_all_use_the_old_mode_in_every_phase(phase):
    """G1, G4: whatever the definition says."""
    whole = Fallback(phase, forced=FORCED_ON)
    for rollout in (STAGE_2, EVERYBODY, replace(ROLLOUT, explicit=NEW)):
        assert chosen(rollout, whole) == (OLD, Cause.FORCED)


@pytest.mark.parametrize("phase", Phase)
def test_forced_off_the_definition_alone_decides(phase):
    """G4: no fallback by itself, and no trial."""
    whole = Fallback(phase, forced=FORCED_OFF)
    assert chosen(EVERYBODY, whole) == (NEW, Cause.PERCENT)
    assert chosen(ROLLOUT, whole) == (OLD, Cause.DEFAULT_MODE)


def test_forced_on_for_an_org_only_that_org_uses_the_old_mode():
    """G5: per-org fallback."""
    own = replace(NORMAL, forced=FORCED_ON)
    assert chosen(STAGE_2, NORMAL, own) == (OLD, Cause.FORCED)
    assert chosen(STAGE_2, NORMAL, None, org="other") == (NEW, Cause.DEFAULT_MODE)


def test_forced_off_for_an_org_lets_it_pass_its_own_fallback_and_no_other():
    """G5."""
    own = replace(FALLEN, forced=FORCED_OFF)
    assert chosen(STAGE_2, NORMAL, own) == (NEW, Cause.DEFAULT_MODE)
    assert chosen(STAGE_2, FALLEN, own) == (OLD, Cause.AUTO_FALLBACK)


def test_forced_on_as_a_whole_is_for_everybody_also_where_it_is_forced_off_for_the_org():
    """G4: who forces the old mode for all must be able to rely on it."""
    whole, own = replace(NORMAL, forced=FORCED_ON), replace(NORMAL, forced=FORCED_OFF)
    assert chosen(STAGE_2, whole, own) == (OLD, Cause.FORCED)


def test_forced_off_as_a_whole_lets_everybody_pass_but_who_is_forced_on():
    """G4, G5."""
    whole = replace(FALLEN, forced=FORCED_OFF)
    assert chosen(STAGE_2, whole, FALLEN) == (NEW, Cause.DEFAULT_MODE)
    assert chosen(STAGE_2, whole, ON_TRIAL) == (NEW, Cause.DEFAULT_MODE)
    assert chosen(STAGE_2, whole, replace(NORMAL, forced=FORCED_ON)) == (OLD, Cause.FORCED)


# Fallback and trial


@pytest.mark.parametrize("rollout", [STAGE_1, STAGE_2, EVERYBODY, replace(ROLLOUT, explicit=NEW)])
def test_in_fallback_all_requests_use_the_old_mode(rollout):
    """G3."""
    rollout = replace(rollout, shadow_percent=100.0)
    for number in range(200):
        decision = decided(rollout, FALLEN, org=f"org-{number}")
        assert (decision.mode, decision.cause, decision.shadow) == (OLD, Cause.AUTO_FALLBACK, "")


def test_an_org_in_its_own_fallback_uses_the_old_mode_alone():
    """G5: per-org fallback is possible."""
    assert chosen(STAGE_2, NORMAL, FALLEN) == (OLD, Cause.AUTO_FALLBACK)
    assert chosen(STAGE_2, NORMAL, NORMAL, org="other") == (NEW, Cause.DEFAULT_MODE)


@pytest.mark.parametrize(("whole", "own"), [(FALLEN, ON_TRIAL), (ON_TRIAL, FALLEN), (FALLEN, NORMAL)])
def test_a_fallback_of_either_scope_suffices_and_nobody_is_tried(whole, own):
    """G3, G5: the trial of the one does not pass the fallback of the other."""
    assert chosen(STAGE_2, whole, own) == (OLD, Cause.AUTO_FALLBACK)


def test_on_trial_a_share_gets_the_new_mode_and_the_others_the_old():
    """G4: trial traffic."""
    taken = decided(STAGE_2, ON_TRIAL, take_trial=lambda own: True)
    assert (taken.mode, taken.cause, taken.trial) == (NEW, Cause.DEFAULT_MODE, True)
    assert taken.reason == f"the default mode is {NEW}; on trial"
    other = decided(STAGE_2, ON_TRIAL, take_trial=lambda own: False)
    assert (other.mode, other.cause, other.trial) == (OLD, Cause.AUTO_FALLBACK, False)
    assert other.reason == f"on trial, others use the old mode: {ON_TRIAL.reason}"


@pytest.mark.parametrize(
    "rollout", [STAGE_1, replace(STAGE_2, deny=frozenset({"acme"})), replace(STAGE_2, explicit=OLD)]
)
def test_who_would_use_the_old_mode_anyway_takes_no_share_of_a_trial(rollout):
    """G4: the share is of the work that would get the new mode."""
    for whole, own in ((ON_TRIAL, None), (NORMAL, ON_TRIAL)):
        decision = decided(rollout, whole, own)
        assert (decision.mode, decision.trial, decision.shadow) == (OLD, False, "")


@pytest.mark.parametrize(
    ("whole", "own", "asked"),
    [
        (ON_TRIAL, None, False),
        (ON_TRIAL, NORMAL, False),
        (NORMAL, ON_TRIAL, True),
        (ON_TRIAL, ON_TRIAL, True),
    ],
)
def test_the_trial_of_the_org_is_asked_before_that_of_the_whole(whole, own, asked):
    """G4, G5; each trial is asked once at most, and for one piece of work one of them."""
    calls = []
    assert decided(STAGE_2, whole, own, take_trial=lambda which: calls.append(which) or True).trial
    assert calls == [asked]


def test_what_is_forced_off_for_an_org_on_trial_ends_its_trial_only():
    """G5."""
    own = replace(ON_TRIAL, forced=FORCED_OFF)
    assert decided(STAGE_2, NORMAL, own).trial is False
    assert decided(STAGE_2, ON_TRIAL, own, take_trial=lambda which: not which).trial is True


# Percentages


def test_without_a_key_nobody_is_in_a_percentage():
    """G2: not even in 100 %, and nothing is done on the side."""
    for by in BucketBy:
        rollout = replace(EVERYBODY, bucket_by=by, shadow_percent=100.0)
        decision = decided(rollout, org="", session="")
        assert (decision.mode, decision.cause) == (OLD, Cause.DEFAULT_MODE)
        assert (decision.bucket, decision.shadow) == (-1.0, "")


def test_by_org_the_session_does_not_matter():
    """G2: sticky."""
    places = {decided(ROLLOUT, session=f"session-{n}").bucket for n in range(100)}
    assert places == {bucket("pepper/org", "acme") / 100}
    assert decided(EVERYBODY, org="", session="session-1").bucket == -1.0, "a session is no org"


def test_by_session_the_org_does_not_matter():
    """G2: sticky."""
    rollout = replace(ROLLOUT, bucket_by=BucketBy.SESSION)
    places = {decided(rollout, org=f"org-{n}", session="one").bucket for n in range(100)}
    assert places == {bucket("pepper/session", "one") / 100}
    assert len({decided(rollout, session=f"session-{n}").bucket for n in range(100)}) > 90


def test_by_session_the_work_without_one_falls_back_to_its_org():
    """G2."""
    by_session = replace(EVERYBODY, bucket_by=BucketBy.SESSION)
    alone = decided(by_session)
    assert (alone.bucket, alone.mode) == (decided(EVERYBODY).bucket, NEW)
    assert "of the org" in alone.reason
    assert "of the session" in decided(by_session, session="one").reason


def test_an_org_and_a_session_of_the_same_name_are_not_the_same():
    """G2."""
    by_session = replace(ROLLOUT, bucket_by=BucketBy.SESSION)
    same = [name for name in map(str, range(300)) if same_place(by_session, name)]
    assert len(same) < 5


def same_place(by_session, name):
    return decided(ROLLOUT, org=name).bucket == decided(by_session, org="", session=name).bucket


@pytest.mark.parametrize("hundredths", [1, 7, 29, 57, 58, 115, 1_001, 3_333, 5_700, 9_999])
def test_percentages_have_two_decimals(hundredths):
    """G2: exactly as many buckets as written, although 0.29 * 100 is less than 29."""
    percent = float(f"{hundredths / 100:.2f}")
    assert sum(within(place, percent) for place in range(STEPS)) == hundredths
    assert within(hundredths - 1, percent)
    assert not within(hundredths, percent)


def test_the_bucket_decides_at_its_hundredth():
    """G2."""
    place = bucket("pepper/org", "acme")
    assert 0 < place < STEPS - 1
    assert chosen(replace(ROLLOUT, percent=place / 100)) == (OLD, Cause.DEFAULT_MODE)
    assert chosen(replace(ROLLOUT, percent=(place + 1) / 100)) == (NEW, Cause.PERCENT)


def test_the_shadow_is_work_of_the_old_mode_alone():
    """G2: who gets the new mode anyway has no shadow."""
    for rollout, shadow in ((ROLLOUT, NEW), (EVERYBODY, ""), (STAGE_2, "")):
        assert decided(replace(rollout, shadow_percent=100.0)).shadow == shadow
        assert decided(replace(rollout, shadow_percent=0.0)).shadow == ""


def test_who_is_denied_the_new_mode_has_no_shadow_in_it():
    """G2."""
    rollout = replace(ROLLOUT, shadow_percent=100.0)
    assert decided(rollout).shadow == NEW
    assert decided(replace(rollout, deny=frozenset({decided(rollout).org_id}))).shadow == ""


def test_the_shadow_percentage_picks_others_than_the_percentage():
    """G2: else growing the one would use up the other."""
    rollout = replace(ROLLOUT, percent=50.0, shadow_percent=50.0)
    decisions = [decided(rollout, org=f"org-{n}") for n in range(400)]
    with_old = [decision for decision in decisions if decision.mode == OLD]
    shadowed = sum(decision.shadow == NEW for decision in with_old)
    assert len(with_old) / 4 < shadowed < len(with_old) * 3 / 4


def test_the_buckets_of_version_1_never_change():
    """G2: a stored hash version; the values are pinned, another hash would move everybody."""
    assert [
        bucket("", ""),
        bucket("pepper/org", "acme"),
        bucket("pepper/session", "acme"),
        bucket("salz", "Å"),
    ] == [1_086, 8_030, 3_811, 2_672]


def test_the_modes_are_found_by_name():
    """G1."""
    new = RolloutMode(NEW, ("runtime",))
    rollout = replace(ROLLOUT, new=new)
    assert (rollout.mode(NEW), rollout.mode(OLD)) == (new, RolloutMode(OLD))
