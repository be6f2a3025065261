"""
Decisions of the Router inside the process: `engine.router.route`, which is all that RouteTask calls, over instances of a real catalogue.

Each decision is timed by itself. Between rounds, untimed, every route of the round is reported, so that the work in flight is that of a fleet that works.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
from collections import deque
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path
from random import Random
from time import perf_counter, perf_counter_ns

import instances
import structlog
from figure import Figure, Sample, median, quantile

from fleetd.clock import SystemClock
from fleetd.core import routing
from fleetd.core.breaker import Breaker, BreakerKind, BreakerRules
from fleetd.core.breaking import ForceBreaker
from fleetd.core.catalogue import providers
from fleetd.core.instance import Condition
from fleetd.core.outcome import Failure
from fleetd.core.registration import PutInstances
from fleetd.core.route import Requirements, RoutePlan
from fleetd.core.settings import Rules
from fleetd.engine.engine import Engine, EngineOptions
from fleetd.engine.router import RouterOptions
from fleetd.store.sqlite import SqliteStore

BARS = {100: 60, 1_000: 90, 3_500: 200}
"""Microseconds a decision may take, by the number of instances."""
FALLBACKS = 5
ROUND = 250
VARIETY = 500
"""Different requirements; the decisions take them in turn."""
KEPT = 1_000
"""Routes that are remembered: few enough that each further one lets an old one go, as in a daemon that has run for a while."""
EVENTS = 100
"""Outcomes a second, and as many results of probes, that come in while the busy Router decides."""
PACE = 5
"""Decisions for each outcome then: what is not reported is taken for work that goes on."""
US = 1e3


class Fleet:
    """An engine with its instances, and the questions put to it."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine = engine
        self.random = Random(number)
        self.known = providers(instances.catalogue(number)).instances
        self._questions = cycle(instances.requirements(self.known, VARIETY, self.random))
        self._number = 0

    async def fill(self) -> None:
        """Register the instances, note how they are, and open the breaker of one in a hundred."""
        engine, now = self.engine, self.engine.clock.wall()
        await engine.execute(PutInstances(self.known))
        for place, instance in enumerate(self.known):
            engine.instance_notes.note(instance.id, instances.condition(place, self.random, now))
        await engine.turn()
        for instance in self.known[50::100]:
            await engine.execute(ForceBreaker(BreakerKind.INSTANCE, instance.id, "out of order", 3_600_000))

    def ask(self) -> tuple[Requirements, str]:
        """Return what is asked next, and the id of its plan."""
        self._number += 1
        return next(self._questions), f"plan-{self._number}"

    def decide(self) -> tuple[str, int]:
        """Route once; return the id of the plan and the nanoseconds it took."""
        wanted, plan_id = self.ask()
        began = perf_counter_ns()
        self.engine.router.route(wanted, plan_id, fallbacks=FALLBACKS)
        return plan_id, perf_counter_ns() - began

    def decide_by_rules(self) -> tuple[RoutePlan, int]:
        """Plan once by the rules alone: nothing is counted or kept."""
        wanted, plan_id = self.ask()
        outlook, now = self.engine.routes.outside, self.engine.clock.wall()
        held = outlook.probes.held(now)
        began = perf_counter_ns()
        plan = routing.route(
            outlook.registry,
            wanted,
            plan_id=plan_id,
            now=now,
            load=outlook.load,
            probing=held,
            seed=plan_id,
            fallbacks=FALLBACKS,
        )
        return plan, perf_counter_ns() - began

    async def report(self, plan_id: str, code: str = "") -> None:
        """Tell what came of a route."""
        kept = self.engine.router.find(plan_id)
        if kept is not None and kept.counted:
            await self.engine.router.report(kept, Failure("", code))

    def probe(self, place: int) -> None:
        """Note what a probe found: a latency, and now and then another state."""
        engine, instance = self.engine, self.known[place % len(self.known)]
        now = engine.clock.wall()
        before = engine.instance_notes.condition(instance.id)
        found = instances.condition(place, self.random, now)
        if place % 20 and before is not None:
            found = Condition(before.state, before.reason, before.since, latency=found.latency)
        engine.instance_notes.note(instance.id, found)


async def decisions(sample: Sample) -> list[Figure]:
    return [await _decisions(sample, number, bar) for number, bar in BARS.items()]


