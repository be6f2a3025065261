"""The engine against a tiny model: whatever agents, operators, the clock and the disk do, the promises about leases hold."""

import asyncio
import itertools
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fleetd.core.agent import AgentOrder
from fleetd.core.attendance import LeaseRef, OrderAgent, SetCapabilities
from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel, Retry, TimeoutRun, Update
from fleetd.core.submission import Submission, Submit, Taken
from fleetd.core.task import TERMINAL, Payload, Priority, Spec, Status
from fleetd.core.words import TERMINAL_WORDS, Ack, Result, Say, Word, WordKind
from fleetd.errors import FleetError
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Agent, Fleet

FINAL = (Status.COMPLETED, Status.CANCELLED, Status.DISCARDED)
NAMES = ("agent-a", "agent-b", "agent-c")
SLOTS = {"agent-a": 1, "agent-b": 2, "agent-c": 3}
CAPABILITIES = {"agent-a": (), "agent-b": ("code",), "agent-c": ("code:rust", "test")}
TIMES = (1, 999, 5_000, 10_000, 31_000, 61_000)

names = st.sampled_from(NAMES)
picks = st.integers(0, 1_000)
later = st.booleans()


@dataclass
class Known:
    """What the model remembers of an acknowledged task."""

    epoch: int = 0
    cancelled: bool = False
    final: Status | None = None
    endings: dict[int, WordKind] = field(default_factory=dict)
    output: bytes | None = None


@dataclass
class Process:
    """The agent's side: its incarnation, its stream when it has one, and every lease it was ever given."""

    incarnation: int = 1
    stream: Agent | None = None
    leases: list[LeaseRef] = field(default_factory=list)


