"""What is simulated: everything at once, and the two promises that need a long run of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from fleetd.core.breaker import BreakerRules
from fleetd.core.gating import SetLimits
from fleetd.core.host import Host, HostAgent, HostState
from fleetd.core.hostbook import seat_name
from fleetd.core.hosting import NoteHost, PutHosts
from fleetd.core.limits import GateKey
from fleetd.core.settings import RouterRules, Rules
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Priority, RetryPolicy, Spec
from fleetd.engine.transaction import Command
from tests.simulation import faults, instances, rollouts, telling
from tests.simulation.agent import Agent
from tests.simulation.bounds import narrow
from tests.simulation.checker import Violation
from tests.simulation.history import History
from tests.simulation.mischief import Mischief
from tests.simulation.operators import Operators
from tests.simulation.rollout_operators import RolloutOperators
from tests.simulation.route_operators import RouteOperators
from tests.simulation.services import Services
from tests.simulation.submitter import Submitter
from tests.simulation.telling import Telling
from tests.simulation.world import World

RULES = Rules(
    stop_grace=10_000,
    default_timeout=30_000,
    host_timeout=40_000,
    retry=RetryPolicy(initial_backoff=500, max_backoff=10_000),
    reservation=15_000,
    ageing=30_000,
    auto_replay_after=20_000,
    error_trial_after=15_000,
    router=RouterRules(
        plan_max_age=20_000,
        breakers=BreakerRules(
            open_for=15_000, auth_open_for=40_000, window=20_000, window_calls=6, probe_lease=10_000
        ),
    ),
)
"""Shorter times than in earnest, so that everything that waits comes to its end within minutes."""

PATIENCE = 1_800_000
"""Milliseconds of calm after which a task that still waits is forgotten: the wall clock may have been set back by ten minutes, and again."""


Keeper = RouteOperators | RolloutOperators | Telling


@dataclass(frozen=True, slots=True)
class Report:
    """How one simulation ended; `violation` is "" when every promise was kept."""

    seed: int
    violation: str
    history: History
    commits: int
    leases: int
    seconds: float


def chaos(seed: int) -> Report:
    """Play one seed."""
    return asyncio.run(_chaos(seed))


async def _chaos(seed: int) -> Report:
    dice = Random(seed)
    rules = replace(RULES, auto_replay=dice.random() < 0.3)
    wanted = dice.random() < 0.3
    with narrow(wanted=wanted) as options:
        drawn = faults.draw(dice)
        # Last, so that seeds without instances are what they were before there were any.
        trouble = instances.draw(dice, narrow=wanted)
        if trouble is not None:
            rules = replace(rules, router=replace(rules.router, blocked_look=trouble.look))
        # And later still: those without rollouts, too.
        rollout_trouble = rollouts.draw(dice)
        # And last of all: those in which nobody tells anything.
        telling_trouble = telling.draw(dice)
        with telling.tight(telling_trouble):
            world = World(seed, drawn, rules, options, trouble, rollout_trouble, telling_trouble)
            return await _told(world, _play)


async def _told(world: World, story: Callable[[World], Coroutine[None, None, None]]) -> Report:
    """Let a story happen and report how it ended."""
    violation = ""
    try:
        await world.open()
        await story(world)
    except Violation as broken:
        violation = str(broken)
    finally:
        await world.close()
    seconds = world.history.now / 1_000
    return Report(world.seed, violation, world.history, world.checker.commits, world.checker.leases, seconds)


async def _play(world: World) -> None:
    random = world.random
    world.history.note("world", str(world.faults))
    # One agent can do everything: no task must wait for ever.
    world.agents["agent-0"] = Agent(world, "agent-0", ("code:rust", "web"), 3, stream=True)
    for number in range(1, random.randrange(3, 7)):
        capabilities = random.choice((("code",), ("code:rust",), ("web",), ("code", "web"), ()))
        name = f"agent-{number}"
        world.agents[name] = Agent(
            world, name, capabilities, random.randrange(1, 4), stream=random.random() < 0.6
        )
    _host(world)
    for agent in world.agents.values():
        world.agenda.after(random.randrange(2_000), agent.start)
    submitter = Submitter(world, random.randrange(25, 50), 60_000)
    submitter.start()
    operators = Operators(world, random.choice((0, 2_000, 6_000)))
    operators.start()
    Mischief(world).start()
    keepers: list[Keeper] = [*_routes(world), *_rollouts(world), *_telling(world)]
    for _ in range(2):
        await world.live(world.clock.now() + random.randrange(30_000, 60_000))
        await world.compare_memory()
    await _calm(world, submitter, operators, keepers)


def _host(world: World) -> None:
    """Let there be a host that can do everything: no task that is meant for hosts must wait for ever."""
    coder = HostAgent("coder", ("coder",), ("code:rust", "web"), world.random.randrange(1, 4))
    name = seat_name("build", coder.type)
    world.agents[name] = Agent(world, name, coder.capabilities, coder.max_concurrency, stream=True)
    if world.daemon is not None:
        world.daemon.engine.post_internal(PutHosts((Host("build", "localhost", agents=(coder,)),)))
        world.daemon.engine.post_internal(NoteHost("build", HostState.ONLINE))


def _routes(world: World) -> list[RouteOperators]:
    """Let there be instances, when the seed has any; return those who look after them."""
    if world.instances is None:
        return []
    world.history.note("world", str(world.instances.trouble))
    world.instances.start()
    Services(world, world.instances).start()
    keepers = RouteOperators(world, world.instances)
    keepers.start()
    return [keepers]


def _rollouts(world: World) -> list[RolloutOperators]:
    """Let there be rollouts, when the seed has any; return those who look after them."""
    if world.rollouts is None:
        return []
    world.history.note("world", str(world.rollouts.trouble))
    world.rollouts.start()
    keepers = RolloutOperators(world, world.rollouts)
    keepers.start()
    return [keepers]


def _telling(world: World) -> list[Telling]:
    """Let there be those who watch what runs tell, when the seed has any."""
    if world.telling is None:
        return []
    world.history.note("world", str(world.telling.trouble))
    world.telling.start()
    return [world.telling]


async def _calm(
    world: World,
    submitter: Submitter,
    operators: Operators,
    keepers: list[Keeper],
) -> None:
    """Faults stop, operators put everything right: now every task must come to its end."""
    world.history.note("world", "is calm from now on")
    world.calm = True
    world.faults = faults.NONE
    world.store.full_until = 0
    # Orders that are still on their way come first.
    await world.live(world.clock.now() + 10_000)
    operators.mend()
    for keeper in keepers:
        keeper.mend()
    until = world.clock.now() + PATIENCE
    while (
        not (submitter.done and operators.done and all(keeper.done for keeper in keepers))
        or world.checker.open()
    ):
        await world.step(world.clock.now() + 1_000)
        if world.clock.now() > until:
            tasks = ", ".join(f"{task.id} ({task.status})" for task in world.checker.open())
            world.checker.violated(
                f"no end of {tasks}" if tasks else "no end of submitting, or of a fallback"
            )
            world.checker.check()
    while world.daemon is None or not world.daemon.idle:
        await world.step(world.clock.now() + 1_000)
    await world.compare_memory()
    await world.checker.compare_store()
    world.watcher.check(world.checker.events)
    if world.telling is not None:
        if not world.telling.done:
            world.checker.violated("a watcher has not seen everything that was told")
        await world.checker.told.leave()
    world.checker.check()


WEIGHTS = {"acme": 1.0, "beta": 2.0, "core": 5.0}
LEASES = 2_000
"""Leases over which the shares are measured: the smallest org gets 250, so that one lease is 0.4 %."""

UNFAIR = 0.10


def fair(seed: int) -> Report:
    """Three orgs with weights want the same agents, one of them later than the others, and the daemon restarts meanwhile (D3)."""
    # Age counts for more than a share: nothing must have waited long enough for a step.
    return asyncio.run(_told(World(seed, faults.NONE, replace(RULES, ageing=3_600_000)), _share))


async def _share(world: World) -> None:
    _staff(world, agents=4, slots=3)
    for org, weight in WEIGHTS.items():
        await _do(world, SetLimits(GateKey("org", org), weight=weight))
    await _submit(world, "acme", 800)
    await _submit(world, "beta", 1_000)
    while len(world.checker.started) < LEASES // 5:
        await world.step(world.clock.now() + 1_000)
    # What core did not use before it came is not given to it afterwards.
    await _submit(world, "core", 1_600)
    world.restart(graceful=False)
    first = len(world.checker.started)
    while len(world.checker.started) < first + LEASES:
        await world.step(world.clock.now() + 1_000)
    started = [org for org, _ in world.checker.started[first : first + LEASES]]
    for org, weight in WEIGHTS.items():
        share, due = started.count(org) / LEASES, weight / sum(WEIGHTS.values())
        world.history.note("world", f"{org} got {share:.3f} of the leases, {due:.3f} were due")
        if abs(share / due - 1) > UNFAIR:
            world.checker.violated(f"{org} got {share:.1%} of the leases, {due:.1%} were due")
    world.checker.check()


def ageing(seed: int) -> Report:
    """LOW tasks finish though there are always URGENT ones that nobody has begun (D3)."""
    return asyncio.run(_told(World(seed, faults.NONE, RULES), _wait_long))


async def _wait_long(world: World) -> None:
    _staff(world, agents=1, slots=2)
    await _submit(world, "acme", 40, Priority.URGENT)
    low = [await _submit(world, org, 1, Priority.LOW) for org in ("acme", "beta")]
    # Three steps from LOW to URGENT, then the age of the head decides.
    until = world.clock.now() + 4 * RULES.ageing
    while world.clock.now() < until and not all(world.checker.tasks[ids[0]].completions for ids in low):
        await _submit(world, "acme", 40, Priority.URGENT)
        await world.live(world.clock.now() + 3_000)
    for (task_id,) in low:
        if not world.checker.tasks[task_id].completions:
            world.checker.violated(f"{task_id} is LOW and still waits")
    world.checker.check()


def _staff(world: World, agents: int, slots: int) -> None:
    """Reliable agents that can do everything."""
    world.calm = True
    for number in range(agents):
        name = f"agent-{number}"
        world.agents[name] = Agent(world, name, (), slots, stream=True)
        world.agents[name].start()


async def _submit(world: World, org: str, count: int, priority: Priority = Priority.MEDIUM) -> list[str]:
    """Submit tasks at once; return their ids."""
    items = [
        Submission(id=f"{org}-{world.number()}", org_id=org, spec=Spec("work"), priority=priority)
        for _ in range(count)
    ]
    answers = await _do(world, Submit(tuple(items)))
    world.checker.taken(answers)
    return [answer.task.id for answer in answers]


async def _do(world: World, command: Command) -> Any:
    """Run a command of nobody's, at once."""
    while world.daemon is None:
        await world.step(world.clock.now() + 1_000)
    answer = world.daemon.engine.post(command)
    while not answer.done():
        await world.step(world.clock.now() + 1_000)
    return answer.result()
