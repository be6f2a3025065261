"""A morning of a rollout under traffic: the day of `make rollout-day`, shorter (G1 to G5)."""

from tests.simulation.rollout_day import MORNING, NEW, Day, judge


async def test_a_morning_of_a_rollout_keeps_its_promises():
    """G1, G2, G3, G4, G4a, G4b, G5: it leaves a mode that fails, comes back by itself, and stays when both fail alike."""
    played = await Day(MORNING, seed=1).play()
    assert list(judge(played)) == []
    assert 0.15 < played.share(0.1, 0.5) < 0.35
    assert 0.4 < played.share(0.6, 1.0) < 0.6
    assert played.share(1.05, 1.4) < 0.05
    assert 0.4 < played.share(2.1, 3.0) < 0.6
    assert played.tasks[NEW]
    assert played.tasks["shadows"]
