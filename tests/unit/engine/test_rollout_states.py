"""Rollouts in the engine: what is forced, single orgs, restarts (spec G4, G5)."""

import pytest

from fleetd.core.fallback import Forced, Phase
from fleetd.core.rolling import (
    DefineRollouts,
    ForceFallback,
    ReleaseForced,
    RemoveRollout,
    ResetFallback,
)
from fleetd.core.rollout import Cause, Origin, Sample
from fleetd.engine.rollouts import ORGS
from fleetd.errors import NotFound
from tests.unit.engine.rollouts import (
    CHAT,
    DWELL,
    HOUR,
    MINUTE,
    NEW,
    OFF,
    OLD,
    ON,
    SECOND,
    TOLD,
    TRIAL_FOR,
    decide,
    kinds,
    logged,
    modes,
    phase,
    put,
    reset,
    rollout,
    state,
    tell,
    trip,
)
from tests.unit.engine.routes import fleet_events

# by hand


@pytest.mark.parametrize("org_id", ["", "acme"])
async def test_what_is_forced_runs_out_by_the_clock(fleet, org_id):
    """G4: reason, time limit, also of one org; the wall clock may jump"""
    await put(fleet)
    until = fleet.clock.wall() + HOUR
    forced = Forced(True, "outage", "op:kim", until)
    await fleet.do(ForceFallback(("chat", org_id), forced))
    assert state(fleet, org_id).forced == forced
    assert decide(fleet)[2:5] == (OLD, Cause.FORCED, "fallback forced on by op:kim: outage")
    assert decide(fleet, "other").mode == (NEW if org_id else OLD)
    fleet.clock.jump_wall(2 * HOUR)
    await fleet.pass_time(HOUR - 1)
    assert modes(fleet) == [OLD]
    await fleet.pass_time(1)
    assert (modes(fleet), state(fleet, org_id).forced) == ([NEW], None)
    extra = {"org_id": org_id} if org_id else {}
    said = [(kind, payload["reason"]) for kind, payload in await fleet_events(fleet, *TOLD)]
    assert said == [(ON, "forced: outage"), (OFF, "what was forced has run out")]
    assert logged(fleet, "rollout_fallback_on") == [
        {"rollout": "chat", "epoch": 2, "cause": "forced: outage"} | extra
    ]
    assert len(logged(fleet, "rollout_fallback_off")) == 1


async def test_what_is_forced_anew_while_the_old_force_runs_out_stays(fleet):
    """G4: in one transaction, the end of the old one last"""
    await put(fleet)
    wall = fleet.clock.wall()
    await fleet.do(ForceFallback(CHAT, Forced(True, "outage", until=wall + MINUTE)))
    fleet.engine.post(ForceFallback(CHAT, Forced(True, "it lasts", until=wall + HOUR)))
    await fleet.do(ReleaseForced(CHAT, 2))
    assert (modes(fleet), state(fleet).epoch) == ([OLD], 3)
    await fleet.pass_time(MINUTE)
    assert modes(fleet) == [OLD]
    await fleet.pass_time(HOUR - MINUTE)
    assert modes(fleet) == [NEW]


async def test_forced_off_nothing_falls_back_and_afterwards_only_new_outcomes_count(fleet):
    """G4, G4b"""
    await put(fleet)
    await trip(fleet)
    until = fleet.clock.wall() + HOUR
    await fleet.do(ForceFallback(CHAT, Forced(False, "an experiment", until=until)))
    assert modes(fleet) == [NEW]
    await tell(fleet, 50, "AGENT_ERROR")
    assert await kinds(fleet) == [ON, OFF]
    await fleet.pass_time(HOUR)
    # What was before goes on: a fallback with a whole dwell.
    assert (phase(fleet), modes(fleet), await kinds(fleet)) == (Phase.FALLBACK, [OLD], [ON, OFF, ON])
    assert state(fleet).until == fleet.clock.wall() + DWELL
    await fleet.pass_time(DWELL)
    assert phase(fleet) is Phase.TRIAL


async def test_what_is_forced_without_a_limit_stays_until_a_reset(fleet):
    """G4"""
    await put(fleet)
    await fleet.do(ForceFallback(CHAT, Forced(True, "outage")))
    await fleet.pass_time(100 * HOUR)
    assert modes(fleet) == [OLD]
    await reset(fleet)
    assert modes(fleet) == [NEW]
    assert await kinds(fleet) == [ON, OFF]


