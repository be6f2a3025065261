"""
What must hold of rollouts after every transaction (G1 to G4b).

Whose mode is which, and which steps of a fallback are legal, is told a second time from the specification; only the hash that makes buckets is fleetd's own. A
decision within a transaction that changed the rollout, too, is judged by what was before and what came after: the order within it would have to be known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fleetd.core.agent import Agent
from fleetd.core.comparison import Comparison
from fleetd.core.event import Event, EventType
from fleetd.core.fallback import Fallback, Phase
from fleetd.core.ledger import NewTask
from fleetd.core.rollout import BucketBy, Cause, Decision, Rollout, Sample, TaskRollout, bucket
from fleetd.core.rolloutbook import Scope
from fleetd.core.task import Priority
from fleetd.engine.engine import Engine
from tests.simulation.model import COMPLETED, OVER
from tests.simulation.record import Written
from tests.simulation.rollouts import NAMES, RULES

if TYPE_CHECKING:
    from tests.simulation.checker import Checker
    from tests.simulation.world import World

E = EventType
NORMAL, FALLBACK, TRIAL = Phase.NORMAL, Phase.FALLBACK, Phase.TRIAL
TOLD = (E.ROLLOUT_FALLBACK_ON, E.ROLLOUT_TRIAL, E.ROLLOUT_FALLBACK_OFF)
FRESH = Fallback()
PACE = 500
SOON = 6_000
"""Milliseconds within which a step that is due is taken, the store's refusals included."""
Choice = tuple[str, Cause, bool]
"""Mode, cause, and whether it is part of the trial traffic."""


@dataclass(slots=True)
class Stand:
    """Since when a scope stands where it does (monotonic ms, as of the commit), when it tripped last, for how long, and when the engine heard of the commit."""

    began: int = 0
    tripped: int = 0
    dwell: int = 0
    heard: int = 0


@dataclass(slots=True)
class Share:
    """The traffic of one trial; not `sure` when some of it was asked for in a transaction that nobody saw."""

    asked: int = 0
    given: int = 0
    sure: bool = True


