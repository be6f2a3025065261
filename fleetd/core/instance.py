"""Model instances: what they are, and how they are at present (spec R1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fleetd.errors import NotFound


class Kind(IntEnum):
    """Where an instance runs, and who pays; numbers equal fleet.v1.InstanceKind."""

    LOCAL = 1
    CLOUD = 2
    PAID = 3


class InstanceState(IntEnum):
    """Whether an instance can take work; numbers equal fleet.v1.InstanceState."""

    UNKNOWN = 1
    READY = 2
    DEGRADED = 3
    ERROR = 4
    STOPPED = 5
    DISCONNECTED = 6


class ProbeKind(IntEnum):
    """What a probe asks; numbers equal fleet.v1.ProbeKind, NONE is its UNSPECIFIED."""

    NONE = 0
    HTTP = 1
    TCP = 2


@dataclass(frozen=True, slots=True)
class Instance:
    """
    A model instance that tasks can be routed to, as somebody defined it.

    `tags` sorted, lower case, aliases resolved; `ctx` in tokens, 0 = unknown; `timeout` in milliseconds; costs in US dollars for a million tokens,
    0 = unknown or free; `max_inflight` 0 = no limit; `deprecated_at` epoch ms, 0 = never; `credential` "env:NAME", "file:PATH" or "".
    `source` is file, rpc or catalogue.
    """

    id: str
    provider_id: str
    kind: Kind = Kind.CLOUD
    tags: tuple[str, ...] = ()
    ctx: int = 0
    model: str = ""
    base_url: str = ""
    priority: int = 100
    max_retries: int = 3
    timeout: int = 30_000
    enabled: bool = True
    max_inflight: int = 0
    input_cost: float = 0.0
    output_cost: float = 0.0
    deprecated_at: int = 0
    credential: str = ""
    probe: ProbeKind = ProbeKind.NONE
    probe_url: str = ""
    failover: bool = False
    source: str = "rpc"


@dataclass(frozen=True, slots=True)
class Condition:
    """
    How an instance is. `latency` is the weighted mean of its probes, ms, None = unknown; `since` epoch ms; `held` when an operator set the state and
    only an operator changes it; `credentials` False when the credential it names is missing.
    """

    state: InstanceState = InstanceState.READY
    reason: str = ""
    since: int = 0
    latency: float | None = None
    held: bool = False
    credentials: bool = True


def provider_of(instance_id: str) -> str:
    """Return the provider: what stands before the first colon, or all of a bare provider id."""
    return instance_id.partition(":")[0]


def first_condition(instance: Instance, now: int) -> Condition:
    """Return how an instance is that nobody has tried: UNKNOWN until its first probe, READY when it has none (R1)."""
    state = InstanceState.READY if instance.probe is ProbeKind.NONE else InstanceState.UNKNOWN
    return Condition(state, "" if state is InstanceState.READY else "not probed yet", now)


def unknown_instance(instance_id: str, nearest: str) -> NotFound:
    """Return the refusal of an id that nobody registered."""
    hint = f"; the nearest name is {nearest}" if nearest else ""
    return NotFound(
        "INSTANCE_NOT_FOUND", f"no instance is called {instance_id!r}{hint}", {"instance": instance_id}
    )
