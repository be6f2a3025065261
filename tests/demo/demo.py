"""
The demo: a daemon, agents made of ordinary programs, and what they live through, told in acts.

Exits with 0 when everything ended as it should and nothing is left running, else with 1.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

# Read by grpc's core when it is loaded: a daemon that goes away is no news here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from acts import ACTS
from scene import Scene
from screen import Screen
from stage import Stage

from fleetd_client import FleetClient, FleetError

# Everything takes about half a minute; a demo that hangs is a failed one.
PATIENCE_SECONDS = 90.0


async def play(scene: Scene) -> None:
    """Play the acts; one that breaks off is the last one, for the others build on it."""
    for number, act in enumerate(ACTS, 1):
        scene.screen.heading(f"{number}. {act.title}")
        try:
            await act.play(scene)
        except FleetError as error:
            scene.saw("", "the act broke off", str(error))
            return


async def main() -> int:
    """Run the demo; its exit code."""
    screen = Screen()
    began = time.monotonic()
    stage = Stage()
    async with stage, FleetClient(stage.address) as client:
        scene = Scene(stage, client, screen)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await play(scene)
        except TimeoutError:
            scene.saw("", "the play broke off", f"not everything was over after {PATIENCE_SECONDS:.0f} s")
    screen.text("")
    for problem in stage.problems:
        screen.text(f"after the end: {problem}", "bold red")
    if scene.wrong or stage.problems:
        screen.text(f"{scene.wrong} of {scene.judged} expectations were not met.", "bold red")
        return 1
    took = time.monotonic() - began
    screen.text(
        f"All {scene.judged} expectations were met in {took:.1f}s; nothing is left running.", "bold green"
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
