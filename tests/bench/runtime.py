"""Agents of the client's runtime with an async no-op handler: `python runtime.py ADDRESS COUNT SLOTS [stamp]`. Ends with stdin."""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic_ns

from fleetd_client import Agent


async def main(address: str, count: int, slots: int, stamps: bool) -> None:
    async def handler(_ctx: object) -> str:
        if stamps:
            print(json.dumps({"start": monotonic_ns()}), flush=True)
        return "done"

    runs = []
    for number in range(count):
        agent = Agent(f"runtime-{number}", address, max_concurrency=slots)
        agent.handler(handler)
        runs.append(asyncio.create_task(agent.run(signals=False)))
    ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([ended, *runs], return_when=asyncio.FIRST_COMPLETED)
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "stamp" in sys.argv[4:]))
