"""
Agents that tell what they do: `python tellers.py ADDRESS COUNT`. Each holds one lease and has WINDOW words of EVENTS events under way. They say
`{"connected": COUNT}`, then `{"started": COUNT}` once each has a lease; told `{"expect": N}`, they say `{"at": …, "refused": …}` when N more events were acknowledged.
They end with stdin.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic_ns

from agents import Agent, connected, lines, say, start, stop

from fleet.v1.lease_pb2 import EventsWord, Lease, Report
from fleet.v1.task_event_pb2 import CALL_STATUS_CALLING, STEP_STATUS_RUNNING, TaskEvent

EVENTS, WINDOW = 20, 3
"""What a model says in a tenth of a second travels together; enough words are under way that no agent waits for a round trip."""
TEXT = (
    " of what the model has to say: about twenty words, as they come out of it in a tenth of a second or so. "
)
TOLD = 3
"""Report id, besides those of agents.py."""
DIGITS = 9
"""Every event begins its text with its number, so that a watcher can tell it."""


def event(number: int) -> TaskEvent:
    """Return an event: of twenty, seventeen are texts, and three tell of steps and tools."""
    label = f"{number:0{DIGITS}}"
    if number % 20 == 1:
        return TaskEvent(plan_step={"step_id": "step", "title": label + TEXT, "status": STEP_STATUS_RUNNING})
    if number % 10 == 2:
        arguments = {"path": "src/main.py", "lines": [1, 80]}
        return TaskEvent(
            tool_call={"tool_name": label, "arguments": arguments, "status": CALL_STATUS_CALLING}
        )
    return TaskEvent(message={"content": label + TEXT, "role": "assistant"})


def words(first: int, count: int) -> list[EventsWord]:
    """Return so many events in words."""
    return [
        EventsWord(first=number, events=map(event, range(number, number + EVENTS)))
        for number in range(first, first + count, EVENTS)
    ]


async def main(address: str, count: int) -> None:
    agents = await connected(address, count, 1)
    leases: dict[Agent, Lease] = {}
    room: dict[str, asyncio.Semaphore] = {}
    started = asyncio.Event()

    def leased(agent: Agent, given: list[Lease]) -> list[Report]:
        for lease in given:
            leases[agent] = lease
            room[lease.task_id] = asyncio.Semaphore(WINDOW)
        if len(leases) == count:
            started.set()
        return [start(lease) for lease in given]

    def acked(report_id: int, task_id: str) -> None:
        if report_id == TOLD:
            room[task_id].release()

    for agent in agents:
        agent.leased, agent.acked = leased, acked
    serving = [asyncio.create_task(agent.serve()) for agent in agents]
    say(connected=count)
    await started.wait()
    say(started=count)
    first = 1
    async for told in lines():
        said = words(first, told["expect"] // count)
        first += told["expect"] // count
        say(ready=len(said) * count)
        await asyncio.gather(
            *(tell(agent, lease, room[lease.task_id], said) for agent, lease in leases.items())
        )
        say(at=monotonic_ns(), refused=sum(len(agent.refused) for agent in agents))
    await stop(serving)


async def tell(agent: Agent, lease: Lease, room: asyncio.Semaphore, said: list[EventsWord]) -> None:
    """Say all words about a lease; return when the last one was acknowledged."""
    for word in said:
        await room.acquire()
        report = Report(report_id=TOLD, task_id=lease.task_id, lease_epoch=lease.lease_epoch, events=word)
        await agent.report([report])
    for _ in range(WINDOW):
        await room.acquire()
    for _ in range(WINDOW):
        room.release()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
