"""
What must hold of routes after every transaction.

Events and rows are compared with a second telling of the rules (R6, R7, R13, D10r, F3, T1), which shares none of them with fleetd.core. Who is eligible is
judged only of instances that a transaction did not touch: of the others the order within it would have to be known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleetd.core.breaker import BreakerKey, BreakerKind, BreakerState
from fleetd.core.event import Event, EventType
from fleetd.core.instance import InstanceState
from fleetd.core.ledger import Registered
from fleetd.core.outcome import Advice
from fleetd.core.route import Requirements, StepKind
from fleetd.core.routebook import group_key
from fleetd.core.words import Ack
from fleetd.engine.engine import Engine
from tests.simulation.model import BLOCKED, HELD, TaskModel
from tests.simulation.record import PlanRow, RouteRow, Written
from tests.simulation.route_memory import standing

if TYPE_CHECKING:
    from tests.simulation.checker import Checker
    from tests.simulation.world import World

E = EventType
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
TURNS = {E.BREAKER_OPENED: OPEN, E.BREAKER_HALF_OPEN: HALF_OPEN, E.BREAKER_CLOSED: CLOSED}
CHOICES = (E.TASK_ROUTED, E.TASK_ROUTE_VERIFIED, E.TASK_REROUTED)
"""One of them stands before every lease (R6)."""
PLANNED = (E.TASK_ROUTED, E.TASK_REROUTED, E.TASK_ROUTE_OVERRIDDEN, E.TASK_ROUTE_BLOCKED)
"""Each comes with a version of the plan; a verification may."""
PACE = 300
SOON = 6_000
"""Milliseconds within which the daemon looks again at tasks that others who wait as well may take the room of."""
NOBODY = RouteRow(0, "", "", (), 0, "", 0)


@dataclass(slots=True)
class Route:
    """The route of a task as its events tell it; `group`: with whom it waits; `given_up` within the present run."""

    requirements: Requirements
    group: int
    version: int = 0
    selected: str = ""
    instance: str = ""
    given_up: tuple[str, ...] = ()
    row: RouteRow = NOBODY


@dataclass(slots=True)
class Brake:
    """A breaker as its events tell it. `opened`: monotonic ms, and for how long; `probing`: who was let through half-open, and until when nobody else is."""

    state: BreakerState = CLOSED
    epoch: int = 0
    opened: int = 0
    duration: int = 0
    probing: dict[str, int] = field(default_factory=dict)


class RouteChecker:
    """The model of instances, breakers and routes."""

    def __init__(self, world: World, checker: Checker) -> None:
        self._world = world
        self._checker = checker
        self.tasks: dict[str, Route] = {}
        self.instances: dict[str, Registered] = {}
        self.brakes: dict[BreakerKey, Brake] = {}
        self.load: Counter[str] = Counter()
        self.waiting: dict[str, None] = {}
        self._seqs: dict[int, str] = {}
        self._began = 0
        self._leapt = 0
        self._rested = 0
        self._standing: Counter[str] = Counter()
        # Of the transaction that is looked at.
        self._rows: dict[str, RouteRow] = {}
        self._events: dict[str, list[EventType]] = {}
        self._chosen: dict[str, None] = {}
        self._entered: list[tuple[str, str, bool]] = []
        self._returned: list[tuple[str, str]] = []
        self._blocked: list[str] = []
        self._moved: dict[str, None] = {}
        self._turned: dict[BreakerKey, None] = {}
        self._told: dict[str, str] = {}
        self._places: dict[str, list[str]] = {}

    # what the world tells

    def begin(self, now: int) -> None:
        """A turn of the engine begins."""
        self._began = now

    def gathered(self) -> None:
        """A transaction begins; work of services that comes later is none of its business."""
        if self._world.instances is not None and self._world.daemon is not None:
            self._standing = standing(self._world.daemon.engine)

    def restarted(self) -> None:
        """Probes are free again after a start."""
        for brake in self.brakes.values():
            brake.probing.clear()

    def jumped(self, by: int) -> None:
        """The wall clock was set; forward means that breakers may half-open early after a restart."""
        if by > 0:
            self._leapt = self._world.clock.now()

    def taken(self, task_id: str, seq: int, requirements: Requirements) -> None:
        self.tasks[task_id] = Route(requirements, group_key(requirements, 0))
        self._seqs[seq] = task_id

    def routed(self, plan_id: str) -> None:
        """A service was given a route, in this moment."""
        daemon = self._world.daemon
        kept = daemon.engine.router.find(plan_id) if daemon is not None else None
        if daemon is None or kept is None or not kept.counted or daemon.stepping:
            # While a transaction is under way the service sees what was before it: one more than fits, at worst.
            return
        instance_id, needs = kept.instance, kept.requirements
        why = self._unfit(instance_id, needs)
        if why:
            self._violated(f"{plan_id} was sent to {instance_id}: {why}")
        room = self._room(instance_id)
        used = self.load[instance_id] + standing(daemon.engine)[instance_id]
        if room and used > room:
            self._violated(f"{plan_id} is the {used}th on {instance_id}, which has room for {room}")
        self._admitted(plan_id, instance_id, self._world.clock.wall())

    def advised(self, task_id: str, epoch: int, advice: Advice) -> None:
        """An agent without a stream was told what to do next."""
        if advice.step.kind is StepKind.SWITCH and advice.instance is None:
            self._violated(f"{task_id}/{epoch} is to go on somewhere, and is not told where")

    def refused(self, task_id: str, epoch: int, agent_id: str) -> None:
        """An agent was told that its lease is over."""
        task = self._checker.tasks.get(task_id)
        if task is not None and task.lease == (epoch, agent_id):
            self._violated(f"a report about {task_id}/{epoch} was answered LEASE_LOST while the lease stands")

    def trying(self) -> list[str]:
        """Return the tasks that try a half-open breaker now."""
        return [
            who
            for brake in self.brakes.values()
            if brake.state is HALF_OPEN
            for who in brake.probing
            if who in self.tasks and self.tasks[who].instance
        ]

    # the events of a transaction

    def happened(self, task: TaskModel, event: Event, *, ended: bool) -> None:
        """Take in an event of a task with a route, after its status moved."""
        kind = event.type
        route = self.tasks[task.id]
        payload: Any = event.payload or {}
        if kind in PLANNED or kind in CHOICES:
            self._events.setdefault(task.id, []).append(kind)
        if kind in CHOICES:
            self._chosen[task.id] = None
        here = route.instance if task.status in HELD else route.selected
        if kind is E.TASK_ROUTED:
            self._expect(task, kind, route.selected, "")
            route.selected = payload["selected"]
        elif kind is E.TASK_ROUTE_VERIFIED:
            self._expect(task, kind, payload["selected"], here)
        elif kind is E.TASK_REROUTED:
            self._expect(task, kind, payload["from_instance"], here)
            self._rerouted(task, route, event, here, payload["to_instance"])
        elif kind is E.TASK_ROUTE_OVERRIDDEN:
            self._expect(task, kind, payload["previous_instance"], route.instance or route.selected)
            route.selected = payload["new_instance"]
        elif kind is E.TASK_ROUTE_BLOCKED:
            route.selected = ""
            self._blocked.append(task.id)
        elif kind is E.TASK_ASSIGNED:
            if task.id not in self._chosen:
                self._violated(f"lease {task.highest} of {task.id} without a look at its plan")
            self._chosen.pop(task.id, None)
            route.given_up = ()
            self._enter(task.id, route, route.selected, event)
        if ended:
            self._leave(route)
        if task.status == BLOCKED:
            self.waiting[task.id] = None
            if task.id in self._rows:
                route.group = group_key(route.requirements, self._rows[task.id].above)
        else:
            self.waiting.pop(task.id, None)

    def _rerouted(self, task: TaskModel, route: Route, event: Event, here: str, there: str) -> None:
        if here == there:
            self._violated(f"{task.id} was moved from {here} to {there}")
        route.selected = there
        if task.status not in HELD:
            return
        if here not in route.given_up:
            route.given_up = (*route.given_up, here)
        if there in route.given_up:
            self._returned.append((task.id, there))
        self._places.setdefault(task.id, []).append(here)
        self._leave(route)
        self._enter(task.id, route, there, event)

    def _expect(self, task: TaskModel, kind: EventType, told: str, here: str) -> None:
        if told != here:
            self._violated(f"{kind.name} of {task.id} speaks of {told!r}, it was at {here!r}")

    def _enter(self, task_id: str, route: Route, instance_id: str, event: Event) -> None:
        route.instance = instance_id
        self._moved[instance_id] = None
        self.load[instance_id] += 1
        if not instance_id:
            self._violated(f"a lease of {task_id} names no instance")
            return
        row = self._rows.get(task_id, route.row)
        forced = row.pin == instance_id
        self._entered.append((task_id, instance_id, forced))
        if not forced:
            self._admitted(task_id, instance_id, event.time)

    def _leave(self, route: Route) -> None:
        if route.instance:
            self._moved[route.instance] = None
            self.load[route.instance] -= 1
            route.instance = ""

    def _admitted(self, who: str, instance_id: str, now: int) -> None:
        """Somebody was let through to an instance: no open breaker does that, and a half-open one lets through one at a time (F3, F3b)."""
        for key in _guards(instance_id):
            brake = self.brakes.get(key)
            if brake is None or brake.state is CLOSED:
                continue
            if brake.state is OPEN:
                self._violated(f"{who} was sent to {instance_id} while the breaker of {key[1]} is open")
                continue
            for other, until in brake.probing.items():
                if other != who and now < until and _guarded(self._place(other), key):
                    self._violated(f"{who} was sent to {instance_id} while {other} tries {key[1]} half-open")
            brake.probing.setdefault(who, now + self._world.rules.router.breakers.probe_lease)

    def _place(self, who: str) -> str:
        """Return the instance that a task or route is counted on, "" when on none."""
        route = self.tasks.get(who)
        if route is not None:
            return route.instance
        daemon = self._world.daemon
        kept = daemon.engine.router.find(who) if daemon is not None else None
        return kept.instance if kept is not None and kept.counted else ""

    def fleet(self, event: Event) -> None:
        """Take in an event of a breaker or an instance."""
        payload: Any = event.payload or {}
        if event.type is E.INSTANCE_STATE:
            self._told[payload["instance"]] = payload["state"]
        state = TURNS.get(event.type)
        if state is None:
            return
        key = (BreakerKind[payload["kind"]], payload["name"])
        brake = self.brakes.setdefault(key, Brake())
        self._turned[key] = None
        grown = brake.epoch + (state is not HALF_OPEN)
        legal = {OPEN: (CLOSED, OPEN, HALF_OPEN), HALF_OPEN: (OPEN,), CLOSED: (OPEN, HALF_OPEN)}
        if brake.state not in legal[state] or payload["epoch"] != grown:
            self._violated(f"{event.type.name} of {key[1]} with epoch {payload['epoch']} after {brake}")
        if state is HALF_OPEN:
            early = brake.opened + brake.duration - self._world.clock.now()
            if early > 0 and self._leapt < brake.opened:
                self._violated(f"the breaker of {key[1]} half-opened {early} ms too early")
        brake.state, brake.epoch = state, payload["epoch"]
        brake.probing.clear()
        if state is OPEN:
            clock = self._world.clock
            brake.opened = clock.now() - (clock.wall() - event.time)
            brake.duration = payload["retry_at"] - event.time

    # its end

    def settle(self, written: Written) -> None:
        """Compare what was written with what its events say, and judge what was decided."""
        changed = dict.fromkeys(written.instances)
        self._note_instances(written)
        for key, row in written.breakers.items():
            brake = self.brakes.get(key, Brake())
            if (row.state, row.epoch) != (brake.state, brake.epoch):
                self._violated(f"the breaker of {key[1]} is stored as {row}, its events say {brake}")
        for key in self._turned:
            if key not in written.breakers:
                self._violated(f"the breaker of {key[1]} turned and was not written")
            changed.update({each: None for each in self.instances if _guarded(each, key)})
        self._note_rows(written)
        self._judge(changed)

    def _note_instances(self, written: Written) -> None:
        for instance_id, registered in written.instances.items():
            before = self.instances.pop(instance_id, None)
            if registered is None:
                continue
            state = registered.condition.state
            if (before is None or before.condition.state is not state) and self._told.get(
                instance_id
            ) != state.name:
                self._violated(f"{instance_id} is {state.name} now, and no event says so")
            self.instances[instance_id] = registered

    def _note_rows(self, written: Written) -> None:
        plans: dict[str, list[PlanRow]] = {}
        for seq, plan in written.plans:
            if seq not in self._seqs:
                self._violated(f"task {seq} has a plan and no requirements")
                continue
            plans.setdefault(self._seqs[seq], []).append(plan)
        for task_id in {**plans, **self._events, **written.routes}:
            route, made = self.tasks[task_id], plans.get(task_id, [])
            kinds = self._events.get(task_id, [])
            needed = sum(kind in PLANNED for kind in kinds)
            if not needed <= len(made) <= needed + kinds.count(E.TASK_ROUTE_VERIFIED):
                self._violated(f"{task_id} got {len(made)} plans with {[kind.name for kind in kinds]}")
            for plan in made:
                if plan.version != route.version + 1:
                    self._violated(f"plan {plan.version} of {task_id} follows plan {route.version}")
                route.version = plan.version
            row = route.row = written.routes.get(task_id, route.row)
            said = (route.version, route.selected, route.instance)
            if (row.version, row.selected, row.instance) != said:
                self._violated(f"the route of {task_id} is stored as {row}, its events say {said}")
            if made and made[-1].selected != route.selected:
                self._violated(f"{task_id} is at {route.selected}, its last plan says {made[-1].selected}")

    def prepare(self, written: Written) -> None:
        """Look at the rows of a transaction before its events."""
        self._rows = written.routes
        for part in (self._events, self._chosen, self._entered, self._returned, self._blocked):
            part.clear()  # type: ignore[attr-defined]
        for other in (self._moved, self._turned, self._told, self._places):
            other.clear()  # type: ignore[attr-defined]

    def _judge(self, changed: dict[str, None]) -> None:
        """Judge the decisions of a transaction by what it left alone."""
        for task_id, instance_id, forced in self._entered:
            if instance_id in changed:
                continue
            if instance_id not in self.instances:
                self._violated(f"{task_id} was sent to {instance_id}, which nobody registered")
                continue
            if forced:
                continue
            route = self.tasks[task_id]
            why = self._unfit(instance_id, route.requirements)
            if why:
                self._violated(f"{task_id} was sent to {instance_id}: {why}")
            self._judge_room(task_id, instance_id)
        for task_id, instance_id in self._returned:
            left = self._eligible(task_id, changed)
            if left:
                self._violated(f"{task_id} went back to {instance_id} while {left} is untried")
        for task_id in self._blocked:
            left = self._eligible(task_id, changed, tried=True)
            if left:
                self._violated(f"{task_id} is blocked while {left} could take it")

    def _judge_room(self, task_id: str, instance_id: str) -> None:
        room = self._room(instance_id)
        forced = sum(forced for _, where, forced in self._entered if where == instance_id)
        used = self.load[instance_id] + self._standing[instance_id] - forced
        if room and used > room:
            self._violated(f"{task_id} is the {used}th on {instance_id}, which has room for {room}")

    def answered(self, answers: Iterable[Any]) -> None:
        """Judge what agents were told to do next."""
        for answer in answers:
            for ack in answer if isinstance(answer, list) else ():
                if isinstance(ack, Ack) and ack.next is not None:
                    self._judge_advice(ack.task_id, ack.lease_epoch, ack.next)

    def _judge_advice(self, task_id: str, epoch: int, advice: Advice) -> None:
        step, changed = advice.step, dict(self._moved)
        for key in self._turned:
            changed.update({each: None for each in self.instances if _guarded(each, key)})
        changed.update(dict.fromkeys(self._told))
        if step.kind is StepKind.BLOCK or step.code == "PROVIDERS_EXHAUSTED":
            left = self._eligible(task_id, changed)
            if left:
                self._violated(f"{task_id} is told {step} while {left} is untried")
        here, lease = self.tasks[task_id].instance, self._checker.tasks[task_id].lease
        # In the same transaction the lease may have ended, and the next one be somewhere else.
        if (
            step.kind is StepKind.SWITCH
            and lease is not None
            and lease.epoch == epoch
            and step.instance not in (here, *self._places.get(task_id, ()))
        ):
            self._violated(f"{task_id} is told to go to {step.instance}, and is counted on {here}")

    # at rest

    def quiet(self) -> None:
        """The engine has nothing to do: nothing waits for what is there (T1). Looked at a few times a second."""
        daemon, now = self._world.daemon, self._world.clock.now()
        if now < self._rested or not self.instances or daemon is None or not daemon.idle:
            return
        self._rested = now + PACE
        engine = daemon.engine
        for key, brake in self.brakes.items():
            if brake.state is OPEN and key not in engine.route_timers._open:
                self._violated(f"the breaker of {key[1]} is open, and nobody will half-open it")
            self._rest_of_probe(key, brake, engine)
        for task_id in self.waiting:
            if self.tasks[task_id].group not in engine.routes.groups:
                self._violated(f"{task_id} waits in a group that nobody asks")
        at = engine.sweeper.timers.at(("unblock", ""))
        if engine.state != "SERVING" or (at is not None and at <= now + SOON):
            return
        self._moved.clear()
        self._standing = standing(engine)
        for task_id in self.waiting:
            left = self._eligible(task_id, {}, tried=True)
            if left:
                self._violated(f"{task_id} waits while {left} could take it, and nobody looks")

    def _rest_of_probe(self, key: BreakerKey, brake: Brake, engine: Engine) -> None:
        """Whoever tries a half-open breaker has its probe until that is over, or somebody else would be let through (F3b)."""
        if brake.state is not HALF_OPEN or key in engine.routes.probes.held(self._world.clock.wall()):
            return
        for who, until in brake.probing.items():
            if self._world.clock.wall() < until and _guarded(self._place(who), key):
                self._violated(f"{who} tries {key[1]} half-open, and its probe is free")

    # who can take what

    def _eligible(self, task_id: str, changed: dict[str, None], *, tried: bool = False) -> str:
        """Return an instance that was eligible all the time, one that was not `tried` if those do not count; "" when there is none."""
        route = self.tasks[task_id]
        if route.row.above or (route.requirements.model and route.requirements.model not in self.instances):
            return ""
        out = () if tried else (*route.given_up, *route.row.tried, route.instance)
        for instance_id in self.instances:
            if instance_id in changed or instance_id in self._moved or instance_id in out:
                continue
            states = [self.brakes[key].state for key in _guards(instance_id) if key in self.brakes]
            if any(state is not CLOSED for state in states) or self._unfit(instance_id, route.requirements):
                continue
            room, daemon = self._room(instance_id), self._world.daemon
            now = standing(daemon.engine)[instance_id] if daemon is not None else 0
            if not room or self.load[instance_id] + max(self._standing[instance_id], now) < room:
                return instance_id
        return ""

    def _unfit(self, instance_id: str, needs: Requirements) -> str:
        """Return why an instance takes no work of this kind, breakers and room apart; "" when it does."""
        registered = self.instances.get(instance_id)
        if registered is None:
            return "not registered"
        instance, condition = registered
        if not instance.enabled:
            return "disabled"
        if condition.state not in (InstanceState.READY, InstanceState.DEGRADED):
            return condition.state.name
        if instance.ctx and instance.ctx < needs.min_ctx:
            return f"too small for {needs.min_ctx}"
        lacking = [tag for tag in needs.required if tag not in instance.tags]
        return f"lacks {lacking}" if lacking else ""

    def _room(self, instance_id: str) -> int:
        registered = self.instances.get(instance_id)
        return registered.instance.max_inflight if registered is not None else 0

    def _violated(self, what: str) -> None:
        self._checker.violated(what)


def _guards(instance_id: str) -> tuple[BreakerKey, BreakerKey]:
    return (BreakerKind.INSTANCE, instance_id), (BreakerKind.PROVIDER, instance_id.partition(":")[0])


def _guarded(instance_id: str, key: BreakerKey) -> bool:
    return key in _guards(instance_id)
