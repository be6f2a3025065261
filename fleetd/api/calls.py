"""What a method knows of the call it serves, whichever transport brought it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """
    One call. `actor` is "" while nobody is authenticated; `deadline` in monotonic milliseconds of the daemon's clock, None when the
    caller waits for ever; `metadata` as sent; `peer` for the log.
    """

    actor: str = ""
    deadline: int | None = None
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    peer: str = ""
