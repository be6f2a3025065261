"""What a command on a host is told of its task (spec M5a, G1, G2)."""

import pytest

from fleetd.core.host import HostAgent
from fleetd.core.rollout import Cause, TaskRollout
from fleetd.core.task import Payload, Spec, Task
from fleetd.engine.outbox import Offer
from fleetd.hosts.prompt import run_spec

DECIDED = TaskRollout("chat", "runtime", Cause.PERCENT, 3)


def environment(rollout: TaskRollout | None, **own: str) -> dict[str, str]:
    task = Task(seq=1, id="task-1", org_id="acme", rollout=rollout)
    offer = Offer(task, Spec("work"), Payload(b"text", "text/plain"), None, 1, 1, 1_000, None)
    return dict(run_spec(offer, HostAgent("coder", ("cat",), env=own), "/work", 1_000).env)


@pytest.mark.parametrize(
    ("rollout", "mode", "shadow"),
    [
        (None, None, None),
        (DECIDED, "runtime", None),
        (DECIDED._replace(shadow=True, other="task-0"), "runtime", "1"),
        (DECIDED._replace(other="task-2"), "runtime", None),
    ],
)
def test_g2_the_mode_is_told_and_a_shadow_that_it_is_one(rollout, mode, shadow):
    """A task that merely has a shadow is none."""
    found = environment(rollout)
    assert (found.get("FLEETD_MODE"), found.get("FLEETD_SHADOW")) == (mode, shadow)
