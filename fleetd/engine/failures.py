"""Failures of the store, as callers are told of them: by a stable reason, and nothing of the inside."""

from __future__ import annotations

from fleetd.errors import FleetError, Overloaded, Unavailable
from fleetd.store.base import CommitUnclear, StoreBroken, StoreFull


def full() -> Overloaded:
    return Overloaded("STORE_FULL", "the store has no room; nothing was taken", 1_000)


def broken() -> Unavailable:
    return Unavailable("STORE_BROKEN", "the store cannot be used")


def store_failure(error: BaseException) -> FleetError | None:
    """Return what a caller is told when the store failed; None when it was something else."""
    if isinstance(error, StoreFull):
        return full()
    if isinstance(error, StoreBroken):
        return broken()
    if isinstance(error, CommitUnclear):
        return Unavailable("STORE_UNCLEAR", "it is not known whether all of it was written; ask again")
    return None
