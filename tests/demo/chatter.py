"""
An agent that answers in one of two modes, told by its arguments: the old one at once, the new one with a plan and a search it tells about. The new one fails
while a file of the stage says so.
"""

import asyncio
import hashlib
import sys
from pathlib import Path

from fleetd_client import Agent, AgentFail, Context, Result, task_events

OLD, NEW = "direct_llm", "runtime_orchestrator"
mode, broken = sys.argv[2], Path(sys.argv[3])

agent = Agent(mode, sys.argv[1], capabilities=[mode], max_concurrency=4)


@agent.handler
async def answer(ctx: Context) -> Result:
    if ctx.mode == NEW:
        if await asyncio.to_thread(broken.exists):
            # A code that blames neither the agent nor, without a route, an instance.
            raise AgentFail("503", "the orchestrator is down")
        await ctx.emit(task_events.plan_step("step-1", "running", title="Search", tool="web_search"))
        await ctx.emit(task_events.skill_call("web_search", {"query": ctx.text}))
        await ctx.emit(task_events.skill_result("web_search", ["a page"], duration=0.2))
        await ctx.emit(task_events.plan_step("step-1", "completed", title="Search", tool="web_search"))
    text = f"About {ctx.text}: it depends."
    await ctx.emit(task_events.message(text, role="assistant"))
    await ctx.emit(task_events.done(usage={"outputTokens": len(text.split())}, execution_mode=ctx.mode))
    return Result(text, digest=hashlib.sha256(text.encode()).hexdigest()[:16])


agent.run_sync()
