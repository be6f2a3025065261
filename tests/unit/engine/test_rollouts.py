"""Rollouts in the engine: decisions, windows, fallback and the way back (spec G1, G3 to G5)."""

from collections import Counter

import pytest

from fleetd.core.event import EventType
from fleetd.core.fallback import Forced, Move, Phase, Step
from fleetd.core.interventions import Cancel
from fleetd.core.ledger import Keys
from fleetd.core.rolling import (
    DefineRollouts,
    ForceFallback,
    MoveFallback,
    PutRollout,
    ReleaseForced,
    RemoveRollout,
    ResetFallback,
)
from fleetd.core.rollout import Cause, Origin, RolloutMode, Sample
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec, Status
from fleetd.core.words import WordKind
from fleetd.engine.rollouts import AGAIN, ORGS
from fleetd.errors import Conflict, NotFound, WrongState
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.rollouts import (
    CHAT,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    SECOND,
    decide,
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
from tests.unit.engine.routes import RULES, fleet_events

ON, TRIAL, OFF = EventType.ROLLOUT_FALLBACK_ON, EventType.ROLLOUT_TRIAL, EventType.ROLLOUT_FALLBACK_OFF
TOLD = (ON, TRIAL, OFF)
DWELL, TRIAL_FOR = MINUTE, 5 * MINUTE


async def kinds(fleet: Fleet) -> list[EventType]:
    return [kind for kind, _ in await fleet_events(fleet, *TOLD)]


@pytest.fixture
async def faulty():
    store = FaultyStore()
    fleet = await Fleet(store=store).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


@pytest.fixture
async def calm():
    """A fleet whose agents need not be heard."""
    fleet = await Fleet(RULES).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


# decisions


async def test_a_task_keeps_its_mode_and_cause_and_requires_what_the_mode_does(fleet):
    """G1"""
    caps = {"old": RolloutMode(OLD, ("plain",)), "new": RolloutMode(NEW, ("runtime", "code"))}
    await put(fleet, **caps, default=OLD, allow=frozenset({"acme"}))
    new = await submit(fleet, required_capabilities=("code", "gpu"))
    old = await submit(fleet, "other")
    assert new.rollout[:4] == ("chat", NEW, Cause.ALLOW_LIST, 1)
    assert old.rollout[:4] == ("chat", OLD, Cause.DEFAULT_MODE, 1)
    specs = {row.task.id: row.spec for row in (await fleet.store.get_tasks([new.id, old.id])).values()}
    assert specs[new.id].required_capabilities == ("code", "gpu", "runtime")
    assert specs[old.id].required_capabilities == ("plain",)
    (created,) = await fleet.payloads(new.id, EventType.TASK_CREATED)
    assert (created["rollout"], created["mode"], created["cause"]) == ("chat", NEW, "ALLOW_LIST")
    await fleet.agent("agent-1", "code", "gpu")
    await fleet.settle()
    assert await fleet.status(new.id) is Status.PENDING
    agent = await fleet.agent("agent-2", "code", "gpu", "runtime")
    assert (await agent.take()).task.rollout.mode == NEW


async def test_a_task_of_an_unknown_rollout_is_refused_and_the_others_are_taken(fleet):
    """G1, T4: the known ones are named"""
    await put(fleet)
    bad = Submission("a", "acme", Spec("work"), rollout="chta")
    good = Submission("b", "acme", Spec("work"), rollout="chat")
    refused, taken = await fleet.do(Submit((bad, good)))
    assert isinstance(refused, NotFound)
    assert (refused.reason, "chat" in str(refused)) == ("ROLLOUT_NOT_FOUND", True)
    assert taken.task.rollout.name == "chat"


async def test_a_rollout_that_was_defined_in_the_same_transaction_decides(fleet):
    """G1: a transaction sees what it changed itself"""
    item = Submission("a", "acme", Spec("work"), rollout="chat")
    force = ForceFallback(CHAT, Forced(True, "outage"))
    *_, first = await fleet.together(PutRollout(rollout()), Submit((item,)))
    *_, second = await fleet.together(force, Submit((item._replace(id="b"),)))
    assert first[0].task.rollout.mode == NEW
    assert second[0].task.rollout[1:3] == (OLD, Cause.FORCED)


async def test_a_dry_run_uses_nothing_up(fleet):
    """G1, G4: neither trial traffic nor a shadow's place"""
    await put(fleet, default=OLD, shadow_percent=100.0)
    assert decide(fleet, dry_run=True).shadow == NEW
    assert fleet.engine.rollout_book.places.taken("chat") == 0
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL)
    assert phase(fleet) is Phase.TRIAL
    assert [decide(fleet, dry_run=True).trial for _ in range(30)] == [False] * 30
    assert decide(fleet).trial


