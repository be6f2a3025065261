"""Whatever happens to rollouts, in whatever order: memory and store agree, places are bounded, and they come back by time alone (spec G2, G4a)."""

from __future__ import annotations

from random import Random

import pytest

from fleetd.core.fallback import Forced, Phase
from fleetd.core.interventions import Cancel
from fleetd.core.rolling import DefineRollouts, ForceFallback, PutRollout, RemoveRollout, ResetFallback
from fleetd.core.rollout import Origin, Sample
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Spec
from fleetd.errors import FleetError
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.rollouts import HOUR, MINUTE, NEW, OLD, decide, rollout
from tests.unit.engine.routes import RULES

NAMES = ("chat", "file")
ORGS = ("", "a", "b")
STEPS = 120
PLACES = 4


class Chance:
    """Does one thing after the other to two rollouts, one of the store and one of a file, with dice of its own."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.store = FaultyStore()
        self.fleet = Fleet(RULES, store=self.store)
        self.made = 0
        self.acts = [
            self.outcomes, self.outcomes, self.outcomes, self.health, self.time, self.time, self.time, self.decide, self.submit,
            self.together, self.cancel, self.force, self.reset, self.put, self.restart, self.jump, self.fault, self.remove,
        ]  # fmt: skip

    def rollout(self, name: str):
        return rollout(
            name,
            default=self.dice.choice((OLD, NEW)),
            shadow_percent=100.0,
            shadow_limit=PLACES,
            per_org=self.dice.random() < 0.5,
            window=self.dice.choice((MINUTE, 5 * MINUTE)),
            trial_for=self.dice.choice((MINUTE, 5 * MINUTE)),
            min_samples=3,
        )

    async def outcomes(self) -> None:
        name, book = self.dice.choice(NAMES), self.fleet.engine.rollout_book.present
        code, mode = self.dice.choice(("", "TIMEOUT", "503")), self.dice.choice((OLD, NEW, NEW))
        epoch = book.epoch(name) - self.dice.choice((0, 0, 1))
        org_id = self.dice.choice(ORGS)
        for _ in range(self.dice.randrange(1, 6)):
            self.fleet.engine.rollouts.note(Sample(name, org_id, mode, epoch, code, 50))
            if self.dice.random() < 0.3:
                await self.fleet.settle()

    async def health(self) -> None:
        for _ in range(self.dice.choice((1, 3))):
            self.fleet.engine.rollouts.note_health("chat", well=self.dice.random() < 0.5, detail="HTTP 500")

    async def time(self) -> None:
        await self.fleet.pass_time(self.dice.choice((1, 1_000, 30_000, MINUTE, 5 * MINUTE, HOUR)))

    async def decide(self) -> None:
        decide(self.fleet, self.dice.choice(ORGS), name=self.dice.choice(NAMES))

    def item(self) -> Submission:
        self.made += 1
        org_id, name = self.dice.choice(ORGS[1:]), self.dice.choice(NAMES)
        return Submission(
            f"t-{self.made}", org_id, Spec("w"), rollout=name, shadow_id=f"s-{self.made}", max_attempts=1
        )

    async def submit(self) -> None:
        await self.fleet.do(Submit(tuple(self.item() for _ in range(self.dice.randrange(1, 4)))))

    async def together(self) -> None:
        self.fleet.engine.post(Submit((self.item(),)))
        self.fleet.engine.post(Cancel((f"s-{self.dice.randrange(1, self.made + 1)}",)))
        self.fleet.engine.post(ResetFallback((self.dice.choice(NAMES), "")))
        await self.outcomes()

    async def cancel(self) -> None:
        await self.fleet.do(Cancel((f"s-{self.dice.randrange(1, self.made + 2)}",)))

    async def force(self) -> None:
        until = self.fleet.clock.wall() + self.dice.choice((1_000, HOUR))
        scope = self.dice.choice(NAMES), self.dice.choice(ORGS)
        await self.fleet.do(ForceFallback(scope, Forced(self.dice.random() < 0.5, "x", until=until)))

    async def reset(self) -> None:
        await self.fleet.do(ResetFallback((self.dice.choice(NAMES), self.dice.choice(ORGS))))

    async def put(self) -> None:
        if self.dice.random() < 0.5:
            await self.fleet.do(PutRollout(self.rollout("chat")))
        else:
            await self.fleet.do(DefineRollouts((self.rollout("file"),), Origin.FILE))

    async def remove(self) -> None:
        self.fleet.engine.post(RemoveRollout("chat"))
        if self.dice.random() < 0.5:
            await self.fleet.settle()
        await self.fleet.do(PutRollout(self.rollout("chat")))

    async def restart(self) -> None:
        self.fleet.clock.advance(self.dice.choice((0, MINUTE, HOUR)))
        await self.fleet.restart()
        if self.dice.random() < 0.5:
            await self.fleet.settle()
        await self.fleet.do(DefineRollouts((self.rollout("file"),), Origin.FILE))

    async def jump(self) -> None:
        self.fleet.clock.jump_wall(self.dice.choice((-HOUR, -1_000, 1_000, HOUR)))

    async def fault(self) -> None:
        self.store.faults.append(self.dice.choice((FULL, FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN)))

    async def begin(self) -> None:
        await self.fleet.open()
        await self.fleet.do(PutRollout(self.rollout("chat")))
        await self.fleet.do(DefineRollouts((self.rollout("file"),), Origin.FILE))

    async def act(self) -> None:
        try:
            await self.dice.choice(self.acts)()
        except FleetError:
            await self.mend()

    async def mend(self) -> None:
        """Define again what a refusal may have left undefined."""
        self.store.faults.clear()
        present = self.fleet.engine.rollout_book.present
        if present.rollout("chat") is None:
            await self.fleet.do(PutRollout(self.rollout("chat")))
        if present.rollout("file") is None:
            await self.fleet.do(DefineRollouts((self.rollout("file"),), Origin.FILE))

    def bounded(self) -> None:
        engine = self.fleet.engine
        assert all(engine.rollout_book.places.taken(name) <= PLACES for name in NAMES)
        waiting = engine.sweeper.next()
        assert waiting is None or waiting >= engine.clock.now() or engine.rollouts._moving

    async def quiet(self) -> None:
        """Let time alone go on; whatever stands must end, and then nothing moves."""
        self.store.faults.clear()
        await self.mend()
        self.fleet.engine.rollouts.note_health("chat", well=True)
        for _ in range(80):
            await self.fleet.pass_time(MINUTE)
            await self.fleet.pass_time(5 * MINUTE)
        states = self.fleet.engine.rollout_book.present.states
        assert {
            scope: state for scope, state in states.items() if state.phase is not Phase.NORMAL or state.forced
        } == {}
        assert all(self.fleet.engine.rollout_book.places.taken(name) == 0 for name in NAMES)
        assert self.fleet.engine.sweeper.timers.at(("rollouts", "")) is None
        assert not self.fleet.engine.rollouts._moving


@pytest.mark.parametrize("seed", range(24))
async def test_rollouts_come_back_by_time_alone_whatever_happened_to_them(seed):
    """G2, G4a"""
    chance = Chance(seed)
    await chance.begin()
    for _ in range(STEPS):
        await chance.act()
        chance.bounded()
    await chance.quiet()
    assert not chance.fleet.log.errors
    await chance.fleet.check()
    await chance.fleet.close()
