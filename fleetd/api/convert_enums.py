"""Enums: core's numbers equal those of fleet.v1, so nothing is translated."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


def enum_out(value: IntEnum | int) -> Any:
    """Return the number for a message. Any, because the classes that the stubs ask for exist for type checkers only."""
    return int(value)
