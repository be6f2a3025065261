"""Who may try a half-open breaker: one at a time (spec F3b, F3c)."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import NamedTuple

from fleetd.core.breaker import BreakerKey, BreakerRules


class Probe(NamedTuple):
    """Who asks whether a half-open breaker's subject is well: a token for the holder, and until when (epoch ms) nobody else may."""

    token: int
    until: int


class Probes:
    """
    The one probe of each half-open breaker, held by a lease that ends by itself (F3b, F3c). Safe between threads.

    A token guards the place alone: what a probe found out counts by its breaker's epoch, however late it comes.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._probes: dict[BreakerKey, Probe] = {}
        self._token = 0

    def take(self, key: BreakerKey, now: int, rules: BreakerRules) -> int | None:
        """Return a token, or None while somebody else holds the probe."""
        with self._lock:
            held = self._probes.get(key)
            if held is not None and now < held.until:
                return None
            self._token += 1
            self._probes[key] = Probe(self._token, now + rules.probe_lease)
            return self._token

    def release(self, key: BreakerKey, token: int) -> bool:
        """Give the probe back; False when it had passed to another, who keeps it."""
        with self._lock:
            held = self._probes.get(key)
            if held is None or held.token != token:
                return False
            del self._probes[key]
            return True

    def holds(self, key: BreakerKey, token: int, now: int) -> bool:
        """Tell whether a token still has its probe."""
        with self._lock:
            held = self._probes.get(key)
            return held is not None and held.token == token and now < held.until

    def held(self, now: int) -> Mapping[BreakerKey, int]:
        """Return until when each probe is held, by key; those that have ended are left out and forgotten."""
        if not self._probes:
            return {}
        with self._lock:
            for key in [key for key, probe in self._probes.items() if now >= probe.until]:
                del self._probes[key]
            return {key: probe.until for key, probe in self._probes.items()}
