"""Bytes cut into lines, whatever pieces they arrive in; no line can fill the memory."""

from __future__ import annotations


class Lines:
    """A line longer than `limit` bytes is cut to limit + 1, so that its length tells that it was."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their ends."""
        *complete, rest = data.split(b"\n")
        lines = []
        for piece in complete:
            self._extend(piece)
            lines.append(self._take())
        self._extend(rest)
        return lines

    def close(self) -> list[bytes]:
        """The last line, when it had no end."""
        return [self._take()] if self._rest else []

    def _extend(self, piece: bytes) -> None:
        self._rest += piece[: self._limit + 1 - len(self._rest)]

    def _take(self) -> bytes:
        line = bytes(self._rest).removesuffix(b"\r")
        self._rest.clear()
        return line