# what comes of runs


async def counted(fleet: Fleet) -> tuple[int, int, int]:
    figures = fleet.engine.rollouts.figures("chat").new
    return figures.total, figures.errors, figures.timeouts


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        (WordKind.COMPLETE, "", (1, 0, 0)),
        (WordKind.FAIL, "LOGIC_ERROR", (1, 1, 0)),
        (WordKind.FAIL, "AGENT_ERROR", (1, 1, 0)),
        (WordKind.FAIL, "TIMEOUT", (1, 1, 1)),
        (WordKind.FAIL, "CANCELLED", (0, 0, 0)),
        (WordKind.RELEASE, "", (0, 0, 0)),
    ],
)
async def test_runs_feed_the_windows_when_they_ended_by_themselves(calm, kind, code, expected):
    """G3, G5: what was handed back, or nobody wanted any more, says nothing of the mode"""
    await put(calm)
    agent = await calm.agent()
    await submit(calm)
    offer = await agent.start()
    await calm.pass_time(40)
    await agent.say(offer, kind, code=code)
    assert await counted(calm) == expected
    assert calm.engine.rollouts.figures("chat").new.average == (40 if expected[0] else 0)


@pytest.mark.parametrize("word", [WordKind.STOPPED, WordKind.COMPLETE, WordKind.FAIL])
async def test_a_run_that_was_cancelled_says_nothing_of_the_mode_however_it_ended(calm, word):
    """G3"""
    await put(calm)
    agent = await calm.agent()
    task = await submit(calm)
    offer = await agent.start()
    await calm.do(Cancel((task.id,)))
    await agent.say(offer, word, code="AGENT_ERROR" if word is WordKind.FAIL else "")
    assert (await calm.status(task.id), await counted(calm)) == (Status.CANCELLED, (0, 0, 0))


async def test_a_run_over_its_time_counts_as_a_timeout(calm):
    """G5, T7: when it has ended"""
    await put(calm)
    agent = await calm.agent()
    await submit(calm, timeout=MINUTE, max_attempts=1)
    offer = await agent.start()
    await calm.pass_time(MINUTE)
    assert await counted(calm) == (0, 0, 0)
    await agent.say(offer, WordKind.STOPPED)
    assert await counted(calm) == (1, 1, 1)


async def test_a_lost_agent_and_a_run_over_its_time_count_as_errors_of_the_mode(fleet):
    """G3: its own outcomes, every attempt of them"""
    await put(fleet)
    agent = await fleet.agent()
    await submit(fleet)
    await agent.start()
    await fleet.detach(agent)
    await fleet.pass_time(MINUTE)
    assert await counted(fleet) == (1, 1, 0)
    agent = await fleet.agent(incarnation="process-2")
    offer = await agent.take()
    await agent.say(offer, WordKind.FAIL, code="RUN_TIMEOUT")
    assert await counted(fleet) == (2, 2, 1)


async def test_a_slow_success_is_a_timeout_and_no_error(fleet):
    """G5: timeouts overlap successes; exactly the threshold is none"""
    await put(fleet)
    await tell(fleet, 1, latency=300_000)
    await tell(fleet, 1, latency=300_001)
    await tell(fleet, 1, "TIMEOUT")
    assert await counted(fleet) == (3, 1, 2)


async def test_cancelled_work_says_nothing_of_a_mode(fleet):
    """G3, F4: a caller's wish is no outcome"""
    await put(fleet)
    await tell(fleet, 20, "CANCELLED")
    assert (await counted(fleet), phase(fleet)) == ((0, 0, 0), Phase.NORMAL)


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


# definitions


async def test_environment_wins_over_file_over_store(fleet):
    """G4: while they name it; a version grows with every change of its own origin"""
    book = fleet.engine.rollout_book
    stored = await put(fleet, percent=1.0)
    await fleet.do(DefineRollouts((rollout(percent=2.0),), Origin.FILE))
    await fleet.do(DefineRollouts((rollout(percent=3.0),), Origin.ENVIRONMENT))
    found = book.find_present("chat")
    assert (found.percent, found.origin, found.version) == (3.0, Origin.ENVIRONMENT, 1)
    for command in (PutRollout(rollout()), RemoveRollout("chat")):
        with pytest.raises(WrongState) as caught:
            await fleet.do(command)
        assert (caught.value.reason, caught.value.metadata["origin"]) == (
            "ROLLOUT_DEFINED_ELSEWHERE", "ENVIRONMENT",
        )  # fmt: skip
    await fleet.do(DefineRollouts((rollout(percent=3.0),), Origin.ENVIRONMENT))
    assert book.find_present("chat").version == 1
    await fleet.do(DefineRollouts((), Origin.ENVIRONMENT))
    assert (book.find_present("chat").percent, book.find_present("chat").origin) == (2.0, Origin.FILE)
    await fleet.do(DefineRollouts((), Origin.FILE))
    assert book.find_present("chat") == stored
    await fleet.restart()
    assert fleet.engine.rollout_book.find_present("chat") == stored


