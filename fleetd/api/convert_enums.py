"""Enums: core's numbers equal those of fleet.v1, so nothing is translated."""

from __future__ import annotations

import operator
from collections.abc import Callable
from enum import IntEnum
from typing import Any

enum_out: Callable[[IntEnum | int], Any] = operator.pos
"""Return the plain number for a message. Any, because the classes that the stubs ask for exist for type checkers only."""
