"""The route of a task, from its submission to the end of its last run (spec R4, R6, R7, R8, R10, R11, R13, F6)."""

from __future__ import annotations

from typing import Any

from fleetd.core.breaking import strike, succeeded
from fleetd.core.event import EventType
from fleetd.core.failover import fault, is_instance_fault
from fleetd.core.instance import Instance, unknown_instance
from fleetd.core.ledger import Edge, Ledger, TaskPlan
from fleetd.core.outcome import Advice, Course, Failure, advise
from fleetd.core.route import TRIES_KEPT, Candidate, Requirements, RoutePlan, Step, StepKind, TaskRoute, Try
from fleetd.core.routebook import ahead
from fleetd.core.task import Status, Task
from fleetd.errors import InvalidArgument, NotFound

TAKES = 3
"""Plans made at a claim before the task is BLOCKED: each but the first because somebody took the probe of a half-open breaker in that moment."""

PLAN_STALE = "PLAN_STALE"
"""Reason of a change of instance that no error caused: the plan was old, and the new one selects another."""


def route_of(task: Task) -> TaskRoute:
    """Return the route of a task that has one."""
    if task.route is None:
        raise NotFound("PLAN_NOT_FOUND", f"task {task.id} was submitted without route requirements")
    return task.route


def first_plan(ledger: Ledger, task_id: str, requirements: Requirements) -> RoutePlan:
    """Return the plan of a task that is about to be taken. Raises InvalidArgument when its model is unknown."""
    try:
        return ledger.routes.inside.plan(
            requirements,
            ledger.now,
            strict=True,
            plan_id=task_id,
            task_id=task_id,
            fallbacks=ledger.rules.router.fallbacks,
        )
    except InvalidArgument as error:
        raise InvalidArgument(
            [(path.replace("requirements.", "route.", 1), right) for path, right in error.fields]
        ) from None


def begin(ledger: Ledger, task: Task, plan: RoutePlan) -> None:
    """Give a task that was just taken its first plan. Without an instance it is BLOCKED, unless it may not run yet: then it is looked at when it may."""
    route = task.route = TaskRoute(plan.requirements)
    ledger.routes.counted.routes += 1
    if plan.selected:
        ledger.routes.counted.routed += 1
        _take_plan(ledger, task, route, plan)
    elif not task.run_at:
        block(ledger, task, plan)


def admit(ledger: Ledger, task: Task) -> bool:
    """
    Verify the plan of a task just before its lease is given (R6), and count it on its instance.

    Good → TASK_ROUTE_VERIFIED. Else the first good fallback, else a new plan → TASK_REROUTED. Else the task is BLOCKED, and False is returned.
    """
    route = task.route
    if route is None:
        return True
    for _ in range(TAKES):
        plan = _verified(ledger, task, route)
        if plan is not None and not plan.selected:
            block(ledger, task, plan)
            return False
        selected = plan.selected if plan is not None else route.selected
        # What an operator insists on goes through a breaker that somebody else tries, too.
        if enter(ledger, task, selected, must=route.forced and selected == _pin(ledger, route)):
            _take_plan(ledger, task, route, plan)
            ledger.routes.counted.verifies += 1
            route.retries, route.tried, route.tries = 0, (), ()
            return True
    plan = _plan(ledger, task, route)
    if plan.selected:
        # It was refused a moment ago and fits now: nothing else would look at the task again.
        plan.selected, plan.fallback = "", ()
        ledger.routes.loosened = True
    block(ledger, task, plan)
    return False


def enter(ledger: Ledger, task: Task, instance_id: str, *, must: bool = False) -> bool:
    """Count the task's lease on an instance; False, unless it `must`, when somebody else got the probe it needs in this moment."""
    route = route_of(task)
    epochs = ledger.routes.enter(task.id, instance_id, ledger.now, must=must)
    if epochs is None:
        return False
    route.instance, route.epochs = instance_id, epochs
    return True


def ended(ledger: Ledger, task: Task) -> None:
    """The lease is over: its instance has room again."""
    route = task.route
    if route is not None and route.instance:
        ledger.routes.leave(task.id, route.instance)
        route.instance = ""


def went_well(ledger: Ledger, task: Task) -> None:
    """The run was completed: its instance and provider are well (F3)."""
    route = task.route
    if route is not None and route.instance:
        succeeded(ledger, ledger.routes.instance(route.instance), epochs=route.epochs)