async def test_g8_the_environment_puts_everything_back_to_the_old_mode_over_a_restart(fleet):
    """G4: CHAT_EXECUTION_MODE=direct_llm with an empty list restarts into 100 % direct_llm"""
    await put(fleet, default=NEW, allow=frozenset({"acme"}))
    await fleet.restart()
    await fleet.do(DefineRollouts((rollout(default=OLD),), Origin.ENVIRONMENT))
    assert {decide(fleet, f"org-{n}").mode for n in range(200)} | set(modes(fleet)) == {OLD}


async def test_the_salt_a_rollout_began_with_holds_whoever_defines_it(fleet):
    """G2: another would move everybody"""
    await put(fleet, salt="first", percent=50.0, default=OLD)
    before = [decide(fleet, f"org-{n}").mode for n in range(100)]
    with pytest.raises(WrongState) as caught:
        await put(fleet, salt="second")
    assert caught.value.reason == "SALT_CHANGED"
    file = rollout(salt="second", percent=50.0, default=OLD)
    assert await fleet.do(DefineRollouts((file,), Origin.FILE)) == ["chat"]
    await fleet.restart()
    assert await fleet.do(DefineRollouts((file,), Origin.FILE)) == ["chat"]
    assert [decide(fleet, f"org-{n}").mode for n in range(100)] == before
    unsalted = rollout(salt="", percent=50.0, default=OLD)
    assert await fleet.do(DefineRollouts((unsalted,), Origin.FILE)) == []
    await fleet.do(DefineRollouts((), Origin.FILE))
    await put(fleet, salt="", percent=50.0, default=OLD)
    assert [decide(fleet, f"org-{n}").mode for n in range(100)] == before
    found = fleet.engine.rollout_book.find_present("chat")
    assert (found.salt, found.hash_version) == ("first", 1)
    assert (await fleet.store.snapshot(0)).rollout_salts["chat"] == ("first", 1)


async def test_a_stale_version_is_refused(fleet):
    """G4"""
    await put(fleet)
    changed = await fleet.do(PutRollout(rollout(percent=5.0), expected_version=1))
    assert (changed.version, changed.updated_at) == (2, fleet.clock.wall())
    with pytest.raises(Conflict) as caught:
        await fleet.do(PutRollout(rollout(percent=6.0), expected_version=1))
    assert caught.value.reason == "VERSION_MISMATCH"
    assert fleet.engine.rollout_book.find_present("chat") == changed


async def test_a_rollout_that_is_removed_takes_what_it_learnt_along(fleet):
    """G4: one of the same name begins anew, with another salt if need be"""
    await put(fleet)
    await trip(fleet)
    await fleet.do(RemoveRollout("chat"))
    await fleet.pass_time(HOUR)
    assert fleet.engine.sweeper.timers.at(("rollouts", "")) is None
    with pytest.raises(NotFound):
        decide(fleet)
    await put(fleet, salt="another")
    assert (modes(fleet), (await counted(fleet))[0]) == ([NEW], 0)
    snapshot = await fleet.store.snapshot(0)
    assert [r.salt for r in snapshot.rollouts] == ["another"]
    # Its epoch alone stays, so that what was decided before says nothing.
    ((scope, state),) = snapshot.rollout_states.items()
    assert (scope, state.phase, state.reason, state.dwell) == (("chat", ""), Phase.NORMAL, "", 0)
    assert state.epoch > 2
    await trip(fleet)


async def test_a_step_for_a_rollout_that_is_gone_does_nothing(fleet):
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    fleet.engine.post(RemoveRollout("chat"))
    fleet.engine.rollouts.note(Sample("chat", "acme", NEW, 1, "AGENT_ERROR", 1))
    await fleet.settle()
    assert (await kinds(fleet), fleet.engine.rollout_book.present.names()) == ([], [])


@pytest.mark.parametrize(
    "change",
    [{"window": 10 * MINUTE}, {"new": RolloutMode(OLD), "old": RolloutMode(NEW), "default": OLD}],
)
async def test_outcomes_of_another_window_or_of_other_modes_trip_nothing(fleet, change):
    """G3: what is counted is the new mode's own, within the window"""
    await put(fleet)
    await tell(fleet, 9, "AGENT_ERROR")
    await put(fleet, **change)
    await tell(fleet, 1, "AGENT_ERROR", mode=change["new"].name if "new" in change else NEW)
    assert phase(fleet) is Phase.NORMAL


