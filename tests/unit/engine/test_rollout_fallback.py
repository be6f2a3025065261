"""Rollouts in the engine: the fallback and the way back (spec G3, G4)."""

import pytest

from fleetd.core.fallback import Forced, Phase
from fleetd.core.ledger import Keys
from fleetd.core.rolling import (
    ForceFallback,
    PutRollout,
    ResetFallback,
)
from fleetd.core.rollout import Cause, Sample
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec
from fleetd.core.words import WordKind
from fleetd.engine.rollouts import AGAIN
from fleetd.errors import NotFound
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN
from tests.unit.engine.rollouts import (
    CHAT,
    DWELL,
    HOUR,
    MINUTE,
    NEW,
    OFF,
    OLD,
    ON,
    TOLD,
    TRIAL,
    TRIAL_FOR,
    counted,
    decide,
    kinds,
    logged,
    modes,
    phase,
    put,
    reset,
    rollout,
    state,
    submit,
    tell,
    trip,
)
from tests.unit.engine.routes import fleet_events

# the fallback


async def test_ten_bad_runs_bring_the_old_mode_back_with_all_causes_in_one_event(calm):
    """G3, G8: the tasks themselves; later ones get the old mode"""
    await put(calm)
    agent = await calm.agent()
    for number in range(10):
        assert phase(calm) is Phase.NORMAL, number
        task = await submit(calm, max_attempts=1)
        assert task.rollout.mode == NEW
        await agent.say(await agent.start(), WordKind.FAIL, code="TIMEOUT" if number < 4 else "LOGIC_ERROR")
    causes = (
        "error rate too high: 100.00% (threshold: 50.00%); timeout rate too high: 40.00% (threshold: 30.00%)"
    )
    payload = {"rollout": "chat", "reason": causes, "epoch": 2, "dwell_ms": DWELL}
    assert await fleet_events(calm, *TOLD) == [(ON, payload)]
    later = await submit(calm)
    assert later.rollout[1:4] == (OLD, Cause.AUTO_FALLBACK, 2)
    assert causes in decide(calm).reason
    assert logged(calm, "rollout_fallback_on") == [
        {"rollout": "chat", "epoch": 2, "cause": causes, "dwell_ms": DWELL}
    ]


async def test_state_and_event_of_a_step_are_one_transaction(faulty):
    """G3: nobody is sent elsewhere before it is durable; a refused step comes again by itself"""
    await put(faulty)
    await tell(faulty, 9, "AGENT_ERROR")
    faulty.store.faults.append(FULL)
    await tell(faulty, 1, "AGENT_ERROR")
    assert (phase(faulty), await kinds(faulty), modes(faulty)) == (Phase.NORMAL, [], [NEW])
    await faulty.pass_time(AGAIN)
    assert (phase(faulty), await kinds(faulty), modes(faulty)) == (Phase.FALLBACK, [ON], [OLD])


@pytest.mark.parametrize("fault", [FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN])
async def test_a_step_that_time_asks_for_is_taken_whatever_the_store_does(faulty, fault):
    """G4a: refused, unclear and written, unclear and not written; and whatever else sets the timer meanwhile"""
    await put(faulty)
    await put(faulty, name="side", default=OLD, shadow_percent=100.0)
    await trip(faulty)
    faulty.store.faults.append(fault)
    await faulty.pass_time(DWELL)
    assert phase(faulty) is (Phase.FALLBACK if fault == FULL else Phase.TRIAL)
    assert decide(faulty, name="side").shadow == NEW
    await faulty.pass_time(AGAIN)
    assert (phase(faulty), await kinds(faulty)) == (Phase.TRIAL, [ON, TRIAL])


async def test_the_end_of_what_is_forced_is_taken_whatever_the_store_does(faulty):
    """G4"""
    await put(faulty)
    until = faulty.clock.wall() + MINUTE
    await faulty.do(ForceFallback(CHAT, Forced(True, "outage", until=until)))
    faulty.store.faults.extend([FULL, FULL])
    await faulty.pass_time(MINUTE)
    assert modes(faulty) == [OLD]
    batch = faulty.engine.batch
    for _ in range(10):
        await faulty.settle()
    assert faulty.engine.batch == batch
    await faulty.pass_time(AGAIN)
    await faulty.pass_time(AGAIN)
    assert (modes(faulty), state(faulty).forced) == ([NEW], None)


