"""
Three model servers, one of which dies while it works: the stories go on with the next one from their last chapter, the breaker opens and
closes again, and fleetctl tells all of it.
"""

from __future__ import annotations

import re
from contextlib import aclosing

from scene import Order, Scene

from fleet.v1.task_pb2 import TaskStatus
from fleetd_client import unpack
from fleetd_client.stubs import Instance

# Two machines at hand, and one far away; the first is good at what the stories need.
MODELS = {"ollama:desk": ["fiction", "stories"], "ollama:rack": ["stories"], "cloud:large": ["stories"]}
FIRST = "ollama:desk"
STORIES = ("The Lighthouse", "The Ferry", "The Storm")
KILL_AFTER_CHAPTERS = 6
WAIT_SECONDS = 20.0
NEEDS = {"needs": ["stories", "fiction"]}


async def play(scene: Scene) -> None:
    client, stage = scene.client, scene.stage
    instances = []
    for name, tags in MODELS.items():
        port = await stage.start_model(name)
        url = f"http://127.0.0.1:{port}"
        kind = "INSTANCE_KIND_CLOUD" if name.startswith("cloud") else "INSTANCE_KIND_LOCAL"
        instances.append(
            Instance(id=name, kind=kind, tags=tags, ctx=8_192, base_url=url, probe_url="/health")
        )  # fmt: skip
    results = await client.upsert_instances(instances)
    scene.orders.append(Order("UpsertInstances", ", ".join(MODELS), ""))
    problems = [result.error for result in results if result.error]
    scene.saw(
        "UpsertInstances", "three fake model servers on this machine, each with /health", "; ".join(problems)
    )
    for name in MODELS:
        await _state(scene, name, "READY")
    scene.did("INSTANCE_STATE", "each answered its first probe: READY")

    await stage.start_agent("novelist")
    stories = [
        await client.submit(f"write {title}", input=title, capabilities=["stories"], route=NEEDS)
        for title in STORIES
    ]
    ids = [story.id for story in stories]
    chosen = {story.instance for story in stories}
    problem = "" if chosen == {FIRST} else f"{FIRST} was expected"
    scene.saw("SubmitTask", f"{len(ids)} stories of ten chapters, routed to {', '.join(chosen)}", problem)
    await _chapters(scene, ids)
    await stage.kill_model(FIRST)
    scene.did("kill -9", f"{FIRST}, in the middle of its chapters")

    ended = await client.wait_many(ids, timeout=WAIT_SECONDS)
    for title, story in zip(STORIES, ended.tasks, strict=True):
        result = await client.result(story.id)
        scene.saw("WaitTasks", *_told(title, story, (unpack(result.output) or {}).get("chapters", [])))
    shown = await scene.fleetctl("events", "--type", "BREAKER_OPENED", "--type", "TASK_REROUTED")
    moved = len(re.findall(r"TASK_REROUTED", shown))
    problem = (
        ""
        if moved >= len(ids) and f"{FIRST}" in shown and "BREAKER_OPENED" in shown
        else "its breaker was expected to open"
    )
    scene.saw("fleetctl events", f"{moved} tasks went on elsewhere, and its breaker opened", problem)
    shown = await scene.fleetctl("route", "explain", "write another story", "--need", "fiction")
    row = next((line for line in shown.splitlines() if line.startswith(FIRST)), "")
    scene.saw(
        "fleetctl route",
        f"{FIRST} is out, and why",
        "" if row and _is_out(row) else "it was expected to be out",
    )

    await stage.start_model(FIRST)
    scene.did("start again", f"{FIRST}, on its old port")
    await _state(scene, FIRST, "READY")
    await scene.happened("BREAKER_HALF_OPEN")
    again = await client.submit("write The Calm", input="The Calm", capabilities=["stories"], route=NEEDS)
    done = await client.wait(again.id, timeout=WAIT_SECONDS)
    chapters = (unpack(done.result.output) or {}).get("chapters", [])
    alone = all(chapter.endswith(f"by {FIRST}") for chapter in chapters)
    scene.saw(
        "WaitTask",
        f"a fourth story, all of it by {FIRST}",
        "" if chapters and alone else "it was expected there",
    )
    shown = await scene.fleetctl("events", "--type", "BREAKER_HALF_OPEN", "--type", "BREAKER_CLOSED")
    scene.saw(
        "fleetctl events",
        "half-open, tried once, closed",
        "" if "BREAKER_CLOSED" in shown else "it was expected to close",
    )
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
    right = (
        status == "COMPLETED" and whole and authors[:1] == [FIRST] and len(authors) > 1 and story.attempt == 1
    )
    text = (
        f"{status}: {title}, chapters {numbers[0]} to {numbers[-1]}, by {' and '.join(authors)}"
        if numbers
        else status
    )
    return text, "" if right else "ten chapters by two models in one run were expected"


def _is_out(row: str) -> bool:
    return "breaker" in row or "state" in row
