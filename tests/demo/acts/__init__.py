"""
The acts of the demo, in the order in which they are played, on one daemon and with the agents that the acts before left running.

An act is a coroutine function that is given the scene: it shows what it does and judges what comes of it. To add one, write a module with a
`play` and give it its place in ACTS, before the last. What it tells the daemon as an operator goes through `scene.ordered`, for that one judges it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scene import Scene

from acts import audit, dead_letters, hosts, models, reasons, rollout, shares, twenty_jobs


@dataclass(frozen=True, slots=True)
class Act:
    """One part of the story."""

    title: str
    play: Callable[[Scene], Awaitable[None]]


ACTS = (
    Act("Twenty jobs, three of which meet with trouble", twenty_jobs.play),
    Act("Why does it not run? The daemon tells", reasons.play),
    Act("Two orgs, weights 3 to 1, one agent between them", shares.play),
    Act("A task that fails for good, and gets another chance", dead_letters.play),
    Act("Three model servers, one of which dies while it works", models.play),
    Act("Two hosts, one of which is taken away while it works", hosts.play),
    Act("A new way to answer, that breaks and comes back", rollout.play),
    # The last one: it judges what the others left in the audit log.
    Act("What operators did, and why", audit.play),
)
