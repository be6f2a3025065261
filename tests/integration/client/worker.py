"""An agent in a process of its own: `python worker.py ADDRESS AGENT_ID GATE`. Its handler says progress, then waits until GATE (a FIFO) is written."""

from __future__ import annotations

import sys
from pathlib import Path

from fleetd_client import Agent, Context

address, agent_id, gate = sys.argv[1:]
agent = Agent(agent_id, address)


@agent.handler
def work(ctx: Context) -> str:
    ctx.progress(50, "at the gate")
    return Path(gate).read_text()


print(agent.run_sync())
