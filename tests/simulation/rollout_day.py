"""
A day of a rollout: 24 virtual hours of traffic, operators and troubles on the real engine and the real SQL, through the methods of the API.

    python -m tests.simulation.rollout_day                                # plays, judges, prints the phases
    python -m tests.simulation.rollout_day --picture docs/rollout-day.png # draws it, too (needs the extra `plot`)
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import heapq
import itertools
import math
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from fleet.v1 import rollout_pb2
from fleetd.core.fallback import Fallback, FallbackRules, Phase
from fleetd.core.rollout import bucket, within
from tests.unit.api.port import Port

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
RULES = FallbackRules()
"""Those of the specification: the definition names none."""
NAME, OLD, NEW = "chat", "direct_llm", "runtime_orchestrator"
ORGS = tuple(f"org-{number:03d}" for number in range(200))
WEIGHTS = tuple(1 / (rank + 25) for rank in range(len(ORGS)))
"""Large orgs ask more often than small ones: the first some eight times as often as the last."""
ALLOWED = tuple(f"org-{number:03d}" for number in range(3, 200, 33))
PROBE = 5 * SECOND
GIVES_UP = 320 * SECOND
"""Callers wait no longer, and report TIMEOUT then."""
TASK_EVERY = 3 * MINUTE
SAMPLE = MINUTE
SHADOWS = 10
SUCCESS, TRIAL_SHARE = "", RULES.trial_percent / 100
CAUSE = rollout_pb2.DecisionCause


class Act(NamedTuple):
    """What operators do at an hour: what they say of it, and the fields of the definition that change; none = a reset by hand."""

    hour: float
    words: str
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed


class Trouble(NamedTuple):
    """
    What is wrong from one hour to another. `fails`: modes whose every call fails; `refused` until which hour the probe of the new mode is, too; `latency`:
    that of the new mode, ms, reached in a straight line at the hour `full`; `shadows`: those fail, and are slow.
    """

    words: str
    begin: float
    end: float
    fails: tuple[str, ...] = ()
    refused: float = 0.0
    latency: int = 0
    full: float = 0.0
    shadows: bool = False

    @property
    def blamed(self) -> bool:
        """Whether the new mode is to be left for it."""
        return self.fails == (NEW,) or bool(self.latency)


class Script(NamedTuple):
    """What happens. `rate`: requests a second, on average over a day that begins at midnight."""

    hours: float
    rate: float
    acts: tuple[Act, ...]
    troubles: tuple[Trouble, ...]


DAY = Script(
    24,
    1.5,
    (
        Act(0, "stage 1: allow list, shadows 10 %", {"allow_orgs": ALLOWED, "shadow_percent": 10}),
        Act(3, "5 %", {"percent": 5}),
        Act(5, "25 %", {"percent": 25}),
        Act(9, "50 %, no shadows", {"percent": 50, "shadow_percent": 0}),
        Act(14, "100 %", {"percent": 100}),
        Act(18.75, "reset by hand"),
    ),
    (
        Trouble("shadows fail, slowly", 1.0, 1.5, shadows=True),
        Trouble("outage of the new mode", 6.0, 6 + 40 / 60, fails=(NEW,), refused=6 + 5 / 60),
        Trouble("upstream outage: both modes", 12.0, 12.5, fails=(OLD, NEW)),
        Trouble("the new mode grows slow", 17.0, 18.7, latency=330 * SECOND, full=18.0),
    ),
)
MORNING = Script(
    3,
    2.0,
    (
        Act(0, "25 %, shadows 10 %", {"percent": 25, "shadow_percent": 10}),
        Act(0.5, "50 %", {"percent": 50}),
    ),
    (
        Trouble("outage of the new mode", 1.0, 1 + 25 / 60, fails=(NEW,), refused=1 + 5 / 60),
        Trouble("upstream outage: both modes", 2.25, 2.5, fails=(OLD, NEW)),
    ),
)


@dataclass(slots=True)
class Point:
    """One minute: what was decided in it, and how things stood at its end. Rates and latencies (ms) are those of the window."""

    at: int
    phase: Phase
    dwell: int
    modes: Counter[str]
    shadows: int
    most_shadows: int
    old_errors: float
    new_errors: float
    old_latency: float
    new_latency: float
    shadow_errors: int
    new_failed: int


class Turn(NamedTuple):
    """A change of where the rollout stands, `at` ms since midnight."""

    at: int
    state: Fallback


@dataclass(slots=True)
class Played:
    """What became of a script."""

    script: Script
    points: list[Point] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    requests: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    comparisons: int = 0

    def phase(self, at: int) -> Phase:
        """Return the phase at a time."""
        before = bisect.bisect_right([turn.at for turn in self.turns], at)
        return self.turns[before - 1].state.phase if before else Phase.NORMAL

    def share(self, begin: float, end: float) -> float:
        """Return the share of the new mode between two hours."""
        modes: Counter[str] = Counter()
        for point in self.points:
            if begin * HOUR < point.at <= end * HOUR:
                modes += point.modes
        return modes[NEW] / max(1, modes.total())


class Day:
    """Plays a script. Only the seed decides."""

    def __init__(self, script: Script, seed: int = 1) -> None:
        self._script = script
        self._random = Random(seed)
        self._port = Port()
        self._engine = self._port.engine
        self._began = self._port.clock.now()
        self._agenda: list[tuple[int, int, Callable[[], Coroutine[Any, Any, None]]]] = []
        self._numbers = itertools.count()
        self._running: set[asyncio.Task[None]] = set()
        self._fields: dict[str, Any] = {}
        self._state = Fallback()
        self._reported: Counter[str] = Counter()
        self._modes: Counter[str] = Counter()
        self._most = 0
        self._trial = [0, 0]
        self._shadows: set[str] = set()
        self._percents: dict[str, bool] = {}
        self._weights = list(itertools.accumulate(WEIGHTS))
        self.played = Played(script)

    @property
    def now(self) -> int:
        """Milliseconds since midnight."""
        return self._port.clock.now() - self._began

    async def play(self) -> Played:
        await self._port.store.open()
        await self._engine.recover()
        self._engine.serve()
        for act in self._script.acts:
            self._at(round(act.hour * HOUR), lambda act=act: self._act(act))
        for first, action in (
            (1, self._request),
            (PROBE, self._probe),
            (SAMPLE, self._sample),
            (TASK_EVERY, self._task),
        ):
            self._at(first, action)
        end = round(self._script.hours * HOUR)
        while self.now < end:
            await self._step(end)
        await self._count()
        await self._engine.stop()
        await self._port.store.close()
        return self.played

    # time

    def _at(self, when: int, action: Callable[[], Coroutine[Any, Any, None]]) -> None:
        heapq.heappush(self._agenda, (when, next(self._numbers), action))

    async def _step(self, end: int) -> None:
        """Let the next thing happen, and the engine do what follows from it."""
        timer = self._engine.sweeper.next()
        until = min(end, self._agenda[0][0], end if timer is None else timer - self._began)
        self._port.clock.advance(max(0, until - self.now))
        if self._agenda[0][0] <= self.now:
            await heapq.heappop(self._agenda)[2]()
        await self._settle()

    async def _settle(self) -> None:
        """Let the engine, and whoever waits for it, go on as far as they can."""
        engine = self._engine
        while (
            self._running
            or engine._wake.is_set()
            or (engine.sweeper.next() or math.inf) <= engine.clock.now()
        ):
            engine._wake.clear()
            await engine.step()
            await asyncio.sleep(0)
            self._look()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start what waits for the engine."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.result())

    def _look(self) -> None:
        """Note where the rollout stands, when that has changed."""
        state = self._engine.rollout_book.present.state((NAME, ""))
        if state != self._state:
            self._state = state
            self.played.turns.append(Turn(self.now, state))
            self._trial = [0, 0]

    # what is asked and reported

    async def _request(self) -> None:
        hour, random = self.now / HOUR, self._random
        rate = self._script.rate * (1 - 0.6 * math.cos((hour - 3) / 12 * math.pi))
        self._at(self.now + max(1, round(random.expovariate(rate) * SECOND)), self._request)
        org = random.choices(ORGS, cum_weights=self._weights)[0]
        decision = await self._port("DecideMode", use={"rollout": NAME, "org_id": org})
        self._decided(org, decision)
        code, latency = self._fare(decision.mode)
        self._at(self.now + latency, lambda: self._report(decision, code, latency))
        if decision.shadow_mode:
            other, took = self._fare(decision.shadow_mode, shadow=True)
            self._at(self.now + took, lambda: self._report(decision, other, took, shadow=True))
            self._most = max(self._most, self._engine.rollout_book.places.taken(NAME))

    async def _report(self, decision: Any, code: str, latency: int, *, shadow: bool = False) -> None:
        told = {
            "rollout": NAME,
            "org_id": decision.org_id,
            "mode": decision.shadow_mode if shadow else decision.mode,
            "epoch": decision.epoch,
            "decision_id": decision.decision_id,
            "shadow": shadow,
            "digest": "same",
        }
        took = {"seconds": latency // SECOND, "nanos": latency % SECOND * 1_000_000}
        # It waits for the step that follows from it, and for the comparison that it completes.
        self._run(self._port("ReportOutcome", code=code, latency=took, rollout=told))

    def _fare(self, mode: str, *, shadow: bool = False) -> tuple[str, int]:
        """Return how a call fares that begins now: its code, and how long it takes."""
        random, hour = self._random, self.now / HOUR
        latency, wrong = (3_000, 0.02) if mode == OLD else (2_000, 0.01)
        for trouble in self._script.troubles:
            if not trouble.begin <= hour < trouble.end:
                continue
            if mode in trouble.fails:
                return "503", random.randrange(50, 400)
            if trouble.shadows and shadow:
                return "503", 2 * MINUTE
            if trouble.latency and mode == NEW:
                share = min(1, (hour - trouble.begin) / (trouble.full - trouble.begin))
                latency += round(share * trouble.latency)
        took = round(latency * random.lognormvariate(0, 0.1 if latency > MINUTE else 0.4))
        if took > GIVES_UP:
            return "TIMEOUT", GIVES_UP
        return ("500" if random.random() < wrong else SUCCESS), max(1, took)

    async def _probe(self) -> None:
        self._at(self.now + PROBE, self._probe)
        hour = self.now / HOUR
        refused = any(trouble.begin <= hour < trouble.refused for trouble in self._script.troubles)
        self._engine.rollouts.note_health(
            NAME, well=not refused, detail="connection refused" if refused else ""
        )

    async def _act(self, act: Act) -> None:
        if not act.fields:
            self._run(self._port("ResetFallback", rollout=NAME, reason=act.words))
            return
        self._fields |= act.fields
        modes = {"old_mode": {"name": OLD, "required_capabilities": ["direct"]}}
        modes["new_mode"] = {"name": NEW, "required_capabilities": ["runtime"]}
        health = {"health_url": "http://localhost:8000/health"}
        self._run(self._port("PutRollout", rollout={"name": NAME, **modes, **health, **self._fields}))

    # tasks

    async def _task(self) -> None:
        self._at(self.now + TASK_EVERY, self._task)
        self._run(self._submit())

    async def _submit(self) -> None:
        """Submit a task, and let the agents of both modes claim what there is."""
        org = self._random.choices(ORGS, cum_weights=self._weights)[0]
        use = {"rollout": NAME}
        work = {"title": "answer", "org_id": org, "timeout": {"seconds": 3_600}, "max_attempts": 2}
        decided = (await self._port("SubmitTask", rollout=use, **work)).task.rollout
        self._decided(org, decided)
        self.played.tasks[decided.mode] += 1
        for agent, capability in (("direct-1", "direct"), ("runtime-1", "runtime")):
            claim = {"capabilities": [capability], "max_tasks": 100, "lease_duration": {"seconds": 3_600}}
            for lease in (await self._port("ClaimTasks", agent_id=agent, **claim)).leases:
                mode, shadow = (OLD, NEW)[capability == "runtime"], lease.rollout.shadow
                if lease.rollout.mode != mode:
                    self._broken(f"{lease.task_id} is to run in {lease.rollout.mode}, and {agent} has it")
                if shadow and lease.task_id not in self._shadows:
                    self._shadows.add(lease.task_id)
                    self.played.tasks["shadows"] += 1
                code, latency = self._fare(mode, shadow=shadow)
                await self._say(agent, lease, start={})
                self._at(self.now + latency, lambda a=agent, le=lease, c=code: self._end(a, le, c))

    async def _end(self, agent: str, lease: Any, code: str) -> None:
        word = {"fail": {"code": code, "message": "it broke"}} if code else {"complete": {}}
        self._run(self._say(agent, lease, **word))

    async def _say(self, agent: str, lease: Any, **word: Any) -> None:
        await self._port.report(lease, agent, **word)

    # what is looked at

    def _decided(self, org: str, decision: Any) -> None:
        """Judge a decision by where the rollout stands."""
        self.played.requests += 1
        new = decision.mode == NEW
        self._modes[decision.mode] += 1
        phase = self._state.phase
        if phase is Phase.FALLBACK and new:
            self._broken(f"{org} got the new mode in fallback")
        if phase is Phase.TRIAL and (new or decision.cause == CAUSE.Value("DECISION_CAUSE_AUTO_FALLBACK")):
            self._trial[new] += 1
            if self._trial[1] > math.ceil(TRIAL_SHARE * sum(self._trial)):
                self._broken(f"{self._trial[1]} of {sum(self._trial)} are on trial")
        if phase is Phase.NORMAL:
            if self._percents.get(org) and not new:
                self._broken(f"{org} had the new mode and lost it: {decision.reason}")
            if new != self.member(org):
                self._broken(f"{org} is given {decision.mode}: {decision.reason}")
            self._percents[org] = new

    def member(self, org: str) -> bool:
        """Tell whether the definition gives an org the new mode."""
        place = bucket(f"{NAME}/org", org)
        return org in self._fields.get("allow_orgs", ()) or within(place, self._fields.get("percent", 0))

    def _broken(self, what: str) -> None:
        self.played.broken.append(f"{clock(self.now)}: {what}")

    async def _sample(self) -> None:
        self._at(self.now + SAMPLE, self._sample)
        metrics = (await self._port("GetRolloutMetrics", rollout=NAME)).metrics
        self._check_shadows(metrics)
        old, new, stands = metrics.old_mode, metrics.new_mode, metrics.fallback
        self.played.points.append(
            Point(
                self.now,
                self._state.phase,
                stands.dwell.ToMilliseconds(),
                self._modes,
                self._engine.rollout_book.places.taken(NAME),
                self._most,
                old.error_rate,
                new.error_rate,
                old.avg_latency.ToMilliseconds() if old.total else math.nan,
                new.avg_latency.ToMilliseconds() if new.total else math.nan,
                metrics.shadow.error,
                new.error,
            )
        )
        self._modes, self._most = Counter(), self._engine.rollout_book.places.taken(NAME)

    def _check_shadows(self, metrics: Any) -> None:
        taken = self._engine.rollout_book.places.taken(NAME)
        if taken > SHADOWS:
            self._broken(f"{taken} shadows at once")

    async def _count(self) -> None:
        """Count what is in the store at the end."""
        token = ""
        while True:
            page = await self._port("ListComparisons", rollout=NAME, page_size=1_000, page_token=token)
            self.played.comparisons += len(page.comparisons)
            token = page.next_page_token
            if not token:
                break
        for letter in (await self._port("ListDeadLetters", page_size=1_000)).dead_letters:
            if letter.id in self._shadows:
                self._broken(f"shadow {letter.id} is a dead letter")


def clock(at: float) -> str:
    """Return ms since midnight as people read a clock."""
    return f"{int(at // HOUR):02d}:{int(at // MINUTE) % 60:02d}:{int(at // SECOND) % 60:02d}"


def judge(played: Played) -> Iterator[str]:
    """Yield what the story promises and was not so."""
    yield from played.broken[:10]
    turns, script = played.turns, played.script
    falls = [turn for turn, before in zip(turns, [None, *turns], strict=False) if _fell(turn, before)]
    for fall in falls:
        if not any(t.blamed and t.begin <= fall.at / HOUR <= t.end + 0.25 for t in script.troubles):
            yield f"{clock(fall.at)}: it fell back for nothing: {fall.state.reason}"
    for trouble in script.troubles:
        begin, end = round(trouble.begin * HOUR), round(trouble.end * HOUR)
        during = [fall for fall in falls if begin <= fall.at <= end]
        if not trouble.blamed:
            if any(begin <= turn.at <= end + RULES.window for turn in turns):
                yield f"{trouble.words}: it moved"
            continue
        if not during or (trouble.fails and during[0].at - begin > RULES.window):
            yield f"{trouble.words}: it did not fall back in time"
            continue
        normal = [turn.at for turn in turns if turn.at > during[0].at and turn.state.phase is Phase.NORMAL]
        if not normal or normal[0] < end:
            yield f"{trouble.words}: normal again at {clock(normal[0]) if normal else 'no time'}, before its end"
        elif normal[0] > end + during[-1].state.dwell + RULES.trial_for + RULES.timeout_threshold:
            yield f"{trouble.words}: normal again only at {clock(normal[0])}"
        dwells = [fall.state.dwell for fall in during]
        if dwells != [min(RULES.dwell << n, RULES.dwell_max) for n in range(len(dwells))]:
            yield f"{trouble.words}: the dwells were {dwells}"
        if trouble.fails and len(dwells) < 3:
            yield f"{trouble.words}: no dwell has grown"
    yield from _judge_shadows(played)


def _fell(turn: Turn, before: Turn | None) -> bool:
    return turn.state.phase is Phase.FALLBACK and (before is None or before.state.phase is not Phase.FALLBACK)


def _judge_shadows(played: Played) -> Iterator[str]:
    for trouble in played.script.troubles:
        if not trouble.shadows:
            continue
        points = [p for p in played.points if trouble.begin + 0.1 < p.at / HOUR < trouble.end]
        if max(point.most_shadows for point in points) != SHADOWS:
            yield f"{trouble.words}: their limit was not reached"
        if not all(point.shadow_errors for point in points) or any(p.new_errors > 0.2 for p in points):
            yield f"{trouble.words}: they were counted among the others, or not at all"
    if not played.comparisons or not played.tasks["shadows"]:
        yield "nothing was compared"


def table(played: Played) -> Iterator[str]:
    """Yield lines about the phases."""
    notes = [(round(act.hour * HOUR), f"  operators: {act.words}") for act in played.script.acts]
    for trouble in played.script.troubles:
        notes.append((round(trouble.begin * HOUR), f"  trouble: {trouble.words}"))
        notes.append((round(trouble.end * HOUR), f"  over: {trouble.words}"))
    for turn in played.turns:
        state = turn.state
        dwell = f"{state.dwell // SECOND:5d} s" if state.phase is Phase.FALLBACK else "       "
        notes.append((turn.at, f"{state.phase.name:<9} {dwell}  {state.reason}"))
    for at, words in sorted(notes, key=lambda note: note[0]):
        yield f"{clock(at)}  {words}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Play a day of a rollout; exit 1 when a promise was broken.")
    parser.add_argument("--picture", type=Path, help="where to draw it (needs matplotlib)")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    played = asyncio.run(Day(DAY, chosen.seed).play())
    for line in table(played):
        print(line)
    shares = ", ".join(
        f"{clock(begin * HOUR)[:5]} {played.share(begin, begin + 0.5):.1%}"
        for begin in (0, 4, 5.4, 8, 10, 16, 21)
    )
    print(f"\nshare of {NEW}: {shares}")
    print(f"{played.requests} decisions, tasks {dict(played.tasks)}, {played.comparisons} comparisons")
    broken = list(judge(played))
    print("\n".join(f"BROKEN {what}" for what in broken) or "every promise was kept")
    if chosen.picture is not None:
        from tests.simulation.rollout_picture import draw

        draw(played, chosen.picture)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
