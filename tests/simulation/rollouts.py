"""Rollouts of one world: how well the new mode really is, those who ask for modes without tasks, and the probe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from fleetd.core.fallback import FallbackRules
from fleetd.core.rollout import BucketBy, Decision, Rollout, RolloutMode, Sample, TaskRollout
from fleetd.engine.engine import Engine
from fleetd.errors import FleetError
from tests.simulation.network import call

if TYPE_CHECKING:
    from tests.simulation.world import World

ORGS = ("acme", "beta", "core")
SESSIONS = ("", "s1", "s2", "s3", "s4", "s5")
NAMES = ("chat", "draw")
RULES = FallbackRules(
    timeout_threshold=8_000,
    window=20_000,
    min_samples=4,
    probe_interval=1_000,
    dwell=3_000,
    dwell_max=20_000,
    dwell_decay=15_000,
    trial_percent=30.0,
    trial_for=5_000,
)
"""Shorter than in earnest, and never changed: what waits for them comes to its end within seconds."""
CODES = ("AGENT_ERROR", "TIMEOUT", "503")
DEADLINE = 4_000
PACE = 1_500


@dataclass(frozen=True, slots=True)
class RolloutTrouble:
    """
    How much of it rollouts have, ms or shares: `ill` is the mean time between outages of a new mode, `share` that of tasks with a rollout; `pace` between the
    acts of operators, `callers` how many ask for modes of work that is no task. `probed`: whether there are probes. 0 = none.
    """

    ill: int = 0
    share: float = 0.5
    pace: int = 0
    callers: int = 0
    per_org: bool = False
    probed: bool = False
    shadow_limit: int = 10


def draw(random: Random) -> RolloutTrouble | None:
    """Draw the troubles of one seed; None for the seeds that have no rollouts at all."""
    if random.random() < 0.65:
        return None
    return RolloutTrouble(
        ill=random.choice((0, 8_000, 20_000)),
        share=random.choice((0.4, 0.8)),
        pace=random.choice((0, 2_000, 5_000)),
        callers=random.choice((0, 2, 4)),
        per_org=random.random() < 0.5,
        probed=random.random() < 0.5,
        shadow_limit=random.choice((1, 2, 10)),
    )


class Rollouts:
    """How the new modes really are, which nobody in the daemon sees."""

    def __init__(self, world: World, trouble: RolloutTrouble) -> None:
        self.trouble = trouble
        self._world = world
        self._ill: dict[str, str] = {}

    def start(self) -> None:
        agenda = self._world.agenda
        for name in NAMES:
            if self.trouble.ill:
                self._plan(name)
            if self.trouble.probed:
                agenda.after(RULES.probe_interval, lambda name=name: self._probe(name))
        for number in range(self.trouble.callers):
            self._later(f"caller-{number}")

    def definition(self, name: str, **parts: Any) -> Rollout:
        """Return a rollout as operators define it."""
        trouble = self.trouble
        return replace(
            Rollout(
                name,
                RolloutMode("old", ("code",)),
                RolloutMode("new", ("web",)),
                "old",
                percent=60.0,
                bucket_by=BucketBy.SESSION if name == "draw" else BucketBy.ORG,
                salt=name,
                shadow_percent=70.0,
                shadow_limit=trouble.shadow_limit,
                fallback=replace(RULES, per_org=trouble.per_org),
                health_url="http://localhost:8000/health" if trouble.probed else "",
            ),
            **parts,
        )

    def ailment(self, rollout: TaskRollout | None) -> str:
        """Return the code with which work of a rollout fails now, "" when nothing keeps it from its end."""
        if rollout is None or rollout.mode != "new" or self._world.calm:
            return ""
        return self._ill.get(rollout.name, "")

    def wanted(self) -> str:
        """Draw the rollout of a task, "" for none."""
        random = self._world.random
        return random.choice(NAMES) if random.random() < self.trouble.share else ""

    # outages

    def _plan(self, name: str) -> None:
        random = self._world.random
        self._world.agenda.after(random.randrange(1, 2 * self.trouble.ill), lambda: self._fall_ill(name))

    def _fall_ill(self, name: str) -> None:
        if self._world.calm:
            return
        random = self._world.random
        self._ill[name] = random.choice(CODES)
        self._world.history.note(name, f"the new mode is ill: {self._ill[name]}")
        self._world.agenda.after(random.randrange(2_000, 30_000), lambda: self._recover(name))

    def _recover(self, name: str) -> None:
        self._ill.pop(name, None)
        self._world.history.note(name, "the new mode is well")
        self._plan(name)

    def _probe(self, name: str) -> None:
        """What the daemon's own probe finds out: with a daemon that is down or stands still there is none."""
        world, daemon = self._world, self._world.daemon
        world.agenda.after(RULES.probe_interval, lambda: self._probe(name))
        if daemon is None or daemon.suspended or daemon.engine.state == "STARTING":
            return
        well = world.calm or name not in self._ill
        daemon.engine.rollouts.note_health(name, well=well, detail="" if well else "refused")

    # work that is no task

    def _later(self, who: str) -> None:
        self._world.agenda.after(self._world.random.randrange(1, 2 * PACE), lambda: self._ask(who))

    def _ask(self, who: str) -> None:
        world, random = self._world, self._world.random
        if world.calm:
            return
        self._later(who)
        name, org, session = random.choice(NAMES), random.choice(ORGS), random.choice(SESSIONS)
        dry = random.random() < 0.1

        async def decide(engine: Engine) -> tuple[Decision, str]:
            # The daemon names a decision when the request comes in: a repeat has another name.
            decision_id = "" if dry else f"decision-{world.number()}"
            decision = engine.rollouts.decide(name, org, session, decision_id, dry_run=dry)
            world.checker.rollouts.asked(decision, session, dry=dry)
            return decision, decision_id

        def answered(result: Any) -> None:
            if not isinstance(result, FleetError) and not dry:
                self._work(who, *result)

        call(world, who, f"decide {name} {org} {session}", decide, answered, DEADLINE)

    def _work(self, who: str, decision: Decision, decision_id: str) -> None:
        """Do the work, and on the side that of a shadow; some of it is never reported."""
        random = self._world.random
        told = decision_id if decision.shadow else ""
        for mode, shadow in ((decision.mode, False), (decision.shadow, True)):
            if not mode or random.random() < 0.1:
                continue
            use = TaskRollout(decision.rollout, mode, decision.cause, decision.epoch)
            code = self.ailment(use)
            took = (
                random.randrange(20, 400) if code or random.random() < 0.7 else random.randrange(400, 9_000)
            )
            sample = Sample(decision.rollout, decision.org_id, mode, decision.epoch, code, took, shadow)
            self._world.agenda.after(took, lambda s=sample: self._report(who, s, told))

    def _report(self, who: str, sample: Sample, decision_id: str, times: int = 0) -> None:
        world = self._world

        def answered(result: Any) -> None:
            if isinstance(result, FleetError) and result.reason != "ROLLOUT_NOT_FOUND" and times < 2:
                world.agenda.after(1_000, lambda: self._report(who, sample, decision_id, times + 1))

        async def report(engine: Engine) -> None:
            world.checker.rollouts.reported(sample)
            await engine.rollouts.report(sample, decision_id, 2, sample.code)

        what = f"report {sample.rollout} {sample.mode} {sample.code or 'well'}{' shadow' if sample.shadow else ''}"
        call(
            world,
            who,
            what,
            report,
            answered,
            DEADLINE,
        )
