"""People who look after rollouts: they define, change and remove them, force and reset fallbacks, and in the end put everything right."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleetd.core.fallback import Forced
from fleetd.core.rolling import ForceFallback, PutRollout, RemoveRollout, ResetFallback
from fleetd.errors import FleetError
from tests.simulation.network import call
from tests.simulation.rollouts import NAMES, ORGS, Rollouts

if TYPE_CHECKING:
    from fleetd.engine.transaction import Command
    from tests.simulation.world import World

DEADLINE = 6_000


class RolloutOperators:
    """One act every `pace` ms on average; at the start they define all rollouts, and in the end they do it again and take back what was forced."""

    def __init__(self, world: World, rollouts: Rollouts) -> None:
        self._world = world
        self._rollouts = rollouts
        self._pace = rollouts.trouble.pace
        self._insisting = 0

    @property
    def done(self) -> bool:
        """True when everything was put right, and every fallback is over by itself."""
        return self._insisting == 0 and self._world.checker.rollouts.settled

    def start(self) -> None:
        for name in NAMES:
            self._insist(f"define {name}", PutRollout(self._rollouts.definition(name)))
        self._later()

    def mend(self) -> None:
        for name in NAMES:
            self._insist(f"define {name}", PutRollout(self._rollouts.definition(name)), then=self._release)

    def _release(self) -> None:
        for scope in self._world.checker.rollouts.forced():
            self._insist(f"reset {scope}", ResetFallback(scope, "by hand"))

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
        command = self._draw()

        def answered(result: Any) -> None:
            text = result.reason if isinstance(result, FleetError) else "done"
            self._world.history.note("operator", f"{type(command).__name__}: {text}")

        call(
            self._world, "operator", f"{command}", lambda engine: engine.execute(command), answered, DEADLINE
        )

    def _draw(self) -> Command:
        world, random = self._world, self._world.random
        name = random.choice(NAMES)
        scope = name, random.choice(("", "", *ORGS))
        until = random.choice((0, world.clock.wall() + random.randrange(500, 10_000)))
        limit = random.choice((1, 2, 10))
        rules = replace(self._rollouts.definition(name).fallback, per_org=random.random() < 0.5)
        lists = {"allow": frozenset(random.sample(ORGS, 1)), "deny": frozenset(random.sample(ORGS, 1))}
        parts: tuple[dict[str, Any], ...] = (
            {},
            {"percent": random.choice((0.0, 30.0, 100.0))},
            {"percent": 100.0, "default": "new"},
            {"shadow_percent": 100.0, "shadow_limit": limit},
            {"explicit": random.choice(("old", "new"))},
            {"fallback": rules},
            lists,
        )
        acts: tuple[Command, ...] = (
            PutRollout(self._rollouts.definition(name, **random.choice(parts))),
            PutRollout(self._rollouts.definition(name, **random.choice(parts))),
            PutRollout(self._rollouts.definition(name)),
            PutRollout(self._rollouts.definition(name)),
            ForceFallback(scope, Forced(on=random.random() < 0.5, reason="by hand", until=until)),
            ResetFallback(scope, "by hand"),
            ResetFallback(scope, "by hand"),
            RemoveRollout(name),
        )
        return random.choice(acts)
