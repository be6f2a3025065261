"""People who look after instances and routes: they add, remove, stop and change instances, force and reset breakers, pin and move tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleetd.core.breaker import BreakerKind
from fleetd.core.breaking import ForceBreaker, ResetBreakers
from fleetd.core.instance import Condition, InstanceState
from fleetd.core.outcome import Failure
from fleetd.core.registration import PutInstances, RemoveInstance, SetState
from fleetd.core.steering import PinTask, RerouteTask, VerifyTask
from fleetd.engine.engine import Engine
from fleetd.errors import FleetError
from tests.simulation.instances import CODES, LAST, LATE, MODELS, Instances
from tests.simulation.network import call

if TYPE_CHECKING:
    from fleetd.engine.transaction import Command
    from tests.simulation.world import World

DEADLINE = 6_000


class RouteOperators:
    """One act every `pace` ms on average; at the start they add most of the instances, and in the end they put everything right."""

    def __init__(self, world: World, instances: Instances) -> None:
        self._world = world
        self._pace = instances.trouble.pace
        self._insisting = 0

    @property
    def done(self) -> bool:
        """True when everything was put right."""
        return self._insisting == 0

    def start(self) -> None:
        random = self._world.random
        first = tuple(instance for instance in MODELS if random.random() < 0.8)
        self._insist("add instances", PutInstances(first))
        self._later()

    def mend(self) -> None:
        """Let there be every instance, as it was meant, and READY; breakers close by themselves."""
        self._insist("add all instances", PutInstances((*MODELS, LATE, LAST)), then=self._ready)

    def _ready(self) -> None:
        for instance in (*MODELS, LATE, LAST):
            self._insist(f"{instance.id} is ready", SetState(instance.id, InstanceState.READY))

    def _insist(self, what: str, command: Command, then: Any = None) -> None:
        self._insisting += 1

        def answered(result: Any) -> None:
            if isinstance(result, FleetError):
                self._world.agenda.after(500, ask)
                return
            if then is not None:
                then()
            self._insisting -= 1

        def ask() -> None:
            call(self._world, "operator", what, lambda engine: engine.execute(command), answered, DEADLINE)

        ask()

    def _later(self) -> None:
        if self._pace:
            self._world.agenda.after(self._world.random.randrange(1, 2 * self._pace), self._act)

    def _act(self) -> None:
        if self._world.calm:
            return
        self._later()
        if self._world.random.random() < 0.1:
            self._probe()
            return
        command = self._draw()

        def answered(result: Any) -> None:
            text = result.reason if isinstance(result, FleetError) else "done"
            self._world.history.note("operator", f"{type(command).__name__}: {text}")

        call(
            self._world,
            "operator",
            f"{command}",
            lambda engine: engine.execute(command),
            answered,
            DEADLINE,
        )

    def _probe(self) -> None:
        """A probe finds out how an instance is."""
        random, instance_id = self._world.random, self._world.random.choice(MODELS).id
        state = random.choice((InstanceState.READY, InstanceState.READY, InstanceState.ERROR))
        condition = Condition(state, "probed", self._world.clock.wall(), latency=float(random.randrange(300)))

        async def note(engine: Engine) -> None:
            engine.instance_notes.note(instance_id, condition)

        call(self._world, "prober", f"{instance_id} {state.name}", note, lambda _: None, DEADLINE)

    def _draw(self) -> Command:
        world, random = self._world, self._world.random
        instance = random.choice((*MODELS, LATE) if random.random() < 0.2 else MODELS)
        routes = world.checker.routes.tasks
        running = [task_id for task_id, route in routes.items() if route.instance]
        task_id = random.choice(running if running and random.random() < 0.5 else list(routes) or ["none"])
        trying = world.checker.routes.trying()
        if trying and random.random() < 0.5:
            return RerouteTask(random.choice(trying), Failure("", "CONN_REFUSED", "by hand"))
        until = world.clock.wall() + random.randrange(1_000, 30_000)
        kind, name = random.choice(
            ((BreakerKind.INSTANCE, instance.id), (BreakerKind.PROVIDER, instance.provider_id))
        )
        changed = replace(
            instance, max_inflight=random.choice((0, 1, 2)), enabled=random.random() < 0.8, priority=5
        )
        acts: tuple[Command, ...] = (
            SetState(instance.id, random.choice(list(InstanceState)), "by hand"),
            SetState(instance.id, InstanceState.READY),
            ForceBreaker(kind, name, "by hand", random.randrange(1_000, 20_000)),
            ResetBreakers(kind, name, "by hand"),
            ResetBreakers() if random.random() < 0.2 else ResetBreakers(kind, name),
            PutInstances((changed,)),
            PutInstances((instance,)),
            PutInstances((instance,)),
            RemoveInstance(instance.id),
            PinTask(task_id, instance.id, until, "operator", force=random.random() < 0.3),
            PinTask(task_id, instance.id, until, "operator", force=random.random() < 0.3),
            VerifyTask(task_id),
            RerouteTask(task_id, Failure("", random.choice(CODES), "by hand")),
            # Short, and of a provider whose instances fail one by one: a run takes the probe from one to the other.
            ForceBreaker(BreakerKind.PROVIDER, "forge", "by hand", random.randrange(500, 3_000)),
            ForceBreaker(BreakerKind.PROVIDER, instance.provider_id, "by hand", random.randrange(500, 3_000)),
        )
        return random.choice(acts)
