"""A task that nobody can serve, of an org that is paused: every reason is told, and goes when its cause goes."""

from __future__ import annotations

from scene import Scene
from stage import CREW

from fleet.v1.task_pb2 import TaskStatus
from fleetd_client import unpack

WAIT_SECONDS = 10.0


async def play(scene: Scene) -> None:
    client = scene.client
    waiting = await client.submit(
        "write a reminder", org_id="globex", capabilities=["letters"], input="Ms. Wile"
    )
    scene.did("SubmitTask", "globex wants a reminder written; that needs the capability letters")
    scene.explained(await client.explain(waiting.id), "NO_CAPABLE_AGENT", agents=len(CREW), able=0)

    await client.pause_queue("ORG", "globex", reason="its invoice is overdue")
    scene.ordered("PauseQueue", "org:globex", "org globex", "its invoice is overdue")
    scene.explained(await client.explain(waiting.id), "ORG_PAUSED", "NO_CAPABLE_AGENT")

    await scene.stage.start_agent("clerk")
    await scene.happened("AGENT_REGISTERED", agent_id="clerk")
    scene.did("+ agent clerk", "a Python program that has letters, one task at a time")
    scene.explained(await client.explain(waiting.id), "ORG_PAUSED")

    await client.resume_queue("ORG", "globex", reason="it has paid")
    scene.ordered("ResumeQueue", "org:globex", "org globex", "it has paid")
    ended = await client.wait(waiting.id, timeout=WAIT_SECONDS)
    status = TaskStatus.Name(ended.task.status).removeprefix("TASK_STATUS_")
    letter = unpack(ended.result.output)
    scene.saw(
        "WaitTask",
        f"{status} by {ended.task.agent_id or 'nobody'}: {letter}",
        "" if status == "COMPLETED" and letter == "Dear Ms. Wile, ..." else "a letter was expected",
    )
