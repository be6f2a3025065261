"""What services and operators do with the route of a task: verify it, look for another instance, pin one, report a try (spec R6 to R8, R10, R11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fleetd.core import routed, runs
from fleetd.core.breaking import Epochs, strike, succeeded
from fleetd.core.event import EventType
from fleetd.core.failover import fault
from fleetd.core.instance import Instance
from fleetd.core.interventions import find
from fleetd.core.ledger import Keys, Ledger, Rowless
from fleetd.core.outcome import Advice, Course, Failure, advise
from fleetd.core.route import Requirements, Step, StepKind, TaskRoute
from fleetd.core.task import Status, Task
from fleetd.errors import Conflict, LeaseLost, WrongState


class Steered(NamedTuple):
    """What became of the route of a task: the event that tells it, whether there is an instance, and that one as it is defined."""

    task: Task
    event: EventType
    success: bool
    instance: Instance | None


@dataclass(frozen=True, slots=True)
class VerifyTask:
    """Check the plan of a task (R6). Answer: Steered. `plan_version` 0 means the present one."""

    task_id: str
    plan_version: int = 0

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Steered:
        task, _ = _steerable(ledger, self.task_id, self.plan_version)
        event = routed.verify(ledger, task)
        return _steered(ledger, task, event)


@dataclass(frozen=True, slots=True)
class RerouteTask:
    """Look for another instance after an error (R7). Answer: Steered."""

    task_id: str
    failure: Failure
    plan_version: int = 0

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Steered:
        task, _ = _steerable(ledger, self.task_id, self.plan_version)
        _, found = routed.reroute(ledger, task, self.failure)
        event = EventType.TASK_REROUTED if found else EventType.TASK_ROUTE_BLOCKED
        return _steered(ledger, task, event)._replace(success=found)


@dataclass(frozen=True, slots=True)
class PinTask:
    """Pin a task to an instance until `until` (epoch ms) (R8). Answer: Steered. Raises WrongState INSTANCE_NOT_ELIGIBLE unless `force`."""

    task_id: str
    instance: str
    until: int
    actor: str = ""
    force: bool = False
    plan_version: int = 0

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Steered:
        task, route = _steerable(ledger, self.task_id, self.plan_version)
        refused = ledger.routes.inside.refusal(
            self.instance,
            route.requirements,
            ledger.now,
            own=route.instance == self.instance,
            mine=ledger.routes.mine(task.id),
        )
        if refused is not None and (not self.force or refused.eliminated_by == "known"):
            raise not_eligible(self.instance, routed.words(refused), refused.eliminated_by)
        routed.pin(ledger, task, self.instance, self.until, self.actor, forced=self.force)
        return _steered(ledger, task, EventType.TASK_ROUTE_OVERRIDDEN)


@dataclass(frozen=True, slots=True)
class ReportLease:
    """
    What came of a try of a run, told by its lease (R11); code "" is a success, a failure implies that the run was started. Answer: Advice.

    Raises LeaseLost when the lease is over, NotFound when the instance is not registered.
    """

    task_id: str
    lease_epoch: int
    failure: Failure

    def keys(self) -> Keys:
        return Keys(task_ids=(self.task_id,))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> Advice:
        task = find(ledger, self.task_id)
        if not task.live or task.lease_epoch != self.lease_epoch:
            raise LeaseLost(
                f"lease {self.lease_epoch} of task {task.id} is over", {"lease_epoch": str(task.lease_epoch)}
            )
        route = routed.route_of(task)
        tried = self.failure.instance or route.instance
        routed.known(ledger, route, tried)
        if self.failure.code:
            if task.status is Status.ASSIGNED:
                runs.start(ledger, task)
            return routed.instance_failed(ledger, task, self.failure)
        own = tried == route.instance
        succeeded(ledger, ledger.routes.instance(tried), epochs=route.epochs if own else None)
        return Advice(Step(StepKind.PROCEED), version=route.version)


@dataclass(frozen=True, slots=True)
class ReportRoute(Rowless):
    """What came of a try of a route that is no task's, or of a call that was not routed here at all (`course` None). Answer: Advice."""

    failure: Failure
    course: Course | None = None
    epochs: Epochs | None = None

    def apply(self, ledger: Ledger) -> Advice:
        if not self.failure.code:
            succeeded(ledger, ledger.routes.instance(self.failure.instance), epochs=self.epochs)
            return Advice(Step(StepKind.PROCEED))
        course = self.course or Course(Requirements(), "", counted=False)
        return advise(ledger, course, self.failure)


@dataclass(frozen=True, slots=True)
class StrikeRoute(Rowless):
    """Count a failed try at its breakers, and nothing else. Answer: None."""

    failure: Failure
    epochs: Epochs | None = None
    source: str = ""

    def apply(self, ledger: Ledger) -> None:
        failure = self.failure
        instance = ledger.routes.instance(failure.instance)
        strike(ledger, fault(failure.code), instance, failure.message, epochs=self.epochs, source=self.source)


def not_eligible(instance_id: str, why: str, name: str) -> WrongState:
    """Return the refusal of an instance that somebody wants by name."""
    return WrongState(
        "INSTANCE_NOT_ELIGIBLE",
        f"instance {instance_id!r} is not eligible: {why}",
        {"instance": instance_id, "filter": name},
    )


def stale(asked: int, present: int) -> Conflict:
    """Return the refusal of a version that is not the present one (R10)."""
    return Conflict(
        "PLAN_VERSION_MISMATCH",
        f"the plan is at version {present}, not {asked}: read it again",
        {"plan_version": str(present)},
    )


def _steerable(ledger: Ledger, task_id: str, plan_version: int) -> tuple[Task, TaskRoute]:
    task = find(ledger, task_id)
    route = routed.route_of(task)
    if plan_version and plan_version != route.version:
        raise stale(plan_version, route.version)
    if task.terminal:
        raise WrongState(
            "TASK_FINISHED", f"task {task.id} is {task.status.name}", {"status": task.status.name}
        )
    return task, route


def _steered(ledger: Ledger, task: Task, event: EventType) -> Steered:
    route = routed.route_of(task)
    chosen = (route.instance if task.live else "") or route.selected
    success = event is not EventType.TASK_ROUTE_BLOCKED
    return Steered(task, event, success, ledger.routes.instance(chosen) if chosen else None)
