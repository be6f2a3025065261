"""People who intervene: they cancel, retry, pause, limit, drain, and at the end put everything right again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleetd.core.agent import AgentOrder
from fleetd.core.attendance import OrderAgent, SetCapabilities, Unregister
from fleetd.core.audit import Audited
from fleetd.core.deadletters import Discard, Replay
from fleetd.core.gating import Pause, SetLimits
from fleetd.core.interventions import Cancel, Retry, TimeoutRun, Update
from fleetd.core.limits import GateKey
from fleetd.core.task import Priority
from fleetd.engine.engine import Engine
from fleetd.errors import FleetError
from tests.simulation.network import LOST, call
from tests.simulation.submitter import ORGS

if TYPE_CHECKING:
    from fleetd.engine.transaction import Command
    from tests.simulation.world import World

GATES = (
    *(GateKey("org", org) for org in ORGS),
    *(GateKey("capability", name) for name in ("code", "code:rust", "web")),
)
DEADLINE = 6_000


class Operators:
    """One act every `pace` ms on average, 0 = never."""

    def __init__(self, world: World, pace: int) -> None:
        self._world = world
        self._pace = pace
        self._mending = 0

    @property
    def done(self) -> bool:
        """True when everything was put right."""
        return self._mending == 0

    def start(self) -> None:
        self._later()

    def mend(self) -> None:
        """Undo pauses, limits and orders; repeated until the daemon has confirmed it."""
        for key in GATES:
            self._insist("resume", Pause(key, paused=False))
            self._insist("lift limits", SetLimits(key, max_running=0, max_pending=0))
        for agent_id in self._world.agents:
            order = OrderAgent(agent_id, AgentOrder.START, f"start-{self._world.number()}")
            self._insist(f"start {agent_id}", order)

    def _insist(self, what: str, command: Command) -> None:
        self._mending += 1

        def answered(result: Any) -> None:
            if isinstance(result, FleetError) and result.reason != "AGENT_NOT_FOUND":
                self._world.agenda.after(500, ask)
            else:
                self._mending -= 1

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
            self._explain()
            return
        what, command = self._draw()
        audited = Audited(command, "operator", what, "")

        def noted(result: Any) -> None:
            if result is not LOST:
                refusal = f"{result.reason}" if isinstance(result, FleetError) else "done"
                self._world.history.note("operator", f"{what}: {refusal}")

        call(
            self._world,
            "operator",
            f"{what} {command}",
            lambda engine: engine.execute(audited),
            noted,
            DEADLINE,
        )

    def _explain(self) -> None:
        """Ask why a task is not running (D9)."""
        task_id = self._world.random.choice(list(self._world.checker.tasks) or ["none"])

        async def explain(engine: Engine) -> str:
            rows = await engine.store.get_tasks([task_id])
            found = [await engine.explain(row.task, row.spec) for row in rows.values()]
            return " ".join(explanation.sentence for explanation in found)

        def noted(sentence: Any) -> None:
            self._world.history.note("operator", f"{task_id}: {sentence}")

        call(self._world, "operator", f"explain {task_id}", explain, noted, DEADLINE)

    def _draw(self) -> tuple[str, Command]:
        world, random = self._world, self._world.random
        known = list(world.checker.tasks) or ["none"]
        task_id = random.choice(known)
        some = tuple(random.choice(known) for _ in range(3))
        agent_id = random.choice(list(world.agents))
        gate = random.choice(GATES)
        now = world.clock.wall()
        acts: tuple[tuple[str, Command], ...] = (
            ("cancel", Cancel((task_id,), "no longer wanted")),
            ("cancel many", Cancel(some)),
            ("time out", TimeoutRun(task_id, "takes too long")),
            ("retry", Retry(task_id, "again")),
            ("retry", Retry(self._one_of(5, 8) or task_id, "again")),
            ("replay", Replay((self._one_of(8) or task_id, *some), "again")),
            ("discard", Discard((self._one_of(8) or task_id,), "no use")),
            ("update", Update(task_id, {"priority": random.choice(list(Priority)), "title": "renamed"})),
            ("update", Update(self._one_of(1) or task_id, {"required_capabilities": ("web",)})),
            ("update", Update(task_id, {"run_at": now + random.randrange(1, 30_000)})),
            ("pause", Pause(gate, paused=True, reason="incident")),
            ("resume", Pause(gate, paused=False)),
            ("resume", Pause(gate, paused=False)),
            ("limit", SetLimits(gate, max_running=random.randrange(4))),
            ("limit", SetLimits(gate, weight=random.choice((0.5, 1.0, 3.0)))),
            ("limit", SetLimits(GateKey("org", random.choice(ORGS)), max_pending=random.choice((0, 5, 20)))),
            ("order", self._order(agent_id, random.choice(list(AgentOrder)[1:]), now)),
            ("order", self._order(agent_id, random.choice((AgentOrder.UNDRAIN, AgentOrder.START)), now)),
            ("capabilities", SetCapabilities(agent_id, world.agents[agent_id].capabilities)),
            ("unregister", Unregister(agent_id)),
        )
        return random.choice(acts)

    def _order(self, agent_id: str, order: AgentOrder, now: int) -> OrderAgent:
        random = self._world.random
        deadline = random.choice((0, now + random.randrange(1, 20_000)))
        return OrderAgent(agent_id, order, f"order-{self._world.number()}", "by hand", deadline)

    def _one_of(self, *statuses: int) -> str:
        """Return a task in one of these states, "" when there is none."""
        fitting = [task.id for task in self._world.checker.tasks.values() if task.status in statuses]
        return self._world.random.choice(fitting) if fitting else ""