class RolloutChecker:
    """The model of rollouts."""

    def __init__(self, world: World, checker: Checker) -> None:
        self._world = world
        self._checker = checker
        self.defined: dict[str, Rollout] = {}
        self.states: dict[Scope, Fallback] = {}
        self.newest: dict[str, int] = {}
        self.comparisons: dict[str, Comparison] = {}
        self.shadows: dict[str, str] = {}
        # Of each scope the epochs of the new mode's outcomes, since the start of the daemon.
        self._outcomes: dict[Scope, list[int]] = {}
        self._stands: dict[Scope, Stand] = {}
        self._shares: dict[tuple[Scope, int], Share] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._open: dict[str, str] = {}
        self._seqs: dict[int, str] = {}
        self._leapt = 0
        self._restarted = 0
        self._refused = 0
        self._moved: list[Scope] = []
        self._rested = 0

    # what the world tells

    @property
    def settled(self) -> bool:
        """True when nothing is forced, in fallback or on trial."""
        return all(state.phase is NORMAL and state.forced is None for state in self.states.values())

    def forced(self) -> list[Scope]:
        return [scope for scope, state in self.states.items() if state.forced is not None]

    def jumped(self, by: int) -> None:
        """The wall clock was set; forward means that what began before may end early after a restart."""
        if by > 0:
            self._leapt = self._world.clock.now()

    def unseen(self) -> None:
        """A transaction was not written: what it asked of a trial counts all the same."""
        self._refused = self._world.clock.now()
        self.unsure()

    def heard(self) -> None:
        """The engine hears of a transaction that was written, which may take it as long as the transaction did: its time begins now."""
        for scope in self._moved:
            if scope in self._stands:
                self._stands[scope].heard = self._world.clock.now()
        self._moved.clear()

    def unsure(self) -> None:
        """It is not known how much of the trials' traffic was asked for."""
        for scope, state in self.states.items():
            if state.phase is TRIAL:
                self._shares.setdefault((scope, state.epoch), Share())
        for share in self._shares.values():
            share.sure = False

    def restarted(self, engine: Engine) -> None:
        """A daemon begins: it stands where the last one stood."""
        self._restarted = self._world.clock.now()
        self._shares.clear()
        self._outcomes.clear()
        book = engine.rollout_book
        stored = {name: rollout for (_, name), rollout in book.present.defined.items()}
        if stored != self.defined:
            self._violated(f"after a restart rollouts are {stored}, they were {self.defined}")
        if book.present.states != self.states:
            self._violated(f"after a restart fallbacks are {book.present.states}, they were {self.states}")
        for name in NAMES:
            if book.places.taken(name) != self._opened(name):
                self._violated(f"after a restart {book.places.taken(name)} shadows of {name} are open")

    def reported(self, sample: Sample) -> None:
        """Somebody reports what came of work; what came of shadows does not count."""
        if sample.mode == "new" and not sample.shadow:
            for org in ("", sample.org_id):
                self._outcomes.setdefault((sample.rollout, org), []).append(sample.epoch)

    def asked(self, decision: Decision, session: str, *, dry: bool) -> None:
        """Work that is no task was given a mode, in this moment."""
        daemon = self._world.daemon
        if daemon is None:
            return
        if daemon.stepping:
            # It saw what was before the transaction that is under way.
            self.unsure()
            return
        name, org = decision.rollout, decision.org_id
        choice = decision.mode, decision.cause, decision.trial
        views = [(self.defined[name], self.states)]
        self._judge(f"a decision for {org}", name, org, session, choice, views, decision.epoch, dry=dry)
        taken, limit = daemon.engine.rollout_book.places.taken(name), self.defined[name].shadow_limit
        if decision.shadow and not dry and taken > limit:
            self._violated(f"{taken} shadows of {name} at once, its limit is {limit}")

    # the end of a transaction

    def settle(self, written: Written) -> None:
        """Compare what was written with what is promised."""
        before, defined = dict(self.states), dict(self.defined)
        newest = dict(self.newest)
        self._define(written)
        moved = self._move(written, before)
        for new in written.new:
            self._seqs[new.task.seq] = new.task.id
            rollout = new.task.rollout
            if rollout is None:
                continue
            if rollout.shadow:
                self._shadow(new, rollout)
            name = rollout.name
            # Several definitions or states one after the other: some of them nobody saw.
            many = (
                _several(defined.get(name), self.defined.get(name))
                or self.newest.get(name, 1) - newest.get(name, 1) > 1
                or moved.count(name) > 1
            )
            if not many and not rollout.shadow:
                pairs = [(defined.get(name), before), (self.defined.get(name), before)]
                pairs += [(defined.get(name), self.states), (self.defined.get(name), self.states)]
                views = [(each, states) for each, states in pairs if each is not None]
                self._task(new, rollout, views, newest)
        self._compare(written)
        self._blame(written)

    def happened(self, task_id: str, kind: EventType) -> None:
        """Take in an event of a task."""
        if task_id in self.shadows and kind in (
            E.TASK_DEAD_LETTERED,
            E.TASK_RETRY_SCHEDULED,
            E.TASK_REPLAYED,
        ):
            self._violated(f"{kind.name} of {task_id}, which is a shadow")

    def _define(self, written: Written) -> None:
        for name, rollout in written.rollouts.items():
            if rollout is None:
                self.defined.pop(name, None)
            else:
                self.defined[name] = rollout

    def _move(self, written: Written, before: dict[Scope, Fallback]) -> list[str]:
        """Judge the changes of states; return the rollout of each, and those whose definition changed."""
        told = [event for event in written.events if event.type in TOLD]
        for scope, state in written.rollout_states.items():
            name = scope[0]
            was = before.get(scope, FRESH)
            if state is None:
                self.states.pop(scope, None)
                self._stands.pop(scope, None)
                continue
            known = self.newest.get(name, 1)
            if state.epoch <= known:
                self._violated(f"epoch {state.epoch} of {scope} after {known}")
            self.states[scope] = state
            if sum(each is not None and s[0] == name for s, each in written.rollout_states.items()) == 1:
                if state.epoch == known + 1:
                    self._step(scope, was, state, told)
                else:
                    self._stands[scope] = Stand(self._world.clock.now())
            else:
                self._stands[scope] = Stand(self._world.clock.now())
        self._moved += written.rollout_states
        for (name, _), state in written.rollout_states.items():
            if state is not None:
                self.newest[name] = max(self.newest.get(name, 1), state.epoch)
        return [scope[0] for scope in written.rollout_states] + list(written.rollouts)

    def _step(self, scope: Scope, was: Fallback, now: Fallback, told: list[Event]) -> None:
        """Judge one change of one state."""
        clock = self._world.clock.now()
        stand = self._stands.get(scope, Stand())
        why = self._illegal(scope, was, now, stand)
        if why:
            self._violated(f"{scope}: {why}: {was} and then {now}")
        if _old_alone(was) is not _old_alone(now) and not any(_about(event, scope, now) for event in told):
            self._violated(f"{scope}: no event tells of {now}")
        following = Stand(clock, stand.tripped, stand.dwell)
        if (was.phase, now.phase) == (NORMAL, FALLBACK):
            following = Stand(clock, clock, now.dwell)
        if now.phase is NORMAL and not now.dwell:
            following = Stand(clock)  # an operator has reset it
        self._stands[scope] = following

    def _illegal(self, scope: Scope, was: Fallback, now: Fallback, stand: Stand) -> str:
        """Return what is wrong with a change, "" when nothing is."""
        if replace(now, forced=None, epoch=0, since=0, until=0) == replace(
            was, forced=None, epoch=0, since=0, until=0
        ):
            return (
                "" if was.forced is not None or now.forced is not None or not now.dwell else "nothing changed"
            )
        if now == Fallback(since=now.since, epoch=now.epoch):
            return ""
        if was.forced is not None or now.forced is not None:
            return "a move while something is forced"
        passed = self._world.clock.now() - stand.began
        sure = self._leapt < stand.began
        move = was.phase, now.phase
        if move == (NORMAL, FALLBACK):
            if not RULES.dwell <= now.dwell <= RULES.dwell_max or now.failed_trials:
                return "a dwell that no fallback begins with"
            if not self._enough(scope, was, now):
                return "a fallback for outcomes of older epochs"
            early = stand.tripped and stand.tripped + stand.dwell - self._world.clock.now()
            return "a second trip within a dwell" if early > 0 and self._leapt < stand.tripped else ""
        if not now.reason and now.phase is not NORMAL:
            return "no cause"
        if move == (FALLBACK, TRIAL):
            return f"a trial {was.dwell - passed} ms too early" if sure and passed < was.dwell else ""
        if move == (TRIAL, FALLBACK):
            doubled = min(2 * was.dwell, RULES.dwell_max)
            right = now.dwell in (was.dwell, doubled) and now.failed_trials == was.failed_trials + 1
            return "" if right else "a trial that failed, and another dwell than it makes"
        if move == (TRIAL, NORMAL):
            return "" if now.dwell == was.dwell else "a recovery that forgets the dwell"
        return "no legal move"

    def _enough(self, scope: Scope, was: Fallback, now: Fallback) -> bool:
        """Tell whether there were outcomes enough to fall back, all of the present epoch (G3, G4b)."""
        fresh = sum(epoch >= was.epoch for epoch in self._outcomes.get(scope, ()))
        return fresh >= RULES.min_samples or "health probe" in now.reason

    # modes of tasks

    def _task(
        self, new: NewTask, rollout: TaskRollout, views: list[tuple[Rollout, Any]], newest: dict[str, int]
    ) -> None:
        task, name = new.task, rollout.name
        if not views:
            self._violated(f"{task.id} is of rollout {name}, which nobody defined")
            return
        choice = rollout.mode, rollout.cause, rollout.trial
        session = self._checker.sessions.get(task.idempotency_key, "")
        self._judge(task.id, name, task.org_id, session, choice, views, None)
        if not newest.get(name, 1) <= rollout.epoch <= self.newest.get(name, 1):
            self._violated(f"{task.id} is of epoch {rollout.epoch}, the newest is {self.newest.get(name, 1)}")
        needed = {need for each, _ in views for need in each.mode(rollout.mode).required_capabilities}
        if not needed <= set(new.spec.required_capabilities):
            self._violated(
                f"{task.id} is done in mode {rollout.mode} and requires {new.spec.required_capabilities}"
            )

    def _judge(
        self,
        who: str,
        name: str,
        org: str,
        session: str,
        choice: Choice,
        views: list[tuple[Rollout, Any]],
        epoch: int | None,
        *,
        dry: bool = False,
    ) -> None:
        allowed: dict[Choice, None] = {}
        for rollout, states in views:
            whole, own = states.get((name, ""), FRESH), states.get((name, org))
            allowed.update(dict.fromkeys(_allowed(rollout, whole, own, org, session, dry=dry)))
        if choice not in allowed:
            self._violated(f"{who} was given {choice} of {name}, right is {list(allowed)}")
        if epoch is not None and epoch != self.newest.get(name, 1):
            self._violated(f"{who} is of epoch {epoch}, the newest of {name} is {self.newest.get(name, 1)}")
        if not dry:
            self._count(
                who,
                name,
                org,
                choice,
                views,
                sure=len(allowed) <= 2 and len(_distinct(views, name, org)) == 1,
            )

    def _count(
        self, who: str, name: str, org: str, choice: Choice, views: list[tuple[Rollout, Any]], *, sure: bool
    ) -> None:
        """Count the traffic of a trial: the first piece of work, and its share of all."""
        states = views[-1][1]
        own, whole = states.get((name, org)), states.get((name, ""), FRESH)
        if not choice[2] and choice[:2] != ("old", Cause.AUTO_FALLBACK):
            return
        for scope, state in (((name, org), own), ((name, ""), whole)):
            if state is None or state.phase is not TRIAL or state.forced is not None:
                continue
            share = self._shares.setdefault((scope, state.epoch), Share())
            share.asked += 1
            share.given += choice[2]
            share.sure = share.sure and sure
            if share.sure and share.given > math.ceil(share.asked * RULES.trial_percent / 100):
                self._violated(f"{who} is on trial, the {share.given}th of {share.asked}")
            return

    # shadows

    def _shadow(self, new: NewTask, rollout: TaskRollout) -> None:
        task = new.task
        self.shadows[task.id] = rollout.other
        if task.route is not None or task.max_attempts != 1 or task.priority is not Priority.LOW:
            self._violated(f"{task.id} is a shadow and made like any other task")
        if rollout.mode != "new" or task.parent_id != rollout.other:
            self._violated(f"{task.id} is the shadow of {rollout.other} in mode {rollout.mode}")

    def _compare(self, written: Written) -> None:
        for comparison in written.comparisons:
            self.comparisons[comparison.id] = comparison
            if not comparison.open:
                continue
            name = self._open[comparison.id] = comparison.rollout
            limits = [
                each.shadow_limit for each in (written.rollouts.get(name), self.defined.get(name)) if each
            ]
            if not written.rollouts and limits and self._opened(name) > max(limits):
                self._violated(f"{self._opened(name)} shadows of {name} at once, its limit is {max(limits)}")
            primary = self._checker.tasks.get(comparison.primary.id)
            if primary is None or self.shadows.get(comparison.shadow.id) != comparison.primary.id:
                self._violated(
                    f"{comparison.id} compares {comparison.primary.id} with {comparison.shadow.id}"
                )
        for done in written.sides:
            if done.shadow:
                self._open.pop(done.comparison, None)

    def _opened(self, name: str) -> int:
        return sum(rollout == name for rollout in self._open.values())

    def _blame(self, written: Written) -> None:
        """Only runs of tasks that are no shadows count for their agents."""
        runs: dict[str, int] = {}
        for run in written.runs:
            if self._seqs[run.task_seq] not in self.shadows:
                runs[run.agent_id] = runs.get(run.agent_id, 0) + 1
        for agent_id in written.removed:
            self._counts.pop(agent_id, None)
        for agent in written.agents:
            agent_id, counts = agent.spec.agent_id, _counts(agent)
            before = self._counts.get(agent_id, (0, 0))
            if sum(counts) - sum(before) > runs.get(agent_id, 0):
                self._violated(f"{agent_id} is blamed or praised for a shadow: {counts} after {before}")
            self._counts[agent_id] = counts

    # at rest, and at the end

    def quiet(self) -> None:
        """The engine has nothing to do: nobody is in fallback, on trial or forced for longer than that lasts (G4a). Looked at twice a second."""
        daemon, now = self._world.daemon, self._world.clock.now()
        if now < self._rested or not self.states or daemon is None or not daemon.idle:
            return
        self._rested = now + PACE
        health = daemon.engine.rollouts._health
        for scope, state in self.states.items():
            if state.phase is NORMAL or state.forced is not None or scope[0] not in self.defined:
                continue
            probe = health.get(scope[0])
            unwell = not scope[1] and probe is not None and probe.failures >= RULES.probe_failures
            length = state.dwell if state.phase is FALLBACK else RULES.trial_for + RULES.timeout_threshold
            stand = self._stands[scope]
            since = max(stand.began, stand.heard, self._restarted)
            if not unwell and now > max(since + length, self._refused, daemon.suspended_until) + SOON:
                self._violated(f"{scope} is {state.phase.name} for {now - since} ms, and nobody looks")

    async def compare_store(self) -> None:
        """Compare every comparison with what became of its tasks."""
        if not self.comparisons:
            return
        page = await self._world.store.list_comparisons("", "", 0, 100_000, 100_000, different=False)
        stored = {comparison.id: comparison for comparison in page.comparisons}
        if stored.keys() != self.comparisons.keys():
            self._violated(
                f"stored are the comparisons {list(stored)}, written were {list(self.comparisons)}"
            )
        for comparison in stored.values():
            if comparison.open:
                self._violated(f"shadow {comparison.id} keeps its place")
            if (
                not comparison.finished_at
                or not comparison.primary.finished
                or not comparison.shadow.finished
            ):
                self._violated(f"comparison {comparison.id} is not finished: {comparison}")
            if comparison.id in self.shadows:
                for what in self._wrong_sides(comparison):
                    self._violated(f"comparison {comparison.id}: {what}")

    def _wrong_sides(self, comparison: Comparison) -> Iterator[str]:
        for side in (comparison.primary, comparison.shadow):
            task = self._checker.tasks[side.id]
            if task.status not in OVER or (side.code == "") is not (task.status == COMPLETED):
                yield f"{side} and {task.status}"
            if task.status == COMPLETED:
                output = next(run.output for run in task.runs.values() if run.status.name == "COMPLETED")
                data = output.data if output is not None else b""
                if (side.size, side.digest) != (len(data), data.decode()):
                    yield f"{side} and a result of {len(data)} bytes"

    def _violated(self, what: str) -> None:
        self._checker.violated(what)


