"""Twenty jobs on three agents made of ordinary programs; three of the jobs meet with trouble."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from itertools import groupby

from board import ENDS, Board, Row, Verdict
from jobs import Job, all_jobs
from scene import Order, Scene

from fleet.v1.event_pb2 import Event, EventType
from fleet.v1.task_pb2 import TaskResult, TaskStatus
from fleetd_client import unpack

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


async def play(scene: Scene) -> None:
    await Director(scene, all_jobs(scene.stage.scratch)).run()


class Director:
    """Follows the events of the fleet, and makes the trouble at the right moments."""

    def __init__(self, scene: Scene, jobs: list[Job]) -> None:
        self._scene = scene
        self._stage = scene.stage
        self._client = scene.client
        self._board = Board(scene.screen)
        self._jobs = jobs
        self._rows: dict[str, Row] = {}
        self._steps = 0
        self._killed = ""
        self._cancelled = False

    async def run(self) -> None:
        """Submit, watch to the end, judge."""
        answers = await self._client.submit_many(job.request for job in self._jobs)
        for job, answer in zip(self._jobs, answers, strict=True):
            if answer.error is not None:
                raise answer.error
            self._rows[answer.task_id] = Row(job.title)
        self._board.rows = list(self._rows.values())
        self._board.tell(f"-- {len(self._jobs)} jobs submitted to {self._stage.address}")
        with self._board.live():
            async with aclosing(self._client.watch_events(0)) as events:
                async for event in events:
                    await self._take(event)
                    if all(row.status in ENDS for row in self._rows.values()):
                        break
        await self._judge()

    async def _take(self, event: Event) -> None:
        kind = EventType.Name(event.type).removeprefix("EVENT_TYPE_")
        if kind == "AGENT_REGISTERED":
            self._board.tell(f"-- agent {event.agent_id} connected")
        elif kind == "AGENT_LOST":
            self._board.tell(f"-- agent {event.agent_id} lost: what it held goes back to the queue")
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
            self._board.changed(row, f"runs on {row.agent} (attempt {row.run})")
        elif kind == "PROGRESS":
            row.percent, row.message = int(payload["percent"]), str(payload["message"])
        elif kind == "COMPLETED":
            row.percent, row.message = 100, ""
            self._board.changed(row, "completed")
        elif kind == "FAILED":
            row.status = "FAILED" if payload["final"] else "PENDING"
            row.message = str(payload["message"])
            self._board.changed(row, f"failed: {row.message}")
        elif kind in TURNS:
            row.message = TURNS[kind]
            self._board.changed(row, row.message)

    async def _trouble(self, row: Row, kind: str, event: Event) -> None:
        if row.title.startswith("digest"):
            if kind == "TASK_CHECKPOINTED" and not self._killed:
                self._steps += 1
                if self._steps == KILL_AFTER_STEPS:
                    self._killed = row.agent
                    await self._stage.kill_agent(row.agent)
                    self._board.tell(
                        f"!! agent {row.agent} killed (SIGKILL) in step {self._steps + 1} of: {row.title}"
                    )
            elif kind == "TASK_STARTED" and self._killed and row.agent != self._killed:
                self._board.tell(f"!! agent {row.agent} goes on from the checkpoint: {row.title}")
                await self._stage.start_agent(self._killed)
                self._board.tell(f"!! agent {self._killed} started again")
        elif row.title.startswith("follow") and kind == "TASK_PROGRESS" and not self._cancelled:
            self._cancelled = True
            order = Order("CancelTask", event.task_id, "seen enough")
            self._scene.orders.append(order)
            await self._client.cancel(order.target, reason=order.reason)
            self._board.tell(f"!! cancelled while it runs: {row.title}")

    async def _judge(self) -> None:
        verdicts = []
        for (task_id, row), job in zip(self._rows.items(), self._jobs, strict=True):
            ended = await self._client.get(task_id)
            runs = await self._client.history(task_id)
            status = TaskStatus.Name(ended.status).removeprefix("TASK_STATUS_")
            problem = "" if status == job.status else f"{job.status} was expected"
            if not problem and status == "COMPLETED":
                problem = job.check(ended, runs, unpack(runs[-1].output))
            took = (ended.finished_at.ToMilliseconds() - ended.created_at.ToMilliseconds()) / 1000
            agents = " → ".join(_times(name, list(group)) for name, group in groupby(_ran(runs)))
            verdicts.append(Verdict(row.title, status, agents, took, job.note, problem))
            self._scene.judge(problem)
        self._board.summary(verdicts)


def _ran(runs: Sequence[TaskResult]) -> list[str]:
    return [run.agent_id for run in runs if run.agent_id]


def _times(name: str, group: Sequence[str]) -> str:
    return name if len(group) == 1 else f"{name} ×{len(group)}"