async def test_a_rollout_comes_back_by_time_alone(fleet):
    """G4a: no outcome, no probe, no request at all"""
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL - 1)
    assert phase(fleet) is Phase.FALLBACK
    await fleet.pass_time(1)
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(TRIAL_FOR - 1)
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(1)
    assert phase(fleet) is Phase.NORMAL
    assert await kinds(fleet) == [ON, TRIAL, OFF]
    assert [event for event, _ in fleet.log.infos if event.startswith("rollout")] == [
        "rollout_trial",
        "rollout_fallback_off",
    ]
    assert fleet.engine.sweeper.timers.at(("rollouts", "")) is None


async def test_the_events_of_the_way_back_say_why_it_had_been_left(fleet):
    """G3, T8"""
    await put(fleet)
    await trip(fleet)
    reason = state(fleet).reason
    await fleet.pass_time(DWELL)
    await fleet.pass_time(TRIAL_FOR)
    shared = {"rollout": "chat", "reason": reason, "dwell_ms": DWELL}
    assert await fleet_events(fleet, *TOLD) == [
        (ON, shared | {"epoch": 2}),
        (TRIAL, shared | {"epoch": 3}),
        (OFF, shared | {"epoch": 4}),
    ]
    assert logged(fleet, "rollout_fallback_off")[0]["cause"] == reason


async def test_nothing_turns_while_a_rollout_waits(fleet):
    """G4: no step keeps firing"""
    await put(fleet, health_url="http://runtime/health")
    await trip(fleet)
    for _ in range(3):
        fleet.engine.rollouts.note_health("chat", well=False, detail="HTTP 503")
    await fleet.pass_time(10 * DWELL)
    batch = fleet.engine.batch
    assert phase(fleet) is Phase.FALLBACK
    await fleet.pass_time(10 * DWELL)
    assert (fleet.engine.batch, fleet.engine.sweeper.next()) == (batch, None)
    fleet.engine.rollouts.note_health("chat", well=True)
    await fleet.settle()
    assert phase(fleet) is Phase.TRIAL


@pytest.mark.parametrize("org_id", ["", "acme"])
async def test_the_trial_traffic_is_the_first_and_then_exactly_five_percent(fleet, org_id):
    """G4: also of one org's own trial"""
    await put(fleet, per_org=True)
    if org_id:
        await tell(fleet, 20, org_id="other")
        await tell(fleet, 10, "AGENT_ERROR", org_id=org_id)
    else:
        await trip(fleet, org_id="")
    await fleet.pass_time(DWELL)
    assert phase(fleet, org_id) is Phase.TRIAL
    found = [decide(fleet) for _ in range(1_000)]
    taken = [number for number, decision in enumerate(found) if decision.trial]
    assert (taken[0], len(taken)) == (0, 50)
    assert taken == list(range(0, 1_000, 20))
    assert {d.mode for d in found if d.trial} == {NEW}
    assert {(d.mode, d.cause) for d in found if not d.trial} == {(OLD, Cause.AUTO_FALLBACK)}


class Broken:
    """A command with a defect."""

    def keys(self) -> Keys:
        return Keys()

    def more(self, ledger):
        return None

    def apply(self, ledger):
        raise RuntimeError("a defect")


async def test_trial_traffic_of_a_transaction_that_was_taken_back_is_there_for_others(faulty):
    """G4: the share is of what was taken, whatever the store refused"""
    await put(faulty)
    await trip(faulty)
    await faulty.pass_time(DWELL)
    for fault in (FULL, FULL, UNCLEAR_NOT_WRITTEN):
        faulty.store.faults.append(fault)
        items = tuple(Submission(f"{fault}-{n}", "acme", Spec("w"), rollout="chat") for n in range(7))
        await faulty.together(Submit(items))
    decided = [task.rollout.trial for task in await faulty.rows() if task.rollout]
    decided += [decide(faulty).trial for _ in range(93)]
    assert (decided.count(True), decided[:7].count(True)) == (5, 1)


