"""Who may try a half-open breaker: one at a time (spec F3b, F3c)."""

from __future__ import annotations

from threading import Lock

from fleetd.core.breaker import BreakerKey


class Probes:
    """
    The one probe of each half-open breaker, held by a lease: whoever takes it and never reports gives it up when the lease ends.

    Under a lock: the thread that writes and the one that routes both take probes.
    """

    def __init__(self) -> None:
        self._held: dict[BreakerKey, tuple[int, object]] = {}
        self._lock = Lock()

    def take(self, key: BreakerKey, now: int, lease: int) -> object | None:
        """Return a token when the probe is the caller's until `now` + `lease`, None while another holds it."""
        with self._lock:
            if self._busy(key, now):
                return None
            token = object()
            self._held[key] = now + lease, token
            return token

    def give_back(self, key: BreakerKey, token: object) -> None:
        """End the probe, if the token still holds it."""
        with self._lock:
            if key in self._held and self._held[key][1] is token:
                del self._held[key]

    def busy(self, key: BreakerKey, now: int) -> bool:
        """Tell whether the probe is held."""
        with self._lock:
            return self._busy(key, now)

    def _busy(self, key: BreakerKey, now: int) -> bool:
        return key in self._held and self._held[key][0] > now