class EngineMachine(RuleBasedStateMachine):
    """
    T2, T5, T6, T7, T9, D1, D2, D3, D4, D5, D6, S7.

    At most one live lease a task, epochs that only grow, one accepted end a lease, nothing acknowledged lost, cancelled never completes, nobody
    above its slots, and memory that equals the store after every round. `wait` leaves a command in the queue, to meet others in its transaction.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.fleet = Fleet(store=FaultyStore())
        self.known: dict[str, Known] = {}
        self.given: set[LeaseRef] = set()
        self.processes = {name: Process() for name in NAMES}
        self.pending: list[tuple[asyncio.Task, object]] = []
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        self.loop.run_until_complete(self._turn())
        self.loop.run_until_complete(self.fleet.close())
        self.loop.close()

    @initialize()
    def open(self) -> None:
        self.loop.run_until_complete(self.fleet.open())
        for name in NAMES:
            self._connect(name)

    # how commands get to the engine and answers back

    def act(self, coroutine, then=None, *, wait: bool = False) -> None:
        """Begin something; `then` learns its answer."""

        async def begin() -> None:
            self.pending.append((asyncio.ensure_future(coroutine), then))
            await asyncio.sleep(0)
            if not wait:
                await self._turn()

        self.loop.run_until_complete(begin())

    async def _turn(self) -> None:
        for _ in range(3):
            await self.fleet.settle()
        pending, self.pending = self.pending, []
        for task, then in pending:
            assert task.done()
            error = task.exception()
            if error is not None:
                assert isinstance(error, FleetError), error
            elif then is not None:
                then(task.result())
        for process in self.processes.values():
            self._read(process)

    def _read(self, process: Process) -> None:
        if process.stream is None:
            return
        process.stream.read()
        for offer in process.stream.offers:
            lease = LeaseRef(offer.task.id, offer.lease_epoch)
            assert lease not in self.given, "a lease was given twice"
            self.given.add(lease)
            process.leases.append(lease)
        process.stream.offers.clear()
        if process.stream.end is not None:
            process.stream = None

    def _do(self, command, then=None, *, wait: bool = False) -> None:
        self.act(self.fleet.engine.execute(command), then, wait=wait)

    def _task(self, number: int) -> str:
        return sorted(self.known)[number % len(self.known)]

    # submitters and operators

    @rule(
        needs=st.sampled_from([(), (), ("code",), ("code", "test")]),
        priority=st.sampled_from(list(Priority)),
        delay=st.sampled_from([0, 0, 0, 3_000]),
        deadline=st.sampled_from([0] * 7 + [20_000]),
        timeout=st.sampled_from([0, 8_000]),
        reserved=st.sampled_from(["", "", "", "", *NAMES]),
        count=st.integers(1, 4),
        wait=later,
    )
    def submit(self, needs, priority, delay, deadline, timeout, reserved, count, wait) -> None:
        wall = self.fleet.clock.wall()
        items = tuple(
            Submission(
                id=f"t-{next(self.numbers):04}",
                org_id="o",
                spec=Spec("work", required_capabilities=needs),
                priority=priority,
                run_at=wall + delay if delay else 0,
                deadline=wall + deadline if deadline else 0,
                timeout=timeout,
                agent_id=reserved if reserved in self.fleet.engine.agents else "",
            )
            for _ in range(count)
        )

        def taken(answers: list[Taken | FleetError]) -> None:
            for answer in answers:
                if isinstance(answer, Taken):
                    self.known[answer.task.id] = Known()

        self._do(Submit(items), taken, wait=wait)

    @precondition(lambda self: self.known)
    @rule(number=picks, wait=later)
    def cancel(self, number, wait) -> None:
        task_id = self._task(number)

        def cancelled(answers: list[object]) -> None:
            if not isinstance(answers[0], FleetError):
                self.known[task_id].cancelled = True

        self._do(Cancel((task_id,)), cancelled, wait=wait)

    @precondition(lambda self: self.known)
    @rule(number=picks, wait=later)
    def time_out(self, number, wait) -> None:
        self._do(TimeoutRun(self._task(number), "slow"), wait=wait)

    @precondition(lambda self: self.known)
    @rule(number=picks, wait=later)
    def retry(self, number, wait) -> None:
        self._do(Retry(self._task(number), "again"), wait=wait)

    @precondition(lambda self: self.known)
    @rule(
        number=picks,
        priority=st.sampled_from(list(Priority)),
        delay=st.sampled_from([None, 0, 4_000]),
        wait=later,
    )
    def update(self, number, priority, delay, wait) -> None:
        changes = {"priority": priority}
        if delay is not None:
            changes["run_at"] = self.fleet.clock.wall() + delay
        self._do(Update(self._task(number), changes), wait=wait)

    @rule(
        name=names,
        order=st.sampled_from(list(AgentOrder)[1:]),
        deadline=st.sampled_from([0, 6_000]),
        wait=later,
    )
    def order(self, name, order, deadline, wait) -> None:
        at = self.fleet.clock.wall() + deadline if deadline else 0
        self._do(OrderAgent(name, order, f"order-{next(self.numbers)}", deadline=at), wait=wait)

    @rule(name=names, capabilities=st.sampled_from([("code",), ("code:rust", "test")]), wait=later)
    def set_capabilities(self, name, capabilities, wait) -> None:
        self._do(SetCapabilities(name, capabilities), wait=wait)

    # agents

    @rule(name=names, another=st.sampled_from([False, False, True]), listed=st.integers(0, 3), wait=later)
    def connect(self, name, another, listed, wait) -> None:
        """Say hello: the same process with some of its leases, or another one with none."""
        if another or name not in self.fleet.engine.agents:
            self.processes[name] = Process(self.processes[name].incarnation + 1)
        self._connect(name, listed, wait=wait)

    def _connect(self, name, listed=0, *, wait=False) -> None:
        process = self.processes[name]
        held = tuple(process.leases[-listed:]) if listed else ()

        def opened(session) -> None:
            if not session.outbox.ended:
                process.stream = Agent(self.fleet, session)

        incarnation = f"p-{process.incarnation}"
        hello = self.fleet.hello(name, incarnation, *CAPABILITIES[name], held=held, slots=SLOTS[name])
        self.act(hello, opened, wait=wait)

    @rule(name=names)
    def detach(self, name) -> None:
        stream = self.processes[name].stream
        if stream is not None:
            self.fleet.engine.sessions.detach(stream.session)
            self.processes[name].stream = None

    @rule(name=names, wait=later)
    def say_goodbye(self, name, wait) -> None:
        stream = self.processes[name].stream
        if stream is not None:
            self.act(self.fleet.engine.sessions.goodbye(stream.session, ""), wait=wait)

    @rule(name=names, listed=st.sampled_from(["all", "all", "none", "stale"]), confirm=st.booleans())
    def ping(self, name, listed, confirm) -> None:
        stream = self.processes[name].stream
        if stream is None:
            return
        held = {"all": stream.session.refs(), "none": [], "stale": self.processes[name].leases[:1]}[listed]
        orders = [order.order_id for order in stream.orders] if confirm else []
        self.act(self._ping(stream, held, orders))

    async def _ping(self, stream, held, orders) -> None:
        self.fleet.engine.sessions.ping(stream.session, 1, list(held), orders)

    @precondition(lambda self: any(p.stream and p.leases for p in self.processes.values()))
    @rule(
        number=picks,
        kind=st.sampled_from(list(WordKind)),
        code=st.sampled_from(["", "LOGIC_ERROR"]),
        wait=later,
    )
    def say(self, number, kind, code, wait) -> None:
        """A word about a lease that is fresh, over, or said before."""
        speakers = [p for p in self.processes.values() if p.stream and p.leases]
        process = speakers[number % len(speakers)]
        lease = process.leases[-1 - number % min(5, len(process.leases))]
        self._say(process, lease, kind, number, code, wait=wait)

    @rule(
        name=names,
        kind=st.sampled_from([WordKind.COMPLETE, WordKind.COMPLETE, *TERMINAL_WORDS]),
        started=later,
        number=picks,
    )
    def work(self, name, kind, started, number) -> None:
        """Run what the agent holds to its end."""
        process = self.processes[name]
        for lease in process.stream.session.refs() if process.stream else ():
            if started:
                self._say(process, lease, WordKind.START, 0, "", wait=True)
            if process.stream:
                self._say(process, lease, kind, number, "", wait=False)

    def _say(self, process, lease, kind, number, code, *, wait) -> None:
        output = Payload(f"{number} {lease.lease_epoch}".encode(), "text/plain")
        word = Word(
            lease.task_id,
            lease.lease_epoch,
            kind,
            percent=number % 100,
            code=code,
            data=b"c",
            step_id="s",
            output=output if kind is WordKind.COMPLETE else None,
        )
        session = process.stream.session

        def answered(acks: list[Ack]) -> None:
            known = self.known[lease.task_id]
            if acks[0].result is Result.ACCEPTED and kind in TERMINAL_WORDS:
                assert lease.lease_epoch not in known.endings, "a lease ended twice"
                known.endings[lease.lease_epoch] = kind
                if kind is WordKind.COMPLETE and not known.cancelled:
                    known.output = output.data
            elif acks[0].result is Result.DUPLICATE and kind in TERMINAL_WORDS:
                assert known.endings.get(lease.lease_epoch) is kind

        self._do(Say(session.agent_id, session.epoch, (word,)), answered, wait=wait)

    # the world

    @rule(milliseconds=st.sampled_from(TIMES), wait=later)
    def pass_time(self, milliseconds, wait) -> None:
        self.fleet.clock.advance(milliseconds)
        if not wait:
            self.loop.run_until_complete(self._turn())

    @rule(seconds=st.integers(1, 7))
    def live_on(self, seconds) -> None:
        """Let time pass while every stream sends its heartbeats."""
        for _ in range(seconds):
            self.fleet.clock.advance(9_000)
            for process in self.processes.values():
                if process.stream is not None:
                    self.act(self._ping(process.stream, process.stream.session.refs(), []))

    @rule(milliseconds=st.sampled_from([3_600_000, -3_600_000]))
    def jump_wall(self, milliseconds) -> None:
        self.fleet.clock.jump_wall(milliseconds)

    @rule(fault=st.sampled_from([FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN]))
    def disk_trouble(self, fault) -> None:
        if len(self.fleet.store.faults) < 2:  # after three unclear commits in a row the engine stops
            self.fleet.store.faults.append(fault)

    @rule()
    def restart(self) -> None:
        """The daemon dies with what was queued; every stream breaks, every agent keeps what it holds."""
        self.fleet.store.faults.clear()
        self.loop.run_until_complete(self._turn())
        for process in self.processes.values():
            process.stream = None
        self.loop.run_until_complete(self.fleet.restart())

    # what always holds

    @precondition(lambda self: not self.pending)
    @invariant()
    def promises_hold(self) -> None:
        self.loop.run_until_complete(self._promises())

    async def _promises(self) -> None:
        engine = self.fleet.engine
        assert not self.fleet.log.errors
        await self.fleet.check()
        rows = {row.id: row for row in await self.fleet.rows()}
        assert rows.keys() >= self.known.keys(), "an acknowledged task was lost"
        for task_id, known in self.known.items():
            row = rows[task_id]
            assert row.lease_epoch >= known.epoch, "an epoch went back"
            known.epoch = row.lease_epoch
            assert not (known.cancelled and row.status is Status.COMPLETED), "a cancelled task completed"
            assert known.final in (None, row.status), "a final status changed"
            if row.status in FINAL:
                known.final = row.status
            assert row.attempt <= row.max_attempts
            assert row.losses <= 3
            assert row.queued <= (row.status is Status.PENDING)
            assert not (row.status in TERMINAL and row.due)
        for session in engine.sessions.all():
            assert len(session.held) <= SLOTS[session.agent_id], "more leases than slots"
        for task_id, known in self.known.items():
            if rows[task_id].status is Status.COMPLETED and known.output is not None:
                runs = await self.fleet.store.get_runs(task_id)
                assert [run.output.data for run in runs if run.output] == [known.output]
                assert (await self.fleet.events(task_id)).count(EventType.TASK_COMPLETED) == 1


EngineMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestEngine = EngineMachine.TestCase