def instance_failed(ledger: Ledger, task: Task, failure: Failure) -> Advice:
    """A try of a run failed while its lease stands: return what to do next, and make the switch when that is it (R11)."""
    route = route_of(task)
    failure = failure._replace(instance=failure.instance or route.instance)
    if failure.instance != route.instance and failure.instance in route.tried:
        # Told before, and its answer was lost: the run goes on where it was sent then (T5, R7).
        reason = f"{failure.code} at {failure.instance} was told before"
        step = Step(StepKind.SWITCH, instance=route.instance, reason=reason)
        return Advice(step, None, ledger.routes.instance(route.instance), route.version, route.above)
    _note_try(ledger, route, failure)
    so_far = course(ledger, task, route)
    if failure.instance != route.instance:
        # Where it is not meant to be: nobody counted it there, or knows when it began.
        so_far = so_far._replace(epochs=None, counted=False)
    advice = advise(ledger, so_far, failure)
    step = advice.step
    route.above = advice.above
    if step.kind is StepKind.RETRY_SAME:
        route.retries += 1
    elif step.kind is StepKind.SWITCH and advice.plan is not None:
        _switch(ledger, task, route, advice.plan, failure)
    elif step.kind is StepKind.GIVE_UP or step.kind is StepKind.BLOCK:
        route.tried = _with(route.tried, failure.instance)
    ledger.touch(task)
    return advice


def known(ledger: Ledger, route: TaskRoute, instance_id: str) -> None:
    """Raise NotFound for an instance that is not the lease's and not registered: breakers are kept for what there is."""
    if instance_id != route.instance and ledger.routes.registry.get(instance_id) is None:
        raise unknown_instance(instance_id, ledger.routes.registry.nearest(instance_id))


def run_failed(ledger: Ledger, task: Task, code: str, message: str) -> bool:
    """
    A run ended with an error: what it says of its instance counts as if the try had been told alone. Return whether an instance with a
    larger context could go on, now or when its breaker half-opens, which matters for CONTEXT_EXCEEDED (F4).
    """
    route = task.route
    if route is None or not route.instance:
        return False
    row = fault(code)
    if not (is_instance_fault(code) or row.larger_ctx) or row.limit:
        return False
    instance = ledger.routes.instance(route.instance)
    _note_try(ledger, route, Failure(instance.id, code, message))
    strike(ledger, row, instance, message, epochs=route.epochs, source=task.id)
    # The next lease begins elsewhere, when there is an elsewhere.
    route.tried = _with(route.tried, instance.id)
    route.made_at = 0
    if not row.larger_ctx:
        return False
    route.above = max(route.above, instance.ctx)
    plan = _plan(ledger, task, route)
    if not plan.selected:
        return plan.retry_at > ledger.now
    return plan.selected not in route.tried


def unserved(ledger: Ledger, task: Task) -> RoutePlan:
    """Return a plan for a task whose run found no instance; the caller blocks the task when there is still none."""
    route = route_of(task)
    route.made_at = 0
    return _plan(ledger, task, route)


def reroute(ledger: Ledger, task: Task, failure: Failure) -> tuple[RoutePlan, bool]:
    """
    Look for another instance after an error, at once and without the ladder (R7). Returns: the plan, and whether it has an instance.

    Waiting tasks without another one become BLOCKED; what runs goes on, and its agent hears of it by its own word.
    """
    route = route_of(task)
    at = failure.instance or route.instance or route.selected
    if at:
        failure = failure._replace(instance=at)
        instance = ledger.routes.instance(at)
        _note_try(ledger, route, failure)
        strike(
            ledger,
            fault(failure.code),
            instance,
            failure.message,
            epochs=route.epochs if route.instance else None,
            source=task.id,
        )
        route.tried = _with(route.tried, at)
    ledger.touch(task)
    row = fault(failure.code)
    avoided = ledger.routes.instance(at).provider_id if at and row.provider_wide else ""
    plan = _plan(ledger, task, route, avoid_provider=avoided)
    found = bool(plan.selected) and plan.selected not in route.tried
    if found:
        plan.cause = "rerouted"
        if route.instance:
            _switch(ledger, task, route, plan, failure)
        else:
            _told_reroute(ledger, task, route.selected, plan, failure.code, failure.message)
            _adopt(ledger, task, route, plan)
    elif not plan.selected and task.status is Status.PENDING:
        block(ledger, task, plan)
    return plan, found


