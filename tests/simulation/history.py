"""What happened: the lines a failing seed prints, and the digest that tells two runs apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fleetd.clock import ManualClock


class History:
    """Who did what when, in virtual time since the start."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._began = clock.now()
        self._entries: list[tuple[int, str, str]] = []

    @property
    def now(self) -> int:
        """Return the milliseconds since the start."""
        return self._clock.now() - self._began

    def note(self, actor: str, what: str) -> None:
        self._entries.append((self.now, actor, what))

    def lines(self) -> Iterator[str]:
        for at, actor, what in self._entries:
            yield f"{at / 1_000:10.3f}  {actor:<12} {what}"

    def digest(self) -> str:
        """Return a hash of the whole history."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()
