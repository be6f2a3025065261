"""The columns of each kind of thing: what people see of a task, a result, an agent, an event."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fleetd_client import stubs as s
from fleetd_client.cli.output import Column, Shown
from fleetd_client.cli.record import record
from fleetd_client.cli.times import clock, length, since
from fleetd_client.words import name

WIDE, ALONE = Shown.WIDE, Shown.ALONE


def status(task: Any) -> str:
    """The short name of a task's, or a result's, status."""
    return name(s.TaskStatus, "TASK_STATUS", task.status)


def text(payload: Any) -> str:
    """A payload for people: its text, or how many bytes there are."""
    body = payload.WhichOneof("body")
    if body == "text":
        return str(payload.text)
    return f"{len(payload.data)} bytes of {payload.content_type}" if body == "data" else ""


def host_state(one: Any) -> str:
    """The short name of a host's state, or that its definition keeps it out."""
    off = one.host.HasField("enabled") and not one.host.enabled
    return "DISABLED" if off else name(s.HostState, "HOST_STATE", one.state)


def _tasks(one: Any) -> str:
    return f"{sum(one.running.values())}/{sum(agent.max_concurrency for agent in one.host.agents)}"


def _capabilities(one: Any) -> list[str]:
    return sorted({each for agent in one.host.agents for each in agent.capabilities})


def _mode(task: Any) -> str:
    """The execution mode, and who decided it."""
    source = name(s.ModeSource, "MODE_SOURCE", task.mode_source).lower() if task.mode_source else ""
    mode = name(s.ExecutionMode, "EXECUTION_MODE", task.execution_mode)
    return f"{mode} ({source})" if source else mode


def _rollout(task: Any) -> str:
    """The mode a rollout gave a task, and why; a shadow says that it is one."""
    if not task.HasField("rollout"):
        return ""
    its = task.rollout
    parts = [
        name(s.DecisionCause, "DECISION_CAUSE", its.cause) if its.cause else "",
        "on trial" if its.trial else "",
        "shadow" if its.shadow else "",
    ]
    return f"{its.rollout}: {its.mode} ({', '.join(part for part in parts if part)})"


def _told(task: Any) -> str:
    return f"{task.task_event_seq} events: fleetctl tasks stream {task.id}" if task.task_event_seq else ""


def _when(field: str) -> Callable[[Any, float], str]:
    """When a Timestamp field was; empty when it is unset."""
    return lambda thing, now: since(getattr(thing, field), now) if thing.HasField(field) else ""


def _span(field: str) -> Callable[[Any, float], str]:
    return lambda thing, _: length(getattr(thing, field)) if thing.HasField(field) else ""


def _field(field: str) -> Callable[[Any, float], str]:
    return lambda thing, _: str(getattr(thing, field) or "")


def _words(field: str) -> Callable[[Any, float], str]:
    return lambda thing, _: ",".join(getattr(thing, field))


def _pairs(mapping: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_value(value)}" for key, value in sorted(mapping.items()))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _error(thing: Any, _: float) -> str:
    return f"{thing.error.code}: {thing.error.message}" if thing.HasField("error") else ""