def verify(ledger: Ledger, task: Task) -> EventType:
    """Check the plan of a task that somebody is about to use (R6); return the event that tells what came of it."""
    route = route_of(task)
    ledger.routes.counted.verifies += 1
    # Its events are counted on its row, whatever else becomes of it.
    ledger.touch(task)
    if task.live:
        held = ledger.routes.mine(task.id)
        refused = ledger.routes.inside.refusal(
            route.instance, route.requirements, ledger.now, own=True, mine=held
        )
        if refused is None or _forced(ledger, route, route.instance):
            ledger.event(task, EventType.TASK_ROUTE_VERIFIED, {"selected": route.instance})
            return EventType.TASK_ROUTE_VERIFIED
        _, found = reroute(ledger, task, Failure(route.instance, reason_code(refused), words(refused)))
        return EventType.TASK_REROUTED if found else EventType.TASK_ROUTE_BLOCKED
    before = route.selected
    plan = _verified(ledger, task, route)
    if plan is not None and not plan.selected:
        if task.status is Status.PENDING:
            block(ledger, task, plan)
        return EventType.TASK_ROUTE_BLOCKED
    _take_plan(ledger, task, route, plan)
    if task.status is Status.BLOCKED:
        unblock(ledger, task, "verified by hand", keep_plan=True)
    return EventType.TASK_REROUTED if route.selected != before else EventType.TASK_ROUTE_VERIFIED


def pin(ledger: Ledger, task: Task, instance_id: str, until: int, actor: str, *, forced: bool) -> RoutePlan:
    """Pin a task to an instance until then (R8). The caller has made sure that a filter that refuses it is to be overruled when `forced`."""
    route = route_of(task)
    previous = route.instance or route.selected
    route.pin, route.pinned_until, route.forced = instance_id, until, forced
    plan = _plan(ledger, task, route)
    chain = [each for each in (plan.selected, *plan.fallback) if each not in (instance_id, previous, "")]
    first = [previous] if previous and previous != instance_id else []
    plan.selected = instance_id
    plan.fallback = tuple([*first, *chain][: max(1, ledger.rules.router.fallbacks)])
    plan.cause = "overridden"
    plan.retry_at = 0
    _adopt(ledger, task, route, plan)
    payload = {"previous_instance": previous, "new_instance": instance_id, "actor": actor}
    ledger.event(task, EventType.TASK_ROUTE_OVERRIDDEN, payload)
    if task.status is Status.BLOCKED:
        unblock(ledger, task, f"pinned to {instance_id}", keep_plan=True)
    return plan


def block(ledger: Ledger, task: Task, plan: RoutePlan) -> None:
    """Let a waiting task wait for an instance (T1, F6)."""
    route = route_of(task)
    plan.cause = "blocked"
    _adopt(ledger, task, route, plan)
    route.retry_at = plan.retry_at
    ledger.move(task, Status.BLOCKED)
    task.blocked = ledger.routes.wait(route.requirements, route.above, ahead(plan.retry_at, ledger.now))
    ledger.routes.counted.blocked += 1
    payload: dict[str, Any] = {"reason": plan.summary, "retry_at": plan.retry_at}
    ledger.event(task, EventType.TASK_ROUTE_BLOCKED, payload)


def unblock(ledger: Ledger, task: Task, reason: str, *, keep_plan: bool = False) -> None:
    """Let a BLOCKED task wait for an agent again, in its old place; it gets its plan when it is claimed."""
    route = route_of(task)
    ledger.move(task, Status.PENDING)
    route.retry_at = 0
    if not keep_plan:
        route.made_at = 0
    ledger.event(task, EventType.TASK_UNBLOCKED, {"reason": reason})
    ledger.await_agent(task)


def course(ledger: Ledger, task: Task, route: TaskRoute) -> Course:
    """Return how far the run of a task has come."""
    return Course(
        requirements=route.requirements,
        plan_id=task.id,
        task_id=task.id,
        version=route.version,
        fallbacks=ledger.rules.router.fallbacks,
        deadline=task.deadline,
        retries=route.retries,
        tried=route.tried,
        above=route.above,
        pin=_pin(ledger, route),
        source=task.id,
        epochs=route.epochs,
        mine=ledger.routes.mine(task.id),
    )


def reason_code(refused: Candidate) -> str:
    """Return the code of the error table that a filter's refusal amounts to."""
    return "BREAKER_OPEN" if refused.eliminated_by == "breaker" else "INSTANCE_NOT_READY"


def words(refused: Candidate) -> str:
    """Say what a filter saw and what it wanted."""
    return f"{refused.eliminated_by}: {refused.observed}, not {refused.required}"


def _verified(ledger: Ledger, task: Task, route: TaskRoute) -> RoutePlan | None:
    """Return the plan that is to take the place of the present one, with or without an instance; None when that one is good."""
    outlook, now = ledger.routes.inside, ledger.now
    if _forced(ledger, route, route.selected):
        return None
    fresh = route.selected and 0 <= now - route.made_at <= ledger.rules.router.plan_max_age
    if not fresh:
        return _plan(ledger, task, route)
    refused = outlook.refusal(route.selected, route.requirements, now)
    if refused is None:
        return None
    for instance_id in route.fallback:
        if outlook.refusal(instance_id, route.requirements, now) is None:
            plan = _plan(ledger, task, route, pinned=instance_id)
            plan.reasons = tuple(reason for reason in plan.reasons if reason != "pinned")
            return plan
    return _plan(ledger, task, route)