async def busy(sample: Sample) -> list[Figure]:
    """Decide while outcomes and results of probes pour in, each written as in a daemon."""
    number = 1_000
    async with fleet(sample.folder / "busy.db", number) as one:
        quiet = one_round(one)[1]
        seconds = sample.size(10, 3)
        took: list[int] = []
        waiting: deque[str] = deque()
        reports: list[asyncio.Task[None]] = []
        began = perf_counter()
        for turn in range(seconds * EVENTS):
            one.probe(turn * 7)
            if len(waiting) > PACE * 10:
                code = "" if turn % 10 else "TIMEOUT"
                reports.append(asyncio.create_task(one.report(waiting.popleft(), code)))
            for _ in range(PACE):
                # Each in a turn of its own: what was committed meanwhile is seen.
                await asyncio.sleep(0)
                plan_id, nanoseconds = one.decide()
                waiting.append(plan_id)
                took.append(nanoseconds)
            while len(waiting) > KEPT:
                waiting.popleft()
            # The next events are due at their time, however long these took.
            await asyncio.sleep(max(0.0, began + (turn + 1) / EVENTS - perf_counter()))
        elapsed = perf_counter() - began
        await asyncio.gather(*reports)
    floor = median(quiet) / US
    return [
        Figure(
            "route_decision_us_p50_1000_busy",
            median(took) / US,
            "µs",
            floor,
            "µs while nothing else happens",
            f"<= {BARS[number]}",
            f"{len(reports) / elapsed:.0f} outcomes and {seconds * EVENTS / elapsed:.0f} results of probes a second; "
            f"p99 {quantile(took, 0.99) / US:.0f} µs",
            details={"p99_us": quantile(took, 0.99) / US, "outcomes_per_s": len(reports) / elapsed},
        )
    ]


async def breaker(sample: Sample) -> list[Figure]:
    """Ask a breaker whether it lets a call through, and tell it what came of the call; one in ten failed, none opens it."""
    rules = BreakerRules(strikes=1_000_000, window_ratio=1.0)
    one = Breaker(BreakerKind.INSTANCE, "openai:gpt-4o")
    nothing = _Nothing()
    loops, rounds = 10_000, sample.size(30, 10)
    took: list[float] = []
    floors: list[float] = []
    for turn in range(rounds):
        began = perf_counter()
        for now in range(turn * loops, (turn + 1) * loops):
            if one.admits(now):
                if now % 10:
                    one.succeed(now, rules, epoch=one.epoch)
                else:
                    one.fail(now, rules, "TIMEOUT", "no answer", epoch=one.epoch, source="task-1")
        took.append((perf_counter() - began) / loops)
        began = perf_counter()
        for now in range(turn * loops, (turn + 1) * loops):
            if nothing.admits(now):
                nothing.succeed(now, rules, epoch=now)
        floors.append((perf_counter() - began) / loops)
    return [
        Figure(
            "breaker_ops_us",
            median(took) * 1e6,
            "µs",
            median(floors) * 1e6,
            "µs, two calls that do nothing",
            "<= 3",
            "admit and record, one call in ten failed",
            details={"runs": [each * 1e6 for each in took]},
        )
    ]


class _Nothing:
    def admits(self, now: int) -> bool:
        return True

    def succeed(self, now: int, rules: BreakerRules, *, epoch: int) -> None:
        return None


def one_round(fleet: Fleet) -> tuple[list[str], list[int]]:
    """Decide so often in a row; return the ids of the plans and what each decision took, ns."""
    made = [fleet.decide() for _ in range(ROUND)]
    return [plan_id for plan_id, _ in made], [took for _, took in made]


async def report_all(fleet: Fleet, plans: list[str]) -> None:
    await asyncio.gather(*(fleet.report(plan_id) for plan_id in plans))


@contextlib.asynccontextmanager
async def fleet(file: Path, number: int) -> AsyncIterator[Fleet]:
    """Start an engine on a store in this file, with so many instances."""
    store = SqliteStore(file)
    await store.open()
    options = EngineOptions(router=RouterOptions(plans_kept=KEPT))
    warnings = structlog.make_filtering_bound_logger(logging.WARNING)
    log = structlog.wrap_logger(structlog.PrintLogger(sys.stderr), wrapper_class=warnings)
    engine = Engine(store, SystemClock(), Rules(), log, options)
    thresholds = gc.get_threshold()
    try:
        await engine.recover()
        engine.start()
        one = Fleet(engine, number)
        await one.fill()
        # As the daemon does when it is ready (decision 11).
        gc.collect()
        gc.set_threshold(50_000, 20, 50)
        yield one
    finally:
        gc.set_threshold(*thresholds)
        await engine.stop()
        await store.close()


async def _decisions(sample: Sample, number: int, bar: int) -> Figure:
    async with fleet(sample.folder / f"{number}.db", number) as one:
        took: list[int] = []
        rules: list[int] = []
        await report_all(one, one_round(one)[0])
        for _ in range(sample.size(16, 6)):
            rules += [one.decide_by_rules()[1] for _ in range(ROUND)]
            plans, times = one_round(one)
            took += times
            await report_all(one, plans)
        figures = one.engine.routes.figures
    p50, p99, floor = median(took) / US, quantile(took, 0.99) / US, median(rules) / US
    note = f"p99 {p99:.0f} µs; {FALLBACKS} fallbacks, {len(took):,} decisions"
    where = instances.source(number)
    return Figure(
        f"route_decision_us_p50_{number}",
        p50,
        "µs",
        floor,
        "µs, core.routing.route alone",
        f"<= {bar}",
        f"{note}; {where}" if where else note,
        details={"p99_us": p99, "rules_us": floor, "routed_share": figures.routed / figures.routes},
    )
