"""A fleet of some size: 500 agents at once from two processes, 2,000 tasks, each finished exactly once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import grpc

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import health_pb2, task_pb2
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.health_pb2_grpc import HealthStub

PROCESSES, AGENTS, TASKS = 2, 250, 2_000
LIMIT = 120.0
"""Seconds until the test gives up; it takes a few."""


async def swarm(address: str, prefix: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("swarm.py")),
        address,
        prefix,
        str(AGENTS),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )


async def test_five_hundred_agents_finish_two_thousand_tasks_each_exactly_once(daemon):
    """D1, D3, T5, S1."""
    swarms = [await swarm(daemon.address, f"swarm-{n}") for n in range(PROCESSES)]
    try:
        for process in swarms:
            assert await asyncio.wait_for(process.stdout.readline(), LIMIT) == b"connected\n"
        async with grpc.aio.insecure_channel(daemon.address) as channel:
            stub, health = DispatcherStub(channel), HealthStub(channel)
            load = await health.GetAgentLoad(health_pb2.GetAgentLoadRequest())
            assert load.connected == PROCESSES * AGENTS
            ids: list[str] = []
            for _ in range(TASKS // 100):
                batch = [pb.SubmitTaskRequest(title="t") for _ in range(100)]
                answer = await stub.SubmitTasks(pb.SubmitTasksRequest(tasks=batch))
                ids += [item.task_id for item in answer.items]
            for start in range(0, TASKS, 1_000):
                wanted = pb.WaitTasksRequest(task_ids=ids[start : start + 1_000])
                wanted.wait.FromSeconds(int(LIMIT))
                answer = await stub.WaitTasks(wanted, timeout=LIMIT)
                assert answer.satisfied
                for task in answer.tasks:
                    assert task.status == task_pb2.TASK_STATUS_COMPLETED
                    assert (task.attempt, task.lease_epoch) == (1, 1)
        ran: Counter[str] = Counter()
        for process in swarms:
            out, _ = await asyncio.wait_for(process.communicate(b""), LIMIT)
            ran.update(json.loads(out))
        assert ran == Counter(ids)
    finally:
        for process in swarms:
            if process.returncode is None:
                process.kill()
                await process.wait()
