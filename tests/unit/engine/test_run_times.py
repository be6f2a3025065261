"""How long runs of a type take, as far as it is remembered (T3)."""

from fleetd.engine.run_times import KEPT, REMEMBERED, SAMPLES, RunTimes


def test_nothing_is_expected_of_a_type_before_enough_runs_of_it_ended():
    """T3."""
    times = RunTimes()
    found = []
    for _ in range(SAMPLES):
        times.add("org", "review", 4_000)
        found.append(times.expected("org", "review"))
    assert found == [0, 0, 4_000]


def test_orgs_and_types_are_kept_apart():
    """T3."""
    times = RunTimes()
    for _ in range(SAMPLES):
        times.add("org", "review", 4_000)
        times.add("org", "build", 9_000)
        times.add("other", "review", 1_000)
    pairs = [("org", "review"), ("org", "build"), ("other", "review"), ("other", "build")]
    assert [times.expected(*pair) for pair in pairs] == [4_000, 9_000, 1_000, 0]


def test_a_few_runs_have_their_plain_mean():
    """T3."""
    times = RunTimes()
    for run in (1_000, 2_000, 6_000):
        times.add("org", "review", run)
    assert times.expected("org", "review") == 3_000


def test_what_changed_long_ago_is_forgotten():
    """T3: the mean follows the runs of today."""
    times = RunTimes()
    for run in [1_000] * 1_000 + [5_000] * 5 * REMEMBERED:
        times.add("org", "review", run)
    assert 4_900 <= times.expected("org", "review") <= 5_000


def test_tasks_without_a_type_have_nothing_in_common():
    """T3."""
    times = RunTimes()
    for _ in range(SAMPLES):
        times.add("org", "", 4_000)
    assert times.expected("org", "") == 0
    assert len(times) == 0


def test_the_types_that_ran_last_are_kept():
    """T3, S7: whatever names callers invent, memory is bounded."""
    times = RunTimes()
    for _ in range(SAMPLES):
        times.add("org", "busy", 2_000)
        times.add("org", "old", 1_000)
    for number in range(KEPT - 1):
        times.add("org", f"type-{number}", 1_000)
        times.add("org", "busy", 2_000)
    assert len(times) == KEPT
    assert (times.expected("org", "old"), times.expected("org", "busy")) == (0, 2_000)
