"""What an act is played with: the stage, a client, and a way to show each step and to judge what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from screen import GAP, Screen, verdict
from stage import Stage

from fleet.v1.dispatcher_pb2 import ExplainReason, ExplainTaskResponse
from fleet.v1.event_pb2 import Event
from fleetd_client import FleetClient

# A stable code, what it means, and the numbers it rests on.
Fact = tuple[str, str, str]


class Order(NamedTuple):
    """What an operator told the daemon; the audit log must know it."""

    method: str
    target: str
    reason: str


class Scene:
    """`judged` counts what was judged so far, `wrong` what did not end as it should; `orders` are those that operators gave."""

    def __init__(self, stage: Stage, client: FleetClient, screen: Screen) -> None:
        self.stage = stage
        self.client = client
        self.screen = screen
        self.judged = 0
        self.wrong = 0
        self.orders: list[Order] = []

    def judge(self, problem: str) -> None:
        """Count one more verdict; no problem is an empty one."""
        self.judged += 1
        self.wrong += bool(problem)

    def did(self, what: str, text: str) -> None:
        """Show a step that is judged by what comes of it later."""
        self.screen.line(what, Text(text))

    def ordered(self, method: str, target: str, text: str, reason: str) -> None:
        """Show what an operator did, and expect it in the audit log."""
        self.orders.append(Order(method, target, reason))
        self.did(method, f"{text}: {reason}")

    def saw(self, what: str, text: str, problem: str = "") -> None:
        """Show and judge what came of a step."""
        self.judge(problem)
        self.screen.line(what, Group(Text(text), *_written(problem)), verdict(problem))

    def told(self, what: str, facts: Sequence[Fact], problem: str = "") -> None:
        """Show and judge an answer that is made of facts."""
        self.judge(problem)
        grid = Table.grid(padding=(0, GAP, 0, 0))
        room = self.screen.room - GAP - max((len(code) for code, _, _ in facts), default=0)
        for code, text, numbers in facts:
            between = "  " if len(text) + GAP + len(numbers) <= room else "\n"
            said = Text(text).append(between + numbers, "dim") if numbers else Text(text)
            grid.add_row(Text(code, "yellow"), said)
        self.screen.line(what, Group(grid, *_written(problem)), verdict(problem))

    def explained(self, answer: ExplainTaskResponse, *codes: str, **numbers: int) -> None:
        """Show an explanation, and judge that these reasons, and no others, are given, with these numbers among theirs."""
        facts = [(reason.code, reason.text, _numbers(reason)) for reason in answer.reasons]
        codes_found = tuple(reason.code for reason in answer.reasons)
        numbers_found = {item for reason in answer.reasons for item in reason.numbers.items()}
        right = codes_found == codes and numbers.items() <= numbers_found
        wanted = [*codes, *(f"{name}={value}" for name, value in numbers.items())]
        self.told("ExplainTask", facts, "" if right else f"{', '.join(wanted)} expected")

    async def fleetctl(self, *arguments: str) -> str:
        """Run fleetctl as an operator would, and show what it prints."""
        out = await self.stage.fleetctl(*arguments)
        self.screen.text(f"    $ fleetctl {shlex.join(arguments)}", "dim")
        for line in out.rstrip().splitlines():
            self.screen.show(Padding(Text(line), (0, 0, 0, 4)))
        return out

    async def happened(self, kind: str, after_seq: int = 0, **match: str) -> Event:
        """Wait for the first event of a kind after a seq; `match` as for FleetClient.watch_events."""
        async with aclosing(self.client.watch_events(after_seq, types=[kind], **match)) as events:
            return await anext(events)


def _numbers(reason: ExplainReason) -> str:
    # Times of day, in epoch milliseconds, are for programs.
    return " ".join(f"{name}={value}" for name, value in sorted(reason.numbers.items()) if name != "run_at")


def _written(problem: str) -> list[Text]:
    return [Text(problem, "bold red")] if problem else []
