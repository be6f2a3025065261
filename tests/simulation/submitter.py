"""Those who want work done: they ask again, with the same key, until they know that their tasks were taken."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from fleetd.core.submission import Submission, Submit, Taken
from fleetd.core.task import Mode, Payload, Priority, RetryPolicy, Spec
from fleetd.errors import FleetError, Overloaded, Unavailable
from tests.simulation.network import call
from tests.simulation.rollouts import SESSIONS

if TYPE_CHECKING:
    from tests.simulation.world import World

CAPABILITIES: tuple[tuple[str, ...], ...] = ((), (), ("code",), ("code:rust",), ("web",), ("code", "web"))
MODES = (*[Mode.UNDECIDED] * 6, Mode.SSH_CLI, Mode.PULL)
ORGS = ("acme", "beta", "core")
DEADLINE = 6_000


class Submitter:
    """Submits `count` tasks over `span` ms; `known` holds the ids it was told."""

    def __init__(self, world: World, count: int, span: int) -> None:
        self._world = world
        self._left = count
        self._span = span
        self.known: list[str] = []
        self.waiting = 0

    @property
    def done(self) -> bool:
        return self._left == 0 and self.waiting == 0

    def start(self) -> None:
        random = self._world.random
        while self._left:
            size = min(self._left, random.choice((1, 1, 2, 5, 12)))
            self._left -= size
            self.waiting += 1
            at = random.choice((0, random.randrange(self._span)))
            self._world.agenda.after(at, lambda size=size: self._ask([self._draw() for _ in range(size)]))

    def _draw(self) -> Submission:
        world, random = self._world, self._world.random
        number, now = world.number(), world.clock.wall()

        def rarely(value: Any, chance: float = 0.1) -> Any:
            return value if random.random() < chance else 0

        agent_id = random.choice(list(world.agents)) if random.random() < 0.1 else ""
        item = Submission(
            id=f"task-{number}",
            org_id=random.choice(ORGS),
            spec=Spec(
                f"work {number}",
                required_capabilities=random.choice(CAPABILITIES),
                schedule_to_start=rarely(random.randrange(1_000, 60_000)),
            ),
            input=Payload(b"what to do", "text/plain") if random.random() < 0.3 else None,
            priority=random.choice(list(Priority)),
            max_attempts=random.choice((1, 3, 3, 5)),
            retry=RetryPolicy(jitter=0.0) if random.random() < 0.2 else None,
            run_at=rarely(now + random.randrange(500, 60_000)),
            timeout=rarely(random.randrange(2_000, 20_000), 0.3),
            deadline=rarely(now + random.randrange(70_000, 200_000)),
            parent_task_id=random.choice(self.known) if self.known and random.random() < 0.1 else "",
            external_ref=f"ref-{random.randrange(20)}" if random.random() < 0.2 else "",
            idempotency_key=f"key-{number}",
            agent_id=agent_id,
            mode=random.choice(MODES),
        )
        if world.instances is not None:
            item = item._replace(route=world.instances.needs())
        if world.rollouts is not None:
            session = world.checker.sessions[item.idempotency_key] = random.choice(SESSIONS)
            item = item._replace(rollout=world.rollouts.wanted(), session_id=session)
        return item._replace(body_hash=sha256(repr(item._replace(id="")).encode()).digest())

    def _ask(self, items: list[Submission]) -> None:
        world = self._world
        # The daemon names a task when the request comes in: a repeat has other ids and the same keys.
        named = tuple(item._replace(id=f"{item.id}.{world.number()}") for item in items)
        named = tuple(i._replace(shadow_id=f"{i.id}-shadow") if i.rollout else i for i in named)

        def answered(result: Any) -> None:
            again = items if isinstance(result, FleetError) else []
            if not isinstance(result, FleetError):
                for item, answer in zip(items, result, strict=True):
                    if isinstance(answer, Taken):
                        self.known.append(answer.task.id)
                    elif isinstance(answer, (Overloaded, Unavailable)):
                        again.append(item)
            if again:
                world.agenda.after(world.random.randrange(500, 5_000), lambda: self._ask(again))
            else:
                self.waiting -= 1

        def noted(result: Any) -> None:
            if not isinstance(result, FleetError):
                world.checker.taken(result)

        call(
            world,
            "submitter",
            f"submit {', '.join(item.id for item in named)}",
            lambda engine: engine.execute(Submit(named)),
            answered,
            DEADLINE,
            noted,
        )
