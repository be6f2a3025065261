"""Tasks and rollouts: the mode a task is submitted in, and its shadow, the same work done by the other mode on the side (spec G1, G2)."""

from __future__ import annotations

from dataclasses import replace

from fleetd.core.comparison import Comparison, Side
from fleetd.core.event import EventType
from fleetd.core.ledger import DueKind, Edge, Ledger, NewTask, lane_key
from fleetd.core.limits import GateKey
from fleetd.core.rollout import Decision, TaskRollout
from fleetd.core.task import ModeSource, Payload, Priority, Spec, Task

GRACE = 2
"""A shadow that nobody has taken, or finished, after so many timeout thresholds is ended: its place is another's then."""


def in_mode(ledger: Ledger, spec: Spec, decision: Decision) -> Spec:
    """Return the spec of a task that is done in the mode that was decided, with what that mode requires."""
    return _in_mode(ledger, spec, decision.rollout, decision.mode)


def decided(decision: Decision) -> TaskRollout:
    """Return what a task keeps of the decision of its mode."""
    return TaskRollout(decision.rollout, decision.mode, decision.cause, decision.epoch, decision.trial)


def add_shadow(
    ledger: Ledger, task: Task, spec: Spec, payload: Payload | None, decision: Decision, shadow_id: str
) -> None:
    """
    Insert the shadow of a task that was just inserted, unless there is no place for it, or it would begin much later: nobody waits for a shadow.

    `spec` is the task's own, without what its mode requires. The shadow has one attempt, the lowest priority, and no route: its outcome may touch neither
    breakers nor anybody's record.
    """
    rollout = ledger.rollouts.find(decision.rollout)
    gate = ledger.gates.gate(GateKey("org", task.org_id))
    most = gate.rule.max_pending or ledger.rules.max_pending
    if gate.pending + ledger.waiting.get(task.org_id, 0) >= most:
        return
    now, grace = ledger.now, GRACE * rollout.fallback.timeout_threshold
    # What begins much later would hold its place until then, and nobody else would be compared.
    if task.run_at > now + grace or not ledger.rollouts.take_place(rollout):
        return
    shadow = Task(
        seq=ledger.next_seq,
        place=ledger.next_seq,
        id=shadow_id,
        org_id=task.org_id,
        task_type=task.task_type,
        priority=Priority.LOW,
        mode=task.mode,
        mode_source=ModeSource.NONE if task.mode_source is not ModeSource.EXPLICIT else task.mode_source,
        max_attempts=1,
        created_at=now,
        updated_at=now,
        queued_at=max(now, task.run_at),
        run_at=task.run_at,
        deadline=max(now, task.run_at) + grace,
        timeout=task.timeout,
        exclusive=task.exclusive,
        parent_id=task.id,
        rollout=TaskRollout(
            rollout.name, decision.shadow, decision.cause, decision.epoch, shadow=True, other=task.id
        ),
    )
    ledger.next_seq += 1
    own = replace(_in_mode(ledger, spec, rollout.name, decision.shadow), schedule_to_start=0)
    ledger.insert(NewTask(shadow, own, payload), lane_key(shadow, own.required_capabilities))
    if shadow.run_at:
        ledger.add_due(shadow, DueKind.START, shadow.run_at)
    ledger.add_due(shadow, DueKind.DEADLINE, shadow.deadline)
    told = {"title": own.title, "priority": shadow.priority.name, "shadow_of": task.id}
    ledger.event(shadow, EventType.TASK_CREATED, told | of_rollout(shadow))
    ledger.changes.edges.append(Edge(shadow.seq, "shadow_of", task.id, now, rollout.name))
    task.rollout = decided(decision)._replace(other=shadow.id)
    ledger.changes.comparisons.append(
        Comparison(
            shadow.id,
            rollout.name,
            task.org_id,
            Side(task.id, decision.mode),
            Side(shadow.id, decision.shadow),
            now,
            open=True,
        )
    )


def of_rollout(task: Task) -> dict[str, str]:
    """Return what the events of a task say of its mode."""
    if task.rollout is None:
        return {}
    name, mode, cause = task.rollout.name, task.rollout.mode, task.rollout.cause.name
    return {"rollout": name, "mode": mode, "cause": cause}


def _in_mode(ledger: Ledger, spec: Spec, name: str, mode: str) -> Spec:
    required = ledger.rollouts.find(name).mode(mode).required_capabilities
    if not required:
        return spec
    return replace(spec, required_capabilities=tuple(dict.fromkeys((*spec.required_capabilities, *required))))