TASK = (
    Column("ID", _field("id")),
    Column("STATUS", lambda task, _: status(task)),
    Column("TITLE", _field("title"), free=True),
    Column("PRIORITY", lambda task, _: name(s.Priority, "PRIORITY", task.priority), WIDE),
    Column("AGENT", _field("agent_id")),
    Column("MODE", lambda task, _: _mode(task), WIDE),
    Column("HOST", _field("host_id"), WIDE),
    Column("ATTEMPT", lambda task, _: f"{task.attempt}/{task.max_attempts}"),
    Column("PROGRESS", lambda task, _: f"{task.progress}%", right=True),
    Column("CREATED", _when("created_at")),
    Column("UPDATED", _when("updated_at"), WIDE),
    Column("ORG", _field("org_id"), WIDE),
    Column("TYPE", _field("task_type"), WIDE),
    Column("REQUIRES", _words("required_capabilities"), WIDE),
    Column("TAGS", _words("tags"), WIDE),
    Column("ERROR", _error, WIDE, free=True),
    Column("DESCRIPTION", _field("description"), ALONE),
    Column("MESSAGE", _field("progress_message"), ALONE),
    Column("INPUT", lambda task, _: text(task.input), ALONE),
    Column("CHECKPOINT", lambda task, _: _checkpoint(task), ALONE),
    Column("LABELS", lambda task, _: _pairs(task.labels), ALONE),
    Column("METADATA", lambda task, _: _pairs(task.metadata), ALONE),
    Column("RESERVED FOR", _field("reserved_for"), ALONE),
    Column("INSTANCE", _field("instance"), ALONE),
    Column("ROLLOUT", lambda task, _: _rollout(task), ALONE),
    Column("SHADOW OF", lambda task, _: str(task.rollout.shadow_of), ALONE),
    Column("TOLD", lambda task, _: _told(task), ALONE),
    Column("RUN AT", _when("run_at"), ALONE),
    Column("NEXT RETRY", _when("next_retry_at"), ALONE),
    Column("STARTED", _when("started_at"), ALONE),
    Column("FINISHED", _when("finished_at"), ALONE),
    Column("DEADLINE", _when("deadline"), ALONE),
    Column("TIMEOUT", _span("timeout"), ALONE),
    Column("CANCEL ASKED", _when("cancel_requested_at"), ALONE),
    Column("LOSSES", _field("losses"), ALONE),
    Column("PARENT", _field("parent_task_id"), ALONE),
    Column("REF", _field("external_ref"), ALONE),
    Column("KEY", _field("idempotency_key"), ALONE),
    Column("LEASE EPOCH", _field("lease_epoch"), ALONE),
    Column("VERSION", _field("version"), ALONE),
)

HOST = (
    Column("ID", lambda one, _: str(one.host.id)),
    Column("STATE", lambda one, _: host_state(one)),
    Column("HOSTNAME", lambda one, _: str(one.host.hostname)),
    Column("AGENTS", lambda one, _: ",".join(agent.type for agent in one.host.agents)),
    Column("TASKS", lambda one, _: _tasks(one), right=True),
    Column("CAPABILITIES", lambda one, _: ",".join(_capabilities(one)), free=True),
    Column("SINCE", _when("since")),
    Column("WHY", _field("reason"), free=True),
    Column("USER", lambda one, _: str(one.host.user), WIDE),
    Column("PORT", lambda one, _: str(one.host.port), WIDE, right=True),
    Column("SOURCE", _field("source"), WIDE),
    Column("HELD", lambda one, _: "yes" if one.held else "", WIDE),
    Column("WORK DIR", lambda one, _: str(one.host.work_dir), ALONE),
    Column("KEY FILE", lambda one, _: str(one.host.key_file), ALONE),
    Column("KNOWN HOSTS", lambda one, _: str(one.host.known_hosts), ALONE),
)

RESULT = (
    Column("TASK", _field("task_id")),
    Column("STATUS", lambda result, _: status(result)),
    Column("AGENT", _field("agent_id")),
    Column("ATTEMPT", _field("attempt"), right=True),
    Column("TOOK", _span("execution_time"), right=True),
    Column("RESULT", lambda result, now: _error(result, now) or text(result.output), free=True),
    Column("ARTIFACTS", lambda result, _: " ".join(one.uri for one in result.artifacts), WIDE),
    Column("FINISHED", _when("finished_at"), WIDE),
)

AGENT = (
    Column("ID", lambda agent, _: str(agent.spec.agent_id)),
    Column("STATUS", lambda agent, _: _agent_status(agent)),
    Column("CAPABILITIES", lambda agent, _: ",".join(agent.spec.capabilities), free=True),
    Column("TASKS", lambda agent, _: f"{agent.running_tasks}/{agent.spec.max_concurrency}", right=True),
    Column("DONE", lambda agent, _: str(agent.completed_tasks), right=True),
    Column("FAILED", lambda agent, _: str(agent.failed_tasks), right=True),
    Column("HEARTBEAT", _when("last_heartbeat_at")),
    Column("TYPE", lambda agent, _: str(agent.spec.agent_type), WIDE),
    Column("HOST", lambda agent, _: str(agent.spec.hostname), WIDE),
    Column("VERSION", lambda agent, _: str(agent.spec.software_version), WIDE),
    Column("LABELS", lambda agent, _: _pairs(agent.spec.labels), WIDE),
    Column("WHY", _field("status_reason"), WIDE, free=True),
    Column("REGISTERED", _when("registered_at"), ALONE),
    Column("SESSION", lambda agent, _: _session(agent), ALONE),
    Column("FAILURES IN A ROW", _field("consecutive_failures"), ALONE),
    Column("ENDPOINT", lambda agent, _: str(agent.spec.endpoint), ALONE),
    Column("METADATA", lambda agent, _: _pairs(agent.spec.metadata), ALONE),
)

