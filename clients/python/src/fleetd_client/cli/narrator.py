"""What is said to people beside the data: on stderr, line by line."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Narrator:
    """`color` says whether bars may have colours; lines have none."""

    color: bool = True

    @property
    def at_terminal(self) -> bool:
        return sys.stderr.isatty()

    def say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
