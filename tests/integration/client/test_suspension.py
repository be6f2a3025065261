"""A daemon that is stopped for longer than a lease lives, and goes on: its agents lose nothing."""

from __future__ import annotations

import asyncio
import signal

from fleetd_client import Agent, FleetClient
from fleetd_client.stubs import EventType, TaskStatus

HEARTBEAT = 0.2  # seconds, as `brisk` wants them; three of them are a lease's life
AGENTS = 20
"""Enough that some timer is sure to come before some heartbeat."""


async def test_agents_and_their_runs_outlive_a_suspension_of_the_daemon(brisk, running, soon):
    """D2, T7: SIGSTOP and SIGCONT; every session timer is due before the heartbeats that wait in the sockets are read."""
    runs = []
    wake = asyncio.Event()

    async def work(ctx):
        runs.append(ctx)
        await wake.wait()

    for number in range(AGENTS):
        agent = Agent(f"agent-{number}", brisk.address)
        agent.handler(work)
        running(agent)

    async def all_know_nothing():
        # Longer than a lease lives since the last heartbeat that was answered.
        while len(runs) < AGENTS or any(run.lease_certain for run in runs):  # noqa: ASYNC110 - it passes with time alone
            await asyncio.sleep(HEARTBEAT / 10)

    async with FleetClient(brisk.address) as client:
        tasks = [await client.submit("work") for _ in range(AGENTS)]
        for task in tasks:
            await soon(_started(client, task.id))
        brisk.signal(signal.SIGSTOP)
        await soon(all_know_nothing())
        await asyncio.sleep(HEARTBEAT)
        brisk.signal(signal.SIGCONT)
        await brisk.logged("suspended")
        wake.set()
        done = await client.wait_many([task.id for task in tasks], timeout=30)
        ends = [(task.status, task.attempt, task.losses) for task in done.tasks]
        assert ends == [(TaskStatus.TASK_STATUS_COMPLETED, 1, 0)] * AGENTS


async def _started(client, task_id):
    async for event in client.watch_events(0, task_id=task_id):
        if event.type == EventType.EVENT_TYPE_TASK_STARTED:
            return
