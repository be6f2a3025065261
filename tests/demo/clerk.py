"""The agent `clerk`, a Python program of its own: writes letters, one at a time. Its argument is the daemon's address."""

import asyncio
import sys

from fleetd_client import Agent, Context

# Slow enough to be watched.
LETTER_SECONDS = 0.015

agent = Agent("clerk", sys.argv[1], capabilities=["letters"])


@agent.handler
async def write(ctx: Context) -> str:
    await asyncio.sleep(LETTER_SECONDS)
    return f"Dear {ctx.text}, ..."


agent.run_sync()