def _plan(
    ledger: Ledger, task: Task, route: TaskRoute, *, pinned: str = "", avoid_provider: str = ""
) -> RoutePlan:
    """Return the next version of a task's plan."""
    return ledger.routes.inside.plan(
        route.requirements,
        ledger.now,
        own=route.instance,
        mine=ledger.routes.mine(task.id),
        plan_id=task.id,
        task_id=task.id,
        version=route.version + 1,
        fallbacks=ledger.rules.router.fallbacks,
        tried=route.tried,
        above=route.above,
        pinned=pinned or _pin(ledger, route),
        avoid_provider=avoid_provider,
    )


def _pin(ledger: Ledger, route: TaskRoute) -> str:
    return route.pin if ledger.now < route.pinned_until else ""


def _forced(ledger: Ledger, route: TaskRoute, instance_id: str) -> bool:
    """Tell whether an operator's choice overrules the filters at an instance, which must be registered all the same."""
    pinned = route.forced and instance_id and instance_id == _pin(ledger, route)
    return bool(pinned) and ledger.routes.registry.get(instance_id) is not None


def _take_plan(ledger: Ledger, task: Task, route: TaskRoute, plan: RoutePlan | None) -> None:
    """Let a plan that has an instance take the place of the present one (None: that one is good), and tell what that means."""
    before = route.selected
    if plan is None:
        ledger.event(task, EventType.TASK_ROUTE_VERIFIED, {"selected": before})
        return
    if not before:
        _told_route(ledger, task, plan)
    elif before == plan.selected:
        ledger.event(task, EventType.TASK_ROUTE_VERIFIED, {"selected": before})
    else:
        plan.cause = "rerouted"
        refused = ledger.routes.inside.refusal(before, route.requirements, ledger.now)
        code, why = (reason_code(refused), words(refused)) if refused else (PLAN_STALE, "a newer plan")
        _told_reroute(ledger, task, before, plan, code, why)
    _adopt(ledger, task, route, plan)


def _switch(ledger: Ledger, task: Task, route: TaskRoute, plan: RoutePlan, failure: Failure) -> None:
    """Go on with another instance on the same lease."""
    before = route.instance
    ledger.routes.leave(task.id, before)
    # Should its probe have gone to somebody else in this moment: one caller more does no harm, and the lease must have an instance.
    enter(ledger, task, plan.selected, must=True)
    route.tried = _with(route.tried, failure.instance)
    route.retries = 0
    _told_reroute(ledger, task, before, plan, failure.code, failure.message)
    _adopt(ledger, task, route, plan)


def _adopt(ledger: Ledger, task: Task, route: TaskRoute, plan: RoutePlan) -> None:
    """Make a plan the present one."""
    route.version = plan.version
    route.selected, route.fallback = plan.selected, plan.fallback
    route.made_at, route.summary = plan.made_at, plan.summary
    ledger.changes.plans.append(TaskPlan(task.seq, plan))
    ledger.touch(task)


def _told_route(ledger: Ledger, task: Task, plan: RoutePlan) -> None:
    payload = {
        "selected": plan.selected,
        "fallback": list(plan.fallback),
        "scores": dict(plan.scores),
        "reasons": list(plan.reasons),
        "router_version": "v1",
    }
    ledger.event(task, EventType.TASK_ROUTED, payload)


def _told_reroute(ledger: Ledger, task: Task, before: str, plan: RoutePlan, code: str, why: str) -> None:
    payload = {
        "from_instance": before,
        "to_instance": plan.selected,
        "reason_code": code,
        "reason_detail": why,
        "fallback": list(plan.fallback),
    }
    ledger.event(task, EventType.TASK_REROUTED, payload)
    edge = Edge(task.seq, "route_change", task.id, ledger.now, f"{before} to {plan.selected}: {code}")
    ledger.changes.edges.append(edge)
    # Codes are texts of callers; what is counted by code must not grow with their fancy.
    ledger.routes.counted.rerouted(code if code == PLAN_STALE else fault(code).code)


def _note_try(ledger: Ledger, route: TaskRoute, failure: Failure) -> None:
    route.tries = (*route.tries, Try(failure.instance, failure.code, ledger.now))[-TRIES_KEPT:]


def _with(tried: tuple[str, ...], instance_id: str) -> tuple[str, ...]:
    return tried if instance_id in tried else (*tried, instance_id)


def assigned(ledger: Ledger, task: Task) -> Instance | None:
    """Return the instance that the task's lease works on; None without a route."""
    route = task.route
    return ledger.routes.instance(route.instance) if route is not None and route.instance else None
