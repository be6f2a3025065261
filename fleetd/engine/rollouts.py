"""
Rollouts of one engine: what came of work in each mode, and the steps that follow from it (spec G2 to G5).

Everything here runs on the event loop. Outcomes are counted in memory alone, in windows; a step of the fallback is a command, so that it is durable, with its
event, before anybody is sent elsewhere for it. After a restart the windows begin empty; where a rollout stands comes from the store.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

from fleetd.core.fallback import Fallback, Health, Move, Phase, Sums, judge
from fleetd.core.ledger import Ledger
from fleetd.core.rolling import MoveFallback, ReleaseForced, falls_back
from fleetd.core.rollout import Decision, Rollout, Sample
from fleetd.core.rollout_window import Window
from fleetd.core.rolloutbook import Scope
from fleetd.engine.log import Log
from fleetd.engine.shadow_pairs import Half, ShadowPairs

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

ORGS = 1_000
"""Orgs of one rollout whose outcomes are counted apart, the most recent ones: some 50 MB when all of them are busy, and more than a list on a screen shows."""
AGAIN = 1_000
"""Milliseconds until a step that the store refused is tried again."""


Kind = tuple[int, str, str]
"""What outcomes are counted by: the window and the names of both modes. Those of another kind say nothing."""


class Track:
    """
    What came of work within the window: of both modes and of shadows. What was decided in the present epoch decides alone: `guard` of the new mode, `peer`
    of the old one. `answered` counts all of `guard` since the epoch began.
    """

    def __init__(self, kind: Kind) -> None:
        span = kind[0]
        self.kind = kind
        self.old = Window(span)
        self.new = Window(span)
        self.shadow = Window(span)
        self.guard = Window(span)
        self.peer = Window(span)
        self.answered = 0

    def begin_epoch(self) -> None:
        """Forget what decides: old outcomes trip nothing again (G4b)."""
        self.guard.clear()
        self.peer.clear()
        self.answered = 0


class ModeFigures(NamedTuple):
    """How one mode fared within the window; latencies in ms."""

    mode: str
    total: int
    errors: int
    timeouts: int
    average: float
    p95: int


class RolloutFigures(NamedTuple):
    """How a rollout, or one org of it, fared."""

    rollout: Rollout
    org_id: str
    old: ModeFigures
    new: ModeFigures
    shadow: ModeFigures


class Rollouts:
    """What the engine does for rollouts."""

    def __init__(self, engine: Engine, log: Log) -> None:
        self.pairs = ShadowPairs(engine)
        self._engine = engine
        self._book = engine.rollout_book
        self._log = log
        self._tracks: dict[str, Track] = {}
        self._orgs: dict[str, OrderedDict[str, Track]] = {}
        self._health: dict[str, Health] = {}
        # Monotonic ms: when the phase of a scope that is not NORMAL began, and when what is forced runs out.
        self._began: dict[Scope, int] = {}
        self._forced: dict[Scope, int] = {}
        # Scopes with a step under way, and when a step that the store refused is tried again.
        self._moving: dict[Scope, asyncio.Future[Any]] = {}
        self._again: dict[Scope, int] = {}

    def begin(self) -> None:
        """Go on after a start: what stood in the store stands, with the time it had left (G4)."""
        clock = self._engine.clock
        now, wall = clock.now(), clock.wall()
        for scope, state in self._book.present.states.items():
            rollout = self._book.present.rollout(scope[0])
            if state.phase is not Phase.NORMAL:
                # The definition may come from a file that is not read yet; dwell and until stand in the state.
                length = _length(state, rollout)
                left = min(length, max(0, state.until - wall)) if state.until else length
                self._began[scope] = now - (length - left)
            if state.forced is not None and state.forced.until:
                self._forced[scope] = now + max(0, state.forced.until - wall)
        # What came to its end while the daemon was down.
        self._again = dict.fromkeys(self._began, now)
        self._arm()

    # what callers ask

    def decide(self, name: str, org_id: str, session_id: str, decision_id: str, *, dry_run: bool) -> Decision:
        """
        Decide the mode of work that is no task; the decision names a shadow only when there is a place for it.

        Raises NotFound ROLLOUT_NOT_FOUND.
        """
        decision = self._book.decide_outside(name, org_id, session_id, dry_run=dry_run)
        if decision.shadow and not dry_run:
            rollout = self._book.present.rollout(name)
            if rollout is None or not self.pairs.open(decision_id, decision, rollout):
                return decision._replace(shadow="")
            self._arm()
        return decision

    async def report(self, sample: Sample, decision_id: str, size: int, digest: str) -> None:
        """
        Take what came of a decision. What completes a comparison is durable when this returns, and so is the step of the fallback that follows.

        Raises NotFound ROLLOUT_NOT_FOUND.
        """
        rollout = self._book.find_present(sample.rollout)
        if decision_id and sample.mode in (rollout.old.name, rollout.new.name):
            half = Half(sample.mode, sample.code, sample.latency, size, digest)
            await self.pairs.add(decision_id, half, shadow=sample.shadow)
        # Afterwards: what the store refused is told again, and counts once.
        self.note(sample)
        steps = [
            self._moving[scope]
            for scope in ((rollout.name, ""), (rollout.name, sample.org_id))
            if scope in self._moving
        ]
        if steps:
            # Whoever hears that an outcome was taken, and asks again, shall see what followed from it.
            await asyncio.wait(steps)

    def figures(self, name: str, org_id: str = "") -> RolloutFigures:
        """Return how a rollout fared, or one org of it. Raises NotFound ROLLOUT_NOT_FOUND."""
        rollout = self._book.find_present(name)
        track = self._known_track((name, org_id)) or Track(_kind(rollout))
        now = self._engine.clock.now()
        return RolloutFigures(
            rollout,
            org_id,
            _mode_figures(rollout.old.name, track.old, now),
            _mode_figures(rollout.new.name, track.new, now),
            _mode_figures(rollout.new.name, track.shadow, now),
        )

    def orgs(self, name: str) -> list[str]:
        """Return the orgs of a rollout that had outcomes within the window, by name."""
        now = self._engine.clock.now()
        return sorted(
            org
            for org, track in (self._orgs.get(name) or {}).items()
            if track.old.sums(now).total or track.new.sums(now).total or track.shadow.sums(now).total
        )

    # what is found out

    def note(self, sample: Sample) -> None:
        """Count an outcome, and take the step that follows from it, if one does."""
        rollout = self._book.present.rollout(sample.rollout)
        if rollout is None or not sample.counts:
            return
        timeout = sample.timed_out(rollout.fallback.timeout_threshold)
        now, present = self._engine.clock.now(), self._book.present
        epoch = present.state((rollout.name, "")).epoch
        for org_id in ("", sample.org_id) if sample.org_id else ("",):
            track = self._track(rollout, org_id)
            # What was decided before the whole changed says nothing of its orgs either (G4b).
            of_epoch = sample.epoch >= max(epoch, present.state((rollout.name, org_id)).epoch)
            if sample.shadow:
                window = track.shadow
            elif sample.mode == rollout.new.name:
                window = track.new
                if of_epoch:
                    track.guard.add(now, sample.latency, error=bool(sample.code), timeout=timeout)
                    track.answered += 1
            elif sample.mode == rollout.old.name:
                window = track.old
                if of_epoch:
                    track.peer.add(now, sample.latency, error=bool(sample.code), timeout=timeout)
            else:
                continue
            window.add(now, sample.latency, error=bool(sample.code), timeout=timeout)
            if not sample.shadow:
                self._judge((rollout.name, org_id))

    def note_health(self, name: str, *, well: bool, detail: str = "") -> None:
        """Take what the probe of the new mode found out."""
        before = self._health.get(name, Health())
        self._health[name] = Health(0 if well else before.failures + 1, detail, asked=True)
        rollout, failures = self._book.present.rollout(name), before.failures + 1
        # What everybody knows by now is said once a minute or so, not with every probe.
        if not well and (
            rollout is None or failures <= rollout.fallback.probe_failures or failures % 12 == 0
        ):
            self._log.warning("rollout_health_failed", rollout=name, in_a_row=failures, detail=detail)
        if rollout is not None:
            self._judge((name, ""))

    def forget_health(self, name: str) -> None:
        """Forget what a probe found out: there is none any more, or it asks elsewhere."""
        if self._health.pop(name, None) is not None:
            self._judge((name, ""))

    # what a commit and time bring

    def released(self, ledger: Ledger) -> None:
        """A transaction was committed: count its outcomes, and go on from where rollouts stand now."""
        states, redefined = self._book.commit()
        clock = self._engine.clock
        for scope, (before, after) in states.items():
            self._moving.pop(scope, None)
            self._follow(scope, before, after, clock.now(), clock.wall())
        if redefined:
            self._redefined()
        for sample in ledger.samples:
            self.note(sample)
        if states or redefined:
            self._arm()

    def fire(self) -> None:
        """Time has come for something. What the store refused is not asked of it without a pause."""
        now = self._engine.clock.now()
        again = [scope for scope, at in self._again.items() if at <= now]
        for scope in again:
            del self._again[scope]
        for scope, at in list(self._forced.items()):
            if at <= now and scope not in self._moving and scope not in self._again:
                epoch = self._book.present.state(scope).epoch
                self._post(scope, ReleaseForced(scope, epoch))
        for scope in dict.fromkeys((*self._began, *again)):
            if scope not in self._again:
                self._judge(scope)
        self.pairs.expire(now)
        self._arm()

    def _follow(self, scope: Scope, before: Fallback, after: Fallback, now: int, wall: int) -> None:
        # Each epoch begins with no outcomes: old ones trip nothing again, neither the whole nor, when that changed, an org (G4b).
        orgs = self._orgs.get(scope[0]) if not scope[1] else None
        for track in (self._known_track(scope), *(orgs.values() if orgs is not None else ())):
            if track is not None:
                track.begin_epoch()
        if after.phase is Phase.NORMAL and not scope[1]:
            # Failures of the probe from before a reset are old samples, too.
            self._health.pop(scope[0], None)
        self._began.pop(scope, None)
        self._forced.pop(scope, None)
        if after.phase is not Phase.NORMAL:
            self._began[scope] = now
        if after.forced is not None and after.forced.until:
            self._forced[scope] = now + max(0, after.forced.until - wall)
        self._tell(scope, before, after)

    def _tell(self, scope: Scope, before: Fallback, after: Fallback) -> None:
        """Say in the log what became of a scope (G8)."""
        name, org_id = scope
        fields: dict[str, Any] = {"rollout": name, "epoch": after.epoch} | (
            {"org_id": org_id} if org_id else {}
        )
        was, falls = falls_back(before), falls_back(after)
        if after.forced is not None and (falls is was or not falls):
            what = "on" if after.forced.on else "off"
            self._log.warning("rollout_forced", **fields, fallback=what, cause=after.forced.reason)
        if falls and after.forced is not None and not was:
            self._log.warning("rollout_fallback_on", **fields, cause=f"forced: {after.forced.reason}")
        elif falls and after.forced is None and after.phase is Phase.FALLBACK:
            self._log.warning("rollout_fallback_on", **fields, cause=after.reason, dwell_ms=after.dwell)
        elif falls and after.forced is None:
            self._log.info("rollout_trial", **fields, cause=after.reason)
        elif was and not falls:
            self._log.info("rollout_fallback_off", **fields, cause=_left(before))

    def _judge(self, scope: Scope) -> None:
        """Take the step that outcomes, the probe or time ask for."""
        move = self._wanted(scope)
        if move is not None:
            self._post(scope, MoveFallback(scope, self._book.present.state(scope).epoch, move))

    def _wanted(self, scope: Scope) -> Move | None:
        name, org_id = scope
        rollout = self._book.present.rollout(name)
        if rollout is None or scope in self._moving:
            return None
        now, state = self._engine.clock.now(), self._book.present.state(scope)
        if org_id and state.phase is Phase.NORMAL and not rollout.fallback.per_org:
            # Only from NORMAL: an org that is in fallback when `per_org` is taken away must come back all the same (G4a).
            return None
        began = self._began.get(scope, now)
        health = Health() if org_id else self._health.get(name, Health())
        rules, elapsed = rollout.fallback, now - began
        if self._awaits(scope, state, rollout, elapsed):
            elapsed = min(elapsed, rules.trial_for - 1)
        # Not made for this: an org that waits for its way back displaces nobody who is counted.
        track = self._known_track(scope)
        new = old = Sums()
        if track is not None:
            new, old = track.guard.sums(now), track.peer.sums(now)
            # Both modes over the same time, where that is enough: else an outage of both would look like one of the new mode just after an epoch began.
            if old.total < rules.min_samples:
                old = track.old.sums(now)
        return judge(state, rules, new, old, health, elapsed)

    def _awaits(self, scope: Scope, state: Fallback, rollout: Rollout, elapsed: int) -> bool:
        """
        Tell whether a trial that is over in time waits for outcomes of the work it sent to the new mode: for as long as one may take at the most.

        Without that a mode whose calls hang would be found well, for nothing has come of them yet.
        """
        rules = rollout.fallback
        if state.phase is not Phase.TRIAL or elapsed >= rules.trial_for + rules.timeout_threshold:
            return False
        track = self._known_track(scope)
        answered = track.answered if track is not None else 0
        return answered < rules.min_samples and answered < self._book.trials.sent((scope, state.epoch))

    def _post(self, scope: Scope, command: MoveFallback | ReleaseForced) -> None:
        def landed(future: asyncio.Future[Any]) -> None:
            if self._moving.get(scope) is future:
                del self._moving[scope]
            if future.cancelled() or future.exception() is not None:
                self._again[scope] = self._engine.clock.now() + AGAIN
                self._arm()

        self._again.pop(scope, None)
        self._moving[scope] = self._engine.post_internal(command)
        self._moving[scope].add_done_callback(landed)

    def _track(self, rollout: Rollout, org_id: str) -> Track:
        """Return where outcomes are counted."""
        if not org_id:
            track = self._tracks.get(rollout.name)
            if track is None:
                track = self._tracks[rollout.name] = Track(_kind(rollout))
            return track
        known = self._orgs.setdefault(rollout.name, OrderedDict())
        track = known.get(org_id)
        if track is None:
            track = known[org_id] = Track(_kind(rollout))
            if len(known) > ORGS:
                known.popitem(last=False)
        known.move_to_end(org_id)
        return track

    def _known_track(self, scope: Scope) -> Track | None:
        name, org_id = scope
        if not org_id:
            return self._tracks.get(name)
        orgs = self._orgs.get(name)
        return orgs.get(org_id) if orgs is not None else None

    def _redefined(self) -> None:
        """Forget what was counted for rollouts that nobody defines any more, or in another way, and look at those whose definition is known only now."""
        present = self._book.present
        names = {name: _kind(rollout) for name, rollout in self._book.effective().items()}
        self._tracks = {name: track for name, track in self._tracks.items() if names.get(name) == track.kind}
        self._orgs = {
            name: tracks
            for name, tracks in self._orgs.items()
            if all(names.get(name) == track.kind for track in tracks.values())
        }
        self._health = {name: health for name, health in self._health.items() if name in names}
        self._began = {scope: at for scope, at in self._began.items() if scope in present.states}
        self._forced = {scope: at for scope, at in self._forced.items() if scope in present.states}
        for scope in self._began:
            self._judge(scope)
        self._engine.rollouts_changed.set()

    def _arm(self) -> None:
        """Set the timer to the next moment at which something happens by itself."""
        now = self._engine.clock.now()
        waiting = {**self._moving, **self._again}
        times = [at for scope, at in self._forced.items() if scope not in waiting]
        times += self._again.values()
        for scope, began in self._began.items():
            state, rollout = self._book.present.state(scope), self._book.present.rollout(scope[0])
            at = began + _length(state, rollout)
            if at <= now and rollout is not None and self._awaits(scope, state, rollout, now - began):
                at += rollout.fallback.timeout_threshold
            # A fallback whose time is over waits for its probe, which looks itself; a time may also have passed within a transaction.
            if (
                state.forced is None
                and scope not in waiting
                and (at > now or self._wanted(scope) is not None)
            ):
                times.append(at)
        expiry = self.pairs.next_expiry()
        if expiry is not None:
            times.append(expiry)
        if times:
            self._engine.sweeper.timers.set(("rollouts", ""), max(now, min(times)))
        else:
            self._engine.sweeper.timers.cancel(("rollouts", ""))


def _kind(rollout: Rollout) -> Kind:
    return rollout.fallback.window, rollout.old.name, rollout.new.name


def _left(before: Fallback) -> str:
    """Return why a rollout had been in fallback."""
    return f"forced: {before.forced.reason}" if before.forced is not None else before.reason


def _length(state: Fallback, rollout: Rollout | None) -> int:
    """Return how long a phase lasts at the most before something is due, ms."""
    if state.phase is Phase.TRIAL:
        return rollout.fallback.trial_for if rollout is not None else max(0, state.until - state.since)
    return state.dwell or (rollout.fallback.dwell if rollout is not None else 0)


def _mode_figures(mode: str, window: Window, now: int) -> ModeFigures:
    sums = window.sums(now)
    return ModeFigures(
        mode, sums.total, sums.errors, sums.timeouts, sums.average, window.percentile(now, 0.95)
    )
