"""Taking tasks: idempotent, item by item (spec T3, T4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fleetd.core import routed, shadowing
from fleetd.core.event import EventType
from fleetd.core.ledger import DueKind, Edge, Keys, Ledger, NewTask, lane_key
from fleetd.core.limits import GateKey
from fleetd.core.route import Requirements
from fleetd.core.target import capability_mismatch, find_target
from fleetd.core.task import Mode, ModeSource, Payload, Priority, RetryPolicy, Spec, Task
from fleetd.errors import AlreadyExists, FleetError, InvalidArgument, NotFound, Overloaded


class Submission(NamedTuple):
    """
    One validated task to take. Times in epoch ms, durations in ms, 0 = unset. `body_hash` covers every field but the key. `rollout` "" = none decides its
    mode; `shadow_id` is what its shadow is called, should it get one.
    """

    id: str
    org_id: str
    spec: Spec
    task_type: str = ""
    input: Payload | None = None
    priority: Priority = Priority.MEDIUM
    mode: Mode = Mode.UNDECIDED
    max_attempts: int = 3
    retry: RetryPolicy | None = None
    run_at: int = 0
    timeout: int = 0
    deadline: int = 0
    parent_task_id: str = ""
    external_ref: str = ""
    idempotency_key: str = ""
    exclusive: bool = False
    agent_id: str = ""
    body_hash: bytes = b""
    route: Requirements | None = None
    rollout: str = ""
    session_id: str = ""
    shadow_id: str = ""


class Taken(NamedTuple):
    """A task that was taken, now or (`duplicate`) before."""

    task: Task
    spec: Spec
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Submit:
    """Take tasks. Answer: for each, in order, Taken or the error that refused it; a bad one never sinks the others."""

    items: tuple[Submission, ...]

    def keys(self) -> Keys:
        return Keys(
            task_ids=tuple(item.parent_task_id for item in self.items if item.parent_task_id),
            idempotency=tuple(
                (item.org_id, item.idempotency_key) for item in self.items if item.idempotency_key
            ),
            external_refs=tuple((item.org_id, item.external_ref) for item in self.items if item.external_ref),
        )

    def more(self, ledger: Ledger) -> Keys | None:
        """Ask for the specs of tasks that were taken before, to answer with them."""
        hits = [ledger.task_by_key(i.org_id, i.idempotency_key) for i in self.items if i.idempotency_key]
        ids = tuple(task.id for task in hits if task is not None)
        return Keys(specs=ids) if ids else None

    def apply(self, ledger: Ledger) -> list[Taken | FleetError]:
        answers: list[Taken | FleetError] = []
        for item in self.items:
            try:
                answers.append(_take(ledger, item))
            except FleetError as error:
                answers.append(error)
        return answers


def _take(ledger: Ledger, item: Submission) -> Taken:
    if item.idempotency_key:
        first = ledger.task_by_key(item.org_id, item.idempotency_key)
        if first is not None:
            if first.body_hash != item.body_hash:
                raise AlreadyExists(
                    "IDEMPOTENCY_KEY_REUSED",
                    f"idempotency_key {item.idempotency_key!r} was used for another task",
                    {"task_id": first.id},
                )
            return Taken(first, ledger.specs[first.seq], duplicate=True)
    now = ledger.now
    _check(ledger, item)
    asked = item
    trials = ledger.rollouts.trials.taken
    decision = ledger.rollouts.decide(item.rollout, item.org_id, item.session_id) if item.rollout else None
    if decision is not None:
        item = item._replace(spec=shadowing.in_mode(ledger, item.spec, decision))
    try:
        reserved = _reserved(ledger, item) if item.agent_id else ""
        plan = routed.first_plan(ledger, item.id, item.route) if item.route is not None else None
    except FleetError:
        ledger.rollouts.trials.give_back(trials)
        raise
    task = Task(
        seq=ledger.next_seq,
        place=ledger.next_seq,
        id=item.id,
        org_id=item.org_id,
        task_type=item.task_type,
        priority=item.priority,
        mode=item.mode,
        mode_source=ModeSource.NONE if item.mode is Mode.UNDECIDED else ModeSource.EXPLICIT,
        max_attempts=item.max_attempts,
        created_at=now,
        updated_at=now,
        queued_at=max(now, item.run_at),
        run_at=item.run_at if item.run_at > now else 0,
        deadline=item.deadline,
        start_by=now + item.spec.schedule_to_start if item.spec.schedule_to_start else 0,
        timeout=item.timeout,
        retry=item.retry,
        reserved_agent=reserved,
        exclusive=item.exclusive,
        parent_id=item.parent_task_id,
        external_ref=item.external_ref,
        idempotency_key=item.idempotency_key,
        body_hash=item.body_hash,
        rollout=None if decision is None else shadowing.decided(decision),
    )
    ledger.next_seq += 1
    ledger.insert(NewTask(task, item.spec, item.input), lane_key(task, item.spec.required_capabilities))
    for kind, at in (
        (DueKind.START, task.run_at),
        (DueKind.START_BY, task.start_by),
        (DueKind.DEADLINE, task.deadline),
        (DueKind.RESERVATION, max(now, task.run_at) + ledger.rules.reservation if item.agent_id else 0),
    ):
        if at:
            ledger.add_due(task, kind, at)
    payload = {"title": item.spec.title, "priority": item.priority.name}
    if decision is not None:
        payload |= shadowing.of_rollout(task)
    ledger.event(task, EventType.TASK_CREATED, payload)
    if plan is not None:
        routed.begin(ledger, task, plan)
    if item.parent_task_id:
        ledger.changes.edges.append(Edge(task.seq, "child_of", item.parent_task_id, now, ""))
    if decision is not None and decision.shadow:
        shadowing.add_shadow(ledger, task, asked.spec, item.input, decision, item.shadow_id)
    return Taken(task, item.spec, duplicate=False)


def _check(ledger: Ledger, item: Submission) -> None:
    gate = ledger.gates.gate(GateKey("org", item.org_id))
    most = gate.rule.max_pending or ledger.rules.max_pending
    if gate.pending + ledger.waiting.get(item.org_id, 0) >= most:
        raise Overloaded(
            "ORG_PENDING_LIMIT", f"org {item.org_id!r} has {most} waiting tasks, its limit", 5_000
        )
    if item.parent_task_id and ledger.task(item.parent_task_id) is None:
        raise NotFound("TASK_NOT_FOUND", f"parent_task_id: there is no task {item.parent_task_id}")
    if item.external_ref:
        holder = ledger.task_by_ref(item.org_id, item.external_ref)
        if holder is not None:
            raise AlreadyExists(
                "EXTERNAL_REF_IN_USE",
                f"external_ref {item.external_ref!r} belongs to task {holder.id}, which is not finished",
                {"task_id": holder.id},
            )
    if item.deadline and item.deadline <= ledger.now:
        raise InvalidArgument([("deadline", "must be in the future")])
    if item.deadline and item.run_at >= item.deadline:
        raise InvalidArgument([("run_at", "must be before deadline")])


def _reserved(ledger: Ledger, item: Submission) -> str:
    """Return the name under which the lease will be held of a task whose submitter named who shall run it (M4)."""
    wanted = item.spec.required_capabilities
    target = find_target(ledger, item.agent_id, item.mode, wanted)
    if target.lacking:
        raise capability_mismatch(item.agent_id, target.lacking)
    return target.name
