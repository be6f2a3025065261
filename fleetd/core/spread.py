"""
Spreading equal instances over tasks: the hash of (task, instance) that breaks the last ties (spec R3, R4).

A hash that could only be computed instance by instance would cost more than all the rest of a route when thousands are equal. This one is
computed for all of them at once. An instance has a digest of 64 binary digits. The digest of the seed tells, for each binary digit of the
hash, three places of the instance's digest and one digit more; the parity of these four is the digit of the hash. The lowest hash goes
first. Over many seeds such a hash orders instances as a random one would (it is linear over GF(2), with random rows), so each of n equal
ones comes first for one seed in n.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from fleetd.core.masks import Column, slots_of

DIGITS = 64
ROWS = 26
"""Binary digits of the hash: 26 × (3 × 6 + 1) bits of the 512 that a digest has. Equal hashes are ordered by id."""


def digest(instance_id: str) -> int:
    """Return the digest of an instance."""
    return int.from_bytes(blake2b(instance_id.encode(), digest_size=8).digest(), "big")


class Spread:
    """The order of equal instances for one seed."""

    __slots__ = ("_bits", "_digits", "_ids", "_rows")

    def __init__(self, seed: str, column: Column, ids: tuple[str, ...]) -> None:
        """Take the column of the instances' digests, and the id of each slot."""
        self._bits = int.from_bytes(blake2b(seed.encode()).digest(), "little")
        self._digits = column.digits
        self._ids = ids
        self._rows: list[tuple[int, int]] = []

    def split(self, mask: int) -> Iterator[int]:
        """Yield the instances of a set one by one, each as a set, the lowest hash first."""
        rows = self._rows
        waiting = [(mask, 0)]
        while waiting:
            mask, depth = waiting.pop()
            while mask != 1 << mask.bit_length() - 1:
                if depth == ROWS:
                    yield from self._by_id(mask)
                    break
                if depth == len(rows):
                    rows.append(self._row(depth))
                ones, last = rows[depth]
                depth += 1
                having = mask & ones
                first, second = (having, mask ^ having) if last else (mask ^ having, having)
                if first:
                    mask = first
                    if second:
                        waiting.append((second, depth))
            else:
                yield mask

    def _row(self, row: int) -> tuple[int, int]:
        """Return the instances whose parity is 1 in a row, and whether ones come first in it."""
        bits = self._bits >> row * 19
        digits = self._digits
        return digits[bits & 63] ^ digits[bits >> 6 & 63] ^ digits[bits >> 12 & 63], bits >> 18 & 1

    def _by_id(self, mask: int) -> Iterator[int]:
        for slot in sorted(slots_of(mask), key=self._ids.__getitem__):
            yield 1 << slot
