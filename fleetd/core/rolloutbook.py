"""
Rollouts in memory: their definitions, where they stand, and the places of their shadows (spec G1 to G4).

A transaction sees what it changed itself; the event loop sees what the last commit left. `commit` keeps what a transaction did, `rollback` takes it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from fleetd.core.fallback import Fallback
from fleetd.core.rollout import Decision, Origin, Rollout, decide
from fleetd.errors import NotFound

Scope = tuple[str, str]
"""A rollout, and one org of it or "" for the whole."""

Trial = tuple[Scope, int]
"""A scope and the epoch of its trial."""

ORDER = (Origin.ENVIRONMENT, Origin.FILE, Origin.STORE)
"""Whose definition holds when several define a rollout (G4)."""


class Salt(NamedTuple):
    """What the buckets of a rollout are made with, for ever."""

    salt: str
    hash_version: int


class Places(Protocol):
    """Shadows at once, by rollout: never more than the limit. Safe between threads."""

    def take(self, rollout: str, limit: int) -> bool:
        """Take a place, if one is free."""
        ...

    def give(self, rollout: str) -> None:
        """Give a place back."""
        ...


class Trials(Protocol):
    """Whose work is part of a trial's traffic: the first of all, and then a share of it, evenly. Safe between threads."""

    def take(self, trial: Trial, percent: float, *, inside: bool) -> bool:
        """Tell whether the next piece of work is part of the traffic; `inside` a transaction, which may be taken back."""
        ...

    @property
    def taken(self) -> int:
        """How many numbers the present transaction has taken."""
        ...

    def give_back(self, beyond: int = 0) -> None:
        """Give what the present transaction has taken to others, save for the first `beyond`."""
        ...

    def keep(self) -> None:
        """The present transaction was committed."""
        ...

    def sent(self, trial: Trial) -> int:
        """Return how much work a trial has sent to the new mode, since the start of the daemon."""
        ...

    def forget(self, trial: Trial) -> None:
        """A trial is over."""
        ...


class View(NamedTuple):
    """
    Definitions by origin and name, states by scope, salts and the newest epoch by rollout. A state that is missing is that of a rollout, or an org, to which
    nothing happened yet.
    """

    defined: Mapping[tuple[Origin, str], Rollout]
    states: Mapping[Scope, Fallback]
    salts: Mapping[str, Salt]
    epochs: Mapping[str, int]

    def rollout(self, name: str) -> Rollout | None:
        """Return the definition that holds."""
        return next(
            (found for origin in ORDER if (found := self.defined.get((origin, name))) is not None), None
        )

    def names(self) -> list[str]:
        return sorted({name for _, name in self.defined})

    def state(self, scope: Scope) -> Fallback:
        return self.states.get(scope, FRESH)

    def epoch(self, name: str) -> int:
        """Return the newest epoch of all scopes of a rollout: what is decided now is not older than any of them."""
        return self.epochs.get(name, FRESH.epoch)


class Committed(NamedTuple):
    """What a transaction made of rollouts: the states that changed, before and after, and whether a definition did."""

    states: Mapping[Scope, tuple[Fallback, Fallback]]
    redefined: bool


FRESH = Fallback()
EMPTY = View({}, {}, {}, {})


