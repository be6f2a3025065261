"""Limits and defaults of the fields of requests (spec S7). Characters, bytes or counts; durations in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetd.core.task import RetryPolicy

SECOND = 1_000
DAY = 24 * 3_600 * SECOND

METADATA_VALUE = 4_096
LABEL_VALUE = 256
KEY = 256
"""Characters of external_ref and idempotency_key."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may hold. `input` bounds every payload and checkpoint; `retry` fills the unset parts of a policy."""

    input: int = 1 << 20
    message: int = 8 << 20
    title: int = 500
    description: int = 65_536
    batch: int = 1_000
    tags: int = 64
    labels: int = 64
    metadata: int = 64
    capabilities: int = 64
    artifacts: int = 100
    page: int = 1_000
    default_max_attempts: int = 3
    max_attempts: int = 100
    max_concurrency: int = 10_000
    timeout: int = 30 * DAY
    duration: int = 365 * DAY
    default_wait: int = 30 * SECOND
    wait: int = 600 * SECOND
    claim_wait: int = 60 * SECOND
    default_lease: int = 60 * SECOND
    lease: int = 3_600 * SECOND
    delivery: int = 3 << 20
    retry: RetryPolicy = field(default_factory=RetryPolicy)
