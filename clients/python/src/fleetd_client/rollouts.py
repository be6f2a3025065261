"""What the clients' methods ask about rollouts: which mode does a piece of work, how both fare, and what operators change; a sister of `routes`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.decision import Decision, use
from fleetd_client.errors import InvalidArgument
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.times import Span
from fleetd_client.times import duration as wire


def decide_mode(
    rollout: str, *, org_id: str = "", session_id: str = "", dry_run: bool = False
) -> Plan[Decision]:
    """
    Which mode shall do a piece of work, and why. `mode_of` asks this and reports what came of it by itself; otherwise report_outcome takes
    `rollout=decision.outcome()`. dry_run only looks: no trial traffic and no place of a shadow is used up. NotFound (ROLLOUT_NOT_FOUND).
    """
    request = s.DecideModeRequest(use=use(rollout, org_id, session_id), dry_run=dry_run)
    return Decision.of((yield from ask(m.DECIDE_MODE, request)))


def put_rollout(rollout: s.Rollout | Mapping[str, Any], *, expected_version: int = 0) -> Plan[s.Rollout]:
    """
    Add a rollout, or replace its definition; what it learnt stays. A mapping has the names of the API, spans as "300s" or "5m".
    FailedPrecondition (ROLLOUT_DEFINED_ELSEWHERE, SALT_CHANGED), Aborted when expected_version is stale.
    """
    request = s.PutRolloutRequest(rollout=definition(rollout), expected_version=expected_version)
    return ask(m.PUT_ROLLOUT, request)


def get_rollout(name: str) -> Plan[s.GetRolloutResponse]:
    """A rollout's definition with its origin, its fallback, and the orgs that are in fallback on their own; NotFound (ROLLOUT_NOT_FOUND)."""
    return ask(m.GET_ROLLOUT, s.GetRolloutRequest(name=name))


def list_rollouts() -> Plan[list[s.GetRolloutResponse]]:
    """All rollouts by name, as get_rollout shows them."""
    found: list[s.GetRolloutResponse] = []
    token = ""
    while True:
        request = s.ListRolloutsRequest(page_size=1_000, page_token=token)
        response = yield from ask(m.LIST_ROLLOUTS, request)
        found += response.rollouts
        token = response.next_page_token
        if not token:
            return found


def remove_rollout(name: str, *, reason: str = "") -> Plan[None]:
    """Forget a rollout of the store, and what it learnt."""
    yield from ask(m.REMOVE_ROLLOUT, s.RemoveRolloutRequest(name=name, reason=reason))


def force_fallback(
    rollout: str, *, reason: str, org_id: str = "", off: bool = False, duration: Span | None = None
) -> Plan[s.FallbackState]:
    """The old mode for all, or for one org; with `off` instead no fallback by itself. For `duration`, or until it is reset."""
    request = s.ForceFallbackRequest(
        rollout=rollout, org_id=org_id, off=off, reason=reason, duration=wire(duration)
    )
    return ask(m.FORCE_FALLBACK, request)


def reset_fallback(rollout: str, *, reason: str, org_id: str = "") -> Plan[s.FallbackState]:
    """End fallback, trial and what was forced; a new epoch begins, in which older outcomes count no more."""
    return ask(m.RESET_FALLBACK, s.ResetFallbackRequest(rollout=rollout, org_id=org_id, reason=reason))


def rollout_metrics(
    rollout: str, *, org_id: str = "", orgs: bool = False
) -> Plan[s.GetRolloutMetricsResponse]:
    """How both modes and the shadows fared within the window, as a whole or of one org; with `orgs` also of each org."""
    return ask(m.GET_ROLLOUT_METRICS, s.GetRolloutMetricsRequest(rollout=rollout, org_id=org_id, orgs=orgs))


def comparison_page(
    position: Any,
    rollout: str = "",
    *,
    id: str = "",  # noqa: A002 - as the API calls it
    different: bool = False,
    page_size: int = 100,
) -> Plan[Page[s.Comparison]]:
    """Work beside its shadow, newest first; `id` is a task, its shadow or a decision. `different` leaves out what is the same."""
    request = s.ListComparisonsRequest(
        rollout=rollout, id=id, different=different, page_size=page_size, page_token=position or ""
    )
    response = yield from ask(m.LIST_COMPARISONS, request)
    return Page(response.comparisons, response.next_page_token or None)


def definition(rollout: s.Rollout | Mapping[str, Any]) -> s.Rollout:
    """The message of a definition; InvalidArgument says what in a mapping there is not. Spans and buckets may also be written as in the daemon's file."""
    if isinstance(rollout, s.Rollout):
        return rollout
    whole = s.Rollout()
    try:
        ParseDict(_plain(rollout), whole)
    except ParseError as error:
        raise InvalidArgument([("rollout", str(error))]) from error
    return whole


SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|m|h)")
SECONDS = {"ms": 0.001, "m": 60.0, "h": 3_600.0}


def _plain(rollout: Mapping[str, Any]) -> dict[str, Any]:
    """The form that protobuf reads: "5m" as "300s", "session" as ROLLOUT_BUCKET_SESSION."""
    fields = dict(rollout)
    for name in ("bucket_by", "bucketBy"):
        if isinstance(fields.get(name), str) and fields[name].lower() in ("org", "session"):
            fields[name] = f"ROLLOUT_BUCKET_{fields[name].upper()}"
    for name in ("fallback", "targets"):
        if isinstance(fields.get(name), Mapping):
            fields[name] = {key: _seconds(value) for key, value in fields[name].items()}
    return fields


def _seconds(value: Any) -> Any:
    found = SPAN.fullmatch(value) if isinstance(value, str) else None
    return f"{float(found[1]) * SECONDS[found[2]]:.9f}s" if found else value
