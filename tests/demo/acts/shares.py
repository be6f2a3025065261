"""Two orgs want the same agent: leases are shared by weight, and what one org does not need the other one gets."""

from __future__ import annotations

from contextlib import aclosing

from rich.table import Table
from rich.text import Text
from scene import Order, Scene
from screen import GAP, MARK_WIDTH, WHAT_WIDTH, Screen

from fleet.v1.task_pb2 import TaskStatus
from fleetd_client import task

WEIGHTS = {"acme": 3, "beta": 1}
# Of each org; enough to see the shares, few enough to be over in two seconds.
LETTERS = 30
WAIT_SECONDS = 20.0


async def play(scene: Scene) -> None:
    client = scene.client
    await client.set_queue_limits("ORG", "acme", weight=WEIGHTS["acme"], reason="it pays for more")
    scene.orders.append(Order("SetQueueLimits", "org:acme", f"weight={WEIGHTS['acme']}: it pays for more"))
    scene.did("SetQueueLimits", "acme gets weight 3, beta keeps 1: it pays for more")
    letters = [
        task(f"letter {number} of {org}", org_id=org, capabilities=["letters"], input=f"customer {number}")
        for org in WEIGHTS
        for number in range(1, LETTERS + 1)
    ]
    answers = await client.submit_many(letters)
    org_of = {answer.task_id: letter.org_id for answer, letter in zip(answers, letters, strict=True)}
    scene.did(
        "SubmitTasks",
        f"{LETTERS} letters each for acme and beta, one agent: why does the last one wait?",
    )
    scene.explained(await client.explain(answers[-1].task_id), "NO_FREE_SLOT", "BEHIND", able=1, slots=1)

    begun = await _count(scene, org_of)
    scene.screen.show(_bars(scene.screen, begun))
    expected = LETTERS * WEIGHTS["beta"] // WEIGHTS["acme"]
    # One more or less: it depends on whose turn it was when the first letter came.
    fair = abs(begun["beta"] - expected) <= 1
    scene.saw(
        "WatchEvents",
        f"when the last letter of acme began, {begun['beta']} of beta had begun",
        "" if fair else f"{expected}, give or take one, were expected",
    )
    ended = await client.wait_many(list(org_of), timeout=WAIT_SECONDS)
    completed = sum(one.status == TaskStatus.TASK_STATUS_COMPLETED for one in ended.tasks)
    scene.saw(
        "WaitTasks",
        f"{completed} of {len(letters)} completed: what acme no longer needed, beta got",
        "" if completed == len(letters) else "all were expected",
    )


async def _count(scene: Scene, org_of: dict[str, str]) -> dict[str, int]:
    """The letters of each org that had begun when the last one of acme did."""
    begun = dict.fromkeys(WEIGHTS, 0)
    with scene.screen.live(lambda: _bars(scene.screen, begun)):
        async with aclosing(scene.client.watch_events(0, types=["TASK_STARTED"])) as events:
            async for event in events:
                if event.task_id in org_of:
                    begun[org_of[event.task_id]] += 1
                    if begun["acme"] == LETTERS:
                        break
    return begun


def _bars(screen: Screen, begun: dict[str, int]) -> Table:
    # Two columns for each letter where there is room for that, and for the number behind the bar.
    scale = 2 if screen.room > 2 * LETTERS + len(" 00") else 1
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_column(width=MARK_WIDTH)
    grid.add_column(width=WHAT_WIDTH)
    for org, count in begun.items():
        bar = Text("━" * (scale * count), "green" if org == "acme" else "magenta")
        grid.add_row("", f"{org}, weight {WEIGHTS[org]}", bar.append(f" {count}", "bold"))
    return grid
