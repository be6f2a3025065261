"""What changes rollouts: definitions, steps of the fallback, what operators force, and the shadows' records (spec G1 to G4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetd.core.comparison import Comparison
from fleetd.core.event import EventType
from fleetd.core.fallback import Fallback, Forced, Move, Phase, Step, forced, moved, released, reset
from fleetd.core.ledger import Ledger, Rowless
from fleetd.core.rollout import Origin, Rollout
from fleetd.core.rolloutbook import Salt, Scope
from fleetd.errors import Conflict, Overloaded, WrongState

ORG_STATES = 1_000
"""
Orgs of one rollout that stand somewhere of their own: as many as are counted apart. Names of orgs come from callers, who must not fill memory with them.
"""

MOST_ROLLOUTS = 1_000
"""Rollouts of the store: each keeps windows in memory, and nobody looks after so many."""

EVENTS = {
    Step.TRIP: EventType.ROLLOUT_FALLBACK_ON,
    Step.BEGIN_TRIAL: EventType.ROLLOUT_TRIAL,
    Step.FAIL_TRIAL: EventType.ROLLOUT_FALLBACK_ON,
    Step.RECOVER: EventType.ROLLOUT_FALLBACK_OFF,
}


@dataclass(frozen=True, slots=True)
class PutRollout(Rowless):
    """Add a rollout to the store or replace its definition there. Answer: the Rollout. `expected_version` 0 = whatever it is."""

    rollout: Rollout
    expected_version: int = 0

    def apply(self, ledger: Ledger) -> Rollout:
        view, name = ledger.rollouts.view, self.rollout.name
        holding = view.rollout(name)
        if holding is not None and holding.origin is not Origin.STORE:
            raise _elsewhere(holding, "change")
        before = holding.version if holding is not None else 0
        if holding is None and len(view.names()) >= MOST_ROLLOUTS:
            raise Overloaded(
                "ROLLOUTS_LIMIT", f"there are {MOST_ROLLOUTS:,} rollouts, the limit: remove one first", 60_000
            )
        if self.expected_version and self.expected_version != before:
            raise Conflict(
                "VERSION_MISMATCH",
                f"rollout {name!r} is at version {before}, not {self.expected_version}: read it again",
                {"version": str(before)},
            )
        salt = view.salts.get(name)
        if salt is not None and self.rollout.salt not in ("", salt.salt):
            raise WrongState(
                "SALT_CHANGED",
                f"salt: rollout {name!r} was begun with {salt.salt!r}, and another would move everybody: leave it out",
                {"rollout": name},
            )
        made = replace(self.rollout, origin=Origin.STORE, version=before + 1, updated_at=ledger.now)
        made = _salted(ledger, made)
        ledger.rollouts.define(made)
        ledger.changes.rollouts[name] = made
        return made


@dataclass(frozen=True, slots=True)
class DefineRollouts(Rowless):
    """
    Make these the rollouts of an origin other than the store; those of that origin that are missing are defined by it no more.

    Answer: for each rollout whose salt is another than the one it was begun with, its name: that one holds.
    """

    rollouts: tuple[Rollout, ...]
    origin: Origin

    def apply(self, ledger: Ledger) -> list[str]:
        book = ledger.rollouts
        wanted = {rollout.name for rollout in self.rollouts}
        for origin, name in list(book.view.defined):
            if origin is self.origin and name not in wanted:
                book.forget(origin, name)
        kept = []
        for rollout in self.rollouts:
            before = book.view.defined.get((self.origin, rollout.name))
            made = _salted(ledger, replace(rollout, origin=self.origin))
            if rollout.salt not in ("", made.salt):
                kept.append(rollout.name)
            if (
                before is None
                or replace(made, version=before.version, updated_at=before.updated_at) != before
            ):
                version = before.version + 1 if before is not None else 1
                book.define(replace(made, version=version, updated_at=ledger.now))
        return kept


@dataclass(frozen=True, slots=True)
class RemoveRollout(Rowless):
    """
    Forget a rollout of the store, and what it learnt. Answer: None.

    Its newest epoch stays: should it be defined again, outcomes of work that was decided before say nothing (G4b).
    """

    name: str

    def apply(self, ledger: Ledger) -> None:
        book = ledger.rollouts
        holding = book.find(self.name)
        if holding.origin is not Origin.STORE:
            raise _elsewhere(holding, "remove")
        book.forget(Origin.STORE, self.name)
        ledger.changes.rollouts[self.name] = None
        scope = self.name, ""
        before, after = book.view.state(scope), reset(ledger.now, book.view.epoch(self.name) + 1)
        for each in book.forget_states(self.name):
            ledger.changes.rollout_states[each] = None
        # Also where nothing happened yet: work may have been decided.
        _put(ledger, scope, after)
        _tell_change(ledger, scope, before, after, "the rollout was removed")
        ledger.changes.rollout_salts[self.name] = None


@dataclass(frozen=True, slots=True)
class MoveFallback(Rowless):
    """Take a step that outcomes, probes or time ask for. Answer: None. Nothing happens when the state is of another epoch by now."""

    scope: Scope
    epoch: int
    move: Move

    def apply(self, ledger: Ledger) -> None:
        view = ledger.rollouts.view
        rollout, state = view.rollout(self.scope[0]), view.state(self.scope)
        if rollout is None or state.epoch != self.epoch or state.forced is not None:
            return
        if not _has_room(ledger, self.scope):
            return
        after = moved(state, self.move, rollout.fallback, ledger.now, view.epoch(rollout.name) + 1)
        _put(ledger, self.scope, after)
        reason = self.move.reason or state.reason
        _tell(ledger, self.scope, EVENTS[self.move.step], after, reason)


@dataclass(frozen=True, slots=True)
class ForceFallback(Rowless):
    """Force the old mode for all (`on`), or no fallback by itself; `until` epoch ms, 0 = until it is reset. Answer: the Fallback."""

    scope: Scope
    what: Forced

    def apply(self, ledger: Ledger) -> Fallback:
        book = ledger.rollouts
        name = book.find(self.scope[0]).name
        if not _has_room(ledger, self.scope):
            raise Overloaded(
                "ORG_STATES_LIMIT",
                f"{ORG_STATES:,} orgs of rollout {name!r} are in fallback or forced on their own: reset some of them",
                60_000,
            )
        state = book.view.state(self.scope)
        after = forced(state, self.what, book.view.epoch(name) + 1)
        _put(ledger, self.scope, after)
        _tell_change(ledger, self.scope, state, after, f"forced: {self.what.reason}")
        return after


@dataclass(frozen=True, slots=True)
class ReleaseForced(Rowless):
    """What was forced has run out. Answer: None. Nothing happens when the state is of another epoch by now."""

    scope: Scope
    epoch: int

    def apply(self, ledger: Ledger) -> None:
        view = ledger.rollouts.view
        state = view.state(self.scope)
        if state.epoch != self.epoch or state.forced is None:
            return
        after = released(state, ledger.now, view.epoch(self.scope[0]) + 1)
        _put(ledger, self.scope, after)
        _tell_change(ledger, self.scope, state, after, "what was forced has run out")


@dataclass(frozen=True, slots=True)
class ResetFallback(Rowless):
    """End fallback, trial and what was forced; a new epoch begins. Answer: the Fallback."""

    scope: Scope
    reason: str = ""

    def apply(self, ledger: Ledger) -> Fallback:
        book = ledger.rollouts
        name = book.find(self.scope[0]).name
        state = book.view.state(self.scope)
        after = reset(ledger.now, book.view.epoch(name) + 1)
        if not _has_room(ledger, self.scope):
            return state
        _put(ledger, self.scope, after)
        _tell_change(ledger, self.scope, state, after, f"reset: {self.reason}" if self.reason else "reset")
        return after


@dataclass(frozen=True, slots=True)
class SaveComparison(Rowless):
    """Keep how a piece of work that is no task compared with its shadow. Answer: None."""

    comparison: Comparison

    def apply(self, ledger: Ledger) -> None:
        ledger.changes.comparisons.append(self.comparison)


def falls_back(state: Fallback) -> bool:
    """Tell whether a state keeps work from the new mode."""
    if state.forced is not None:
        return state.forced.on
    return state.phase is not Phase.NORMAL


def own_holds(own: Fallback, whole: Fallback) -> bool:
    """Tell whether an org's own state says how its work is decided, and not that of the whole rollout; `decide` asks them in this order."""
    if whole.forced is not None:
        return own.forced is not None and own.forced.on
    return falls_back(own) or not falls_back(whole)


