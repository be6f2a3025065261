"""Services that run their own work: they ask for a route, try, report and do as they are told; some of them vanish without a word (R4, R6 to R8, R11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleetd.core.outcome import Advice, Failure
from fleetd.core.route import StepKind
from fleetd.engine.engine import Engine
from fleetd.engine.router import Routed
from fleetd.errors import FleetError, NotFound
from tests.simulation.instances import NEEDS, Instances
from tests.simulation.network import call

if TYPE_CHECKING:
    from tests.simulation.world import World

DEADLINE = 4_000
PACE = 4_000


class Services:
    """Each asks for a route every PACE ms on average, until the world is calm."""

    def __init__(self, world: World, instances: Instances) -> None:
        self._world = world
        self._instances = instances

    def start(self) -> None:
        for number in range(self._instances.trouble.services):
            self._later(f"service-{number}")

    def _later(self, name: str) -> None:
        self._world.agenda.after(self._world.random.randrange(1, 2 * PACE), lambda: self._ask(name))

    def _ask(self, name: str) -> None:
        world, random = self._world, self._world.random
        if world.calm:
            return
        self._later(name)
        needs, called = random.choice(NEEDS), random.choice(("", f"{name}-work"))
        dry = random.random() < 0.1

        async def route(engine: Engine) -> Routed:
            plan_id = f"plan-{world.number()}"
            routed = engine.router.route(needs, plan_id, name=called, dry_run=dry)
            if not dry:
                world.checker.routes.routed(plan_id)
            return routed

        def answered(result: Any) -> None:
            if isinstance(result, Routed) and not dry:
                self._go_on(name, result)

        call(world, name, f"route {needs.needs}", route, answered, DEADLINE)

    def _go_on(self, name: str, routed: Routed) -> None:
        """Have a route, or none."""
        random, plan_id = self._world.random, routed.plan.plan_id
        self._world.history.note(name, f"{plan_id} is at {routed.plan.selected or 'nothing'}")
        if random.random() < 0.15:
            self._world.history.note(name, f"forgets {plan_id}")
        elif routed.instance is None:
            self._world.agenda.after(random.randrange(500, 4_000), lambda: self._verify(name, plan_id))
        elif random.random() < 0.2:
            self._world.agenda.after(random.randrange(1, 500), lambda: self._steer(name, plan_id))
        else:
            self._try(name, plan_id, routed.instance.id, random.randrange(20, 4_000))

    def _try(self, name: str, plan_id: str, instance_id: str, duration: int) -> None:
        self._world.agenda.after(duration, lambda: self._report(name, plan_id, instance_id))

    def _report(self, name: str, plan_id: str, instance_id: str, times: int = 0) -> None:
        world, random = self._world, self._world.random
        code = self._instances.ailment(instance_id)
        named = instance_id if random.random() < 0.5 else ""

        async def report(engine: Engine) -> Advice:
            kept = _found(engine, plan_id)
            return await engine.router.report(kept, Failure(named, code, "no answer" if code else ""))

        def answered(result: Any) -> None:
            if isinstance(result, Advice):
                self._advised(name, plan_id, instance_id, result)
            elif times < 3 and not isinstance(result, NotFound):
                world.agenda.after(
                    random.randrange(200, 2_000), lambda: self._report(name, plan_id, instance_id, times + 1)
                )

        call(world, name, f"report {plan_id} {code or 'well'}", report, answered, DEADLINE)

    def _advised(self, name: str, plan_id: str, instance_id: str, advice: Advice) -> None:
        step = advice.step
        self._world.history.note(name, f"is advised {step} for {plan_id}")
        if step.kind in (StepKind.RETRY_SAME, StepKind.SWITCH):
            at = advice.instance.id if advice.instance is not None else instance_id
            self._try(name, plan_id, at, step.delay + self._world.random.randrange(20, 2_000))

    def _verify(self, name: str, plan_id: str) -> None:
        async def verify(engine: Engine) -> Routed:
            return engine.router.verify(_found(engine, plan_id))

        self._call(name, f"verify {plan_id}", verify)

    def _steer(self, name: str, plan_id: str) -> None:
        """Verify, reroute or pin a route before it is used."""
        world, random = self._world, self._world.random
        way, until = random.random(), world.clock.wall() + random.randrange(1, 20_000)
        instance_id = random.choice(self._instances.names())
        if way < 0.4:
            self._verify(name, plan_id)
            return

        async def steer(engine: Engine) -> Routed:
            kept = _found(engine, plan_id)
            if way < 0.7:
                return await engine.router.reroute(kept, Failure("", "CONN_REFUSED", "port 80"))
            return engine.router.pin(kept, instance_id, until, force=way > 0.9)

        self._call(name, f"reroute {plan_id}" if way < 0.7 else f"pin {plan_id} to {instance_id}", steer)

    def _call(self, name: str, what: str, begin: Any) -> None:
        def answered(result: Any) -> None:
            if isinstance(result, Routed):
                self._go_on(name, result)
            elif isinstance(result, FleetError):
                self._world.history.note(name, f"{what}: {result.reason}")

        call(self._world, name, what, begin, answered, DEADLINE)


def _found(engine: Engine, plan_id: str) -> Any:
    kept = engine.router.find(plan_id)
    if kept is None:
        raise NotFound("PLAN_NOT_FOUND", f"nobody knows {plan_id}")
    return kept