async def test_a_defect_beside_it_takes_no_trial_and_no_place(fleet):
    """G2, G4: the batch is carried out again, one by one"""
    await put(fleet, default=OLD, shadow_percent=100.0)
    item = Submission("a", "acme", Spec("w"), rollout="chat", shadow_id="s")
    answers = await fleet.together(Submit((item,)), Broken(), PutRollout(rollout("other")))
    assert answers[0][0].task.rollout.other == "s"
    assert fleet.engine.rollout_book.places.taken("chat") == 1
    assert [event for event, _ in fleet.log.errors] == ["command_failed"]
    fleet.log.errors.clear()


async def test_a_task_that_is_refused_for_another_reason_uses_no_trial_up(fleet):
    """G4"""
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL)
    item = Submission("a", "acme", Spec("w"), rollout="chat", agent_id="nobody")
    (refused,) = await fleet.do(Submit((item,)))
    assert isinstance(refused, NotFound)
    assert (await submit(fleet)).rollout.trial


async def test_a_failed_trial_doubles_the_dwell_up_to_its_limit_and_success_keeps_it(fleet):
    """G4"""
    await put(fleet, dwell_max=3 * DWELL)
    await trip(fleet)
    for failed, dwell in enumerate((2 * DWELL, 3 * DWELL, 3 * DWELL), 1):
        await fleet.pass_time(state(fleet).dwell)
        assert phase(fleet) is Phase.TRIAL
        await tell(fleet, 10, "AGENT_ERROR")
        assert (phase(fleet), state(fleet).dwell, state(fleet).failed_trials) == (
            Phase.FALLBACK, dwell, failed,
        )  # fmt: skip
    assert len(logged(fleet, "rollout_fallback_on")) == 4
    await fleet.pass_time(3 * DWELL)
    await tell(fleet, 10)
    assert (phase(fleet), state(fleet).dwell) == (Phase.NORMAL, 3 * DWELL)
    # After an hour of health a new fallback begins with half of it.
    await fleet.pass_time(HOUR)
    await trip(fleet)
    assert state(fleet).dwell == 3 * DWELL // 2


async def test_a_trial_is_healthy_at_half_the_thresholds_only(fleet):
    """G4"""
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL)
    await tell(fleet, 7)
    await tell(fleet, 3, "AGENT_ERROR")
    assert phase(fleet) is Phase.FALLBACK
    await fleet.pass_time(2 * DWELL)
    await tell(fleet, 2, "AGENT_ERROR")
    await tell(fleet, 8)
    assert phase(fleet) is Phase.NORMAL


async def test_outcomes_decided_before_a_reset_trip_nothing(fleet):
    """G4b: neither those that were counted, nor those that arrive late"""
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    early = decide(fleet)
    await reset(fleet)
    assert state(fleet).epoch == early.epoch + 1
    await tell(fleet, 50, "AGENT_ERROR", epoch=early.epoch)
    assert phase(fleet) is Phase.NORMAL
    assert fleet.engine.rollouts.figures("chat").new.total == 59
    await tell(fleet, 9, "AGENT_ERROR")
    assert phase(fleet) is Phase.NORMAL
    await tell(fleet, 1, "AGENT_ERROR")
    assert phase(fleet) is Phase.FALLBACK


async def test_runs_that_were_submitted_before_a_reset_trip_nothing_when_they_end(calm):
    """G4b: of tasks the epoch is that of their decision"""
    await put(calm)
    agent = await calm.agent(slots=20)
    for _ in range(20):
        await submit(calm, max_attempts=1)
    offers = [await agent.start() for _ in range(20)]
    await reset(calm)
    for offer in offers:
        await agent.say(offer, WordKind.FAIL, code="LOGIC_ERROR")
    assert (phase(calm), calm.engine.rollouts.figures("chat").new.errors) == (Phase.NORMAL, 20)


async def test_a_probe_that_failed_before_a_reset_trips_nothing_after_it(fleet):
    """G4b: three new failures do"""
    await put(fleet, health_url="http://runtime/health")
    for _ in range(5):
        fleet.engine.rollouts.note_health("chat", well=False, detail="HTTP 503")
        await fleet.settle()
    assert phase(fleet) is Phase.FALLBACK
    await reset(fleet)
    await tell(fleet, 5)
    assert phase(fleet) is Phase.NORMAL
    for _ in range(3):
        assert phase(fleet) is Phase.NORMAL
        fleet.engine.rollouts.note_health("chat", well=False, detail="HTTP 503")
        await fleet.settle()
    assert phase(fleet) is Phase.FALLBACK


