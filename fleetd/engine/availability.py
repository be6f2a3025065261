"""How much of the time each instance was READY (spec R12)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

HOUR = 3_600_000
DAY = 24 * HOUR
CHANGES_KEPT = 1_000
"""Changes remembered of one instance: one that flaps more often than every 86 s of a day is judged by what is left of them."""


class Availability:
    """Changes of state of the last day, in monotonic milliseconds; it begins with the daemon."""

    def __init__(self) -> None:
        self._changes: dict[str, deque[tuple[int, bool]]] = {}

    def note(self, instance_id: str, now: int, *, ready: bool) -> None:
        """Note how an instance is from now on."""
        changes = self._changes.setdefault(instance_id, deque(maxlen=CHANGES_KEPT))
        if changes and changes[-1][1] is ready:
            return
        # The last change before the day tells how the day began.
        while len(changes) > 1 and changes[1][0] <= now - DAY:
            changes.popleft()
        changes.append((now, ready))

    def forget(self, instance_id: str) -> None:
        self._changes.pop(instance_id, None)

    def ratio(self, instance_ids: Iterable[str], span: int, now: int) -> float:
        """Return time READY / time registered of all these instances together, within the last `span` ms; -1.0 when no time has passed."""
        ready = known = 0
        for instance_id in instance_ids:
            until = now
            for since, was_ready in reversed(self._changes.get(instance_id, ())):
                begin = max(since, now - span)
                if begin < until:
                    known += until - begin
                    ready += until - begin if was_ready else 0
                until = since
                if since <= now - span:
                    break
        return ready / known if known else -1.0
