"""Rollouts into messages; definitions of rollouts out of them (spec G1 to G4, G7)."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration

from fleet.v1 import rollout_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import MILLI, NANOS, duration_into, timestamp
from fleetd.core.rollout import Origin, Rollout, RolloutMode, Targets
from fleetd.core.rollout_definition import COUNTS, FALLBACK_FIELDS, SPANS, rollout

BUCKETS = {rollout_pb2.ROLLOUT_BUCKET_ORG: "org", rollout_pb2.ROLLOUT_BUCKET_SESSION: "session"}


def rollout_in(message: rollout_pb2.Rollout) -> Rollout:
    """
    Return the rollout a message defines; what the daemon alone sets (hash_version, origin, version, updated_at) is passed over, so that an answer can be
    changed and sent back.

    Raises:
        InvalidArgument: naming every bad field.
    """
    bucket = message.bucket_by
    fields = {
        "name": message.name,
        "old_mode": _mode_fields(message.old_mode) if message.HasField("old_mode") else None,
        "new_mode": _mode_fields(message.new_mode) if message.HasField("new_mode") else None,
        "default_mode": message.default_mode,
        "explicit_mode": message.explicit_mode,
        "allow_orgs": list(message.allow_orgs),
        "deny_orgs": list(message.deny_orgs),
        "percent": message.percent,
        "bucket_by": BUCKETS.get(bucket, bucket or None),
        "salt": message.salt,
        "shadow_percent": message.shadow_percent,
        "shadow_limit": message.shadow_limit or None,
        "fallback": _rule_fields(message.fallback),
        "health_url": message.health_url,
        "targets": _target_fields(message.targets),
    }
    return rollout(fields, origin=Origin.STORE)


def _mode_fields(message: rollout_pb2.RolloutMode) -> dict[str, Any]:
    return {"name": message.name, "required_capabilities": list(message.required_capabilities)}


def _rule_fields(message: rollout_pb2.FallbackRules) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in FALLBACK_FIELDS:
        if name in SPANS:
            found[name] = _text(getattr(message, name)) if message.HasField(name) else None
        elif name in COUNTS:
            found[name] = getattr(message, name) or None
        elif name == "per_org":
            found[name] = message.per_org
        else:
            found[name] = getattr(message, name) if message.HasField(name) else None
    return found


def _target_fields(message: rollout_pb2.RolloutTargets) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in Targets._fields:
        value = getattr(message, name) if message.HasField(name) else None
        found[name] = _text(value) if isinstance(value, Duration) else value
    return found


def _text(span: Duration) -> str:
    """Return a duration as it is written in a file; what is below a millisecond is left out, and what is no duration is none in words either."""
    if span.seconds < 0 or not 0 <= span.nanos < NANOS:
        return f"{span.seconds} s {span.nanos} ns"
    return f"{span.seconds * 1_000 + span.nanos // MILLI}ms"


def rollout_into(message: rollout_pb2.Rollout, known: Rollout) -> None:
    """Fill an empty message with a rollout, whatever it leaves to the defaults included."""
    message.name = known.name
    _mode_into(message.old_mode, known.old)
    _mode_into(message.new_mode, known.new)
    message.default_mode = known.default
    message.explicit_mode = known.explicit
    message.allow_orgs.extend(sorted(known.allow))
    message.deny_orgs.extend(sorted(known.deny))
    message.percent = known.percent
    message.bucket_by = enum_out(known.bucket_by)
    message.salt = known.salt
    message.hash_version = known.hash_version
    message.shadow_percent = known.shadow_percent
    message.shadow_limit = known.shadow_limit
    for name in FALLBACK_FIELDS:
        _value_into(message.fallback, name, getattr(known.fallback, name))
    message.health_url = known.health_url
    for name, value in known.targets._asdict().items():
        if value is not None:
            _value_into(message.targets, name, value)
    message.origin = enum_out(known.origin)
    message.version = known.version
    if known.updated_at:
        message.updated_at.CopyFrom(timestamp(known.updated_at))


def _mode_into(message: rollout_pb2.RolloutMode, known: RolloutMode) -> None:
    message.name = known.name
    message.required_capabilities.extend(known.required_capabilities)


def _value_into(
    message: rollout_pb2.FallbackRules | rollout_pb2.RolloutTargets, name: str, value: float
) -> None:
    """Set a field, whose durations are milliseconds."""
    field = getattr(message, name)
    if isinstance(field, Duration):
        duration_into(field, value)  # type: ignore[arg-type]
    else:
        setattr(message, name, value)
