"""What is simulated: everything at once, and the two promises that need a long run of their own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from fleetd.core.settings import Rules
from fleetd.core.task import RetryPolicy
from tests.simulation import faults
from tests.simulation.agent import Agent
from tests.simulation.checker import Violation
from tests.simulation.history import History
from tests.simulation.mischief import Mischief
from tests.simulation.operators import Operators
from tests.simulation.submitter import Submitter
from tests.simulation.world import World

RULES = Rules(
    stop_grace=10_000,
    default_timeout=30_000,
    retry=RetryPolicy(initial_backoff=500, max_backoff=10_000),
    reservation=15_000,
    ageing=30_000,
    auto_replay_after=20_000,
    error_trial_after=15_000,
)
"""Shorter times than in earnest, so that everything that waits comes to its end within minutes."""

PATIENCE = 1_800_000
"""Milliseconds of calm after which a task that still waits is forgotten: the wall clock may have been set back by ten minutes, and again."""


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
    dice = World(seed, faults.NONE, RULES).random
    troubles = faults.draw(dice)
    rules = replace(RULES, auto_replay=dice.random() < 0.3)
    world = World(seed, troubles, rules)
    violation = ""
    try:
        await world.open()
        await _play(world)
    except Violation as broken:
        violation = str(broken)
    finally:
        await world.close()
    seconds = world.clock.now() / 1_000
    return Report(seed, violation, world.history, world.checker.commits, world.checker.leases, seconds)


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
    for agent in world.agents.values():
        world.agenda.after(random.randrange(2_000), agent.start)
    submitter = Submitter(world, random.randrange(25, 50), 60_000)
    submitter.start()
    operators = Operators(world, random.choice((0, 2_000, 6_000)))
    operators.start()
    Mischief(world).start()
    for _ in range(2):
        await world.live(world.clock.now() + random.randrange(30_000, 60_000))
        await world.compare_memory()
    await _calm(world, submitter, operators)


async def _calm(world: World, submitter: Submitter, operators: Operators) -> None:
    """Faults stop, operators put everything right: now every task must come to its end."""
    world.history.note("world", "is calm from now on")
    world.calm = True
    world.faults = faults.NONE
    world.store.full_until = 0
    # Orders that are still on their way come first.
    await world.live(world.clock.now() + 10_000)
    operators.mend()
    until = world.clock.now() + PATIENCE
    while not (submitter.done and operators.done) or world.checker.open():
        await world.step(world.clock.now() + 1_000)
        if world.clock.now() > until:
            tasks = ", ".join(f"{task.id} ({task.status})" for task in world.checker.open())
            world.checker.violated(f"no end of {tasks}" if tasks else "no end of submitting")
            world.checker.check()
    while world.daemon is None or not world.daemon.idle:
        await world.step(world.clock.now() + 1_000)
    await world.compare_memory()
    await world.checker.compare_store()
    world.checker.check()
