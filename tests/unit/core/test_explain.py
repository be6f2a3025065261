"""What people read of a task that waits (spec D9)."""

from __future__ import annotations

import dataclasses

import pytest

from fleetd.core.explain import AgentView, Surroundings, explain
from fleetd.core.limits import Gate, GateKey, GateRule
from fleetd.core.task import Task

NOW = 1_000_000
FREE = AgentView("a", connected=True, draining=False, stopped=False, error=False, held=0, ceiling=1)
OFFLINE = dataclasses.replace(FREE, connected=False)
DRAINING = dataclasses.replace(FREE, draining=True)
IDLE = dataclasses.replace(FREE, ceiling=0)
FULL = dataclasses.replace(FREE, held=1)
LARGE = dataclasses.replace(FREE, held=3, ceiling=3)


def sentence(**around) -> str:
    whole = {
        "now": NOW,
        "serving": True,
        "gates": (),
        "able": (FREE,),
        "lacking": (),
        "agents": 1,
        "ahead": 0,
        "lane_count": 1,
        "better_lanes": 0,
        "unable_since": 0,
    }
    return explain(Task(seq=1, id="t", queued_at=NOW), Surroundings(**whole | around)).sentence


def org(running: int, limit: int) -> Gate:
    return Gate(GateKey("org", "acme"), GateRule(max_running=limit), running=running)


@pytest.mark.parametrize(
    ("around", "text"),
    [
        ({"able": (FULL,)}, "The only slot of the only able agent is taken."),
        ({"able": (LARGE,)}, "All 3 slots of the only able agent are taken."),
        ({"able": (FULL, FULL)}, "All 2 slots of the 2 able agents are taken."),
        ({"able": (FULL, IDLE)}, "The only slot of the 2 able agents is taken."),
        ({"able": (IDLE,)}, "The only able agent asks for no work."),
        ({"able": (IDLE, IDLE)}, "None of the 2 able agents asks for work."),
        ({"able": (OFFLINE,)}, "The only able agent is not connected."),
        ({"able": (OFFLINE, OFFLINE)}, "None of the 2 able agents is connected."),
        (
            {"able": (DRAINING, OFFLINE)},
            "The only able agent that is connected is draining, stopped or in error.",
        ),
        (
            {"able": (DRAINING, DRAINING)},
            "All 2 able agents that are connected are draining, stopped or in error.",
        ),
        ({"ahead": 1}, "1 task of the same kind is ahead of it."),
        ({"ahead": 2}, "2 tasks of the same kind are ahead of it."),
        ({"better_lanes": 1}, "1 other kind of tasks goes first."),
        (
            {"ahead": 1, "better_lanes": 2},
            "1 task of the same kind is ahead of it, and 2 other kinds of tasks go first.",
        ),
        ({"gates": (org(1, 1),)}, "Org acme runs 1 of at most 1 task."),
        ({"gates": (org(2, 2),)}, "Org acme runs 2 of at most 2 tasks."),
    ],
)
def test_what_is_told_reads_well_for_one_and_for_many(around, text):
    """D9."""
    assert sentence(**around) == text
