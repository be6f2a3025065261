"""What came of a try on an instance, and what to do next (spec R7, R11, F2, F3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fleetd.core.breaking import Epochs, strike
from fleetd.core.failover import fault, next_step
from fleetd.core.instance import Instance
from fleetd.core.ledger import Ledger
from fleetd.core.outlook import Token
from fleetd.core.route import Requirements, RoutePlan, Step, StepKind


class Failure(NamedTuple):
    """A try that failed: where, with which code of the error table, in which words; `retry_after` is what the provider asked for, ms."""

    instance: str
    code: str
    message: str = ""
    retry_after: int = 0


class Course(NamedTuple):
    """
    How far a run, or a route that is no task's, has come: its plan, the retries made on the present instance, those it gave up.

    `source` is whose work it is (F3a); `deadline` epoch ms, 0 = none; `epochs` None when nobody knows when the try began; `mine` are the probes it
    was given; `counted`: it is in the load of the instance that failed.
    """

    requirements: Requirements
    plan_id: str
    task_id: str = ""
    version: int = 1
    seed: str = ""
    fallbacks: int = 2
    deadline: int = 0
    retries: int = 0
    tried: Sequence[str] = ()
    above: int = 0
    pin: str = ""
    source: str = ""
    epochs: Epochs | None = None
    mine: Sequence[Token] = ()
    counted: bool = True


class Advice(NamedTuple):
    """
    What to do next. `plan` is the new one when it is to go on elsewhere, or there is nowhere to go; `instance` that of the next try, as it is defined;
    `version` that of the plan that holds now; `above` what its context must exceed from now on.
    """

    step: Step
    plan: RoutePlan | None = None
    instance: Instance | None = None
    version: int = 0
    above: int = 0


def advise(ledger: Ledger, course: Course, failure: Failure) -> Advice:
    """
    Count a failure at its breakers and return what to do next.

    First the ladder is asked: while it tries the same instance again that call is not exhausted and nothing counts (unless every attempt
    does). Else it counts, and what comes next is judged by the breakers as they are then.
    """
    routes = ledger.routes
    row = fault(failure.code)
    instance = routes.instance(failure.instance)
    step, plan = _judge(ledger, course, failure, instance)
    if step.kind is not StepKind.RETRY_SAME or routes.rules.breakers.per_attempt:
        struck = strike(ledger, row, instance, failure.message, epochs=course.epochs, source=course.source)
        if struck:
            step, plan = _judge(ledger, course, failure, instance)
    above = max(course.above, instance.ctx) if row.larger_ctx else course.above
    if step.kind is StepKind.SWITCH and plan is not None:
        plan.cause = "rerouted"
        return Advice(step, plan, routes.instance(step.instance), plan.version, above)
    if step.kind is StepKind.RETRY_SAME:
        return Advice(step, None, instance, course.version, above)
    return Advice(step, plan if step.kind is StepKind.BLOCK else None, None, course.version, above)


def _judge(
    ledger: Ledger, course: Course, failure: Failure, instance: Instance
) -> tuple[Step, RoutePlan | None]:
    """Return the next step as things are now, and the plan without this instance and all that were given up."""
    row = fault(failure.code)
    routes = ledger.routes
    plan: RoutePlan | None = None
    following, only_eligible, broken, retry_at = "", False, False, 0
    if row.next_instance or row.larger_ctx:
        tried = (*course.tried, instance.id)
        plan = routes.inside.plan(
            course.requirements,
            ledger.now,
            own=instance.id if course.counted else "",
            mine=course.mine,
            plan_id=course.plan_id,
            task_id=course.task_id,
            version=course.version + 1,
            seed=course.seed,
            fallbacks=course.fallbacks,
            tried=tried,
            avoid_provider=instance.provider_id if row.provider_wide else "",
            pinned="" if course.pin == instance.id else course.pin,
            above=max(course.above, instance.ctx) if row.larger_ctx else course.above,
        )
        following, retry_at = plan.selected, plan.retry_at
        refused = routes.inside.refusal(
            instance.id, course.requirements, ledger.now, own=course.counted, mine=course.mine
        )
        only_eligible = refused is None and following in ("", *tried)
        broken = routes.inside.broken(instance.id, instance.provider_id)
    step = next_step(
        row,
        instance=instance,
        retries=course.retries,
        retry_after=failure.retry_after,
        deadline=course.deadline,
        now=ledger.now,
        following=following,
        only_eligible=only_eligible,
        draw=ledger.draw(),
        jitter=routes.rules.ladder_jitter,
        tried=course.tried,
        broken=broken,
        retry_at=retry_at,
    )
    return step, plan
