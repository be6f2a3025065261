"""Fallbacks through any traffic, outages, hands and clocks: what trips them, how long they last, and that they always come back. G3, G4."""

from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fleetd.core.fallback import (
    Fallback,
    FallbackRules,
    Forced,
    Health,
    Phase,
    Step,
    Sums,
    forced,
    judge,
    moved,
    released,
    reset,
)
from fleetd.core.rollout import Decision, Rollout, RolloutMode, decide
from fleetd.core.rollout_window import Window

RULES = FallbackRules()
ROLLOUT = Rollout("chat", RolloutMode("old"), RolloutMode("new"), default="new")
START = 5_000_000
WALL = 1_750_000_000_000
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
LEGAL = {
    Phase.NORMAL: {Step.TRIP},
    Phase.FALLBACK: {Step.BEGIN_TRIAL},
    Phase.TRIAL: {Step.FAIL_TRIAL, Step.RECOVER},
}
LEADS_TO = {
    Step.TRIP: Phase.FALLBACK,
    Step.BEGIN_TRIAL: Phase.TRIAL,
    Step.FAIL_TRIAL: Phase.FALLBACK,
    Step.RECOVER: Phase.NORMAL,
}
QUIET = 2 * (RULES.dwell_max + RULES.trial_for) + RULES.window
"""A trial that already saw what was bad may fail, or a window that holds it trip, once more; then everything is good."""


class Outcome(NamedTuple):
    error: bool = False
    timeout: bool = False
    latency: int = 1_500


GOOD = Outcome()
OUTCOMES = (GOOD, Outcome(error=True), Outcome(timeout=True, latency=300_001), Outcome(latency=299_000))


class Flight(NamedTuple):
    """Work under way in the new mode, and how often the state had changed when it was decided."""

    decision: Decision
    changes: int


class Happened(NamedTuple):
    """A move by itself, and the state that it made."""

    at: int
    step: Step
    state: Fallback


