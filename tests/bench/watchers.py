"""
Watchers of task events: `python watchers.py ADDRESS TASK_ID…`, one on each task and one on all of them. They say `{"watching": N}`; told `{"expect": N}`, they say
`{"at": …, "cuts": …}` when N more events of all tasks came to either side. An event that comes twice, is missing, stands in another's place or is not what was told ends them.
They end with stdin.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from time import monotonic_ns
from typing import Any

import grpc
from agents import lines, say
from tellers import DIGITS

from fleet.v1.dispatcher_pb2 import WatchTaskRequest
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub
from fleet.v1.task_event_pb2 import TaskEvent


class Watcher:
    """One watcher: of a task, or of all of them ("")."""

    def __init__(self, task_id: str, changed: asyncio.Event) -> None:
        self.count = 0
        self.cuts = 0
        self._task_id = task_id
        self._changed = changed
        self._resume = 0
        self._newest: Counter[str] = Counter()
        self._position = 0

    async def watch(self, stub: DispatcherStub) -> None:
        while True:
            call: Any = stub.WatchTask(WatchTaskRequest(task_id=self._task_id, from_seq=self._resume))
            try:
                while (message := await call.read()) is not grpc.aio.EOF:
                    for event in message.events:
                        self._check(event)
                    self.count += len(message.events)
                    self._resume = message.resume_from_seq
                    self._changed.set()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
            self.cuts += 1

    def _check(self, event: TaskEvent) -> None:
        task_id, seq = event.task_id, event.seq
        self._newest[task_id] += 1
        if event.position <= self._position or seq != self._newest[task_id] or number(event) != seq:
            raise RuntimeError(f"out of order after {self._newest[task_id] - 1}: {event}")
        self._position = event.position


def number(event: TaskEvent) -> int:
    """Return the number that the agent has put into an event."""
    kind = event.WhichOneof("data")
    if kind == "message":
        text = event.message.content
    else:
        text = event.plan_step.title if kind == "plan_step" else event.tool_call.tool_name
    return int(text[:DIGITS])


async def main(address: str, task_ids: list[str]) -> None:
    channel = grpc.aio.insecure_channel(address)
    changed = asyncio.Event()
    everything, *others = watchers = [Watcher(task_id, changed) for task_id in ("", *task_ids)]
    watching = [asyncio.create_task(watcher.watch(DispatcherStub(channel))) for watcher in watchers]
    say(watching=len(watching))
    expected = 0

    async def expect() -> None:
        nonlocal expected
        async for told in lines():
            expected += told["expect"]
            while everything.count < expected or sum(watcher.count for watcher in others) < expected:
                changed.clear()
                await changed.wait()
            say(at=monotonic_ns(), cuts=sum(watcher.cuts for watcher in watchers))

    expecting = asyncio.create_task(expect())
    done, _ = await asyncio.wait({expecting, *watching}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
