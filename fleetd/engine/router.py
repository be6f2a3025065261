"""
The Router of one engine: routes that are no task's (spec R4 to R10).

Everything here runs on the event loop. Routing reads what the last commit left and commits nothing; outcomes, which must be durable, go through the engine as
commands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from fleetd.core import routed
from fleetd.core.breaker import BreakerState
from fleetd.core.event import EventType
from fleetd.core.failover import NO_AVAILABLE_INSTANCE, fault
from fleetd.core.instance import Instance, provider_of, unknown_instance
from fleetd.core.outcome import Advice, Course, Failure
from fleetd.core.outlook import Token
from fleetd.core.route import Requirements, RoutePlan, Step, StepKind
from fleetd.core.routebook import take_probes
from fleetd.core.steering import ReportRoute, StrikeRoute, not_eligible, stale
from fleetd.engine.route_ring import VANISHED, Kept, RouteRing, RouterOptions
from fleetd.engine.timers import Timers
from fleetd.errors import NotFound

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

TAKES = 3
"""Plans made for one route at most: each but the first because somebody took the probe of a half-open breaker in that moment."""

# Every route asks for it, and a member of an enum costs a look-up by its name.
_HALF_OPEN = BreakerState.HALF_OPEN


class Routed(NamedTuple):
    """A plan, the event that tells what became of it ("" when nothing did), and the instance to use, None when there is none."""

    plan: RoutePlan
    instance: Instance | None
    event: EventType | None = None


class Router:
    """What the engine does for routes."""

    def __init__(self, engine: Engine, options: RouterOptions) -> None:
        self.since = engine.clock.wall()
        self._engine = engine
        self._book = engine.routes
        self._ring = RouteRing(options.plans_kept, options.plans_for, self._leave)
        self._flights: Timers[str] = Timers()

    # routes of services that run their own work

    def route(
        self,
        requirements: Requirements,
        plan_id: str,
        *,
        name: str = "",
        seed: str = "",
        fallbacks: int | None = None,
        trace: bool = False,
        dry_run: bool = False,
    ) -> Routed:
        """
        Plan a route, count it on its instance, and keep the plan; with `dry_run` only plan.

        Raises InvalidArgument when the wanted model is unknown.
        """
        book, clock = self._book, self._engine.clock
        now, made = clock.wall(), clock.now()
        self.expire(made)
        if fallbacks is None:
            fallbacks = book.rules.fallbacks
        figures = book.figures
        kept: Kept | None = None
        for _ in range(TAKES):
            plan = book.outside.plan(
                requirements,
                now,
                strict=True,
                plan_id=plan_id,
                task_id=name,
                seed=seed or name or plan_id,
                fallbacks=fallbacks,
                trace=trace,
            )
            if dry_run or not plan.selected:
                break
            kept = Kept([plan], requirements, plan.seed, fallbacks, made)
            if self._enter(kept, plan.selected):
                break
            kept = None
        if dry_run:
            return Routed(plan, self._instance(plan.selected))
        figures.routes += 1
        if plan.selected and kept is not None:
            figures.routed += 1
        else:
            if plan.selected:
                plan = self._taken(plan)
            figures.blocked += 1
            kept = Kept([plan], requirements, plan.seed, fallbacks, made)
        self._keep(kept)
        return Routed(plan, self._instance(plan.selected))

    def next_expiry(self) -> int | None:
        """Return when the first unreported route is taken for over, monotonic ms."""
        return self._flights.next()

    def find(self, plan_id: str) -> Kept | None:
        """Return a route by the id of its plan, or by its name."""
        return self._ring.get(plan_id, self._engine.clock.now())

    def verify(self, kept: Kept, plan_version: int = 0) -> Routed:
        """Check a plan just before it is used (R6)."""
        _present(kept, plan_version)
        book, now, plan = self._book, self._engine.clock.wall(), kept.plan
        book.figures.verifies += 1
        pinned = _pinned(kept, now)
        refused = None
        if plan.selected:
            refused = book.outside.refusal(
                plan.selected,
                kept.requirements,
                now,
                own=kept.counted and kept.instance == plan.selected,
                mine=kept.tokens,
            )
            fresh = 0 <= now - plan.made_at <= book.rules.plan_max_age
            forced = kept.forced and pinned == plan.selected and self._instance(pinned) is not None
            if (refused is None and fresh) or forced:
                if not kept.counted:
                    self._enter(kept, plan.selected, must=True)
                return Routed(plan, self._instance(plan.selected), EventType.TASK_ROUTE_VERIFIED)
        order = plan.fallback if refused is not None else ()
        good = next((each for each in order if self._fits(each, kept, now)), "")
        new = self._next(kept, pinned=good or pinned)
        if not new.selected:
            self._move(kept, new)
            book.figures.blocked += 1
            return Routed(new, None, EventType.TASK_ROUTE_BLOCKED)
        if new.selected == plan.selected:
            self._move(kept, new)
            return Routed(new, self._instance(new.selected), EventType.TASK_ROUTE_VERIFIED)
        new.cause = "rerouted"
        book.figures.rerouted(routed.reason_code(refused) if refused else routed.PLAN_STALE)
        self._move(kept, new)
        return Routed(new, self._instance(new.selected), EventType.TASK_REROUTED)

    async def reroute(self, kept: Kept, failure: Failure, plan_version: int = 0) -> Routed:
        """Look for another instance after an error, at once (R7); what the error counts for is durable before this returns."""
        _present(kept, plan_version)
        at = failure.instance or kept.instance or kept.plan.selected
        provider = ""
        if at:
            failure = failure._replace(instance=at)
            await self._engine.execute(StrikeRoute(failure, kept.epochs, _source(kept)))
            # Somebody may have changed the plan meanwhile.
            _present(kept, plan_version)
            kept.tried = kept.tried if at in kept.tried else (*kept.tried, at)
            provider = provider_of(at) if fault(failure.code).provider_wide else ""
        plan = self._next(kept, avoid_provider=provider)
        if not plan.selected or plan.selected in kept.tried:
            if not plan.selected:
                self._move(kept, plan)
                self._book.figures.blocked += 1
            return Routed(kept.plan, None, EventType.TASK_ROUTE_BLOCKED)
        plan.cause = "rerouted"
        kept.retries = 0
        self._move(kept, plan)
        self._book.figures.rerouted(fault(failure.code).code)
        return Routed(plan, self._instance(plan.selected), EventType.TASK_REROUTED)

    def pin(self, kept: Kept, instance_id: str, until: int, *, force: bool, plan_version: int = 0) -> Routed:
        """Pin a route to an instance until then (R8). Raises WrongState INSTANCE_NOT_ELIGIBLE unless `force`."""
        _present(kept, plan_version)
        now = self._engine.clock.wall()
        refused = self._book.outside.refusal(
            instance_id,
            kept.requirements,
            now,
            own=kept.counted and kept.instance == instance_id,
            mine=kept.tokens,
        )
        if refused is not None and (not force or refused.eliminated_by == "known"):
            raise not_eligible(instance_id, routed.words(refused), refused.eliminated_by)
        previous = kept.plan.selected
        kept.pin, kept.pinned_until, kept.forced = instance_id, until, force
        plan = self._next(kept, pinned=instance_id)
        chain = [each for each in (plan.selected, *plan.fallback) if each not in (instance_id, previous, "")]
        first = [previous] if previous and previous != instance_id else []
        plan.selected, plan.cause, plan.retry_at = instance_id, "overridden", 0
        plan.fallback = tuple([*first, *chain][: max(1, kept.fallbacks)])
        self._move(kept, plan)
        return Routed(plan, self._instance(instance_id), EventType.TASK_ROUTE_OVERRIDDEN)

    async def report(self, kept: Kept, failure: Failure) -> Advice:
        """Take what came of a try (code "" is a success), and say what to do next. Durable before it is answered."""
        at = failure.instance or kept.instance or kept.plan.selected
        if not at:
            raise NotFound("INSTANCE_NOT_FOUND", "the plan has no instance, so that none was tried")
        failure = failure._replace(instance=at)
        if at != kept.instance and self._instance(at) is None:
            raise unknown_instance(at, self._book.outside.registry.nearest(at))
        if failure.code and kept.counted and at != kept.instance and at in kept.tried:
            # Told before, and its answer was lost: the route goes on where it was sent then.
            step = Step(
                StepKind.SWITCH, instance=kept.instance, reason=f"{failure.code} at {at} was told before"
            )
            return Advice(step, instance=self._instance(kept.instance), version=kept.plan.version)
        if not failure.code:
            epochs = kept.epochs if at == kept.instance else None
            advice: Advice = await self._engine.execute(ReportRoute(failure, epochs=epochs))
            self._leave(kept)
            return advice._replace(version=kept.plan.version)
        course = Course(
            requirements=kept.requirements,
            plan_id=kept.plan.plan_id,
            task_id=kept.plan.task_id,
            version=kept.plan.version,
            seed=kept.seed,
            fallbacks=kept.fallbacks,
            retries=kept.retries,
            tried=kept.tried,
            above=kept.above,
            pin=_pinned(kept, self._engine.clock.wall()),
            source=_source(kept),
            epochs=kept.epochs if at == kept.instance else None,
            mine=kept.tokens,
            counted=kept.counted and at == kept.instance,
        )
        answers: list[Advice] = []
        # In the commit's own turn: whoever routes next must see where this one went.
        await self._engine.execute(
            ReportRoute(failure, course), lambda advice: answers.append(self._advised(kept, failure, advice))
        )
        return answers[0]

    def _advised(self, kept: Kept, failure: Failure, advice: Advice) -> Advice:
        """Do what the transaction advised, as things are now: it knew nothing of the routes that others took, or of a plan that somebody changed."""
        step, plan = advice.step, advice.plan
        kept.above = max(kept.above, advice.above)
        if step.kind is StepKind.RETRY_SAME:
            kept.retries += 1
            if not kept.counted and failure.instance == kept.instance:
                self._enter(kept, kept.instance, must=True)
            if kept.counted:
                self._flights.set(kept.plan.plan_id, self._vanishes(kept.instance) + step.delay)
            return advice
        kept.tried = kept.tried if failure.instance in kept.tried else (*kept.tried, failure.instance)
        if plan is None:
            self._leave(kept)
            return advice
        if step.kind is StepKind.SWITCH:
            plan = self._switch(kept, failure)
        else:
            plan.version = kept.plan.version + 1
            self._move(kept, plan)
        if plan.selected:
            plan.cause = "rerouted"
            kept.retries = 0
            self._book.figures.rerouted(fault(failure.code).code)
            step = step._replace(instance=plan.selected)
            return advice._replace(
                step=step, plan=plan, instance=self._instance(plan.selected), version=plan.version
            )
        plan.cause = "blocked"
        self._book.figures.blocked += 1
        if step.kind is StepKind.SWITCH:
            wait = max(0, plan.retry_at - plan.made_at)
            step = Step(StepKind.BLOCK, wait, code=NO_AVAILABLE_INSTANCE, reason=plan.summary)
        return advice._replace(step=step, plan=plan, instance=None, version=plan.version)

    def _switch(self, kept: Kept, failure: Failure) -> RoutePlan:
        """Make a plan without what was tried the present one, and count the route on its instance; it has none when others took every place."""
        self._leave(kept)
        avoided = provider_of(failure.instance) if fault(failure.code).provider_wide else ""
        for _ in range(TAKES):
            plan = self._next(kept, avoid_provider=avoided)
            if not plan.selected or plan.selected in kept.tried:
                break
            if self._enter(kept, plan.selected):
                kept.add(plan)
                return plan
        if plan.selected:
            plan = self._taken(plan)
        kept.add(plan)
        return plan

    # routes and their instances

    def _instance(self, instance_id: str) -> Instance | None:
        return self._book.outside.registry.get(instance_id) if instance_id else None

    def _fits(self, instance_id: str, kept: Kept, now: int) -> bool:
        return self._book.outside.refusal(instance_id, kept.requirements, now) is None

    def _next(self, kept: Kept, *, pinned: str = "", avoid_provider: str = "") -> RoutePlan:
        """Return the next version of a route's plan."""
        now = self._engine.clock.wall()
        return self._book.outside.plan(
            kept.requirements,
            now,
            own=kept.instance if kept.counted else "",
            mine=kept.tokens,
            plan_id=kept.plan.plan_id,
            task_id=kept.plan.task_id,
            version=kept.plan.version + 1,
            seed=kept.seed,
            fallbacks=kept.fallbacks,
            tried=kept.tried,
            above=kept.above,
            pinned=pinned or _pinned(kept, now),
            avoid_provider=avoid_provider,
        )

    def _taken(self, plan: RoutePlan) -> RoutePlan:
        """Return the plan of a route whose instances were all taken by others in this moment: their probes, or their last places."""
        plan.selected, plan.fallback, plan.scores, plan.reasons = "", (), {}, ()
        plan.cause, plan.summary = (
            "blocked",
            "every instance that fits was taken by another call in this moment",
        )
        return plan

    def _move(self, kept: Kept, plan: RoutePlan) -> None:
        """Make a plan the present one, and count the route where it points."""
        self._leave(kept)
        kept.add(plan)
        if plan.selected:
            self._enter(kept, plan.selected, must=True)

    def _keep(self, kept: Kept) -> None:
        if kept.plan.trace:
            # A full trace is as large as a thousand plans; whoever asked for it has it.
            kept.plans = [replace(kept.plan, trace=())]
        self._ring.put(kept, kept.made)

    def _enter(self, kept: Kept, instance_id: str, *, must: bool = False) -> bool:
        if kept.gone:
            # It left the ring while its report was under way: whatever counts it now would never end.
            kept.instance = instance_id
            return True
        book = self._book
        guards = book.outside.guards(instance_id, provider_of(instance_id))
        own, provider = book.outside.views(guards)
        tokens: list[Token] | None = []
        if own.state is _HALF_OPEN or provider.state is _HALF_OPEN:
            tokens = take_probes(book.outside, guards, self._engine.clock.wall(), book.rules)
        if tokens is None and not must:
            return False
        book.arrive(instance_id)
        kept.instance, kept.counted, kept.tokens = instance_id, True, tokens or []
        kept.epochs = own.epoch, provider.epoch
        self._flights.set(kept.plan.plan_id, self._vanishes(instance_id))
        return True

    def _leave(self, kept: Kept) -> None:
        """The work of a route is over, as far as is known."""
        if not kept.counted:
            return
        kept.counted = False
        self._flights.cancel(kept.plan.plan_id)
        for token in kept.tokens:
            self._book.probes.release(*token)
        freed = self._book.depart(kept.instance) or kept.tokens
        kept.tokens = []
        if freed:
            self._book.loosened = True
            self._engine.route_timers.look()

    def _vanishes(self, instance_id: str) -> int:
        instance = self._instance(instance_id)
        timeout = instance.timeout if instance is not None else 0
        return self._engine.clock.now() + VANISHED * max(timeout, 1_000)

    def expire(self, now: int) -> None:
        """Take routes that nobody reported for work that is over."""
        for plan_id in self._flights.pop(now, 1_000):
            kept = self._ring.get(plan_id, now)
            if kept is not None:
                self._leave(kept)


def _present(kept: Kept, plan_version: int) -> None:
    if plan_version and plan_version != kept.plan.version:
        raise stale(plan_version, kept.plan.version)


def _pinned(kept: Kept, now: int) -> str:
    return kept.pin if now < kept.pinned_until else ""


def _source(kept: Kept) -> str:
    """Return whose work a route is (F3a): the name its caller gave it; without one each route is somebody else's."""
    return kept.plan.task_id or kept.plan.plan_id
