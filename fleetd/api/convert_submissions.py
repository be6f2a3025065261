"""SubmitTaskRequest and TaskChanges into what core takes (spec T3, T4, D14). The hot path of the daemon: fields left at their default cost one look."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from fleet.v1 import dispatcher_pb2, task_pb2
from fleetd.api.convert_decisions import use_in
from fleetd.api.convert_payloads import payload_in
from fleetd.api.convert_routes import requirements_in
from fleetd.api.convert_times import epoch, milliseconds
from fleetd.api.ids import NewId
from fleetd.api.limits import DAY, KEY, LABEL_VALUE, METADATA_VALUE, Limits
from fleetd.api.validate import WORD, Fields
from fleetd.core.interventions import Update
from fleetd.core.submission import Submission
from fleetd.core.task import Mode, Payload, Priority, RetryPolicy, Spec

MULTIPLIER = 100.0
"""More would pass every max_backoff at the second attempt."""

PRIORITIES = {0: Priority.MEDIUM, **{int(p): p for p in Priority}}
MODES = {0: Mode.UNDECIDED, **{int(m): m for m in Mode}}
PRIORITY_NAMES = {v.number: v.name for v in task_pb2.Priority.DESCRIPTOR.values}
MODE_NAMES = {v.number: v.name for v in task_pb2.ExecutionMode.DESCRIPTOR.values}


def submission(message: dispatcher_pb2.SubmitTaskRequest, limits: Limits, new_id: NewId) -> Submission:
    """Return the validated task to take. Raises InvalidArgument naming every bad field."""
    fields = Fields()
    title = fields.text("title", message.title, limits.title, required=True)
    description = message.description
    if description:
        fields.text("description", description, limits.description)
    org_id = message.org_id
    if org_id:
        fields.name("org_id", org_id)
    else:
        org_id = "default"
    task_type = message.task_type
    if task_type:
        fields.text("task_type", task_type, WORD)
    metadata = message.metadata
    labels = message.labels
    tags = message.tags
    capabilities = message.required_capabilities
    priority = PRIORITIES.get(message.priority)
    if priority is None:
        fields.known("priority", message.priority, PRIORITY_NAMES)
        priority = Priority.MEDIUM
    mode = MODES.get(message.execution_mode)
    if mode is None:
        fields.known("execution_mode", message.execution_mode, MODE_NAMES)
        mode = Mode.UNDECIDED
    max_attempts = fields.number("max_attempts", message.max_attempts, 0, limits.max_attempts)
    has = message.HasField
    parent_task_id = message.parent_task_id
    if parent_task_id:
        fields.task_id("parent_task_id", parent_task_id)
    external_ref = message.external_ref
    if external_ref:
        fields.text("external_ref", external_ref, KEY)
    key = message.idempotency_key
    if key:
        fields.text("idempotency_key", key, KEY)
    traceparent = message.traceparent
    if traceparent:
        fields.traceparent("traceparent", traceparent)
    agent_id = message.agent_id
    if agent_id:
        fields.name("agent_id", agent_id)
    route = requirements_in(message.route, "route", title, description, fields) if has("route") else None
    rollout = session_id = ""
    if has("rollout"):
        rollout, _, session_id = use_in(message.rollout, "rollout", fields, org_id)
    spec = Spec(
        title,
        description,
        fields.pairs("metadata", metadata, limits.metadata, METADATA_VALUE) if metadata else {},
        fields.words("tags", tags, limits.tags, WORD) if tags else (),
        fields.pairs("labels", labels, limits.labels, LABEL_VALUE) if labels else {},
        fields.capabilities("required_capabilities", capabilities, limits.capabilities)
        if capabilities
        else (),
        milliseconds(message.estimated_duration, "estimated_duration", fields, 0, limits.duration)
        if has("estimated_duration")
        else 0,
        milliseconds(message.schedule_to_start, "schedule_to_start", fields, 1, limits.duration)
        if has("schedule_to_start")
        else 0,
        traceparent,
    )
    run_at = epoch(message.run_at, "run_at", fields) if has("run_at") else 0
    deadline = epoch(message.deadline, "deadline", fields) if has("deadline") else 0
    timeout = milliseconds(message.timeout, "timeout", fields, 1, limits.timeout) if has("timeout") else 0
    retry = retry_policy(message.retry_policy, limits, fields) if has("retry_policy") else None
    payload = payload_in(message.input, "input", limits.input, fields) if has("input") else None
    max_attempts = max_attempts or limits.default_max_attempts
    if fields.errors:
        fields.check()
    exclusive = message.exclusive
    body_hash = b""
    if key:
        parts: tuple[Any, ...] = (
            org_id,
            spec.title,
            description,
            sorted(spec.metadata.items()),
            spec.tags,
            sorted(spec.labels.items()),
            spec.required_capabilities,
            spec.estimated_duration,
            spec.schedule_to_start,
            traceparent,
            task_type,
            int(priority),
            int(mode),
            max_attempts,
            retry,
            run_at,
            timeout,
            deadline,
            parent_task_id,
            external_ref,
            exclusive,
            agent_id,
        )
        if route is not None:
            # What was given, not what was read from the text, which a later version may read otherwise. Beside the parts: keys of tasks without a route are
            # older than routes.
            parts = (*parts, message.route.SerializeToString(deterministic=True))
        if rollout:
            parts = (*parts, "rollout", rollout, session_id)
        body_hash = _hash(parts, payload)
    return Submission(
        id=new_id(),
        org_id=org_id,
        spec=spec,
        task_type=task_type,
        input=payload,
        priority=priority,
        mode=mode,
        max_attempts=max_attempts,
        retry=retry,
        run_at=run_at,
        timeout=timeout,
        deadline=deadline,
        parent_task_id=parent_task_id,
        external_ref=external_ref,
        idempotency_key=key,
        exclusive=exclusive,
        agent_id=agent_id,
        body_hash=body_hash,
        route=route,
        rollout=rollout,
        session_id=session_id,
        shadow_id=new_id() if rollout else "",
    )


def retry_policy(message: task_pb2.RetryPolicy, limits: Limits, fields: Fields) -> RetryPolicy | None:
    """Return the policy with unset parts filled in; None when nothing is set."""
    default = limits.retry
    first, last = message.HasField("initial_backoff"), message.HasField("max_backoff")
    jittered = message.HasField("jitter")
    if not (first or last or jittered or message.multiplier):
        return None
    low = high = 0
    if first:
        low = milliseconds(message.initial_backoff, "retry_policy.initial_backoff", fields, 0, DAY)
    if last:
        high = milliseconds(message.max_backoff, "retry_policy.max_backoff", fields, 0, DAY)
    if first and last and high < low:
        fields.refuse("retry_policy.max_backoff", "must not be shorter than initial_backoff")
    multiplier = message.multiplier
    if multiplier:
        fields.ratio("retry_policy.multiplier", multiplier, 1.0, MULTIPLIER)
    if jittered:
        fields.ratio("retry_policy.jitter", message.jitter, 0.0, 1.0)
    # A default never contradicts the part that was given.
    initial = low if first else min(default.initial_backoff, high) if last else default.initial_backoff
    return RetryPolicy(
        initial_backoff=initial,
        multiplier=multiplier or default.multiplier,
        max_backoff=high if last else max(default.max_backoff, initial),
        jitter=message.jitter if jittered else default.jitter,
    )


def update(message: dispatcher_pb2.UpdateTaskRequest, limits: Limits) -> Update:
    """Return the validated changes. Raises InvalidArgument naming every bad field."""
    fields = Fields()
    fields.task_id("task_id", message.task_id)
    wanted = tuple(dict.fromkeys(message.update_mask.paths))
    if not wanted:
        fields.refuse("update_mask", f"is required: one or more of {', '.join(UPDATABLE)}")
    changes: dict[str, Any] = {}
    for name in wanted:
        if name in UPDATABLE:
            changes[name] = _change(name, message.changes, limits, fields)
        else:
            fields.refuse("update_mask", f"must name only {', '.join(UPDATABLE)}, not {name[:WORD]!r}")
    fields.check()
    expected = message.expected_version if message.HasField("expected_version") else None
    return Update(message.task_id, changes, expected)


UPDATABLE = (
    "title",
    "description",
    "priority",
    "tags",
    "required_capabilities",
    "run_at",
    "estimated_duration",
    "labels",
    "metadata",
)


def _change(name: str, new: dispatcher_pb2.TaskChanges, limits: Limits, fields: Fields) -> Any:
    path = f"changes.{name}"
    if name == "title":
        return fields.text(path, new.title, limits.title, required=True)
    if name == "description":
        return fields.text(path, new.description, limits.description)
    if name == "priority":
        return PRIORITIES.get(fields.known(path, new.priority, PRIORITY_NAMES), Priority.MEDIUM)
    if name == "tags":
        return fields.words(path, new.tags, limits.tags, WORD)
    if name == "required_capabilities":
        return fields.capabilities(path, new.required_capabilities, limits.capabilities)
    if name == "run_at":
        return epoch(new.run_at, path, fields) if new.HasField("run_at") else 0
    if name == "estimated_duration":
        return milliseconds(new.estimated_duration, path, fields, 0, limits.duration)
    if name == "labels":
        return fields.pairs(path, new.labels, limits.labels, LABEL_VALUE)
    return fields.pairs(path, new.metadata, limits.metadata, METADATA_VALUE)


def _hash(parts: tuple[Any, ...], payload: Payload | None) -> bytes:
    """Return 16 bytes that differ when a field differs; the payload goes in beside its length, so that no two bodies look alike."""
    body = (payload.content_type, len(payload.data)) if payload else None
    digest = blake2b(repr((parts, body)).encode(), digest_size=16)
    if payload:
        digest.update(payload.data)
    return digest.digest()