def _several(before: Rollout | None, after: Rollout | None) -> bool:
    """Tell whether a rollout may have been defined otherwise between two definitions."""
    if after is None:
        return True
    return after.version - (before.version if before is not None else 0) not in (0, 1)


def _counts(agent: Agent) -> tuple[int, int]:
    return agent.completed, agent.failed


def _old_alone(state: Fallback) -> bool:
    """Tell whether a state keeps most work from the new mode."""
    return state.forced.on if state.forced is not None else state.phase is not NORMAL


def _about(event: Event, scope: Scope, state: Fallback) -> bool:
    payload: Any = event.payload or {}
    kind = E.ROLLOUT_FALLBACK_ON if _old_alone(state) else E.ROLLOUT_FALLBACK_OFF
    return (
        event.type is kind
        and (payload["rollout"], payload.get("org_id", "")) == scope
        and payload["epoch"] == state.epoch
        and bool(payload["reason"])
    )


def _distinct(views: Iterable[tuple[Rollout, Any]], name: str, org: str) -> list[Any]:
    """Return the different views among those that may have been seen."""
    found: list[Any] = []
    for rollout, states in views:
        view = rollout, states.get((name, "")), states.get((name, org))
        if view not in found:
            found.append(view)
    return found


def _allowed(
    rollout: Rollout, whole: Fallback, own: Fallback | None, org: str, session: str, *, dry: bool
) -> list[Choice]:
    """Return what a piece of work may be given, cause by cause in their order (G1)."""
    scopes = [scope for scope in (own, whole) if scope is not None]
    if any(scope.forced is not None and scope.forced.on for scope in scopes):
        return [("old", Cause.FORCED, False)]
    # Forced off as a whole is for everybody, forced off for an org for its own fallback.
    watched = [] if whole.forced is not None else [scope for scope in scopes if scope.forced is None]
    if any(scope.phase is FALLBACK for scope in watched):
        return [("old", Cause.AUTO_FALLBACK, False)]
    mode, cause = _defined(rollout, org, session)
    if mode == "new" and any(scope.phase is TRIAL for scope in watched):
        others: list[Choice] = [("old", Cause.AUTO_FALLBACK, False)]
        return others if dry else [("new", cause, True), *others]
    return [(mode, cause, False)]


def _defined(rollout: Rollout, org: str, session: str) -> tuple[str, Cause]:
    if rollout.explicit:
        return rollout.explicit, Cause.EXPLICIT_MODE
    if org in rollout.deny:
        return "old", Cause.DENY_LIST
    if org in rollout.allow:
        return "new", Cause.ALLOW_LIST
    kind, key = ("session", session) if rollout.bucket_by is BucketBy.SESSION and session else ("org", org)
    if bucket(f"{rollout.salt}/{kind}", key) < rollout.percent * 100:
        return "new", Cause.PERCENT
    return rollout.default, Cause.DEFAULT_MODE
