"""How long a host is held off that passes its checks and starts nothing (spec M5)."""

from __future__ import annotations

import pytest

from fleetd.hosts.manager import HostOptions


@pytest.mark.parametrize(
    ("misses", "wait"),
    [(0, 0), (1, 0), (2, 1_000), (3, 2_000), (6, 16_000), (7, 30_000), (10_000, 30_000)],
)
def test_the_second_miss_waits_and_each_further_one_twice_as_long_up_to_the_time_between_checks(misses, wait):
    """M5"""
    assert HostOptions().held_off(misses) == wait
