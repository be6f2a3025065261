"""A fleet without a network: the real engine on the real SQL in memory, stepped by the test, with a clock that moves when told."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Coroutine
from random import Random
from typing import Any

from fleetd.clock import ManualClock
from fleetd.core.agent import AgentOrder, AgentSpec, AgentStatus, SessionKind
from fleetd.core.attendance import LeaseRef, OrderAgent
from fleetd.core.event import EventFilter, EventType
from fleetd.core.host import Host, HostAgent, HostState
from fleetd.core.hostbook import seat_name
from fleetd.core.hosting import NoteHost, PutHosts
from fleetd.core.rollout import Origin
from fleetd.core.settings import Rules
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import WAITING, RetryPolicy, Spec, Status, Task, TaskFilter
from fleetd.core.words import Ack, Result, Say, Word, WordKind
from fleetd.engine.engine import Engine
from fleetd.engine.engine_options import EngineOptions
from fleetd.engine.outbox import Acks, BeaconItem, EndItem, Offer, Offers, OrderItem, OrdersItem
from fleetd.engine.session import Session
from fleetd.store.base import Snapshot, Store
from fleetd.store.sqlite import SqliteStore

RULES = Rules(retry=RetryPolicy(jitter=0.0))
"""Backoff without jitter, so that tests can name the moment of a retry."""


class QuietLog:
    """Collects what the engine logs; a test that expects no incident looks at `errors`."""

    def __init__(self) -> None:
        self.infos: list[tuple[str, dict[str, Any]]] = []
        self.warnings: list[tuple[str, dict[str, Any]]] = []
        self.errors: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.infos.append((event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.warnings.append((event, fields))

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

    def saying(self, offer: Offer, kind: WordKind, **parts: Any) -> Say:
        """Return the command that says one word about a lease, to be run with others."""
        word = Word(offer.task.id, offer.lease_epoch, kind, **parts)
        return Say(self.session.agent_id, self.session.epoch, (word,))

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

    def __init__(
        self,
        rules: Rules = RULES,
        path: str = ":memory:",
        store: Store | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.log = QuietLog()
        self.store = store or SqliteStore(path, inline=True)
        self.rules = rules
        self.options = options
        self.engine = self._engine()
        self._ids = itertools.count(1)

    def _engine(self) -> Engine:
        return Engine(self.store, self.clock, self.rules, self.log, self.options, Random(7))

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

    async def run(self, coroutine: Awaitable[Any]) -> Any:
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

    async def together(self, *commands: Any) -> list[Any]:
        """Run commands in one transaction; their answers, errors included."""
        futures = [self.engine.post(command) for command in commands]
        await self.settle()
        return [future.exception() or future.result() for future in futures]

    async def runs(self, *coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
        """Await things whose commands meet in one transaction; their results, errors included."""
        tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
        await asyncio.sleep(0)
        return await self.run(asyncio.gather(*tasks, return_exceptions=True))

    async def submit(self, title: str = "work", **parts: Any) -> Task:
        """Submit one task; parts of the spec and of the submission by name."""
        number = next(self._ids)
        in_spec = {
            name: parts.pop(name)
            for name in ("required_capabilities", "schedule_to_start", "tags", "labels", "description")
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

    async def host(
        self,
        host_id: str = "build-1",
        *capabilities: str,
        slots: int = 1,
        state: HostState = HostState.ONLINE,
    ) -> None:
        """Add a host with one kind of agent, as checks have found it."""
        agent = HostAgent("coder", ("coder",), capabilities, slots)
        await self.do(PutHosts((Host(host_id, "localhost", agents=(agent,)),)))
        await self.do(NoteHost(host_id, state))

    async def seat(self, host_id: str = "build-1", held: tuple[LeaseRef, ...] = ()) -> Agent:
        """Open the session of a host's agent, as the daemon does when the host is there."""
        (agent,) = self.engine.hosts.present[host_id].host.agents
        name = seat_name(host_id, agent.type)
        spec = AgentSpec(name, capabilities=agent.capabilities, max_concurrency=agent.max_concurrency)
        hello = self.engine.sessions.hello(spec, "daemon", held, SessionKind.HOST)
        seat = Agent(self, await self.run(hello))
        await self.settle()
        return seat

    def hello(
        self,
        agent_id: str = "agent-1",
        incarnation: str = "process-1",
        *capabilities: str,
        held: tuple[LeaseRef, ...] = (),
        slots: int = 1,
    ) -> Coroutine[Any, Any, Session]:
        """Return the opening of a stream, to be awaited with others."""
        spec = AgentSpec(agent_id, capabilities=capabilities, max_concurrency=slots)
        return self.engine.sessions.hello(spec, incarnation, held)

    async def detach(self, agent: Agent) -> None:
        """Break the agent's stream."""
        self.engine.sessions.detach(agent.session)
        await self.settle()

    async def order(self, order: AgentOrder, agent_id: str = "agent-1", after: int = 0) -> str:
        """Order an agent to do something, with a deadline in so many ms; return the order's id."""
        order_id = f"order-{next(self._ids)}"
        deadline = self.clock.wall() + after if after else 0
        await self.do(OrderAgent(agent_id, order, order_id, "maintenance", deadline))
        return order_id

    def agent_status(self, agent_id: str = "agent-1") -> AgentStatus:
        session = self.engine.sessions.get(agent_id)
        return self.engine.agents[agent_id].status(len(session.held) if session else 0)

    async def rows(self) -> list[Task]:
        """Return every task of the store."""
        page = await self.store.list_tasks(TaskFilter(), 0, 1_000_000, 1_000_000)
        return [row.task for row in page.rows]

    async def check(self) -> None:
        """Compare what memory holds with what the store holds."""
        engine, rows = self.engine, await self.rows()
        snapshot = await self.store.snapshot(0)
        waiting = {row.id: row.count for row in snapshot.lanes}
        assert {lane.id: lane.count for lane in engine.lane_book.lanes()} == waiting
        assert sum(waiting.values()) == sum(task.queued for task in rows)
        truth = Counter(task.status for task in rows)
        assert {status: count for status, count in engine.counts.items() if count} == truth
        assert {status: count for status, count in snapshot.counts.items() if count} == truth
        assert engine.totals == snapshot.totals
        assert engine.last_event_seq == snapshot.last_event_seq
        assert engine.task_feed.last == snapshot.last_task_event
        await self._check_task_events(rows)
        held = sorted((task.agent_id, task.id, task.lease_epoch) for task in rows if task.live)
        mine = [(s.agent_id, *ref) for s in engine.sessions.all() for ref in s.refs()]
        assert sorted(mine) == held
        seats = [(s, engine.slot_book.seat(s.agent_id)) for s in engine.sessions.all()]
        assert all(seat and seat.held == len(session.held) for session, seat in seats)
        assert engine.slot_book.free == sum(seat.free for _, seat in seats if seat)
        opened = {agent.spec.agent_id for agent in snapshot.agents if agent.session_open}
        assert {session.agent_id for session in engine.sessions.all()} == opened
        assert {agent.spec.agent_id: agent for agent in snapshot.agents} == engine.agents
        assert {row.host.id: row for row in snapshot.hosts} == engine.hosts.present
        self._check_routes(snapshot, rows)
        self._check_rollouts(snapshot, rows)

    def _check_rollouts(self, snapshot: Snapshot, rows: list[Task]) -> None:
        book = self.engine.rollout_book
        present = book.present
        assert book.view is present
        defined = {rollout for (origin, _), rollout in present.defined.items() if origin is Origin.STORE}
        assert defined == set(snapshot.rollouts)
        assert present.states == snapshot.rollout_states
        assert present.salts == snapshot.rollout_salts
        # Nothing is lost with a task that was forgotten: only what is over is.
        shadows = Counter(
            task.rollout.name for task in rows if task.rollout and task.shadow and not task.terminal
        )
        assert snapshot.shadows == shadows
        names = {*present.names(), *shadows}
        taken = {name: book.places.taken(name) for name in names}
        assert taken == {name: shadows[name] + self.engine.rollouts.pairs.held(name) for name in names}

    async def _check_task_events(self, rows: list[Task]) -> None:
        """What is kept of a task ends with its newest event and has no gap; what was read without a search is what is stored."""
        for task in rows:
            page = await self.store.list_task_events(task.id, 0, 1_000_000, 1 << 40)
            assert page is not None
            assert [event.seq for event in page.events] == list(range(page.oldest, task.task_event_seq + 1))
            assert (page.last, page.end) == (task.task_event_seq, True)
            assert 0 <= task.task_event_base <= task.task_event_seq

    def _check_routes(self, snapshot: Snapshot, rows: list[Task]) -> None:
        book = self.engine.routes
        book.gather()
        book.begin()
        assert dict(book.inside.load) == dict(book.outside.load)
        working = Counter(task.route.instance for task in rows if task.live and task.route is not None)
        assert all(book.outside.load.get(key, 0) >= count for key, count in working.items())
        registry = book.outside.registry
        assert registry is book.inside.registry
        stored = {each.instance.id: each.instance for each in snapshot.instances}
        assert stored == dict(registry.index.instances)
        assert all(registry.condition(e.instance.id).state is e.condition.state for e in snapshot.instances)
        kept = {breaker.key: breaker for breaker in snapshot.breakers}
        assert all(kept.get(b.key) == b for b in book.all_breakers() if b.failures or b.epoch)
        assert all(registry.breaker(*key) == breaker.view for key, breaker in kept.items())
        assert set(snapshot.blocked) <= set(book.groups)
        waiting = Counter(t.org_id for t in rows if t.status in WAITING)
        gates = {gate.key.name: gate.pending for gate in self.engine.gates.all() if gate.key.kind == "org"}
        assert {org: count for org, count in gates.items() if count} == waiting

    async def pass_time(self, milliseconds: int) -> None:
        """Move the clock and let everything happen that is due."""
        self.clock.advance(milliseconds)
        await self.settle()

    async def task(self, task_id: str) -> Task:
        return (await self.store.get_tasks([task_id]))[task_id].task

    async def status(self, task_id: str) -> Status:
        return (await self.task(task_id)).status

    async def payloads(self, task_id: str, kind: EventType) -> list[Any]:
        """Return what the task's events of a kind say."""
        wanted = EventFilter(task_id=task_id, types=frozenset({kind}))
        return [event.payload for event in (await self.store.list_events(wanted, 0, 1_000, 100_000)).events]

    async def events(self, task_id: str = "", agent_id: str = "") -> list[EventType]:
        page = await self.store.list_events(
            EventFilter(task_id=task_id, agent_id=agent_id), 0, 1_000, 100_000
        )
        return [event.type for event in page.events]


def ref(offer: Offer) -> LeaseRef:
    """Name the lease of an offer."""
    return LeaseRef(offer.task.id, offer.lease_epoch)
