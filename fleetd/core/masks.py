"""
Sets of instances as integers, one bit an instance, and the two indexes that are made of them.

A set operation over thousands of instances costs a tenth of a microsecond, so a route costs what it asks, not what is registered.
Which bit belongs to which instance (its slot) is an accident of history: nothing that leaves a route may depend on it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from operator import or_
from typing import Any


def slots_of(mask: int) -> Iterator[int]:
    """Yield the slots of a set, the highest first."""
    while mask:
        slot = mask.bit_length() - 1
        yield slot
        mask ^= 1 << slot


class Steps:
    """Instances by a number of which there are few different ones: context windows, priorities, dates."""

    __slots__ = ("_levels", "_upto", "_values")

    def __init__(self, levels: Mapping[Any, int]) -> None:
        self._levels = levels
        self._values = sorted(levels)
        self._upto = list(accumulate((levels[value] for value in self._values), or_, initial=0))

    def below(self, value: int) -> int:
        """Return the instances whose number is smaller."""
        return self._upto[bisect_left(self._values, value)]

    @property
    def known(self) -> int:
        """Everybody whose number is known."""
        return self._upto[-1]

    @property
    def single(self) -> bool:
        """Tell whether all whose number is known have the same."""
        return len(self._values) == 1

    def split(self, mask: int) -> Iterator[int]:
        """Yield the parts of a set that share a number, the lowest first. Who has none is left out."""
        levels = self._levels
        for value in self._values:
            part = mask & levels[value]
            if part:
                yield part
                mask ^= part
                if not mask:
                    return


class Column:
    """
    Instances by a number that nearly each has for itself and that may change often: latency, price.

    One set for each binary digit of the numbers: to change a number flips a bit in some of them, and the highest number of a set is found
    by asking digit after digit who has a one. Numbers are 0 until set and lie below 2 ** width. `digits` are those sets, the lowest digit first.
    """

    __slots__ = ("digits",)

    def __init__(self, width: int, digits: tuple[int, ...] = ()) -> None:
        self.digits = digits or (0,) * width

    def flipped(self, flips: Iterable[tuple[int, int]]) -> Column:
        """Return the column after changes, each (the instance's bit, old number XOR new number)."""
        digits = list(self.digits)
        for bit, flip in flips:
            digit = 0
            while flip >> digit:
                if flip >> digit & 1:
                    digits[digit] ^= bit
                digit += 1
        return Column(len(digits), tuple(digits))

    def highest(self, mask: int) -> tuple[int, int]:
        """Return the highest number in a set that is not empty, and the part of the set that has it."""
        number = 0
        for digit in reversed(self.digits):
            having = mask & digit
            number += number
            if having:
                mask = having
                number += 1
        return number, mask

    def split(self, mask: int) -> Iterator[int]:
        """Yield the parts of a set that share a number, the highest first."""
        while mask:
            _, part = self.highest(mask)
            yield part
            mask ^= part
