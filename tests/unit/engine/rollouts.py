"""What the tests of rollouts in the engine have in common: a rollout in short, decisions, outcomes, and what became of it."""

from __future__ import annotations

from itertools import count
from typing import Any

from fleetd.core.event import EventType
from fleetd.core.fallback import Fallback, FallbackRules, Phase
from fleetd.core.rolling import PutRollout, ResetFallback
from fleetd.core.rollout import Decision, Rollout, RolloutMode, Sample
from fleetd.core.task import Task
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import fleet_events

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
OLD, NEW = "direct_llm", "runtime"
CHAT = ("chat", "")

ON, TRIAL, OFF = EventType.ROLLOUT_FALLBACK_ON, EventType.ROLLOUT_TRIAL, EventType.ROLLOUT_FALLBACK_OFF
TOLD = (ON, TRIAL, OFF)
DWELL, TRIAL_FOR = MINUTE, 5 * MINUTE

_ids = count(1)


def rollout(name: str = "chat", **fields: Any) -> Rollout:
    """Return a rollout whose work all gets the new mode, unless told otherwise; names of `FallbackRules` are taken as its rules."""
    rules = {each: fields.pop(each) for each in FallbackRules.__dataclass_fields__ if each in fields}
    values = {"old": RolloutMode(OLD), "new": RolloutMode(NEW), "default": NEW, "salt": name, **fields}
    return Rollout(name, **{"fallback": FallbackRules(**rules), **values})


async def put(fleet: Fleet, **fields: Any) -> Rollout:
    return await fleet.do(PutRollout(rollout(**fields)))


def decide(fleet: Fleet, org_id: str = "acme", session_id: str = "", **more: Any) -> Decision:
    fields = {"name": "chat", "decision_id": f"decision-{next(_ids)}", "dry_run": False, **more}
    return fleet.engine.rollouts.decide(org_id=org_id, session_id=session_id, **fields)


def modes(fleet: Fleet, number: int = 1, org_id: str = "acme") -> list[str]:
    return [decide(fleet, org_id).mode for _ in range(number)]


async def tell(fleet: Fleet, number: int, code: str = "", **more: Any) -> None:
    """Let outcomes come in, of decisions made just now in the new mode unless told otherwise."""
    epoch = fleet.engine.rollout_book.present.epoch("chat")
    fields = {"rollout": "chat", "org_id": "acme", "mode": NEW, "epoch": epoch, "latency": 100, **more}
    for _ in range(number):
        fleet.engine.rollouts.note(Sample(code=code, **fields))
        await fleet.settle()


async def trip(fleet: Fleet, **more: Any) -> None:
    """Bring the rollout into fallback by ten errors."""
    await tell(fleet, 10, "AGENT_ERROR", **more)
    assert phase(fleet) is Phase.FALLBACK


async def reset(fleet: Fleet, org_id: str = "") -> None:
    await fleet.do(ResetFallback(("chat", org_id), "mended"))


def state(fleet: Fleet, org_id: str = "") -> Fallback:
    return fleet.engine.rollout_book.present.state(("chat", org_id))


def phase(fleet: Fleet, org_id: str = "") -> Phase:
    return state(fleet, org_id).phase


async def submit(fleet: Fleet, org_id: str = "acme", **parts: Any) -> Task:
    """Submit a task whose mode the rollout decides."""
    return await fleet.submit(
        org_id=org_id, **{"rollout": "chat", "shadow_id": f"shadow-{next(_ids)}", **parts}
    )


def logged(fleet: Fleet, event: str) -> list[dict[str, Any]]:
    """Return the fields of every line of the log with that event."""
    return [fields for name, fields in fleet.log.infos + fleet.log.warnings if name == event]


async def kinds(fleet: Fleet) -> list[EventType]:
    return [kind for kind, _ in await fleet_events(fleet, *TOLD)]


async def counted(fleet: Fleet) -> tuple[int, int, int]:
    figures = fleet.engine.rollouts.figures("chat").new
    return figures.total, figures.errors, figures.timeouts