def _salted(ledger: Ledger, rollout: Rollout) -> Rollout:
    """Return the rollout with the salt it was begun with; a new one begins with its own, or its name."""
    known = ledger.rollouts.view.salts.get(rollout.name)
    if known is None:
        known = Salt(rollout.salt or rollout.name, rollout.hash_version)
        ledger.rollouts.put_salt(rollout.name, known)
        ledger.changes.rollout_salts[rollout.name] = known
    return replace(rollout, salt=known.salt, hash_version=known.hash_version)


def _has_room(ledger: Ledger, scope: Scope) -> bool:
    """Tell whether a scope may stand somewhere of its own; orgs that are back to normal make room for it, those that have been for longest first."""
    name, org_id = scope
    states = ledger.rollouts.view.states
    if not org_id or scope in states:
        return True
    orgs = [each for each in states if each[0] == name and each[1]]
    if len(orgs) < ORG_STATES:
        return True
    idle = [each for each in orgs if states[each].phase is Phase.NORMAL and states[each].forced is None]
    if not idle:
        return False
    oldest = min(idle, key=lambda each: states[each].since)
    ledger.rollouts.forget_state(oldest)
    ledger.changes.rollout_states[oldest] = None
    return True


def _elsewhere(rollout: Rollout, act: str) -> WrongState:
    where = "the environment" if rollout.origin is Origin.ENVIRONMENT else "rollouts.file"
    return WrongState(
        "ROLLOUT_DEFINED_ELSEWHERE",
        f"rollout {rollout.name!r} is defined by {where}: {act} it there",
        {"origin": rollout.origin.name},
    )


def _put(ledger: Ledger, scope: Scope, state: Fallback) -> None:
    ledger.rollouts.put_state(scope, state)
    ledger.changes.rollout_states[scope] = state


def _tell_change(ledger: Ledger, scope: Scope, before: Fallback, after: Fallback, reason: str) -> None:
    """Write the event of a change by hand, when it is one for those who ask for modes."""
    if falls_back(after) and not falls_back(before):
        _tell(ledger, scope, EventType.ROLLOUT_FALLBACK_ON, after, reason)
    elif falls_back(before) and not falls_back(after):
        _tell(ledger, scope, EventType.ROLLOUT_FALLBACK_OFF, after, reason)


def _tell(ledger: Ledger, scope: Scope, kind: EventType, state: Fallback, reason: str) -> None:
    name, org_id = scope
    payload = {"rollout": name, "reason": reason, "epoch": state.epoch, "dwell_ms": state.dwell}
    if org_id:
        payload["org_id"] = org_id
    if state.failed_trials:
        payload["failed_trials"] = state.failed_trials
    ledger.fleet_event(kind, payload)
