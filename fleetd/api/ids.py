"""Ids of tasks and orders: ULIDs that grow within the process."""

from __future__ import annotations

import os
from collections.abc import Callable

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
_LOW = 20
"""Bits of an id that are counted by themselves: its last four digits. The others stay for a million ids of one millisecond."""
_SHIFTS = tuple(range(120, _LOW - 1, -10))  # the digits before them, of 5 bits each, two at a time

NewId = Callable[[], str]


def ulids(wall: Callable[[], int]) -> NewId:
    """
    Return a factory of ULIDs: 48 bits of `wall` (epoch milliseconds) and 80 bits that are random for each millisecond and count up in it.

    Ids of one factory always grow, though the clock may stand still or go back.
    """
    last_time = 0
    last = 0
    high, head = -1, ""

    def new_id() -> str:
        nonlocal last_time, last, high, head
        now = wall()
        if now > last_time:
            last_time = now
            # The top bit stays clear, so that counting up never spills into the time.
            last = now << 80 | int.from_bytes(os.urandom(10)) >> 1
        else:
            last += 1
        if last >> _LOW != high:
            high = last >> _LOW
            head = "".join([_PAIRS[last >> shift & 1023] for shift in _SHIFTS])
        return head + _PAIRS[last >> 10 & 1023] + _PAIRS[last & 1023]

    return new_id
