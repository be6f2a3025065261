"""A task whose attempts are used up is kept as a dead letter with its last error, and replayed when the cause is gone."""

from __future__ import annotations

from pathlib import Path

from scene import Scene

from fleet.v1.task_pb2 import Task, TaskStatus
from fleetd_client import unpack
from fleetd_client.stubs import DeadLetter, RetryPolicy
from fleetd_client.times import duration

REPORT = "All is well that ends well.\n"
WAIT_SECONDS = 10.0
# Between the two attempts: long enough to ask why it waits.
BACKOFF_SECONDS = 1.0


async def play(scene: Scene) -> None:
    client = scene.client
    report = scene.stage.scratch / "report.txt"
    failing = await client.submit(
        "words of report.txt",
        input=str(report),
        capabilities=["text"],
        max_attempts=2,
        retry_policy=RetryPolicy(initial_backoff=duration(BACKOFF_SECONDS), jitter=0.0),
    )
    scene.did("SubmitTask", "words of report.txt, which is not there; two attempts")
    await scene.happened("TASK_RETRY_SCHEDULED", task_id=failing.id)
    scene.explained(await client.explain(failing.id), "RETRY_BACKOFF", attempt=1, max_attempts=2)

    await client.wait(failing.id, timeout=WAIT_SECONDS)
    dead = [one async for one in client.dead_letters()]
    facts = [(one.reason, one.error.message, "") for one in dead]
    scene.told("ListDeadLetters", facts, _problem(dead, failing.id))

    _write(report)
    scene.did("+ report.txt", "the file is written")
    reason = "the report is there now"
    answer = await client.replay_dead_letters([failing.id], reason=reason)
    scene.ordered("ReplayDeadLetters", failing.id, f"{answer.replayed} replayed", reason)
    ended = await client.wait(failing.id, timeout=WAIT_SECONDS)
    scene.saw("WaitTask", *_counted(ended.task, unpack(ended.result.output) or {}))
    left = [one async for one in client.dead_letters()]
    scene.saw("ListDeadLetters", f"{len(left) or 'none'} left", "none was expected" if left else "")


def _write(report: Path) -> None:
    report.write_text(REPORT)


def _problem(dead: list[DeadLetter], task_id: str) -> str:
    if [(one.id, one.reason) for one in dead] != [(task_id, "ATTEMPTS_EXHAUSTED")]:
        return "it, and nothing else, was expected to be there with its attempts exhausted"
    return "" if "cannot read" in dead[0].error.message else "its own error was expected"


def _counted(ended: Task, output: dict[str, int]) -> tuple[str, str]:
    status = TaskStatus.Name(ended.status).removeprefix("TASK_STATUS_")
    right = status == "COMPLETED" and output.get("words") == len(REPORT.split())
    words = f"{output.get('words', 'no')} words counted by {ended.agent_id or 'nobody'}"
    return f"{status}: {words}", "" if right else f"{len(REPORT.split())} words were expected"
