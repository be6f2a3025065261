"""
Three model servers, one of which dies while it works: the stories go on with the next one from their last chapter, the breaker opens and
closes again, and fleetctl tells all of it.
"""

from __future__ import annotations

import re
from contextlib import aclosing

from rich.text import Text
from scene import Scene

from fleet.v1.task_pb2 import TaskStatus
from fleetd_client import task, unpack
from fleetd_client.stubs import Instance

# In the order in which they are tried: two machines at hand, and one that costs money.
MODELS = {"ollama:desk": 1, "ollama:rack": 2, "cloud:large": 3}
FIRST = "ollama:desk"
STORIES = ("The Lighthouse", "The Ferry", "The Storm")
KILL_AFTER_CHAPTERS = 6
WAIT_SECONDS = 20.0
NEEDS = {"needs": ["stories"]}


async def play(scene: Scene) -> None:
    client, stage = scene.client, scene.stage
    instances = []
    for name, priority in MODELS.items():
        port = await stage.start_model(name)
        url = f"http://127.0.0.1:{port}"
        kind = "INSTANCE_KIND_CLOUD" if name.startswith("cloud") else "INSTANCE_KIND_LOCAL"
        instances.append(
            Instance(id=name, kind=kind, tags=["stories"], ctx=8_192, base_url=url, probe_url="/health", priority=priority)
        )  # fmt: skip
    results = await client.upsert_instances(instances)
    scene.ordered("UpsertInstances", f"{len(instances)} instances", "three fake model servers, each with /health", "")
    problems = [result.error for result in results if result.error]
    scene.saw("UpsertInstances", f"{len(results)} taken", "; ".join(problems))
    for name in MODELS:
        await _state(scene, name, "READY")
    scene.did("INSTANCE_STATE", "each answered its first probe: READY")

    await stage.start_agent("novelist")
    answers = await client.submit_many(
        task(f"write {title}", input=title, capabilities=["stories"], route=NEEDS) for title in STORIES
    )
    ids = [answer.task_id for answer in answers]
    scene.did("SubmitTasks", f"{len(ids)} stories of ten chapters; routed to {answers[0].task.instance or '?'}")
    await _chapters(scene, ids)
    await stage.kill_model(FIRST)
    scene.did("kill -9", f"{FIRST}, in the middle of its chapters")

    ended = await client.wait_many(ids, timeout=WAIT_SECONDS)
    for title, story in zip(STORIES, ended.tasks, strict=True):
        result = await client.result(story.id)
        scene.saw("WaitTasks", *_told(title, story, (unpack(result.result.output) or {}).get("chapters", [])))
    shown = await _fleetctl(scene, "events", "--type", "BREAKER_OPENED", "--type", "TASK_REROUTED")
    moved = len(re.findall(r"TASK_REROUTED", shown))
    problem = "" if moved >= len(ids) and f"{FIRST}" in shown and "BREAKER_OPENED" in shown else "its breaker was expected to open"
    scene.saw("fleetctl events", f"{moved} tasks went on elsewhere, and its breaker opened", problem)
    shown = await _fleetctl(scene, "route", "explain", "write another story", "--need", "stories")
    row = next((line for line in shown.splitlines() if line.startswith(FIRST)), "")
    scene.saw("fleetctl route", f"{FIRST} is out, and why", "" if row and _is_out(row) else "it was expected to be out")

    await stage.start_model(FIRST)
    scene.did("start again", f"{FIRST}, on its old port")
    await _state(scene, FIRST, "READY")
    await scene.happened("BREAKER_HALF_OPEN")
    again = await client.submit("write The Calm", input="The Calm", capabilities=["stories"], route=NEEDS)
    done = await client.wait(again.id, timeout=WAIT_SECONDS)
    chapters = (unpack(done.result.output) or {}).get("chapters", [])
    alone = all(chapter.endswith(f"by {FIRST}") for chapter in chapters)
    scene.saw("WaitTask", f"a fourth story, all of it by {FIRST}", "" if chapters and alone else "it was expected there")
    shown = await _fleetctl(scene, "events", "--type", "BREAKER_HALF_OPEN", "--type", "BREAKER_CLOSED")
    scene.saw("fleetctl events", "half-open, tried once, closed", "" if "BREAKER_CLOSED" in shown else "it was expected to close")
    left = await client.breakers()
    scene.saw("ListBreakers", f"{len(left) or 'none'} open", "none was expected" if left else "")


async def _state(scene: Scene, name: str, state: str) -> None:
    """Wait until the last thing that is known of an instance is this state."""
    async with aclosing(scene.client.watch_events(0, types=["INSTANCE_STATE"])) as events:
        latest = {}
        async for event in events:
            latest[event.payload["instance"]] = event.payload["state"]
            if latest.get(name) == state:
                status = [one async for one in scene.client.instances() if one.instance.id == name]
                if status and status[0].reason == "":
                    return


async def _chapters(scene: Scene, ids: list[str]) -> None:
    """Wait until some chapters of the stories are written."""
    written = 0
    async with aclosing(scene.client.watch_events(0, types=["TASK_CHECKPOINTED"])) as events:
        async for event in events:
            written += event.task_id in ids
            if written == KILL_AFTER_CHAPTERS:
                return


def _told(title: str, story, chapters: list[str]) -> tuple[str, str]:
    status = TaskStatus.Name(story.status).removeprefix("TASK_STATUS_")
    numbers = [re.search(r"chapter (\d+)", chapter)[1] for chapter in chapters]
    authors = list(dict.fromkeys(chapter.rpartition(" by ")[2] for chapter in chapters))
    whole = numbers == [str(number) for number in range(1, 11)]
    right = status == "COMPLETED" and whole and authors[:1] == [FIRST] and len(authors) > 1 and story.attempt == 1
    text = f"{status}: {title}, chapters {numbers[0]} to {numbers[-1]}, by {' and '.join(authors)}" if numbers else status
    return text, "" if right else "ten chapters by two models in one run were expected"


def _is_out(row: str) -> bool:
    return "breaker" in row or "state" in row


async def _fleetctl(scene: Scene, *arguments: str) -> str:
    """Run fleetctl as an operator would, and show what it prints."""
    out = await scene.stage.fleetctl(*arguments)
    scene.screen.text(f"$ fleetctl {' '.join(arguments)}", "dim")
    for line in out.rstrip().splitlines():
        scene.screen.show(Text(f"  {line}"))
    return out
