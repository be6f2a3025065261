"""How the instances of an index are at present, as sets (spec R1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleetd.core.instance import Condition, InstanceState
from fleetd.core.masks import Column

QUICKEST, SLOWEST = 50_000, 500_000
"""Microseconds: quicker than the first counts no more, slower than the second counts for nothing (R3)."""
DIGITS = (SLOWEST - QUICKEST).bit_length()

Move = tuple[str, int, Condition | None]
"""An instance, its bit, and its new condition; None when it is gone."""


class Conditions:
    """
    An immutable set of conditions. `quickness` holds how quick each instance is, `quick` are those that are quick at all, `locked` those that
    lack their credential.
    """

    __slots__ = ("_states", "locked", "of", "quick", "quickness")

    def __init__(self) -> None:
        self.of: Mapping[str, Condition] = {}
        self._states: Mapping[InstanceState, int] = {}
        self.locked = self.quick = 0
        self.quickness = Column(DIGITS)

    def in_state(self, state: InstanceState) -> int:
        """Return the instances in a state."""
        return self._states.get(state, 0)

    def by_state(self, states: Iterable[tuple[InstanceState, str]]) -> list[tuple[int, str]]:
        """Return the instances in each of several states, with a word for the state; states in which nobody is are left out."""
        within = self._states
        return [(part, word) for state, word in states if (part := within.get(state, 0))]

    def moved(self, moves: Iterable[Move]) -> Conditions:
        """Return the conditions after changes."""
        of, states, locked, quick = dict(self.of), dict(self._states), self.locked, self.quick
        flips = []
        for instance_id, bit, condition in moves:
            before = of.pop(instance_id, None) if condition is None else of.get(instance_id)
            if before is not None:
                states[before.state] ^= bit
                locked ^= 0 if before.credentials else bit
            if condition is not None:
                of[instance_id] = condition
                states[condition.state] = states.get(condition.state, 0) ^ bit
                locked ^= 0 if condition.credentials else bit
            was, now = quickness(before), quickness(condition)
            if was != now:
                flips.append((bit, was ^ now))
                quick ^= bit if not was or not now else 0
        new = Conditions()
        new.of, new._states, new.locked, new.quick = of, states, locked, quick
        new.quickness = self.quickness.flipped(flips) if flips else self.quickness
        return new


def quickness(condition: Condition | None) -> int:
    """
    Return by how many microseconds an instance is quicker than the slowest that counts.

    At most 450,000; 0 when its latency is unknown.
    """
    if condition is None or condition.latency is None:
        return 0
    return max(0, SLOWEST - max(QUICKEST, round(condition.latency * 1_000)))
