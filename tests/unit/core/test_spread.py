"""The hash that spreads equal instances. R3, R4."""

from collections import Counter

import pytest

from fleetd.core.masks import Column, slots_of
from fleetd.core.spread import DIGITS, Spread, digest


def digests(ids):
    return Column(DIGITS).flipped([(1 << slot, digest(each)) for slot, each in enumerate(ids)])


def order(ids, seed, column=None):
    parts = list(Spread(seed, column or digests(ids), tuple(ids)).split((1 << len(ids)) - 1))
    assert all(part.bit_count() == 1 for part in parts)
    return [ids[part.bit_length() - 1] for part in parts]


@pytest.mark.parametrize("count", [2, 3, 5, 17, 60])
def test_each_of_equal_ones_comes_first_about_as_often(count):
    """R4: within what chance allows a fair die."""
    ids, everybody = tuple(f"p:{number}" for number in range(count)), (1 << count) - 1
    column, mean = digests(ids), 200
    first = Counter(next(Spread(f"{seed}", column, ids).split(everybody)) for seed in range(mean * count))
    assert len(first) == count
    assert max(abs(times - mean) for times in first.values()) < 4.5 * mean**0.5


def test_an_order_names_each_once_and_is_the_same_from_any_slot():
    """R4: slots say nothing."""
    ids = [f"p:{number}" for number in range(200)]
    one, other = order(ids, "seed"), order(ids[::-1], "seed")
    assert one == other
    assert sorted(one) == sorted(ids)
    assert one != order(ids, "another seed")


def test_equal_digests_are_ordered_by_id():
    """R4: as improbable as it is, an order it must be."""
    assert order(["b", "c", "a"], "seed", Column(DIGITS)) == ["a", "b", "c"]


def test_slots_of_a_set():
    assert list(slots_of(0b10110)) == [4, 2, 1]
    assert list(slots_of(0)) == []