class RolloutBook:
    """`present` is what the last commit left."""

    def __init__(self, places: Places, trials: Trials) -> None:
        self.present = EMPTY
        self.places = places
        self.trials = trials
        self._working: View | None = None
        self._changed: dict[Scope, tuple[Fallback, Fallback]] = {}
        self._redefined = False
        self._taken: list[str] = []
        self._given: list[str] = []

    # what a transaction asks and changes

    @property
    def view(self) -> View:
        """What a transaction sees."""
        return self.present if self._working is None else self._working

    def find(self, name: str) -> Rollout:
        """Return the definition that holds. Raises NotFound ROLLOUT_NOT_FOUND."""
        return _find(self.view, name)

    def define(self, rollout: Rollout) -> None:
        """Set what its origin says of a rollout."""
        self._redefined = True
        defined = self._own().defined
        defined[rollout.origin, rollout.name] = rollout  # type: ignore[index]  # the working copy is a dict

    def forget(self, origin: Origin, name: str) -> None:
        """Take back what an origin said of a rollout."""
        self._redefined = True
        self._own().defined.pop((origin, name), None)  # type: ignore[attr-defined]

    def put_salt(self, name: str, salt: Salt) -> None:
        self._own().salts[name] = salt  # type: ignore[index]

    def put_state(self, scope: Scope, state: Fallback) -> None:
        before = self.view.state(scope)
        working = self._own()
        working.states[scope] = state  # type: ignore[index]
        working.epochs[scope[0]] = max(state.epoch, working.epoch(scope[0]))  # type: ignore[index]
        self._changed[scope] = self._changed.get(scope, (before, before))[0], state

    def forget_state(self, scope: Scope) -> None:
        """Forget where one scope stood; the newest epoch of its rollout stays."""
        self._own().states.pop(scope, None)  # type: ignore[attr-defined]

    def forget_states(self, name: str) -> list[Scope]:
        """Forget where a rollout stood; return the scopes."""
        working = self._own()
        gone = [scope for scope in working.states if scope[0] == name]
        for scope in gone:
            del working.states[scope]  # type: ignore[attr-defined]
        working.salts.pop(name, None)  # type: ignore[attr-defined]
        return gone

    def decide(self, name: str, org_id: str, session_id: str) -> Decision:
        """Decide the mode of a piece of work, as the transaction sees it. Raises NotFound ROLLOUT_NOT_FOUND."""
        return self._decide(self.view, name, org_id, session_id, inside=True)

    def take_place(self, rollout: Rollout) -> bool:
        """Take a place for a shadow that is a task, if one is free."""
        taken = self.places.take(rollout.name, rollout.shadow_limit)
        if taken:
            self._taken.append(rollout.name)
        return taken

    def give_place(self, name: str) -> None:
        """Give back the place of a shadow that has ended, with the commit."""
        self._given.append(name)

    # the ends of a transaction

    def commit(self) -> Committed:
        """Keep what the transaction did."""
        if self._working is not None:
            self.present, self._working = self._working, None
        self._taken.clear()
        self.trials.keep()
        for name in self._given:
            self.places.give(name)
        self._given.clear()
        committed = Committed(self._changed, self._redefined)
        self._changed, self._redefined = {}, False
        for scope, (before, _) in committed.states.items():
            self.trials.forget((scope, before.epoch))
        return committed

    def rollback(self) -> None:
        self._working = None
        self._changed, self._redefined = {}, False
        for name in self._taken:
            self.places.give(name)
        self._taken.clear()
        self._given.clear()
        self.trials.give_back()

    # what the event loop asks

    def decide_outside(self, name: str, org_id: str, session_id: str, *, dry_run: bool = False) -> Decision:
        """Decide as of the last commit; a dry run is never part of the trial traffic. Raises NotFound ROLLOUT_NOT_FOUND."""
        return self._decide(self.present, name, org_id, session_id, inside=False, dry_run=dry_run)

    def effective(self) -> Mapping[str, Rollout]:
        """Return the definitions that hold as of the last commit, by name."""
        return {name: _find(self.present, name) for name in self.present.names()}

    def find_present(self, name: str) -> Rollout:
        """Return the definition that holds as of the last commit. Raises NotFound ROLLOUT_NOT_FOUND."""
        return _find(self.present, name)

    def load(
        self,
        rollouts: Iterable[Rollout],
        states: Mapping[Scope, Fallback],
        salts: Mapping[str, Salt],
        shadows: Mapping[str, int],
    ) -> None:
        """Fill an empty book after a start."""
        epochs: dict[str, int] = {}
        for (name, _), state in states.items():
            epochs[name] = max(epochs.get(name, FRESH.epoch), state.epoch)
        defined = {(rollout.origin, rollout.name): rollout for rollout in rollouts}
        self.present = View(defined, dict(states), dict(salts), epochs)
        for name, number in shadows.items():
            for _ in range(number):
                self.places.take(name, number)

    def _decide(
        self, view: View, name: str, org_id: str, session_id: str, *, inside: bool, dry_run: bool = False
    ) -> Decision:
        rollout = _find(view, name)
        whole = view.state((name, ""))
        own = view.states.get((name, org_id)) if org_id else None

        def take_trial(of_org: bool) -> bool:  # noqa: FBT001 - one of two scopes
            if dry_run:
                return False
            scope, state = ((name, org_id), own) if of_org else ((name, ""), whole)
            trial = scope, (state or whole).epoch
            return self.trials.take(trial, rollout.fallback.trial_percent, inside=inside)

        return decide(rollout, whole, own, org_id, session_id, view.epoch(name), take_trial)

    def _own(self) -> View:
        if self._working is None:
            present = self.present
            self._working = View(
                dict(present.defined), dict(present.states), dict(present.salts), dict(present.epochs)
            )
        return self._working


def _find(view: View, name: str) -> Rollout:
    rollout = view.rollout(name)
    if rollout is None:
        known = view.names()
        text = f"known: {', '.join(known[:10])}" if known else "there is none"
        raise NotFound("ROLLOUT_NOT_FOUND", f"no rollout is called {name!r}; {text}", {"rollout": name})
    return rollout
