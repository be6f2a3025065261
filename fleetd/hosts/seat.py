"""
One kind of agent on one host: it holds leases as an agent with a stream does, and runs them with a runner (spec M5, M3).

The seat is an agent in every respect, heartbeats included, that happens to live in the daemon: leases, fences, orders, timeouts and restarts are those of all agents.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetd.core.agent import AgentSpec, SessionKind
from fleetd.core.attendance import LeaseRef
from fleetd.core.host import Host, HostAgent
from fleetd.core.task import Order, Payload
from fleetd.core.words import Result, Word, WordKind
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log
from fleetd.engine.outbox import Acks, EndItem, Offer, Offers, OrderItem, OrdersItem
from fleetd.engine.session import Session
from fleetd.errors import FleetError, InvalidArgument, LeaseLost, Overloaded, Unavailable
from fleetd.hosts.parser import Said, parser, verdict
from fleetd.hosts.prompt import run_spec
from fleetd.hosts.runner import Runner, RunningCommand, Unreachable

SAID_EVERY = 500
"""Milliseconds between two progress words about plain output: people read no faster, and each is written."""
MESSAGE_CHARS = 1_000
LOST_AGAIN = 1_000
"""Milliseconds before a session that was ended is opened again, where nothing else is said."""
UNHEARD = 1_000
"""Words without an answer that are kept; then commands that say more wait."""
TELLING = 100
"""Words about progress without an answer; then commands that say more wait, too: the queue of the engine is for all."""

TEXT = "text/plain; charset=utf-8"
STOPS = (Order.CANCEL, Order.TIMEOUT, Order.RELEASE)


@dataclass(slots=True)
class _Run:
    """
    A lease that is being worked on. `order`: it shall stop, and say so; `dropped`: it is nobody's any more, and says nothing. `percent` is what the command
    said last.
    """

    offer: Offer
    work: asyncio.Task[None] | None = None
    command: RunningCommand | None = None
    order: Order = Order.NONE
    dropped: bool = False
    percent: int = 0
    ending: asyncio.Task[None] | None = field(default=None)


class HostSeat:
    """Holds a session from when its host is there. `used` is told whether the host could be used."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        host: Host,
        agent: HostAgent,
        runner: Runner,
        log: Log,
        used: Callable[[bool], object],
        grace: int,
    ) -> None:
        """Make a seat; `grace` is the time between TERM and KILL, ms."""
        self._engine = engine
        self._host = host
        self._agent = agent
        self._runner = runner
        self._log = log
        self._used = used
        self._grace = grace
        self._spec = AgentSpec(
            name,
            agent_type=agent.type,
            hostname=host.hostname,
            capabilities=agent.capabilities,
            max_concurrency=agent.max_concurrency,
        )
        self._session: Session | None = None
        self._runs: dict[str, _Run] = {}
        self._online = False
        self._pings = 0
        self._confirmed: list[str] = []
        self._there = asyncio.Event()
        # Words by report id until they are answered: a session that ended under them takes them to the next one.
        self._unheard: dict[int, Word] = {}
        # Report ids of words about progress that this session has not answered yet; nobody says them again.
        self._telling: set[int] = set()
        self._reports = itertools.count(1)
        self._room = asyncio.Event()

    @property
    def busy(self) -> int:
        """Commands that run."""
        return len(self._runs)

    def set_online(self, *, online: bool) -> None:
        """Take work, or none."""
        self._online = online
        if online:
            self._there.set()
        if self._session is not None:
            self._engine.sessions.slots(self._session, self._ceiling())

    async def run(self) -> None:
        """Hold a session until cancelled; what runs then is ended and handed back."""
        # A session without a host would be given work before the first check; leases of the last daemon end with the session they belong to.
        await self._there.wait()
        try:
            while True:
                wait = await self._attend()
                await asyncio.sleep(wait / 1_000)
        finally:
            await self._hand_back()

    async def _attend(self) -> int:
        """Hold one session to its end; return the wait before the next, ms."""
        try:
            # The same incarnation after every start: what ran under the last one goes back unburnt, and its next start on the host ends it first.
            incarnation = f"{self._engine.daemon_id}:{self._spec.agent_id}"
            session = await self._engine.sessions.hello(
                self._spec, incarnation, tuple(self._held()), SessionKind.HOST
            )
        except FleetError as error:
            return error.retry_after if isinstance(error, (Overloaded, Unavailable)) else LOST_AGAIN
        self._session = session
        self.set_online(online=self._online)
        if self._unheard:
            self._engine.sessions.post_words(session, tuple(self._unheard.values()))
        # Kept when this is cancelled: what runs is handed back in it.
        wait = await self._serve(session)
        self._session = None
        self._telling.clear()
        self._room.set()
        return wait

    async def _serve(self, session: Session) -> int:
        clock = self._engine.clock
        beat_at = clock.now() + session.heartbeat_interval
        while True:
            await self._engine.wait(session.outbox.event, max(1, beat_at - clock.now()))
            for item in session.outbox.take():
                if isinstance(item, EndItem):
                    return LOST_AGAIN if item.reconnect_after is None else item.reconnect_after
                if isinstance(item, Offers):
                    for offer in item.offers:
                        self._begin(offer)
                elif isinstance(item, Acks):
                    self._heard(item)
                elif isinstance(item, OrdersItem):
                    for order in item.orders:
                        self._obey(order)
            if clock.now() >= beat_at:
                beat_at = clock.now() + session.heartbeat_interval
                self._beat(session)

    def _beat(self, session: Session) -> None:
        self._pings += 1
        confirmed, self._confirmed = self._confirmed, []
        self._engine.sessions.ping(session, self._pings, self._held(), confirmed)

    def _held(self) -> list[LeaseRef]:
        """Return the leases that are worked on, and those whose last word was not answered yet."""
        runs = [LeaseRef(task_id, run.offer.lease_epoch) for task_id, run in self._runs.items()]
        said = [LeaseRef(word.task_id, word.lease_epoch) for word in self._unheard.values()]
        return list(dict.fromkeys(runs + said))

    # leases

    def _begin(self, offer: Offer) -> None:
        older = self._runs.get(offer.task.id)
        if older is not None:
            self._drop(older)
        run = _Run(offer)
        self._runs[offer.task.id] = run
        run.work = asyncio.create_task(self._work(run), name=f"run of {offer.task.id}")

    async def _work(self, run: _Run) -> None:
        offer = run.offer
        self._say(run, WordKind.START)
        try:
            spec = run_spec(offer, self._agent, self._host.work_dir, offer.timeout)
            run.command = await self._runner.start(spec)
            self._used(True)
            if run.order is not Order.NONE or run.dropped:
                await self._end(run)
            await self._follow(run, run.command)
        except LeaseLost as error:
            self._say(run, WordKind.RELEASE, message=error.message)
        except Unreachable as error:
            # Before the word: the task must not be offered to the same host in the next moment.
            self._used(False)
            self._say(run, WordKind.RELEASE, message=error.message)
        except InvalidArgument as error:
            # Its text is no argument of a command, and never will be.
            self._say(run, WordKind.FAIL, code="BAD_REQUEST", message=error.message)
        except FleetError as error:
            self._say(run, WordKind.FAIL, code="AGENT_ERROR", message=error.message)
        except Exception as error:  # noqa: BLE001 - said in full; the other runs go on
            self._log.error("host_run_broke", task_id=offer.task.id, host=self._host.id, exc_info=error)
            self._say(run, WordKind.FAIL, code="AGENT_ERROR", message="the run broke in the daemon")
        finally:
            if self._runs.get(offer.task.id) is run:
                del self._runs[offer.task.id]

    async def _follow(self, run: _Run, command: RunningCommand) -> None:
        """Pass on what a command says, and how it ended."""
        reader, clock = parser(self._agent.parser), self._engine.clock
        said_at = clock.now() - SAID_EVERY
        async for line in command.lines():
            said = reader.feed(line)
            if said is not None:
                self._pass_on(run, said)
                while len(self._unheard) >= UNHEARD or len(self._telling) >= TELLING:
                    self._room.clear()
                    await self._room.wait()
            elif clock.now() - said_at >= SAID_EVERY:
                text = line.decode("utf-8", "replace").strip()
                if text:
                    said_at = clock.now()
                    self._say(run, WordKind.PROGRESS, message=text[:MESSAGE_CHARS], percent=run.percent)
        ended = await command.wait()
        if run.order in STOPS:
            self._say(run, WordKind.STOPPED)
            return
        output = reader.close()
        found = verdict(ended, output, command.stderr)
        if ended.lost:
            self._used(False)
        payload = Payload(output.data, output.content_type or TEXT) if output.data else None
        if found.code:
            self._say(run, WordKind.FAIL, code=found.code, message=found.message, output=payload)
        else:
            self._say(run, WordKind.COMPLETE, output=payload)

    def _pass_on(self, run: _Run, said: Said) -> None:
        if said.checkpoint is not None:
            self._say(run, WordKind.CHECKPOINT, data=said.checkpoint, step_id=said.step_id)
        message = said.message or said.event or ""
        if said.progress is not None or message:
            if said.progress is not None:
                run.percent = int(said.progress)
            self._say(run, WordKind.PROGRESS, percent=run.percent, message=message[:MESSAGE_CHARS])

    def _say(self, run: _Run, kind: WordKind, **parts: object) -> None:
        if run.dropped:
            return
        report_id = next(self._reports)
        word = Word(run.offer.task.id, run.offer.lease_epoch, kind, report_id, **parts)  # type: ignore[arg-type]
        if kind is not WordKind.PROGRESS:
            self._unheard[report_id] = word
        if self._session is not None:
            if kind is WordKind.PROGRESS:
                self._telling.add(report_id)
            self._engine.sessions.post_words(self._session, (word,))

    # orders

    def _obey(self, order: OrderItem) -> None:
        if not order.task_id:
            # Orders to the whole agent (drain, stop): no more work comes by them; what runs ends by itself or by an order of its own.
            self._confirmed.append(order.order_id)
            return
        run = self._runs.get(order.task_id)
        if run is None or run.offer.lease_epoch != order.lease_epoch:
            return
        if order.kind == Order.DROP:
            self._drop(run)
        else:
            if run.order is Order.NONE:
                run.order = Order(order.kind)
            self._kill(run)

    def _heard(self, answers: Acks) -> None:
        for ack in answers.acks:
            self._unheard.pop(ack.report_id, None)
            self._telling.discard(ack.report_id)
            run = self._runs.get(ack.task_id)
            if (
                ack.result is Result.LEASE_LOST
                and run is not None
                and run.offer.lease_epoch == ack.lease_epoch
            ):
                self._drop(run)
        self._room.set()

    def _drop(self, run: _Run) -> None:
        run.dropped = True
        self._kill(run)

    def _kill(self, run: _Run) -> None:
        # Once more when the host could not be asked: an order is repeated.
        if run.command is not None and (run.ending is None or run.ending.done()):
            run.ending = asyncio.create_task(self._end(run), name=f"end of {run.offer.task.id}")

    async def _end(self, run: _Run) -> None:
        try:
            if run.command is not None:
                await run.command.kill(self._grace)
        except FleetError as error:
            self._log.warning(
                "host_kill_failed", task_id=run.offer.task.id, host=self._host.id, message=error.message
            )

    async def _hand_back(self) -> None:
        """End what runs, and give its leases back unburnt; then nobody sits here any more."""
        self.set_online(online=False)
        runs = list(self._runs.values())
        for run in runs:
            if run.order is Order.NONE:
                run.order = Order.RELEASE
            self._kill(run)
        works = [run.work for run in runs if run.work is not None]
        if works:
            await asyncio.wait(works, timeout=(2 * self._grace) / 1_000)
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(FleetError):
                await self._engine.sessions.goodbye(session, "the host gets no work any more")

    def _ceiling(self) -> int:
        return self._agent.max_concurrency if self._online else 0
