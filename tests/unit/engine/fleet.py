"""A fleet without a network: the real engine on the real SQL in memory, stepped by the test, with a clock that moves when told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from random import Random
from typing import Any

from fleetd.clock import ManualClock
from fleetd.core.agent import AgentSpec
from fleetd.core.attendance import LeaseRef
from fleetd.core.event import EventFilter, EventType
from fleetd.core.settings import Rules
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import RetryPolicy, Spec, Status, Task
from fleetd.core.words import Ack, Result, Word, WordKind
from fleetd.engine.engine import Engine
from fleetd.engine.outbox import Acks, BeaconItem, EndItem, Offer, Offers, OrderItem, OrdersItem
from fleetd.engine.sessions import Session
from fleetd.store.sqlite import SqliteStore

RULES = Rules(retry=RetryPolicy(jitter=0.0))
"""Backoff without jitter, so that tests can name the moment of a retry."""


class QuietLog:
    """Collects what the engine logs; a test that expects no incident looks at `errors`."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        return None

    def warning(self, event: str, **fields: Any) -> None:
        return None

    def error(self, event: str, **fields: Any) -> None:
        self.errors.append((event, fields))


class Agent:
    """The agent's side of a stream session, played by the test."""

    def __init__(self, fleet: Fleet, session: Session) -> None:
        self.fleet = fleet
        self.session = session
        self.offers: list[Offer] = []
        self.acks: list[Ack] = []
        self.orders: list[OrderItem] = []
        self.beacons: list[BeaconItem] = []
        self.end: EndItem | None = None
        self._reports = itertools.count(1)

    def read(self) -> None:
        """Take everything out of the outbox."""
        for item in self.session.outbox.take():
            if isinstance(item, Offers):
                self.offers += item.offers
            elif isinstance(item, Acks):
                self.acks += item.acks
            elif isinstance(item, OrdersItem):
                self.orders += item.orders
            elif isinstance(item, BeaconItem):
                self.beacons.append(item)
            else:
                self.end = item

    async def take(self) -> Offer:
        """Return the next lease that came."""
        await self.fleet.settle()
        self.read()
        assert self.offers, "no lease came"
        return self.offers.pop(0)

    async def say(self, offer: Offer | LeaseRef, kind: WordKind, **parts: Any) -> Ack:
        """Say one word about a lease and return its acknowledgement."""
        task_id = offer.task.id if isinstance(offer, Offer) else offer.task_id
        word = Word(task_id, offer.lease_epoch, kind, report_id=next(self._reports), **parts)
        self.fleet.engine.sessions.post_words(self.session, (word,))
        await self.fleet.settle()
        self.read()
        ack = next(ack for ack in self.acks if ack.report_id == word.report_id)
        self.acks.remove(ack)
        return ack

    async def start(self) -> Offer:
        """Take the next lease and start it."""
        offer = await self.take()
        assert (await self.say(offer, WordKind.START)).result is Result.ACCEPTED
        return offer

    async def ping(self, *held: LeaseRef, confirmed: list[str] | None = None) -> BeaconItem:
        self.fleet.engine.sessions.ping(self.session, 1, list(held), confirmed or [])
        await self.fleet.settle()
        self.read()
        return self.beacons[-1]


class Fleet:
    """An engine with its store, stepped by hand."""

    def __init__(self, rules: Rules = RULES, path: str = ":memory:") -> None:
        self.clock = ManualClock()
        self.log = QuietLog()
        self.store = SqliteStore(path)
        self.rules = rules
        self.engine = self._engine()
        self._ids = itertools.count(1)

    def _engine(self) -> Engine:
        return Engine(self.store, self.clock, self.rules, self.log, random=Random(7))

    async def open(self) -> Fleet:
        await self.store.open()
        await self.engine.recover()
        self.engine.serve()
        return self

    async def close(self) -> None:
        await self.engine.stop()
        await self.store.close()

    async def restart(self) -> None:
        """A new engine on the same store, as after a crash: nothing of memory survives."""
        self.engine = self._engine()
        await self.engine.recover()
        self.engine.serve()

    async def settle(self) -> None:
        """Let the engine do everything that can be done now."""
        busy = True
        while busy:
            busy = await self.engine.step()
            # Whoever was answered in this step gets a turn, and may ask for more.
            await asyncio.sleep(0)

    async def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Await something that needs the engine to turn."""
        task = asyncio.ensure_future(coroutine)
        for _ in range(1_000):
            await self.settle()
            if task.done():
                return task.result()
        task.cancel()
        raise AssertionError("nothing came of it")

    async def do(self, command: Any) -> Any:
        """Run a command; its answer, or its error."""
        return await self.run(self.engine.execute(command))

    async def submit(self, title: str = "work", **parts: Any) -> Task:
        """Submit one task; parts of the spec and of the submission by name."""
        number = next(self._ids)
        in_spec = {
            name: parts.pop(name)
            for name in ("required_capabilities", "schedule_to_start", "tags", "labels")
            if name in parts
        }
        parts = {"id": f"task-{number:04}", "org_id": "default", **parts}
        item = Submission(spec=Spec(title, **in_spec), **parts)
        (answer,) = await self.do(Submit((item,)))
        if isinstance(answer, Exception):
            raise answer
        return answer.task

    async def agent(
        self,
        agent_id: str = "agent-1",
        *capabilities: str,
        incarnation: str = "process-1",
        slots: int = 1,
        held: tuple[LeaseRef, ...] = (),
    ) -> Agent:
        """Connect an agent by a stream."""
        spec = AgentSpec(agent_id, capabilities=capabilities, max_concurrency=slots)
        session = await self.run(self.engine.sessions.hello(spec, incarnation, held))
        agent = Agent(self, session)
        await self.settle()
        return agent

    async def pass_time(self, milliseconds: int) -> None:
        """Move the clock and let everything happen that is due."""
        self.clock.advance(milliseconds)
        await self.settle()

    async def task(self, task_id: str) -> Task:
        return (await self.store.get_tasks([task_id]))[task_id].task

    async def status(self, task_id: str) -> Status:
        return (await self.task(task_id)).status

    async def events(self, task_id: str = "", agent_id: str = "") -> list[EventType]:
        page = await self.store.list_events(EventFilter(task_id=task_id, agent_id=agent_id), 0, 1_000, 100_000)
        return [event.type for event in page.events]


def ref(offer: Offer) -> LeaseRef:
    """Name the lease of an offer."""
    return LeaseRef(offer.task.id, offer.lease_epoch)