@dataclass
class World:
    """
    A rollout with its windows and its probe, as an engine would lead it; `now` never goes back, the clock on the wall (`ahead` of it) may.

    `fresh` is the model's own idea of what counts: outcomes of work that was decided after the last change. `history` is of moves since the last hand.
    """

    state: Fallback = field(default_factory=Fallback)
    now: int = START
    ahead: int = WALL
    began: int = START
    epoch: int = 1
    changes: int = 0
    health: Health = field(default_factory=Health)
    new: Window = field(default_factory=lambda: Window(RULES.window))
    old: Window = field(default_factory=lambda: Window(RULES.window))
    fresh: list[tuple[int, Outcome]] = field(default_factory=list)
    history: list[Happened] = field(default_factory=list)

    @property
    def wall(self) -> int:
        return self.now + self.ahead

    def become(self, state: Fallback) -> None:
        assert state.epoch > self.state.epoch, "epochs only grow"
        if state.phase is not self.state.phase or state.since != self.state.since:
            self.began = self.now
        self.state = state
        self.changes += 1
        self.new.clear()
        self.fresh.clear()

    def next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def by_hand(self, state: Fallback) -> None:
        self.become(state)
        self.history.clear()

    def reset(self) -> None:
        self.by_hand(reset(self.wall, self.next_epoch()))
        self.health = Health()

    def release(self) -> None:
        self.by_hand(released(self.state, self.wall, self.next_epoch()))
        self.began = self.now if self.state.phase is not Phase.NORMAL else self.began

    def decide(self, *, in_trial: bool) -> Decision:
        return decide(ROLLOUT, self.state, None, "acme", "", self.epoch, lambda own: in_trial)

    def report(self, flight: Flight, outcome: Outcome) -> None:
        if flight.changes == self.changes:
            self.fresh.append((self.now, outcome))
        if flight.decision.epoch >= self.state.epoch:
            self.new.add(self.now, outcome.latency, error=outcome.error, timeout=outcome.timeout)

    def work(self, outcome: Outcome, *, in_trial: bool = True) -> None:
        """Decide a piece of work that ends at once; only the new mode's outcome is free."""
        decision = self.decide(in_trial=in_trial)
        if decision.mode == "new":
            self.report(Flight(decision, self.changes), outcome)
        else:
            self.old.add(self.now, GOOD.latency, error=False, timeout=False)

    def judged(self) -> None:
        """Look, and do what should happen."""
        elapsed = self.now - self.began
        new, old = self.new.sums(self.now), self.old.sums(self.now)
        move = judge(self.state, RULES, new, old, self.health, elapsed)
        assert (move.step if move else None) is self.expected(new, old, elapsed)
        if move is None:
            return
        before = self.state
        self.allow(move.step, elapsed)
        self.become(moved(before, move, RULES, self.wall, self.next_epoch()))
        assert self.state.phase is LEADS_TO[move.step]
        self.history.append(Happened(self.now, move.step, self.state))
        self.spaced()

    def allow(self, step: Step, elapsed: int) -> None:
        """What is promised of a step, from what came to pass alone."""
        assert self.state.forced is None
        assert step in LEGAL[self.state.phase]
        recent = [outcome for at, outcome in self.fresh if self.now - at < RULES.window]
        unwell = self.health.failures >= 3
        if step is Step.TRIP:
            assert unwell or len(recent) >= 10, "no trip without data"
        if step in (Step.TRIP, Step.FAIL_TRIAL):
            assert unwell or any(outcome != GOOD for outcome in recent), "nothing was bad"
        if step is Step.BEGIN_TRIAL:
            assert elapsed >= max(RULES.dwell, self.state.dwell), "a fallback lasts its dwell"
            assert not unwell

    def spaced(self) -> None:
        """At most one trip, and one recovery, in the dwell of the fallback between them."""
        for kind in (Step.TRIP, Step.RECOVER):
            same = [happened for happened in self.history if happened.step is kind]
            for one, other in pairwise(same):
                between = [each for each in self.history if one.at <= each.at <= other.at]
                dwells = [each.state.dwell for each in between if each.state.phase is Phase.FALLBACK]
                assert other.at - one.at >= max(RULES.dwell, dwells[0])

    def expected(self, new: Sums, old: Sums, elapsed: int) -> Step | None:
        """What should happen, in whole numbers."""
        unwell = self.health.failures >= 3
        if self.state.forced is not None:
            return None
        if self.state.phase is Phase.FALLBACK:
            return Step.BEGIN_TRIAL if elapsed >= self.state.dwell and not unwell else None
        if self.state.phase is Phase.NORMAL:
            alike = behind(old, new) if old.total >= 10 else set()
            own = bad(new, 1) - alike if new.total >= 10 else set()
            return Step.TRIP if own or unwell else None
        if unwell:
            return Step.FAIL_TRIAL
        if new.total < 10 and elapsed < 300_000:
            return None
        return Step.FAIL_TRIAL if bad(new, 2) else Step.RECOVER

    def lived(self, outcome: Outcome | None) -> "World":
        """Return a copy that lived on for long: nothing forced, the probe well, and all outcomes like this, or none."""
        world = deepcopy(self)
        if world.state.forced is not None:
            world.release()
        world.health = world.health._replace(failures=0)
        for _ in range(QUIET // (30 * SECOND)):
            world.now += 30 * SECOND
            if outcome is not None:
                world.work(outcome)
            world.judged()
        return world


def bad(sums: Sums, part: int) -> set[str]:
    """Return what is above a `part` of the thresholds."""
    found = set()
    if sums.errors * 100 * part > 50 * sums.total:
        found.add("errors")
    if sums.timeouts * 100 * part > 30 * sums.total:
        found.add("timeouts")
    if sums.latency * part > 240_000 * sums.total:
        found.add("latency")
    return found


def behind(old: Sums, new: Sums) -> set[str]:
    """Return what of the old mode is at least 70 % as bad as that of the new one."""
    pairs = {
        "errors": (old.errors, new.errors),
        "timeouts": (old.timeouts, new.timeouts),
        "latency": (old.latency, new.latency),
    }
    return {name for name, (one, other) in pairs.items() if 10 * one * new.total >= 7 * other * old.total}


outcomes = st.sampled_from(OUTCOMES)
mixes = st.lists(outcomes, min_size=1, max_size=15) | outcomes.map(lambda one: [one] * 12)


class FallbackMachine(RuleBasedStateMachine):
    """G3, G4, G4a, G4b."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.flights: list[Flight] = []

    @rule(number=st.sampled_from((1, 9, 10, 30)), share=st.integers(1, 20))
    def begins(self, number, share):
        """Work begins and takes its time; of a trial every so manieth piece."""
        for each in range(number):
            decision = self.world.decide(in_trial=each % share == 0)
            assert (decision.mode, decision.trial) == self.promised(in_trial=each % share == 0)
            if decision.mode == "new":
                self.flights.append(Flight(decision, self.world.changes))

    def promised(self, *, in_trial):
        state = self.world.state
        if state.forced is not None:
            return "old" if state.forced.on else "new", False
        if state.phase is Phase.TRIAL and in_trial:
            return "new", True
        return "new" if state.phase is Phase.NORMAL else "old", False

    @precondition(lambda self: self.flights)
    @rule(mix=mixes, data=st.data())
    def ends(self, mix, data):
        """Some of the work ends, the oldest or the newest, whenever it began."""
        newest = data.draw(st.booleans())
        for outcome in mix[: len(self.flights)]:
            self.world.report(self.flights.pop(-1 if newest else 0), outcome)
        self.world.judged()

    @rule(mix=mixes)
    def short_work(self, mix):
        for outcome in mix:
            self.world.work(outcome)
        self.world.judged()

    @rule(mix=mixes)
    def old_mode(self, mix):
        """What the old mode does; when it fails alike the cause is upstream."""
        for one in mix:
            self.world.old.add(self.world.now, one.latency, error=one.error, timeout=one.timeout)
        self.world.judged()

    @rule(failures=st.integers(0, 4))
    def probe(self, failures):
        """The probe is asked; so many failures in a row, 0 = it is well."""
        before = self.world.health.failures
        self.world.health = Health(before + failures if failures else 0, "refused", asked=True)
        self.world.judged()

    @rule(step=st.sampled_from((1, SECOND, 29 * SECOND, MINUTE - 1, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR)))
    def later(self, step):
        self.world.now += step
        self.world.judged()

    @rule(step=st.sampled_from((-10 * HOUR, -MINUTE, MINUTE, 10 * HOUR)))
    def wall_clock_is_set(self, step):
        self.world.ahead += step
        self.world.judged()

    @precondition(lambda self: self.world.state.phase is Phase.FALLBACK)
    @rule()
    def dwells(self):
        """It waits to the millisecond; the trial begins then and no sooner, unless something holds it."""
        world = self.world
        held = world.state.forced is not None or world.health.failures >= 3
        world.now = max(world.now, world.began + world.state.dwell - 1)
        if world.now - world.began < world.state.dwell:
            world.judged()
            assert world.state.phase is Phase.FALLBACK
            world.now += 1
        world.judged()
        assert world.state.phase is (Phase.FALLBACK if held else Phase.TRIAL)

    @precondition(lambda self: self.world.state.forced is None and self.world.health.failures < 3)
    @rule(outcome=st.sampled_from(OUTCOMES[1:]), alike=st.booleans(), again=st.integers(1, 7))
    def fails(self, outcome, alike, again):
        """It fails, is tried as soon as it may be, and fails again; perhaps because what both modes need fails."""
        world = self.world
        for _ in range(again):
            if world.state.phase is Phase.FALLBACK:
                world.now += max(0, world.state.dwell - (world.now - world.began))
                world.judged()
            dwell, trial = world.state.dwell, world.state.phase is Phase.TRIAL
            world.old.clear()
            for _ in range(60 if alike and trial else 0):
                world.old.add(world.now, outcome.latency, error=outcome.error, timeout=outcome.timeout)
            for _ in range(60):
                world.work(outcome)
            world.judged()
            if trial:
                assert world.state.phase is Phase.FALLBACK
                assert world.state.dwell == (dwell if alike else min(2 * dwell, RULES.dwell_max))

    @precondition(lambda self: self.world.state.phase is Phase.TRIAL and self.world.state.forced is None)
    @rule()
    def trial_goes_well(self):
        """What it saw before, ill or well, was not enough to decide; the rest is good."""
        for _ in range(100):
            self.world.work(GOOD)
        self.world.judged()
        assert self.world.state.phase is (Phase.FALLBACK if self.world.health.failures >= 3 else Phase.NORMAL)

    @rule(on=st.booleans())
    def force(self, on):
        self.world.by_hand(forced(self.world.state, Forced(on, "by hand"), self.world.next_epoch()))
        self.world.judged()

    @precondition(lambda self: self.world.state.forced is not None)
    @rule()
    def release(self):
        self.world.release()

    @rule()
    def reset(self):
        """G4b: nothing of what was before trips it again; nor do the outcomes of all that is under way, whatever they are."""
        self.world.reset()
        assert self.world.state == Fallback(since=self.world.wall, epoch=self.world.epoch)
        for number, flight in enumerate(self.flights):
            self.world.report(flight, OUTCOMES[1 + number % 3])
        self.flights.clear()
        self.world.judged()
        assert self.world.state.phase is Phase.NORMAL
        assert self.world.state.dwell == 0

    @rule(outcome=st.sampled_from((None, GOOD)))
    def from_here_it_recovers(self, outcome):
        """G4, G4a: from every state, once outcomes are good, or when there are none at all."""
        world = self.world.lived(outcome)
        assert (world.state.phase, world.state.reason) == (Phase.NORMAL, "")

    def teardown(self):
        for outcome in (None, GOOD):
            assert self.world.lived(outcome).state.phase is Phase.NORMAL

    @invariant()
    def the_state_is_sound(self):
        state = self.world.state
        assert state.epoch == self.world.epoch
        assert state.dwell == 0 or RULES.dwell <= state.dwell <= RULES.dwell_max
        if state.phase is Phase.NORMAL:
            assert (state.reason, state.until, state.failed_trials) == ("", 0, 0)
        else:
            length = state.dwell if state.phase is Phase.FALLBACK else RULES.trial_for
            assert state.until - state.since == length > 0
            assert state.reason

    @invariant()
    def only_fresh_outcomes_count(self):
        """G4b: those of work that was decided after the last change."""
        assert self.world.new.sums(self.world.now).total <= len(self.world.fresh)


TestFallbackMachine = FallbackMachine.TestCase
TestFallbackMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def fallen(trials: int) -> World:
    """Return a world that fell back, and failed so many trials, each as soon as it could."""
    world = World()
    for _ in range(10):
        world.work(Outcome(error=True))
    world.judged()
    for _ in range(trials):
        world.now += world.state.dwell
        world.judged()
        for _ in range(10):
            world.work(Outcome(error=True))
        world.judged()
    assert (world.state.phase, world.state.failed_trials) == (Phase.FALLBACK, trials)
    return world


@pytest.mark.parametrize("trials", range(8))
def test_without_any_samples_it_comes_back_after_its_dwell_and_one_trial_g4a(trials):
    """G4a: MUST NOT stay in fallback for ever because no samples arrive, however often its trials failed."""
    world = fallen(trials)
    dwell = min(RULES.dwell << trials, RULES.dwell_max)
    assert world.state.dwell == dwell
    came_back = world.now + dwell + RULES.trial_for
    while world.now < came_back:
        assert world.state.phase is not Phase.NORMAL
        world.now += SECOND
        world.judged()
    assert world.state.phase is Phase.NORMAL


@pytest.mark.parametrize("trials", range(8))
def test_after_a_reset_only_new_outcomes_trip_it_g4b(trials):
    """G4b: MUST NOT fall back again right after a reset because of old samples."""
    world = World()
    late = [Flight(world.decide(in_trial=True), world.changes) for _ in range(40)]
    world = fallen(trials)
    world.reset()
    for flight in late:
        world.report(flight, Outcome(error=True))
        world.judged()
    assert (world.state.phase, world.new.sums(world.now)) == (Phase.NORMAL, Sums())
    for number in range(10):
        assert world.state.phase is Phase.NORMAL, number
        world.work(Outcome(error=True))
        world.judged()
    assert world.state.phase is Phase.FALLBACK
    assert world.state.dwell == RULES.dwell


def test_failing_for_ever_it_is_tried_ever_more_seldom():
    """G4: of a day of failing the new mode sees two trials an hour, not one a minute."""
    world = fallen(0)
    end = world.now + 24 * HOUR
    while world.now < end:
        world.now += 10 * SECOND
        for _ in range(10):
            world.work(Outcome(error=True))
        world.judged()
    trials = sum(happened.step is Step.BEGIN_TRIAL for happened in world.history)
    assert 44 <= trials <= 53
    assert world.state.dwell == RULES.dwell_max
