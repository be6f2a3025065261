"""
The demo: a daemon, three agents made of ordinary programs, and twenty real jobs, three of which meet with trouble.

Exits with 0 when every job ended as it should and nothing is left running, else with 1.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

# Read by grpc's core when it is loaded: a daemon that goes away is no news here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from jobs import Job, all_jobs
from rich.console import Console
from screen import ENDS, Row, Screen, Verdict
from stage import Stage

from fleet.v1.event_pb2 import Event, EventType
from fleet.v1.task_pb2 import TaskStatus
from fleetd_client import FleetClient, unpack

# Everything takes about ten seconds; a demo that hangs is a failed one.
PATIENCE_SECONDS = 50.0
# Where there is no terminal nothing needs to be cut.
PLAIN_WIDTH = 140
# The agent of the long job is killed after so many of its steps.
KILL_AFTER_STEPS = 10

STATUS_AFTER = {
    "ASSIGNED": "ASSIGNED",
    "STARTED": "RUNNING",
    "RETRY_SCHEDULED": "PENDING",
    "LEASE_EXPIRED": "PENDING",
    "RELEASED": "PENDING",
    "COMPLETED": "COMPLETED",
    "CANCELLED": "CANCELLED",
    "DEAD_LETTERED": "DEAD_LETTER",
}
TURNS = {
    "RETRY_SCHEDULED": "waits for its next attempt",
    "LEASE_EXPIRED": "lost with its agent, waits for another",
    "CANCELLED": "cancelled",
    "DEAD_LETTERED": "dead letter",
}


class Demo:
    """Follows the events of the fleet, and makes the trouble at the right moments."""

    def __init__(self, stage: Stage, client: FleetClient, screen: Screen, jobs: list[Job]) -> None:
        self._stage = stage
        self._client = client
        self._screen = screen
        self._jobs = jobs
        self._rows: dict[str, Row] = {}
        self._steps = 0
        self._killed = ""
        self._cancelled = False

    async def run(self) -> int:
        """Submit, watch to the end, judge; the number of jobs that did not end as expected."""
        answers = await self._client.submit_many(job.request for job in self._jobs)
        for job, answer in zip(self._jobs, answers, strict=True):
            if answer.error is not None:
                raise answer.error
            self._rows[answer.task_id] = Row(job.title)
        self._screen.rows = list(self._rows.values())
        self._screen.tell(f"-- {len(self._jobs)} jobs submitted to {self._stage.address}")
        with self._screen.live():
            async for event in self._client.watch_events(0):
                await self._take(event)
                if all(row.status in ENDS for row in self._rows.values()):
                    break
        return await self._judge()

    async def _take(self, event: Event) -> None:
        kind = EventType.Name(event.type).removeprefix("EVENT_TYPE_")
        if kind == "AGENT_REGISTERED":
            self._screen.tell(f"-- agent {event.agent_id} connected")
        elif kind == "AGENT_LOST":
            self._screen.tell(f"-- agent {event.agent_id} lost: what it held goes back to the queue")
        row = self._rows.get(event.task_id)
        if row is None:
            return
        self._show(row, kind.removeprefix("TASK_"), event)
        await self._trouble(row, kind, event)

    def _show(self, row: Row, kind: str, event: Event) -> None:
        payload = event.payload
        row.status = STATUS_AFTER.get(kind, row.status)
        if kind == "ASSIGNED":
            row.agent = event.agent_id
        elif kind == "STARTED":
            row.run, row.message = int(payload["attempt"]), ""
            self._screen.changed(row, f"runs on {row.agent} (attempt {row.run})")
        elif kind == "PROGRESS":
            row.percent, row.message = int(payload["percent"]), str(payload["message"])
        elif kind == "COMPLETED":
            row.percent, row.message = 100, ""
            self._screen.changed(row, "completed")
        elif kind == "FAILED":
            row.status = "FAILED" if payload["final"] else "PENDING"
            row.message = str(payload["message"])
            self._screen.changed(row, f"failed: {row.message}")
        elif kind in TURNS:
            row.message = TURNS[kind]
            self._screen.changed(row, row.message)

    async def _trouble(self, row: Row, kind: str, event: Event) -> None:
        if row.title.startswith("digest"):
            if kind == "TASK_CHECKPOINTED" and not self._killed:
                self._steps += 1
                if self._steps == KILL_AFTER_STEPS:
                    self._killed = row.agent
                    await self._stage.kill_agent(row.agent)
                    self._screen.tell(
                        f"!! agent {row.agent} killed (SIGKILL) in step {self._steps + 1} of: {row.title}"
                    )
            elif kind == "TASK_STARTED" and self._killed and row.agent != self._killed:
                self._screen.tell(f"!! agent {row.agent} goes on from the checkpoint: {row.title}")
                await self._stage.start_agent(self._killed)
                self._screen.tell(f"!! agent {self._killed} started again")
        elif row.title.startswith("follow") and kind == "TASK_PROGRESS" and not self._cancelled:
            self._cancelled = True
            await self._client.cancel(event.task_id, reason="seen enough")
            self._screen.tell(f"!! cancelled while it runs: {row.title}")

    async def _judge(self) -> int:
        verdicts = []
        for (task_id, row), job in zip(self._rows.items(), self._jobs, strict=True):
            ended = await self._client.get(task_id)
            runs = await self._client.history(task_id)
            status = TaskStatus.Name(ended.status).removeprefix("TASK_STATUS_")
            problem = "" if status == job.status else f"{job.status} was expected"
            if not problem and status == "COMPLETED":
                problem = job.check(ended, runs, unpack(runs[-1].output))
            took = (ended.finished_at.ToMilliseconds() - ended.created_at.ToMilliseconds()) / 1000
            agents = " → ".join(run.agent_id for run in runs if run.agent_id)
            verdicts.append(Verdict(row.title, status, agents, took, job.note, problem))
        self._screen.summary(verdicts)
        return sum(bool(one.problem) for one in verdicts)


async def main() -> int:
    """Run the demo; its exit code."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    screen = Screen(console)
    began = time.monotonic()
    stage = Stage()
    async with stage, FleetClient(stage.address) as client:
        jobs = all_jobs(stage.scratch)
        async with asyncio.timeout(PATIENCE_SECONDS):
            wrong = await Demo(stage, client, screen, jobs).run()
    for problem in stage.problems:
        console.print(f"after the end: {problem}", style="bold red")
    console.print()
    if wrong or stage.problems:
        console.print(f"[bold red]{wrong} of {len(jobs)} jobs did not end as expected.")
        return 1
    console.print(
        f"[bold green]All {len(jobs)} jobs ended as expected[/] in {time.monotonic() - began:.1f}s; nothing is left running."
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
