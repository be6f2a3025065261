"""
The engine: the only writer of a daemon (design rule 2).

Commands wait in one bounded queue. The engine takes all that are there, runs them on one ledger in one transaction, gives the waiting tasks to
free agents in the same transaction, and after the commit lets every effect out. Nobody else writes, and nothing is let out before it is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from fleetd.clock import Clock
from fleetd.core.agent import Agent
from fleetd.core.audit import Nothing
from fleetd.core.explain import Explanation
from fleetd.core.hostbook import HostBook, host_of
from fleetd.core.lanes import LaneBook
from fleetd.core.ledger import Ledger, Minute
from fleetd.core.limits import Gates
from fleetd.core.rolloutbook import RolloutBook
from fleetd.core.routebook import RouteBook
from fleetd.core.settings import Rules
from fleetd.core.slots import SlotBook
from fleetd.core.task import Spec, Status, Task
from fleetd.engine import failures
from fleetd.engine.effects import let_out, offer, publish
from fleetd.engine.engine_options import EngineOptions
from fleetd.engine.explain import explain_task
from fleetd.engine.feed import Feed
from fleetd.engine.figures import MINUTE, Figures
from fleetd.engine.half_open import Probes
from fleetd.engine.instance_notes import InstanceNotes
from fleetd.engine.log import Log
from fleetd.engine.mode_cycle import ModeCycle
from fleetd.engine.pulse import Pulse
from fleetd.engine.recovery import recover
from fleetd.engine.rollouts import Rollouts
from fleetd.engine.route_timers import RouteTimers
from fleetd.engine.router import Router
from fleetd.engine.run_times import RunTimes
from fleetd.engine.sessions import Sessions
from fleetd.engine.shadow_places import ShadowPlaces
from fleetd.engine.sweeper import RETRY_INTERNAL, Sweeper, TimerKey
from fleetd.engine.task_feed import TaskFeed
from fleetd.engine.transaction import Command, Outcome, size_of, transaction
from fleetd.engine.trials import TrialTraffic
from fleetd.engine.unary import UnaryAgents
from fleetd.errors import FleetError, Internal, Overloaded, Unavailable
from fleetd.store.base import CommitUnclear, Script, Store, StoreBroken, StoreFull


@dataclass(slots=True)
class _Waiting:
    command: Command
    answer: asyncio.Future[Any]
    then: Callable[[Any], object] | None
    size: int


class EngineStopped(Exception):
    """The engine had to stop because it could not learn whether a transaction was written; restart the daemon."""


class Engine:
    """One writer, its memory, and the queue in front of it."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rules: Rules,
        log: Log,
        options: EngineOptions | None = None,
        random: Random | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.rules = rules
        self.options = options or EngineOptions()
        self.feed = Feed()
        self.task_feed = TaskFeed()
        self.figures = Figures()
        self.run_times = RunTimes()
        self.gates = Gates()
        self.lane_book = LaneBook(self.gates, rules.ageing)
        self.slot_book = SlotBook(rules.prefer)
        self.agents: dict[str, Agent] = {}
        self.routes = RouteBook(rules.router, Probes())
        self.hosts = HostBook()
        self.rollout_book = RolloutBook(ShadowPlaces(), TrialTraffic())
        self.rollouts_changed = asyncio.Event()
        self.hosts_changed = asyncio.Event()
        self.sweeper = Sweeper(self)
        self.sessions = Sessions(self, self.options.outbox_limit)
        self.unary = UnaryAgents(self, self.sessions)
        self.router = Router(self, self.options.router)
        self.route_timers = RouteTimers(self)
        self.instance_notes = InstanceNotes(self)
        self.mode_cycle = ModeCycle(self)
        self.rollouts = Rollouts(self, log)
        self.pulse = Pulse(self, log)
        self.state = "STARTING"
        self.daemon_id = ""
        self.generation = 0
        self.started_at = clock.wall()
        self.last_event_seq = 0
        self._log = log
        self._random = random or Random()  # noqa: S311 - jitter and incident ids, nothing secret
        self._queue: deque[_Waiting] = deque()
        self._between: list[Callable[[], object]] = []
        self._turns: list[asyncio.Future[None]] = []
        self._idle: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self.batch = 0
        self._dispatch_wanted = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._failure: asyncio.Future[BaseException] | None = None

    # what others ask

    @property
    def counts(self) -> Mapping[Status, int]:
        """Tasks by status, as of the last commit."""
        return self.figures.counts

    @property
    def totals(self) -> Minute:
        """What happened since the store was made."""
        return self.figures.totals

    @property
    def queued(self) -> int:
        """Commands that wait."""
        return len(self._queue)

    def last_hour(self) -> Minute:
        return self.figures.last_hour(self.clock.wall() // MINUTE)

    def oldest_wait(self) -> int:
        """Return how long the head of any lane has waited, ms; 0 when nothing waits."""
        heads = [lane.head_at for lane in self.lane_book.lanes() if lane.count]
        return max(0, self.clock.wall() - min(heads)) if heads else 0

    def post(self, command: Command, then: Callable[[Any], object] | None = None) -> asyncio.Future[Any]:
        """
        Queue a command; its answer, or FleetError, comes in the future after the commit. `then` runs with the answer before anything else does.

        Raises Overloaded when the queue is full, Unavailable when the engine does not run.
        """
        if self._stopping or self.state == "STARTING":
            raise Unavailable("STOPPED" if self._stopping else "STARTING", "the daemon takes no commands now")
        if len(self._queue) >= self.options.queue_limit:
            raise Overloaded("QUEUE_FULL", f"{self.options.queue_limit} commands wait already")
        return self._enqueue(command, then)

    async def execute(self, command: Command, then: Callable[[Any], object] | None = None) -> Any:
        """Run a command and return its answer. The command is never cancelled, even when the caller is."""
        return await asyncio.shield(self.post(command, then))

    async def explain(self, task: Task, spec: Spec) -> Explanation:
        """Tell why a task is not running (D9)."""
        return await explain_task(self, task, spec)

    async def probe_write(self) -> int:
        """Write a transaction and return how long it took, ms."""
        began = self.clock.now()
        await self.execute(Nothing())
        return self.clock.now() - began

    # what sessions ask

    def between(self, action: Callable[[], object]) -> None:
        """Run something between two transactions: nothing else may touch lanes or slots then."""
        self._between.append(action)
        self._wake.set()

    def nudge(self) -> None:
        """Look for work to give at the next turn."""
        self._dispatch_wanted = True
        self._wake.set()

    async def turn(self) -> None:
        """Wait until everything asked for until now was done, a round of dispatch included."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(future)
        self._wake.set()
        await asyncio.shield(future)

    async def wait(self, event: asyncio.Event, milliseconds: int) -> None:
        """Wait for an event, at most so long."""
        # Not wait_for: on Python 3.11 it swallows a cancellation that meets the event.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(milliseconds / 1_000):
                await event.wait()

    def post_internal(self, command: Command, retry: TimerKey | None = None) -> asyncio.Future[Any]:
        """Queue a command of the daemon's own, whatever the queue's length; when the store refuses, the timer `retry` tries again."""

        def landed(future: asyncio.Future[Any]) -> None:
            if not future.cancelled() and future.exception() is not None and retry is not None:
                self.sweeper.timers.set(retry, self.clock.now() + RETRY_INTERNAL)

        future = self._enqueue(command, None)
        future.add_done_callback(landed)
        return future

    # life

    async def recover(self) -> None:
        """
        Build memory from the store.

        Every session that stood before gets one full fresh TTL, and no timer of a lease fires before it has passed: results that wait
        in agents come first (design rule 1).
        """
        await recover(self)
        self._dispatch_wanted = True

    def serve(self) -> None:
        """Begin to take commands; whoever does not `start` a task for them calls `step`."""
        self.state = "SERVING"

    def start(self) -> asyncio.Future[BaseException]:
        """Begin to take commands, and carry them out in a task of its own. The future gets the error that ends it, if one does."""
        self.serve()
        self.pulse.start()
        self._failure = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(), name="engine")
        return self._failure

    async def idle(self) -> None:
        """Wait until nothing is queued and no agent holds a lease."""
        while self._queue or self.live_leases:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            await waiting

    def drain(self) -> None:
        """Give no more work; take results until `stop`."""
        self.state = "DRAINING"
        self._wake.set()
        self.sessions.drain_all()

    async def stop(self) -> None:
        """Finish what is queued, then stop. Safe to call twice, or without `start`."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self.pulse.stop()

    @property
    def live_leases(self) -> int:
        """Leases held now."""
        return sum(len(session.held) for session in self.sessions.all())

    # the loop

    async def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                if await self.step():
                    continue
                if self._stopping and not self._queue:
                    return
                await self._sleep()
        except BaseException as error:
            self._fail(error)
            raise

    async def _sleep(self) -> None:
        """Wait for a command or the next timer."""
        at = self.sweeper.next()
        if at is None:
            await self._wake.wait()
            return
        delay = max(0, at - self.clock.now()) / 1_000
        handle = asyncio.get_running_loop().call_later(delay, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            handle.cancel()

    async def step(self) -> bool:
        """Do everything that can be done now as one batch; return False when there was nothing to do."""
        await self.sweeper.refill()
        turns, self._turns = self._turns, []
        self.sweeper.fire()
        actions, self._between = self._between, []
        for action in actions:
            action()
        batch = self._take()
        busy = bool(batch or actions or turns)
        if batch or (self._dispatch_wanted and self.can_dispatch()):
            self._dispatch_wanted = False
            try:
                await self._commit(batch)
            except BaseException:
                self._reject(batch, Unavailable("STOPPED", "the daemon has stopped"))
                raise
            busy = True
        _resolve(turns)
        if self._idle and not self._queue and not self.live_leases:
            waiting, self._idle = self._idle, []
            _resolve(waiting)
        return busy

    def can_dispatch(self) -> bool:
        """Tell whether some waiting task has a free agent that is able."""
        if self.state != "SERVING" or self.slot_book.free <= 0:
            return False
        return any(self.slot_book.best(group.key) is not None for group in self.lane_book.ready())

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < self.options.batch_limit and size < self.options.batch_bytes:
            waiting = self._queue.popleft()
            size += waiting.size
            batch.append(waiting)
        return batch

    def _enqueue(self, command: Command, then: Callable[[Any], object] | None) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(command, future, then, size_of(command)))
        self._wake.set()
        return future

    # a transaction

    async def _commit(self, batch: list[_Waiting]) -> None:
        try:
            outcome = await self._transact(batch)
        except StoreFull:
            # Nothing else would look for work again when the store has room and nobody says anything.
            self.sweeper.timers.set(("dispatch", ""), self.clock.now() + RETRY_INTERNAL)
            self._rollback(batch, failures.full())
        except (StoreBroken, EngineStopped) as error:
            self._rollback(batch, failures.broken())
            raise EngineStopped(str(error)) from error
        except Exception as error:  # noqa: BLE001 - whatever a rule raised: the batch must still be answered
            self._forget()
            if len(batch) > 1:
                # One of them is at fault: alone, each answers for itself.
                for waiting in batch:
                    await self._commit([waiting])
                return
            incident = f"{self.batch + 1:x}-{self._random.getrandbits(32):08x}"
            name = type(batch[0].command).__name__ if batch else "dispatch"
            self._log.error("command_failed", incident=incident, command=name, exc_info=error)
            self._reject(batch, Internal(incident))
        else:
            self._release(batch, outcome)

    async def _transact(self, batch: list[_Waiting]) -> Outcome:
        """Run the batch's script; when it is not clear whether it was committed, read the marker and know (design rule 2)."""
        number = self.batch + 1
        self.routes.gather()
        outcomes: list[Outcome] = []

        def script() -> Script[Outcome]:
            self._forget()
            outcomes.clear()
            wall = self.clock.wall()
            self.lane_book.begin(wall)
            self.routes.begin()
            draw = self._random.random
            ledger = Ledger(
                wall, self.rules, self.agents, self.gates, self.routes, self.hosts, self.rollout_book, draw
            )
            outcome = yield from transaction(self, ledger, [waiting.command for waiting in batch], number)
            outcomes.append(outcome)
            return outcome

        for _ in range(3):
            try:
                outcome = await self.store.transact(script)
            except CommitUnclear:
                self._log.warning("commit_unclear", batch=number)
                if await self._was_committed(number):
                    outcome = outcomes[0]
                else:
                    continue
            self.batch = number
            return outcome
        raise EngineStopped("three commits in a row did not take place")

    async def _was_committed(self, number: int) -> bool:
        try:
            return await self.store.last_batch() == number
        except Exception as error:
            raise EngineStopped("it cannot be learned whether a transaction was written") from error

    def _forget(self) -> None:
        """Take back what an unfinished transaction did to memory."""
        self.gates.rollback()
        self.lane_book.rollback()
        self.slot_book.rollback()
        self.routes.rollback()
        self.hosts.rollback()
        self.rollout_book.rollback()

    def _rollback(self, batch: list[_Waiting], error: FleetError) -> None:
        self._forget()
        self._reject(batch, error)

    def _reject(self, batch: list[_Waiting], error: FleetError) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    def _fail(self, error: BaseException) -> None:
        self._stopping = True
        self._reject(list(self._queue), Unavailable("STOPPED", "the daemon has stopped"))
        self._queue.clear()
        _resolve([*self._turns, *self._idle])
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(error)

    # after the commit

    def _release(self, batch: list[_Waiting], outcome: Outcome) -> None:
        """Let everything out that the commit made true."""
        ledger = outcome.ledger
        self.lane_book.commit()
        self.slot_book.commit()
        self.gates.commit()
        self.routes.commit()
        self.agents.update(ledger.changed_agents)
        for agent_id in ledger.removed_agents:
            if agent_id not in ledger.changed_agents:
                self.agents.pop(agent_id, None)
        self.figures.add(ledger.now // MINUTE, ledger.figures, ledger.counts)
        let_out(self, ledger)
        for claimed in outcome.claimed:
            offer(self, claimed)
        self._dispatch_wanted = self._dispatch_wanted or outcome.more
        now = self.clock.now()
        changes = outcome.written
        if changes.due:
            self.sweeper.due.add(changes.due, now, ledger.now)
        publish(self, changes)
        for waiting, answer in zip(batch, outcome.answers, strict=True):
            if isinstance(answer, FleetError):
                if not waiting.answer.done():
                    waiting.answer.set_exception(answer)
                continue
            if waiting.then is not None:
                waiting.then(answer)
            if not waiting.answer.done():
                waiting.answer.set_result(answer)
        self.instance_notes.released(changes)
        if self.hosts.commit():
            self.hosts_changed.set()
        self.mode_cycle.released(ledger)
        self.route_timers.released(ledger)
        self.rollouts.released(ledger)

    def run_timeout(self, task: Task) -> int:
        """Return the longest run of a task on the agent or host that holds it, ms (T3)."""
        if task.timeout:
            return task.timeout
        return self.rules.host_timeout if host_of(task.agent_id) else self.rules.default_timeout

    def start_timeout(self, task: Task) -> int:
        """Return how long an accepted lease may wait for its start, ms: the answer of a claim can be lost while its agent lives on."""
        session = self.sessions.get(task.agent_id)
        return max(self.run_timeout(task), session.lease_ttl if session is not None else 0)


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
