"""
What somebody should be told at once: a breaker that opens or closes, dead letters above a threshold, a rollout that falls back (spec F8).

Events that make alerts name what they concern in their payload: BREAKER_* {kind, name, reason}, ROLLOUT_FALLBACK_* {rollout, org_id, reason}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fleetd.core.event import Event, EventType

PLACEHOLDERS = ("kind", "name", "state", "reason", "time")

BREAKERS: Mapping[EventType, str] = {EventType.BREAKER_OPENED: "OPEN", EventType.BREAKER_CLOSED: "CLOSED"}
ROLLOUTS: Mapping[EventType, str] = {
    EventType.ROLLOUT_FALLBACK_ON: "FALLBACK",
    EventType.ROLLOUT_FALLBACK_OFF: "RECOVERED",
}
DEAD_LETTERS = frozenset({EventType.TASK_DEAD_LETTERED, EventType.TASK_REPLAYED, EventType.TASK_DISCARDED})
"""Events after which the number of dead letters is another."""
WATCHED = frozenset({*BREAKERS, *ROLLOUTS, *DEAD_LETTERS})

REASON = 500
"""Characters of a reason in an alert: the words of a provider's error can be a page."""


class Alert(NamedTuple):
    """
    One thing to tell. `kind` is provider_breaker, instance_breaker, host_breaker, rollout or dead_letters; `state` OPEN, CLOSED, FALLBACK, RECOVERED,
    ABOVE or BELOW; `time` epoch milliseconds.
    """

    kind: str
    name: str
    state: str
    reason: str
    time: int


def alert_of(event: Event) -> Alert | None:
    """Return the alert an event is by itself; None when it is none."""
    payload = event.payload or {}
    if event.type in BREAKERS:
        kind = f"{_text(payload, 'kind').lower() or 'provider'}_breaker"
        return Alert(kind, _text(payload, "name"), BREAKERS[event.type], _text(payload, "reason"), event.time)
    if event.type in ROLLOUTS:
        org_id = _text(payload, "org_id")
        name = _text(payload, "rollout") + (f" (org {org_id})" if org_id else "")
        return Alert("rollout", name, ROLLOUTS[event.type], _text(payload, "reason"), event.time)
    return None


def dead_letters_alert(number: int, above: int, time: int, *, alarmed: bool) -> Alert | None:
    """
    Return the alert that the number of dead letters is worth; None when nothing changed.

    Args:
        number: dead letters now; counted no further than `above` + 1.
        above: the threshold; 0 means never.
        time: epoch milliseconds.
        alarmed: the last alert said ABOVE. Told once at the crossing, and once when it is over.
    """
    if not above or (number > above) is alarmed:
        return None
    if alarmed:
        state, reason = "BELOW", f"{number:,} dead letter{'' if number == 1 else 's'}, threshold {above:,}"
    else:
        state, reason = "ABOVE", f"more than {above:,} dead letter{'' if above == 1 else 's'}"
    return Alert("dead_letters", "dead letters", state, reason, time)


def body(template: str, alert: Alert, *, as_json: bool) -> str:
    """Return the template with {kind} {name} {state} {reason} {time} replaced; escaped for JSON strings with `as_json`. Other braces stay."""
    moment = datetime.fromtimestamp(alert.time / 1_000, UTC).isoformat(timespec="seconds")
    values = {**alert._asdict(), "time": moment.replace("+00:00", "Z"), "reason": alert.reason[:REASON]}

    def value(found: re.Match[str]) -> str:
        text = values[found[1]]
        return json.dumps(text)[1:-1] if as_json else text

    return re.sub(rf"{{({'|'.join(PLACEHOLDERS)})}}", value, template)


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    return "" if value is None else str(value)
