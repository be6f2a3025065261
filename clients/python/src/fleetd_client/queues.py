"""What the clients' methods ask about shares, limits and pauses, and about what operators did; the sister of `tasks`."""

from __future__ import annotations

from typing import Any

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.words import number


def pause_queue(kind: str | int, name: str, *, reason: str = "") -> Plan[s.QueueLimits]:
    """Let no further task of an org, or with a capability, begin; `kind` is ORG or CAPABILITY. What runs goes on."""
    return ask(m.PAUSE_QUEUE, s.PauseQueueRequest(kind=_kind(kind), name=name, reason=reason))


def resume_queue(kind: str | int, name: str, *, reason: str = "") -> Plan[s.QueueLimits]:
    """Let them begin again."""
    return ask(m.RESUME_QUEUE, s.ResumeQueueRequest(kind=_kind(kind), name=name, reason=reason))


def set_queue_limits(
    kind: str | int,
    name: str,
    *,
    weight: float | None = None,
    max_running: int | None = None,
    max_pending: int | None = None,
    reason: str = "",
) -> Plan[s.QueueLimits]:
    """Set an org's share and limits, or a capability's limit; only what is given changes, 0 lifts a limit."""
    request = s.SetQueueLimitsRequest(
        kind=_kind(kind),
        name=name,
        weight=weight,
        max_running=max_running,
        max_pending=max_pending,
        reason=reason,
    )
    return ask(m.SET_QUEUE_LIMITS, request)


def queue_limits_page(
    position: Any, *, kind: str | int | None = None, page_size: int = 1_000
) -> Plan[Page[s.QueueLimits]]:
    """Orgs and capabilities that have a rule or something to do, orgs first."""
    request = s.ListQueueLimitsRequest(kind=_kind(kind), page_size=page_size, page_token=position or "")
    response = yield from ask(m.LIST_QUEUE_LIMITS, request)
    return Page(response.limits, response.next_page_token or None)


def audit_page(
    position: Any, *, action: str = "", target: str = "", page_size: int = 100
) -> Plan[Page[s.AuditLine]]:
    """What operators did, newest first; of one method, or to one target."""
    request = s.ListAuditsRequest(
        action=action, target=target, page_size=page_size, page_token=position or ""
    )
    response = yield from ask(m.LIST_AUDITS, request)
    return Page(response.lines, response.next_page_token or None)


def _kind(value: str | int | None) -> Any:
    return number(s.QueueKind, "QUEUE_KIND", value, "kind")
