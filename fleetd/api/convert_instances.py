"""Model instances and breakers into messages; definitions of instances out of them (spec R1, F3)."""

from __future__ import annotations

from datetime import UTC, datetime

from fleet.v1 import instance_pb2
from fleetd.api.convert_enums import enum_out
from fleetd.api.convert_times import duration, duration_into, timestamp
from fleetd.api.validate import Fields
from fleetd.core.breaker import Breaker
from fleetd.core.definition import instance
from fleetd.core.instance import Condition, Instance, Kind, ProbeKind
from fleetd.errors import InvalidArgument

KINDS = {v.number: v.name for v in instance_pb2.InstanceKind.DESCRIPTOR.values}
PROBES = {v.number: v.name for v in instance_pb2.ProbeKind.DESCRIPTOR.values}
STATES = {v.number: v.name for v in instance_pb2.InstanceState.DESCRIPTOR.values if v.number}
BREAKER_KINDS = {v.number: v.name for v in instance_pb2.BreakerKind.DESCRIPTOR.values if v.number}

NAMES = {"timeout_sec": "timeout"}
"""Names of fields in messages, where files call them otherwise."""


def instance_in(message: instance_pb2.Instance) -> Instance:
    """Return the instance a message defines. Raises InvalidArgument naming every bad field."""
    fields = Fields()
    kind = fields.known("kind", message.kind, KINDS)
    probe = fields.known("probe", message.probe, PROBES)
    has = message.HasField
    made = None
    try:
        made = instance(
            {
                "id": message.id,
                "kind": Kind(kind) if kind and kind in KINDS else None,
                "tags": list(message.tags),
                "ctx": message.ctx,
                "model": message.model,
                "base_url": message.base_url,
                "priority": message.priority if has("priority") else None,
                "max_retries": message.max_retries if has("max_retries") else None,
                "timeout_sec": message.timeout.seconds + message.timeout.nanos / 1e9
                if has("timeout")
                else None,
                "enabled": message.enabled if has("enabled") else None,
                "max_inflight": message.max_inflight,
                "input_cost_per_mtok": message.input_cost_per_mtok,
                "output_cost_per_mtok": message.output_cost_per_mtok,
                "deprecation_date": message.deprecation_date,
                "credential": message.credential,
                "probe": ProbeKind(probe) if probe and probe in PROBES else None,
                "probe_url": message.probe_url,
                "failover": message.failover,
            },
            source="rpc",
        )
    except InvalidArgument as error:
        fields.errors += [(NAMES.get(path, path), right) for path, right in error.fields]
    if made is None or fields.errors:
        raise InvalidArgument(fields.errors)
    return made


def instance_into(message: instance_pb2.Instance, known: Instance) -> None:
    """Fill an empty message with an instance as it is defined."""
    message.id = known.id
    message.provider_id = known.provider_id
    message.kind = enum_out(known.kind)
    message.model = known.model
    message.priority = known.priority
    message.max_retries = known.max_retries
    duration_into(message.timeout, known.timeout)
    message.enabled = known.enabled
    if known.tags:
        message.tags.extend(known.tags)
    if known.ctx:
        message.ctx = known.ctx
    if known.base_url:
        message.base_url = known.base_url
    if known.max_inflight:
        message.max_inflight = known.max_inflight
    if known.input_cost:
        message.input_cost_per_mtok = known.input_cost
    if known.output_cost:
        message.output_cost_per_mtok = known.output_cost
    if known.deprecated_at:
        day = datetime.fromtimestamp(known.deprecated_at / 1_000, UTC).date()
        message.deprecation_date = day.isoformat()
    if known.credential:
        message.credential = known.credential
    if known.probe:
        message.probe = enum_out(known.probe)
        message.probe_url = known.probe_url
    if known.failover:
        message.failover = True


def status_out(
    known: Instance, condition: Condition, inflight: int, ready_1h: float, ready_24h: float
) -> instance_pb2.InstanceStatus:
    """Return how an instance is; the last two are shares of time, negative when nobody can tell."""
    message = instance_pb2.InstanceStatus(
        state=enum_out(condition.state),
        reason=condition.reason,
        inflight=inflight,
        source=known.source,
        credentials_present=condition.credentials,
        ready_ratio_1h=ready_1h,
        ready_ratio_24h=ready_24h,
    )
    instance_into(message.instance, known)
    if condition.since:
        message.since.CopyFrom(timestamp(condition.since))
    if condition.latency is not None:
        message.latency.CopyFrom(duration(round(condition.latency)))
    return message


def breaker_out(breaker: Breaker) -> instance_pb2.Breaker:
    message = instance_pb2.Breaker(
        kind=enum_out(breaker.kind),
        name=breaker.name,
        state=enum_out(breaker.state),
        failure_count=breaker.failures,
        last_error=breaker.last_error,
        forced=breaker.forced,
        epoch=breaker.epoch,
    )
    if breaker.opened_at:
        message.opened_at.CopyFrom(timestamp(breaker.opened_at))
    if breaker.retry_at:
        message.retry_at.CopyFrom(timestamp(breaker.retry_at))
    return message