async def test_a_trial_goes_on_after_what_was_forced_in_it_also_over_a_restart(fleet):
    """G4: with its whole time, and only new outcomes"""
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL)
    until = fleet.clock.wall() + HOUR
    await fleet.do(ForceFallback(CHAT, Forced(True, "outage", until=until)))
    await fleet.pass_time(HOUR)
    assert phase(fleet) is Phase.TRIAL
    assert state(fleet).until == fleet.clock.wall() + TRIAL_FOR
    await fleet.restart()
    await fleet.settle()
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(TRIAL_FOR)
    assert phase(fleet) is Phase.NORMAL


async def test_force_and_reset_of_an_unknown_rollout_change_nothing(fleet):
    for command in (ForceFallback(CHAT, Forced(True, "x")), ResetFallback(CHAT), RemoveRollout("chat")):
        with pytest.raises(NotFound):
            await fleet.do(command)
    assert not fleet.engine.rollout_book.present.states


# single orgs


async def test_an_org_falls_back_alone(fleet):
    """G5: and comes back by time alone"""
    await put(fleet, per_org=True)
    await tell(fleet, 30, org_id="well")
    await tell(fleet, 10, "AGENT_ERROR", org_id="ill")
    assert (phase(fleet), phase(fleet, "ill"), phase(fleet, "well")) == (
        Phase.NORMAL, Phase.FALLBACK, Phase.NORMAL,
    )  # fmt: skip
    assert (modes(fleet, 1, "ill"), modes(fleet, 1, "well"), modes(fleet, 1, "")) == ([OLD], [NEW], [NEW])
    assert (await fleet_events(fleet, ON))[0][1]["org_id"] == "ill"
    assert fleet.engine.rollouts.orgs("chat") == ["ill", "well"]
    await fleet.pass_time(DWELL)
    await fleet.pass_time(TRIAL_FOR)
    assert modes(fleet, 3, "ill") == [NEW] * 3


async def test_without_the_rule_no_org_falls_back_alone(fleet):
    """G5"""
    await put(fleet)
    await tell(fleet, 30, org_id="well")
    await tell(fleet, 10, "AGENT_ERROR", org_id="ill")
    assert phase(fleet, "ill") is Phase.NORMAL
    assert fleet.engine.rollouts.figures("chat", "ill").new.errors == 10


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_org_comes_back_also_when_the_rule_is_gone_meanwhile(fleet, restarted):
    """G4a"""
    await put(fleet, per_org=True)
    await tell(fleet, 30, org_id="well")
    await tell(fleet, 10, "AGENT_ERROR", org_id="ill")
    await put(fleet, per_org=False)
    if restarted:
        await fleet.restart()
    await fleet.pass_time(DWELL)
    await fleet.pass_time(TRIAL_FOR)
    assert (phase(fleet, "ill"), modes(fleet, 1, "ill")) == (Phase.NORMAL, [NEW])


async def test_the_most_recent_thousand_orgs_are_counted_apart(fleet):
    """G5, S7"""
    await put(fleet)
    for number in range(ORGS + 10):
        fleet.engine.rollouts.note(Sample("chat", f"org-{number}", NEW, 1, "", 1))
    fleet.engine.rollouts.note(Sample("chat", "org-10", NEW, 1, "", 1))
    fleet.engine.rollouts.note(Sample("chat", "new", NEW, 1, "", 1))
    known = fleet.engine.rollouts.orgs("chat")
    assert len(known) == ORGS
    assert {"new", "org-10"} <= set(known)
    assert not {"org-9", "org-11"} & set(known)
    assert fleet.engine.rollouts.figures("chat").new.total == ORGS + 12


async def test_an_org_that_waits_for_its_way_back_displaces_nobody_who_is_counted(fleet):
    """G5, S7"""
    await put(fleet, per_org=True, window=24 * HOUR)
    await tell(fleet, 30, org_id="well")
    await tell(fleet, 10, "AGENT_ERROR", org_id="ill")
    for number in range(ORGS):
        fleet.engine.rollouts.note(Sample("chat", f"org-{number}", NEW, 9, "", 1))
    await fleet.pass_time(DWELL)
    assert phase(fleet, "ill") is Phase.TRIAL
    assert set(fleet.engine.rollouts.orgs("chat")) == {f"org-{number}" for number in range(ORGS)}