async def test_other_rules_hold_at_once_for_a_fallback_under_way(fleet):
    """G4: shorter trials"""
    await put(fleet)
    await trip(fleet)
    await fleet.pass_time(DWELL)
    await put(fleet, trial_for=MINUTE)
    await fleet.pass_time(MINUTE)
    assert phase(fleet) is Phase.NORMAL


async def test_two_rollouts_do_not_concern_each_other(fleet):
    await put(fleet)
    await put(fleet, name="other")
    await trip(fleet)
    assert decide(fleet, name="other").mode == NEW
    await fleet.pass_time(30 * SECOND)
    for _ in range(10):
        fleet.engine.rollouts.note(Sample("other", "acme", NEW, 1, "AGENT_ERROR", 1))
    await fleet.settle()
    await fleet.pass_time(30 * SECOND)
    other = ("other", "")
    present = fleet.engine.rollout_book.present
    assert (phase(fleet), present.state(other).phase) == (Phase.TRIAL, Phase.FALLBACK)
    await fleet.pass_time(30 * SECOND)
    assert fleet.engine.rollout_book.present.state(other).phase is Phase.TRIAL


# transactions that are taken back


async def test_a_transaction_that_is_taken_back_leaves_the_book_as_it_was(faulty):
    """G2, G4"""
    await put(faulty, default=OLD, shadow_percent=100.0)
    before = faulty.engine.rollout_book.present
    faulty.store.faults.append(FULL)
    item = Submission("a", "acme", Spec("w"), rollout="chat", shadow_id="s")
    answers = await faulty.together(
        PutRollout(rollout("another")),
        ForceFallback(CHAT, Forced(True, "x")),
        Submit((item,)),
        DefineRollouts((rollout("third"),), Origin.FILE),
    )
    assert all(isinstance(answer, Exception) for answer in answers)
    assert faulty.engine.rollout_book.present is before
    assert faulty.engine.rollout_book.places.taken("chat") == 0
    assert (await kinds(faulty), state(faulty).epoch) == ([], 1)


async def test_a_move_of_an_epoch_that_is_over_changes_nothing(fleet):
    await put(fleet)
    await reset(fleet)
    await fleet.do(MoveFallback(CHAT, 1, Move(Step.TRIP, "late")))
    assert phase(fleet) is Phase.NORMAL
    await fleet.do(MoveFallback(CHAT, 2, Move(Step.TRIP, "right")))
    assert phase(fleet) is Phase.FALLBACK


async def test_huge_latencies_are_counted_and_named(fleet):
    """G3, G5"""
    await put(fleet)
    await tell(fleet, 10, latency=30 * 86_400_000)
    assert "average latency too high: 2592000000 ms (threshold: 240000 ms)" in state(fleet).reason
    figures = fleet.engine.rollouts.figures("chat").new
    assert 0 <= figures.p95 / (30 * 86_400_000) - 1 < 0.05
    assert figures.errors == 0


async def test_growing_a_percentage_moves_nobody_out(fleet):
    """G2: through definitions and restarts"""
    members: set[str] = set()
    for percent in (5.0, 25.0, 60.0, 100.0):
        await put(fleet, default=OLD, percent=percent)
        await fleet.restart()
        found = {f"org-{n}" for n in range(400) if decide(fleet, f"org-{n}").mode == NEW}
        assert members <= found
        members = found
    assert len(members) == 400


async def test_figures_are_those_of_each_mode_and_org(fleet):
    """G5: total = success + error"""
    await put(fleet)
    await tell(fleet, 3, latency=1_000)
    await tell(fleet, 2, "AGENT_ERROR", latency=3_000, org_id="other")
    await tell(fleet, 4, mode=OLD)
    await tell(fleet, 5, "AGENT_ERROR", shadow=True)
    whole, one = fleet.engine.rollouts.figures("chat"), fleet.engine.rollouts.figures("chat", "other")
    assert (whole.new.total, whole.new.errors, whole.new.average) == (5, 2, 1_800)
    assert (whole.old.total, whole.old.errors, whole.shadow.total, whole.shadow.errors) == (4, 0, 5, 5)
    assert (one.new.total, one.new.errors, one.old.total) == (2, 2, 0)
    assert Counter(fleet.engine.rollouts.orgs("chat")) == {"acme": 1, "other": 1}
    with pytest.raises(NotFound):
        fleet.engine.rollouts.figures("nothing")
