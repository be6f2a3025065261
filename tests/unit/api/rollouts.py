"""What the tests of rollouts in the API have in common: one in short, decisions, outcomes, and what is shown of it."""

from __future__ import annotations

from typing import Any

from fleet.v1 import rollout_pb2 as pb
from fleetd.api.calls import Call
from tests.unit.api.port import Port

OLD, NEW = "direct_llm", "runtime"
KIM = Call(actor="op:kim")


async def put(port: Port, **fields: Any) -> pb.Rollout:
    """Define a rollout whose work all gets the new mode, unless told otherwise."""
    values = {
        "name": "chat",
        "old_mode": {"name": OLD},
        "new_mode": {"name": NEW},
        "default_mode": NEW,
        **fields,
    }
    return await port("PutRollout", rollout=values, call=KIM)


async def decide(port: Port, org_id: str = "acme", *, dry_run: bool = False, **use: Any) -> pb.ModeDecision:
    return await port("DecideMode", use={"rollout": "chat", "org_id": org_id, **use}, dry_run=dry_run)


def told(decision: pb.ModeDecision, **more: Any) -> dict[str, Any]:
    """Return what is said of a decision when its outcome is reported."""
    fields = {name: getattr(decision, name) for name in ("rollout", "org_id", "mode", "epoch", "decision_id")}
    return {**fields, **more}


async def report(port: Port, decision: pb.ModeDecision, code: str = "", ms: int = 100, **more: Any) -> None:
    latency = {"seconds": ms // 1_000, "nanos": ms % 1_000 * 1_000_000}
    await port("ReportOutcome", rollout=told(decision, **more), code=code, latency=latency)


async def trip(port: Port) -> None:
    decision = await decide(port)
    for _ in range(10):
        await report(port, decision, "AGENT_ERROR")
    await port.engine.turn()
    assert (await state(port)).fallback


async def state(port: Port) -> pb.FallbackState:
    return (await port("GetRollout", name="chat")).fallback


async def metrics(port: Port, **more: Any) -> Any:
    return await port("GetRolloutMetrics", rollout="chat", **more)


async def audits(port: Port) -> list[tuple[str, str, str, str]]:
    lines = await port.store.list_audits(0, 100, "", "")
    return [(line.actor, line.action, line.target, line.reason) for line in reversed(lines)]


async def new_total(port: Port) -> tuple[int, int]:
    found = (await metrics(port)).metrics.new_mode
    return found.total, found.error