async def test_a_reset_of_the_whole_lets_no_org_fall_back_for_what_was_before(fleet):
    """G4b: neither for what was counted, nor for what arrives late"""
    await put(fleet, per_org=True)
    await tell(fleet, 20, org_id="well")
    await tell(fleet, 9, "AGENT_ERROR")
    await reset(fleet)
    await tell(fleet, 20, org_id="well")
    await tell(fleet, 1, "AGENT_ERROR")
    await tell(fleet, 50, "AGENT_ERROR", epoch=1)
    assert (phase(fleet), phase(fleet, "acme")) == (Phase.NORMAL, Phase.NORMAL)
    await tell(fleet, 9, "AGENT_ERROR")
    assert phase(fleet, "acme") is Phase.FALLBACK


async def test_a_reset_in_the_batch_of_the_step_wins(fleet):
    """G4b: the step belongs to an epoch that is over"""
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    fleet.engine.post(ResetFallback(CHAT, "mended"))
    await tell(fleet, 1, "AGENT_ERROR")
    assert (phase(fleet), state(fleet).epoch, await kinds(fleet)) == (Phase.NORMAL, 2, [])
    await trip(fleet)


async def test_a_step_that_came_before_the_reset_in_one_batch_is_taken_back_by_it(fleet):
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    fleet.engine.rollouts.note(Sample("chat", "acme", NEW, 1, "AGENT_ERROR", 1))
    fleet.engine.post(ResetFallback(CHAT, "mended"))
    await fleet.settle()
    assert (phase(fleet), state(fleet).epoch, await kinds(fleet)) == (Phase.NORMAL, 3, [ON, OFF])
    await trip(fleet)


async def test_where_both_modes_fail_alike_nobody_is_blamed(fleet):
    """G3: the cause is further up"""
    await put(fleet)
    await tell(fleet, 10, "AGENT_ERROR", mode=OLD)
    await tell(fleet, 30, "AGENT_ERROR")
    assert phase(fleet) is Phase.NORMAL
    await tell(fleet, 30, mode=OLD)
    assert phase(fleet) is Phase.FALLBACK


async def test_the_outcomes_of_the_old_mode_and_of_unknown_ones_trip_nothing(fleet):
    """G3: the new mode's own"""
    await put(fleet)
    await tell(fleet, 50, "AGENT_ERROR", mode=OLD)
    await tell(fleet, 50, "AGENT_ERROR", mode="another")
    await tell(fleet, 50, "AGENT_ERROR", rollout="another")
    assert phase(fleet) is Phase.NORMAL
    assert (await counted(fleet))[0] == 0


async def test_outcomes_older_than_the_window_are_gone(fleet):
    """G3"""
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    await fleet.pass_time(6 * MINUTE)
    await tell(fleet, 9, "AGENT_ERROR")
    assert phase(fleet) is Phase.NORMAL


async def test_three_failed_probes_in_a_row_are_enough(fleet):
    """G3, G8: without any traffic; one that went well begins the row anew"""
    await put(fleet, health_url="http://runtime/health")
    for well in (False, False, True, False, False):
        fleet.engine.rollouts.note_health("chat", well=well, detail="" if well else "HTTP 503")
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL
    fleet.engine.rollouts.note_health("chat", well=False, detail="HTTP 503")
    await fleet.settle()
    words = "health probe failed 3 times in a row: HTTP 503"
    assert (phase(fleet), state(fleet).reason) == (Phase.FALLBACK, words)
    failed = logged(fleet, "rollout_health_failed")
    assert [(line["in_a_row"], line["detail"]) for line in failed] == [
        (n, "HTTP 503") for n in (1, 2, 1, 2, 3)
    ]
    await fleet.pass_time(DWELL)
    assert phase(fleet) is Phase.FALLBACK
    fleet.engine.rollouts.forget_health("chat")
    await fleet.settle()
    assert phase(fleet) is Phase.TRIAL
