"""When the engine takes the steps of a fallback: what it waits for, what it compares, and what the store refused (spec G3, G4, G4a)."""

from __future__ import annotations

from typing import Any

import pytest

from fleetd.core.event import EventFilter, EventType
from fleetd.core.fallback import FallbackRules, Forced, Phase
from fleetd.core.rolling import ForceFallback, PutRollout, RemoveRollout
from fleetd.core.rollout import Rollout, RolloutMode, Sample
from tests.unit.engine.faults import FULL, FaultyStore
from tests.unit.engine.fleet import Fleet

RULES = FallbackRules(
    window=60_000, min_samples=4, dwell=10_000, trial_for=20_000, timeout_threshold=30_000, per_org=True
)
ROLLOUT = Rollout(
    "chat", RolloutMode("old"), RolloutMode("new"), "old", allow=frozenset({"acme"}), fallback=RULES
)


@pytest.fixture
async def fleet():
    fleet = Fleet(store=FaultyStore())
    await fleet.open()
    await fleet.do(PutRollout(ROLLOUT))
    yield fleet
    await fleet.close()


def note(
    fleet: Fleet, mode: str, count: int, code: str = "", *, epoch: int | None = None, latency: int = 100
) -> None:
    """Report outcomes of work that was decided now."""
    now = fleet.engine.rollout_book.present.epoch("chat")
    for _ in range(count):
        fleet.engine.rollouts.note(Sample("chat", "", mode, now if epoch is None else epoch, code, latency))


def phase(fleet: Fleet, org_id: str = "") -> Phase:
    return fleet.engine.rollout_book.present.state(("chat", org_id)).phase


async def on_trial(fleet: Fleet) -> None:
    note(fleet, "new", 4, "503")
    await fleet.settle()
    assert phase(fleet) is Phase.FALLBACK
    await fleet.pass_time(RULES.dwell)
    assert phase(fleet) is Phase.TRIAL


def decided(fleet: Fleet, count: int = 1) -> list[bool]:
    """Decide the mode of work that would get the new one; tell which is on trial."""
    return [fleet.engine.rollouts.decide("chat", "acme", "", "", dry_run=False).trial for _ in range(count)]


async def test_an_outage_of_both_just_after_an_epoch_began_is_upstream(fleet):
    """G3: what the old mode did before is not what it does now."""
    await on_trial(fleet)
    note(fleet, "old", 200)
    note(fleet, "new", 4)
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL
    note(fleet, "old", 4, "503")
    note(fleet, "new", 4, "503")
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL


async def test_what_the_old_mode_did_before_counts_where_it_did_nothing_since(fleet):
    """G3: an outage of both that goes on is no fault of the new mode."""
    await on_trial(fleet)
    note(fleet, "old", 200, "503")
    note(fleet, "new", 4)
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL
    note(fleet, "new", 4, "503")
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL


async def test_a_trial_waits_for_the_outcomes_of_its_work(fleet):
    """G4: a mode whose calls hang is not well because nothing came of them yet."""
    await on_trial(fleet)
    assert decided(fleet)[0]
    await fleet.pass_time(RULES.trial_for)
    assert phase(fleet) is Phase.TRIAL
    note(fleet, "new", 1, "TIMEOUT")
    await fleet.settle()
    assert phase(fleet) is Phase.FALLBACK


async def test_a_trial_waits_no_longer_than_a_call_may_take(fleet):
    """G4a: outcomes that never come keep nobody on trial."""
    await on_trial(fleet)
    assert decided(fleet)[0]
    await fleet.pass_time(RULES.trial_for + RULES.timeout_threshold - 1)
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(1)
    assert phase(fleet) is Phase.NORMAL


async def test_a_trial_whose_outcomes_all_came_is_over_in_time(fleet):
    """G4: few outcomes, all good."""
    await on_trial(fleet)
    assert decided(fleet, 20).count(True) == 1
    note(fleet, "new", 1)
    await fleet.pass_time(RULES.trial_for - 1)
    assert phase(fleet) is Phase.TRIAL
    await fleet.pass_time(1)
    assert phase(fleet) is Phase.NORMAL


async def test_a_step_that_the_store_refused_is_taken_whatever_else_changes_meanwhile(fleet):
    """G4a: without outcomes and without a probe nothing else would look again."""
    note(fleet, "new", 4, "503")
    await fleet.settle()
    fleet.store.faults.append(FULL)
    await fleet.pass_time(RULES.dwell)
    assert phase(fleet) is Phase.FALLBACK
    await fleet.do(ForceFallback(("chat", "acme"), Forced(on=True, reason="test")))
    await fleet.pass_time(1_000)
    assert phase(fleet) is Phase.TRIAL


async def test_a_time_that_passes_within_a_transaction_is_kept(fleet):
    """G4a: the timer was for another scope, and its transaction takes longer than the second one has left."""
    note(fleet, "new", 4, "503")
    await fleet.settle()
    fleet.clock.advance(2)
    sample = Sample("chat", "beta", "new", 1, "503", 100)
    for _ in range(4):
        fleet.engine.rollouts.note(sample._replace(epoch=fleet.engine.rollout_book.present.epoch("chat")))
    await fleet.settle()
    assert (phase(fleet), phase(fleet, "beta")) == (Phase.FALLBACK, Phase.FALLBACK)
    fleet.clock.advance(RULES.dwell - 2)
    transact, fleet.store.transact = fleet.store.transact, lambda script: slowly(fleet, transact, script)
    await fleet.settle()
    assert phase(fleet) is Phase.TRIAL
    fleet.store.transact = transact
    await fleet.settle()
    assert phase(fleet, "beta") is Phase.TRIAL


async def slowly(fleet: Fleet, transact: Any, script: Any) -> Any:
    result = await transact(script)
    fleet.clock.advance(5)
    return result


async def test_a_removal_tells_that_the_fallback_is_over(fleet):
    """G4: whoever follows the events knows where a rollout stands."""
    await on_trial(fleet)
    await fleet.do(RemoveRollout("chat"))
    wanted = EventFilter(types=frozenset({EventType.ROLLOUT_FALLBACK_OFF}))
    (event,) = (await fleet.store.list_events(wanted, 0, 10, 1_000)).events
    assert event.payload == {
        "rollout": "chat",
        "reason": "the rollout was removed",
        "epoch": 4,
        "dwell_ms": 0,
    }


async def test_a_rollout_that_is_defined_again_goes_on_with_its_epochs(fleet):
    """G4b: outcomes of work that was decided before it was removed trip nothing, a restart between them or not."""
    await on_trial(fleet)
    old = fleet.engine.rollout_book.present.epoch("chat")
    await fleet.do(RemoveRollout("chat"))
    await fleet.do(PutRollout(ROLLOUT))
    await fleet.restart()
    assert fleet.engine.rollout_book.present.epoch("chat") > old
    note(fleet, "new", 10, "503", epoch=old)
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL


async def test_so_does_one_to_which_nothing_had_happened(fleet):
    """G4b"""
    await fleet.do(PutRollout(ROLLOUT))
    old = fleet.engine.rollout_book.present.epoch("chat")
    await fleet.do(RemoveRollout("chat"))
    await fleet.do(PutRollout(ROLLOUT))
    await fleet.restart()
    note(fleet, "new", 10, "503", epoch=old)
    await fleet.settle()
    assert phase(fleet) is Phase.NORMAL