# restart


@pytest.mark.parametrize("jump", [0, -10 * HOUR, 10 * HOUR])
async def test_a_fallback_goes_on_after_a_restart_with_the_time_it_had_left(fleet, jump):
    """G4, G4a: a clock that was set back does not make it longer, one that was set forward ends it"""
    await put(fleet)
    await trip(fleet)
    reason, left = state(fleet).reason, DWELL - 20 * SECOND
    await fleet.pass_time(20 * SECOND)
    fleet.clock.jump_wall(jump)
    await fleet.restart()
    if jump <= 0:
        assert (phase(fleet), state(fleet).reason, modes(fleet)) == (Phase.FALLBACK, reason, [OLD])
        await fleet.pass_time((left if not jump else DWELL) - 1)
        assert phase(fleet) is Phase.FALLBACK
        await fleet.pass_time(1)
    await fleet.settle()
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(TRIAL_FOR)
    assert (phase(fleet), modes(fleet)) == (Phase.NORMAL, [NEW])


async def test_a_dwell_that_was_over_while_the_daemon_was_down_ends_at_the_start(fleet):
    """G4a: with nobody who asks"""
    await put(fleet)
    await trip(fleet)
    fleet.clock.advance(HOUR)
    await fleet.restart()
    await fleet.settle()
    assert phase(fleet) is Phase.TRIAL


async def test_a_trial_goes_on_after_a_restart_with_the_time_it_had_left(fleet):
    """G4: its outcomes begin anew"""
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL)
    await tell(fleet, 5, "AGENT_ERROR")
    await fleet.pass_time(MINUTE)
    await fleet.restart()
    assert (phase(fleet), decide(fleet).trial, decide(fleet).trial) == (Phase.TRIAL, True, False)
    await tell(fleet, 1)
    await fleet.pass_time(TRIAL_FOR - MINUTE - 1)
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(1)
    assert phase(fleet) is Phase.NORMAL


async def test_what_is_forced_goes_on_after_a_restart_with_the_time_it_had_left(fleet):
    """G4"""
    await put(fleet)
    until = fleet.clock.wall() + HOUR
    forced = Forced(True, "outage", "op:kim", until)
    await fleet.do(ForceFallback(CHAT, forced))
    await fleet.pass_time(HOUR // 2)
    await fleet.restart()
    assert (state(fleet).forced, modes(fleet)) == (forced, [OLD])
    await fleet.pass_time(HOUR // 2 - 1)
    assert modes(fleet) == [OLD]
    await fleet.pass_time(1)
    assert modes(fleet) == [NEW]
    await fleet.do(ForceFallback(CHAT, forced._replace(until=fleet.clock.wall() + HOUR)))
    fleet.clock.advance(2 * HOUR)
    await fleet.restart()
    await fleet.settle()
    assert (modes(fleet), state(fleet).forced) == ([NEW], None)


async def test_epochs_go_on_after_a_restart(fleet):
    """G4b: an outcome that was decided before a reset, which was before the restart, is late"""
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    await reset(fleet)
    await fleet.restart()
    assert decide(fleet).epoch == 2
    await tell(fleet, 20, "AGENT_ERROR", epoch=1)
    assert phase(fleet) is Phase.NORMAL


async def test_a_file_that_is_read_after_the_start_finds_its_fallback_where_it_was(fleet):
    """G4: run-time state is the store's; the definition comes later"""
    define = DefineRollouts((rollout(),), Origin.FILE)
    await fleet.do(define)
    await trip(fleet)
    await fleet.pass_time(20 * SECOND)
    await fleet.restart()
    with pytest.raises(NotFound):
        decide(fleet)
    await fleet.do(define)
    assert modes(fleet) == [OLD]
    await fleet.pass_time(DWELL - 20 * SECOND)
    assert phase(fleet) is Phase.TRIAL
    await fleet.restart()
    await fleet.pass_time(TRIAL_FOR)
    assert phase(fleet) is Phase.TRIAL
    await fleet.do(define)
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL
    await fleet.do(DefineRollouts((), Origin.FILE))
