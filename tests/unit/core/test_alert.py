"""What is worth an alert, and in which words."""

import json

import pytest

from fleetd.core.alert import REASON, Alert, alert_of, body, dead_letters_alert
from fleetd.core.event import Event, EventType

NOW = 1_767_225_600_000  # 2026-01-01


@pytest.mark.parametrize(
    ("kind", "payload", "alert"),
    [
        (
            EventType.BREAKER_OPENED,
            {"kind": "PROVIDER", "name": "openai", "reason": "3 strikes, 503"},
            Alert("provider_breaker", "openai", "OPEN", "3 strikes, 503", NOW),
        ),
        (
            EventType.BREAKER_CLOSED,
            {"kind": "instance", "name": "ollama:qwen"},
            Alert("instance_breaker", "ollama:qwen", "CLOSED", "", NOW),
        ),
        (
            EventType.ROLLOUT_FALLBACK_ON,
            {"rollout": "chat", "reason": "error rate too high"},
            Alert("rollout", "chat", "FALLBACK", "error rate too high", NOW),
        ),
        (EventType.ROLLOUT_FALLBACK_OFF, {"rollout": "chat"}, Alert("rollout", "chat", "RECOVERED", "", NOW)),
        (
            EventType.ROLLOUT_FALLBACK_ON,
            {"rollout": "chat", "org_id": "acme", "reason": "errors"},
            Alert("rollout", "chat (org acme)", "FALLBACK", "errors", NOW),
        ),
        (EventType.BREAKER_HALF_OPEN, {"name": "openai"}, None),
        (EventType.TASK_DEAD_LETTERED, {}, None),
        (EventType.BREAKER_OPENED, None, Alert("provider_breaker", "", "OPEN", "", NOW)),
    ],
)
def test_breakers_that_open_or_close_and_rollouts_that_fall_back_are_alerts(kind, payload, alert):
    """F8."""
    assert alert_of(Event(kind, NOW, payload=payload)) == alert


def test_dead_letters_are_told_once_above_the_threshold_and_once_when_it_is_over():
    """F8: above, not at it; 0 means never."""
    assert dead_letters_alert(10, 10, NOW, alarmed=False) is None
    above = dead_letters_alert(11, 10, NOW, alarmed=False)
    assert above == Alert("dead_letters", "dead letters", "ABOVE", "more than 10 dead letters", NOW)
    assert dead_letters_alert(1_500, 10, NOW, alarmed=True) is None
    below = dead_letters_alert(10, 10, NOW, alarmed=True)
    assert below is not None
    assert below.state == "BELOW"
    assert dead_letters_alert(1_500, 0, NOW, alarmed=False) is None


AWKWARD = Alert("provider_breaker", 'o"penai', "OPEN", "line\nbreak \\ {kind} {0} é", NOW)


def test_values_are_escaped_where_the_body_is_json():
    """F8: whatever a provider's error says, the body stays JSON and no value is taken for a placeholder."""
    text = body('{"chat_id": 7, "text": "{kind} {name} {state}: {reason} ({time})"}', AWKWARD, as_json=True)
    assert json.loads(text) == {
        "chat_id": 7,
        "text": 'provider_breaker o"penai OPEN: line\nbreak \\ {kind} {0} é (2026-01-01T00:00:00Z)',
    }


def test_in_plain_text_values_stand_as_they_are_and_other_braces_stay():
    assert (
        body("{name}|{reason}|{other}|{}", AWKWARD, as_json=False)
        == 'o"penai|line\nbreak \\ {kind} {0} é|{other}|{}'
    )


def test_a_long_reason_is_cut():
    assert body("{reason}", AWKWARD._replace(reason="x" * 1_000), as_json=False) == "x" * REASON
