"""Daemons with one mistake each: a checker that does not find them would find nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fleetd.core import filters, outcome, rolloutbook, routed, runs, slots, words
from fleetd.core.breaker import Breaker, BreakerKey, BreakerRules
from fleetd.core.fallback import Fallback
from fleetd.core.lanes import LaneBook
from fleetd.core.ledger import Ledger
from fleetd.core.limits import Gate, Gates
from fleetd.core.load import Load
from fleetd.core.outlook import Token
from fleetd.core.rollout import Decision, Rollout, Sample
from fleetd.core.rolloutbook import RolloutBook
from fleetd.core.route import RoutePlan, TaskRoute
from fleetd.core.routebook import RouteBook
from fleetd.core.slots import SlotBook
from fleetd.core.task import Order, Status, Task
from fleetd.core.words import Ack, Result, Say, Word, _ack, _act
from fleetd.engine.due import DueWindow
from fleetd.engine.engine import Engine
from fleetd.engine.half_open import Probes
from fleetd.engine.pulse import Pulse
from fleetd.engine.rollouts import Rollouts
from fleetd.engine.route_timers import RouteTimers
from fleetd.engine.session import Session
from fleetd.engine.sessions import Sessions
from fleetd.engine.sweeper import Sweeper
from fleetd.engine.task_feed import TaskSubscription
from fleetd.engine.trials import TrialTraffic
from fleetd.errors import Overloaded
from fleetd.rpc import watch_task
from fleetd.store import rows, transaction

Patch = tuple[Any, str, Any]


def _fence_removed() -> list[Patch]:
    """Whoever speaks about a live task is heard, whatever lease he has."""

    def hear(self: Say, ledger: Ledger, word: Word) -> Ack:
        task = ledger.task(word.task_id)
        if task is None or not task.live:
            return _ack(word, Result.LEASE_LOST)
        return _ack(word, _act(ledger, task, word))

    return [(Say, "_hear", hear)]


def _offer_timer_removed() -> list[Patch]:
    """An offer that nobody accepts waits for ever."""
    original = Sweeper.set_lease

    def set_lease(self: Sweeper, kind: str, task: Task, at: int) -> None:
        if kind != "offer":
            original(self, kind, task, at)

    return [(Sweeper, "set_lease", set_lease)]


def _epoch_reset() -> list[Patch]:
    """Every claim gives lease 1."""
    original = runs.claim

    def claim(ledger: Ledger, task: Task, agent_id: str, session_epoch: int, **how: bool) -> None:
        task.lease_epoch = 0
        original(ledger, task, agent_id, session_epoch, **how)

    return [(runs, "claim", claim)]


def _answered_before_the_commit() -> list[Patch]:
    """A commit of which nothing is known is taken for done."""

    async def was_committed(self: Engine, number: int) -> bool:
        return True

    return [(Engine, "_was_committed", was_committed)]


def _written_twice() -> list[Patch]:
    """A commit of which nothing is known is repeated."""

    async def was_committed(self: Engine, number: int) -> bool:
        return False

    return [(Engine, "_was_committed", was_committed)]


def _duplicates_accepted() -> list[Patch]:
    """A repeat is answered as if it had been the first."""
    original = Say._hear

    def hear(self: Say, ledger: Ledger, word: Word) -> Ack:
        ack = original(self, ledger, word)
        return ack._replace(result=Result.ACCEPTED) if ack.result is Result.DUPLICATE else ack

    return [(Say, "_hear", hear)]


def _lanes_kept_on_rollback() -> list[Patch]:
    """What a failed transaction did to the lanes stays."""
    return [(LaneBook, "rollback", LaneBook.commit)]


def _gates_kept_on_rollback() -> list[Patch]:
    """What a failed transaction did to the counts of limits stays."""
    return [(Gates, "rollback", Gates.commit)]


def _slots_kept_on_rollback() -> list[Patch]:
    """What a failed transaction did to the slots stays."""
    return [(SlotBook, "rollback", SlotBook.commit)]


def _limits_forgotten() -> list[Patch]:
    """Only pauses close a gate."""
    return [(Gate, "shut", property(lambda self: self.rule.paused))]


def _pauses_forgotten() -> list[Patch]:
    """Only limits close a gate."""
    shut = property(lambda self: bool(self.rule.max_running and self.running >= self.rule.max_running))
    return [(Gate, "shut", shut)]


def _cancel_forgotten() -> list[Patch]:
    """A result that comes after the cancellation counts."""
    original = runs.complete

    def complete(ledger: Ledger, task: Task, *rest: Any) -> None:
        task.order = Order.NONE
        original(ledger, task, *rest)

    return [(runs, "complete", complete)]


def _slots_not_counted() -> list[Patch]:
    """Agents are never full."""

    def take(self: SlotBook, agent_id: str, vtime: float = 0.0) -> None:
        return None

    return [(SlotBook, "take", take)]


def _heartbeats_ignored() -> list[Patch]:
    """No word of an agent keeps its session alive."""

    def renew(self: Sessions, session: Session) -> None:
        return None

    return [(Sessions, "renew", renew)]


def _later_things_forgotten() -> list[Patch]:
    """Delays and deadlines written while the daemon runs are not watched."""

    def add(self: DueWindow, *rest: Any) -> None:
        return None

    return [(DueWindow, "add", add)]


def _keys_forgotten() -> list[Patch]:
    """A repeated submission is not recognised."""

    def task_by_key(self: Ledger, org_id: str, key: str) -> Task | None:
        return None

    return [(Ledger, "task_by_key", task_by_key)]


def _modes_forgotten() -> list[Patch]:
    """Whoever is free gets a task, whatever its submitter named."""

    def serves(mode: int, *, host: bool) -> bool:
        return True

    return [(slots, "serves", serves)]


def _suspension_unnoticed() -> list[Patch]:
    """A daemon that stood still takes its own silence for that of its agents."""

    def beat(self: Pulse) -> int:
        return self._engine.clock.now()

    return [(Pulse, "beat", beat)]


def _verification_skipped() -> list[Patch]:
    """A plan is good for ever, whatever became of its instance."""
    original = routed._verified

    def verified(ledger: Ledger, task: Task, route: TaskRoute) -> RoutePlan | None:
        return None if route.selected else original(ledger, task, route)

    return [(routed, "_verified", verified)]


def _load_kept() -> list[Patch]:
    """A lease that ends leaves its instance as busy as it was."""
    original = RouteBook.leave

    def leave(self: RouteBook, holder: str, instance_id: str) -> None:
        original(self, holder, instance_id)
        self._move(instance_id, 1)

    return [(RouteBook, "leave", leave)]


def _room_ignored() -> list[Patch]:
    """Instances are never full."""
    return [(Load, "full", property(lambda self: 0))]


def _routes_kept_on_rollback() -> list[Patch]:
    """What a failed transaction did to load, breakers and instances stays."""
    return [(RouteBook, "rollback", RouteBook.commit)]


def _blocked_tasks_forgotten() -> list[Patch]:
    """Nobody looks at what waits for an instance."""

    def look(self: RouteTimers) -> None:
        return None

    return [(RouteTimers, "look", look)]


def _breakers_stay_open() -> list[Patch]:
    """A breaker that opened is not watched."""

    def watch(self: RouteTimers, breaker: Breaker) -> None:
        return None

    return [(RouteTimers, "_watch", watch)]


def _breaker_not_written() -> list[Patch]:
    """A breaker that opens is an event, and its row stays as it was."""
    original = outcome.strike

    def strike(ledger: Ledger, *rest: Any, **parts: Any) -> bool:
        struck = original(ledger, *rest, **parts)
        ledger.changes.breakers.clear()
        return struck

    return [(outcome, "strike", strike), (routed, "strike", strike)]


def _open_breakers_ignored() -> list[Patch]:
    """Filters see half-open breakers alone."""
    breaker = next(each for each in filters.FILTERS if each.name == "breaker")
    blind = breaker._replace(removes=lambda inquiry, mask: ((inquiry.held, "breaker_half_open"),))
    kept = tuple(blind if each is breaker else each for each in filters.FILTERS)
    return [(filters, "FILTERS", kept)]


def _probes_for_everybody() -> list[Patch]:
    """A half-open breaker lets everybody through."""

    def held(self: Probes, now: int) -> dict[BreakerKey, int]:
        return {}

    def take(self: Probes, key: BreakerKey, now: int, rules: BreakerRules) -> int | None:
        self._token += 1
        return self._token

    return [(Probes, "held", held), (Probes, "take", take)]


def _probe_left_behind() -> list[Patch]:
    """A run that goes on with another instance of a provider gives its probe away."""

    def keep(self: RouteBook, holder: str, kept: list[Token]) -> None:
        return None

    return [(RouteBook, "_keep", keep)]


def _given_up_forgotten() -> list[Patch]:
    """A run does not remember where it was."""

    def remember(tried: tuple[str, ...], instance_id: str) -> tuple[str, ...]:
        return tried

    return [(routed, "_with", remember)]


def _blocked_runs_burnt() -> list[Patch]:
    """A run that found no instance has burnt its attempt."""
    original = runs._unserved

    def unserved(ledger: Ledger, task: Task, *rest: Any) -> None:
        task.attempt += 1
        original(ledger, task, *rest)

    return [(runs, "_unserved", unserved)]


def _old_epochs_count() -> list[Patch]:
    """Outcomes of work that was decided before a reset, or before a fallback, trip it again."""
    original = Rollouts.note

    def note(self: Rollouts, sample: Sample) -> None:
        original(self, sample._replace(epoch=1 << 40))

    return [(Rollouts, "note", note)]


def _places_kept() -> list[Patch]:
    """A shadow that has ended keeps its place."""

    def give_place(self: RolloutBook, name: str) -> None:
        return None

    return [(RolloutBook, "give_place", give_place)]


def _fallback_lost_at_restart() -> list[Patch]:
    """A daemon begins with the new mode, whatever was before."""
    original = RolloutBook.load

    def load(self: RolloutBook, rollouts: Any, states: Any, *rest: Any) -> None:
        original(self, rollouts, {}, *rest)

    return [(RolloutBook, "load", load)]


def _fallback_ignored() -> list[Patch]:
    """Tasks get the mode that the definition says, wherever the rollout stands."""
    original = rolloutbook.decide

    def decide(rollout: Rollout, whole: Fallback, own: Fallback | None, *rest: Any) -> Decision:
        return original(rollout, Fallback(), None, *rest)

    return [(rolloutbook, "decide", decide)]


def _trial_for_everybody() -> list[Patch]:
    """A trial is part of no share: everybody is sent to the new mode."""

    def take(self: TrialTraffic, *rest: Any, **how: Any) -> bool:
        return True

    return [(TrialTraffic, "take", take)]


def _shadows_like_others() -> list[Patch]:
    """A shadow that failed is a dead letter, and blames its agent."""
    return [(Task, "shadow", property(lambda self: False))]


def _dwell_never_over() -> list[Patch]:
    """Nobody looks when a dwell or a trial is over."""

    def arm(self: Rollouts) -> None:
        return None

    return [(Rollouts, "_arm", arm)]


def _rollouts_kept_on_rollback() -> list[Patch]:
    """What a failed transaction did to fallbacks and places stays."""
    return [(RolloutBook, "rollback", RolloutBook.commit)]


def _told_twice() -> list[Patch]:
    """Events that are said again are stored again."""

    def events(ledger: Ledger, task: Task, word: Word) -> Ack:
        if word.first > words._expected(task):
            return _ack(word, Result.REJECTED, f"must be {words._expected(task)},", "EVENTS_MISSING")
        if task.status is Status.ASSIGNED:
            runs.start(ledger, task)
        ledger.tell(task, word.events)
        return _ack(word, Result.ACCEPTED)

    return [(words, "_events", events)]


def _gaps_taken() -> list[Patch]:
    """Events are stored though some before them are missing."""
    original = words._events

    def events(ledger: Ledger, task: Task, word: Word) -> Ack:
        return original(ledger, task, word._replace(first=min(word.first, words._expected(task))))

    return [(words, "_events", events)]


def _numbers_go_on() -> list[Patch]:
    """The numbers of a lease go on where the one before it ended."""

    def expected(task: Task) -> int:
        return task.task_event_seq + 1

    return [(words, "_expected", expected)]


def _counts_left_behind() -> list[Patch]:
    """A task that has only told something is read as it was before."""

    def with_event_seq(row: rows.Row, seq: int) -> rows.Row:
        return row

    return [(rows, "with_event_seq", with_event_seq)]


def _positions_given_again() -> list[Patch]:
    """Positions go on after the newest event kept, not after the newest one ever given."""
    kept = "coalesce((SELECT max(position) FROM task_events), 0)"
    anew = transaction.GET_SEQS.replace("task_event_position", kept)
    return [(transaction, "GET_SEQS", anew)]


def _back_too_far_on() -> list[Patch]:
    """A watcher that was cut is sent to one event after the next one."""
    original = watch_task._too_slow

    def too_slow(position: int) -> Overloaded:
        return original(position + 1)

    return [(watch_task, "_too_slow", too_slow)]


def _live_too_soon() -> list[Patch]:
    """A watcher goes live though events were dropped while it read the store."""

    def go_live(self: TaskSubscription) -> bool:
        self._dropped = False
        self.live = True
        return True

    return [(TaskSubscription, "go_live", go_live)]


VARIANTS: dict[str, Callable[[], list[Patch]]] = {
    make.__name__.removeprefix("_").replace("_", "-"): make
    for make in (
        _fence_removed,
        _offer_timer_removed,
        _epoch_reset,
        _answered_before_the_commit,
        _written_twice,
        _duplicates_accepted,
        _lanes_kept_on_rollback,
        _gates_kept_on_rollback,
        _slots_kept_on_rollback,
        _limits_forgotten,
        _pauses_forgotten,
        _cancel_forgotten,
        _slots_not_counted,
        _heartbeats_ignored,
        _later_things_forgotten,
        _keys_forgotten,
        _modes_forgotten,
        _suspension_unnoticed,
        _verification_skipped,
        _load_kept,
        _room_ignored,
        _routes_kept_on_rollback,
        _blocked_tasks_forgotten,
        _breakers_stay_open,
        _breaker_not_written,
        _open_breakers_ignored,
        _probes_for_everybody,
        _probe_left_behind,
        _given_up_forgotten,
        _blocked_runs_burnt,
        _old_epochs_count,
        _places_kept,
        _fallback_lost_at_restart,
        _fallback_ignored,
        _trial_for_everybody,
        _shadows_like_others,
        _dwell_never_over,
        _rollouts_kept_on_rollback,
        _told_twice,
        _gaps_taken,
        _numbers_go_on,
        _counts_left_behind,
        _positions_given_again,
        _back_too_far_on,
        _live_too_soon,
    )
}


@contextmanager
def broken(variant: str) -> Iterator[None]:
    """Make the mistake as long as the context lasts; "" makes none."""
    with ExitStack() as stack:
        for owner, name, value in VARIANTS[variant]() if variant else ():
            stack.callback(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, value)
        yield