EVENT = (
    Column("SEQ", _field("seq"), right=True),
    Column("TIME", lambda event, _: clock(event.time)),
    Column("TYPE", lambda event, _: name(s.EventType, "EVENT_TYPE", event.type), width=21),
    Column("TASK", _field("task_id"), width=26),
    Column("AGENT", _field("agent_id")),
    Column("DETAIL", lambda event, _: _pairs(record(event).get("payload", {})), free=True),
    Column("ORG", _field("org_id"), WIDE),
)

DEAD_LETTER = (
    Column("ID", _field("id")),
    Column("CAUSE", _field("reason")),
    Column("TITLE", _field("title"), free=True),
    Column("ERROR", _error, free=True),
    Column("REPLAYS", lambda entry, _: str(entry.replay_count), right=True),
    Column("DEAD SINCE", _when("last_time")),
    Column("ORG", _field("org_id"), WIDE),
    Column("TYPE", _field("task_type"), WIDE),
    Column("SUBMITTED", _when("first_time"), WIDE),
    Column("NEXT RETRY", _when("next_retry_at"), WIDE),
)

TRY = (
    Column("INSTANCE", _field("instance")),
    Column("CODE", _field("code")),
    Column("TRIED", _when("at")),
)

QUEUE_LIMITS = (
    Column("KIND", lambda limits, _: name(s.QueueKind, "QUEUE_KIND", limits.kind)),
    Column("NAME", _field("name")),
    Column("RUNNING", lambda limits, _: _of(limits.running, limits.max_running), right=True),
    Column("PENDING", lambda limits, _: _of_org(limits, _of(limits.pending, limits.max_pending)), right=True),
    Column("WEIGHT", lambda limits, _: _of_org(limits, f"{limits.weight:g}"), right=True),
    Column("PAUSED", lambda limits, _: "PAUSED" if limits.paused else ""),
    Column("WHY", _field("reason"), free=True),
)

AUDIT = (
    Column("TIME", lambda line, _: clock(line.time)),
    Column("ACTOR", _field("actor")),
    Column("ACTION", _field("action")),
    Column("TARGET", _field("target"), free=True),
    Column("REASON", _field("reason"), free=True),
    Column("ID", _field("id"), WIDE),
)

EXPLANATION = (
    Column("TASK", _field("task_id")),
    Column("STATUS", lambda answer, _: status(answer)),
    Column("WHY", _field("sentence")),
    Column("UNSCHEDULABLE", _when("unschedulable_since")),
)

REASON = (
    Column("CODE", _field("code")),
    Column("TEXT", _field("text"), free=True),
    Column("NUMBERS", lambda reason, _: _pairs(reason.numbers)),
)


def _of(number: int, limit: int) -> str:
    return f"{number}/{limit}" if limit else str(number)


def _of_org(limits: Any, text: str) -> str:
    """What only orgs have: capabilities neither count waiting tasks nor share by weight."""
    return text if limits.kind == s.QueueKind.QUEUE_KIND_ORG else ""


def _checkpoint(task: Any) -> str:
    if not task.HasField("checkpoint"):
        return ""
    steps = ", ".join(task.checkpoint.completed_steps)
    return f"{len(task.checkpoint.data)} bytes" + (f", steps done: {steps}" if steps else "")


def _agent_status(agent: Any) -> str:
    """Of status, connection and draining the one that says most about whether it will work."""
    short = name(s.AgentStatus, "AGENT_STATUS", agent.status)
    if not agent.connected:
        return "OFFLINE" if short in {"IDLE", "RUNNING"} else f"{short} OFFLINE"
    return "DRAINING" if agent.draining and short in {"IDLE", "RUNNING"} else short


def _session(agent: Any) -> str:
    kind = name(s.SessionKind, "SESSION_KIND", agent.session_kind).lower()
    return f"{kind}, number {agent.session_epoch}"
