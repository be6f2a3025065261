"""Limits of an engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetd.engine.route_ring import RouterOptions


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits of the engine: commands that may wait, commands and bytes of one batch, acknowledgements that may wait for one agent."""

    queue_limit: int = 10_000
    batch_limit: int = 1_000
    batch_bytes: int = 4 * 1024 * 1024
    outbox_limit: int = 10_000
    router: RouterOptions = field(default_factory=RouterOptions)
