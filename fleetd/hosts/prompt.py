"""What a command on a host is given of its task: the text, and variables (spec M5a)."""

from __future__ import annotations

from collections.abc import Mapping

from fleetd.core.host import HostAgent, with_prompt
from fleetd.engine.outbox import Offer
from fleetd.hosts.runner import RunSpec

VARIABLE_BYTES = 64 * 1024
"""A longer checkpoint, or list of steps, does not travel in a variable: a run must not fail for what the last one has done."""


def text_of(offer: Offer) -> bytes:
    """Return the text of a task: its input, else its title and description."""
    if offer.input is not None:
        return offer.input.data
    spec = offer.spec
    return (f"{spec.title}\n\n{spec.description}" if spec.description else spec.title).encode()


def run_spec(offer: Offer, agent: HostAgent, work_dir: str, timeout: int) -> RunSpec:
    """Return what a runner starts for a lease; `timeout` in ms."""
    argv, stdin = with_prompt(agent, text_of(offer))
    return RunSpec(
        offer.task.id,
        offer.lease_epoch,
        argv,
        stdin,
        work_dir,
        {**_variables(offer), **agent.env},
        min(timeout, agent.timeout) if agent.timeout else timeout,
    )


def _variables(offer: Offer) -> Mapping[str, str]:
    task = offer.task
    given = {
        "FLEETD_TASK_ID": task.id,
        "FLEETD_TASK_TYPE": task.task_type,
        "FLEETD_TITLE": offer.spec.title,
        "FLEETD_ORG": task.org_id,
        "FLEETD_ATTEMPT": str(offer.attempt),
        "FLEETD_LEASE_EPOCH": str(offer.lease_epoch),
    }
    if offer.route is not None:
        instance = offer.route.instance
        given |= {
            "FLEETD_INSTANCE": instance.id,
            "FLEETD_MODEL": instance.model,
            "FLEETD_BASE_URL": instance.base_url,
        }
    if task.rollout is not None:
        # A shadow is told so: it must have no effect outside.
        given |= {"FLEETD_MODE": task.rollout.mode, "FLEETD_SHADOW": "1" if task.rollout.shadow else ""}
    checkpoint = offer.checkpoint
    if checkpoint is not None:
        steps = " ".join(checkpoint.completed_steps)
        if len(steps.encode()) <= VARIABLE_BYTES:
            given["FLEETD_COMPLETED_STEPS"] = steps
        if len(checkpoint.data) <= VARIABLE_BYTES and b"\0" not in checkpoint.data:
            given["FLEETD_CHECKPOINT"] = checkpoint.data.decode("utf-8", "surrogateescape")
    return {name: value.replace("\0", " ") for name, value in given.items() if value}
