"""A daemon that is killed while a job runs: begins one, says so, and waits for its end. Arguments: its folder, and the command."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fleetd.core.event import EventType
from tests.integration.hosts.fleet import HostFleet, command, local


async def main(folder: str, *argv: str) -> None:
    fleet = await HostFleet(Path(folder)).open()
    await fleet.hosts(local("here", command(*argv)))
    task = await fleet.submit()
    said = await fleet.happened(EventType.TASK_PROGRESS, task.id)
    print(task.id, said["message"], flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
