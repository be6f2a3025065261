"""The tasks that measurements submit: about 200 bytes each, as an ordinary one without input has."""

from __future__ import annotations

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1.task_pb2 import PRIORITY_HIGH, PRIORITY_LOW, PRIORITY_MEDIUM, PRIORITY_URGENT

BATCH = 100
TEXT = "Read the change, run the unit tests that cover it, and say in three sentences what it does and what may break. Cite files."
LANES = 5_000
ORGS, SKILLS = 125, 10
PRIORITIES = (PRIORITY_LOW, PRIORITY_MEDIUM, PRIORITY_HIGH, PRIORITY_URGENT)
"""5,000 lanes are 125 orgs with 10 sets of capabilities and 4 priorities each."""


def task(number: int = 0, lanes: int = 1) -> pb.SubmitTaskRequest:
    """Return a task for one of so many lanes."""
    request = pb.SubmitTaskRequest(title=f"Review change {number:06d}", description=TEXT, task_type="review")
    if lanes > 1:
        lane = number % lanes
        request.org_id = f"org-{lane % ORGS}"
        request.required_capabilities.append(skill(lane // ORGS % SKILLS))
        request.priority = PRIORITIES[lane // (ORGS * SKILLS)]
    return request


def batch(count: int = BATCH, first: int = 0, lanes: int = 1) -> pb.SubmitTasksRequest:
    return pb.SubmitTasksRequest(tasks=[task(first + n, lanes) for n in range(count)])


def skill(number: int) -> str:
    return f"skill-{number}"


def skills() -> list[str]:
    return [skill(number) for number in range(SKILLS)]
