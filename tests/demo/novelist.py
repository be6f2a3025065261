"""The agent `novelist`: writes stories chapter by chapter on the model instance it is given, and goes on with the next one when that fails."""

import asyncio
import json
import sys
from urllib.request import Request, urlopen

from fleetd_client import Agent, Context
from fleetd_client.stubs import Instance

CHAPTERS = 10
TRY_SECONDS = 5.0

agent = Agent("novelist", sys.argv[1], capabilities=["stories"], concurrency=3)


def ask(instance: Instance, prompt: str) -> str:
    body = json.dumps({"model": instance.model, "prompt": prompt}).encode()
    request = Request(f"{instance.base_url}/v1/completions", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=TRY_SECONDS) as response:
        return json.load(response)["text"]


@agent.handler
async def write(ctx: Context) -> dict[str, list[str]]:
    chapters = json.loads(ctx.checkpoint_data or b"[]")
    instance = ctx.instance
    assert instance is not None
    while len(chapters) < CHAPTERS:
        number = len(chapters) + 1
        try:
            chapters.append(await asyncio.to_thread(ask, instance, f"{ctx.text}, chapter {number}"))
        except OSError as error:
            instance = await ctx.next_instance(error)
            continue
        ctx.checkpoint(json.dumps(chapters), step_id=f"chapter {number}")
        ctx.progress(100 * number // CHAPTERS, f"chapter {number} by {instance.id}")
    return {"chapters": chapters}


agent.run_sync()
