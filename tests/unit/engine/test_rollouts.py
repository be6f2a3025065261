"""Rollouts in the engine: decisions, what comes of runs, definitions (spec G1, G2, G4, G5)."""

from collections import Counter

import pytest

from fleetd.core.event import EventType
from fleetd.core.fallback import Forced, Move, Phase, Step
from fleetd.core.interventions import Cancel
from fleetd.core.rolling import (
    DefineRollouts,
    ForceFallback,
    MoveFallback,
    PutRollout,
    RemoveRollout,
)
from fleetd.core.rollout import Cause, Origin, RolloutMode, Sample
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec, Status
from fleetd.core.words import WordKind
from fleetd.errors import Conflict, NotFound, WrongState
from tests.unit.engine.faults import FULL
from tests.unit.engine.rollouts import (
    CHAT,
    DWELL,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    SECOND,
    counted,
    decide,
    kinds,
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
