"""An agent process that holds a stream: hello, pings, words, and a new connection whenever the old one is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fleetd.core.agent import AgentSpec
from fleetd.core.attendance import LeaseRef
from fleetd.engine.outbox import Acks, BeaconItem, EndItem, Item, Offers, OrdersItem
from fleetd.engine.session import Session
from fleetd.errors import FleetError, Overloaded, Unavailable
from tests.simulation.network import Line
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.agent import Agent
    from tests.simulation.daemon import Daemon


class Connection:
    """One stream: both ends and what is on its way. `session` is there once the daemon took the hello."""

    def __init__(self, process: StreamProcess, daemon: Daemon) -> None:
        self.process = process
        self.daemon = daemon
        self.session: Session | None = None
        self.up = True
        self.heard_at = daemon.world.clock.now()
        self._served = True
        self._greeted = False
        self._there = Line(daemon.world, process.name)
        self._back = Line(daemon.world, f"{process.name} <-")
        self._cancel: Callable[[], object] = lambda: None

    # the agent's end

    def send(self, what: str, deliver: Callable[[Session], object]) -> None:
        """Send a message to the daemon; it arrives only after the hello."""

        def arrive() -> None:
            if self._served and self.daemon.alive and self.session is not None:
                deliver(self.session)

        if self.up:
            self._there.send(what, lambda: self.daemon.reach(arrive))

    def hello(self, spec: AgentSpec, incarnation: str, held: tuple[LeaseRef, ...]) -> None:
        def arrive() -> None:
            # A stream has one hello, whatever the network does.
            if self._served and self.daemon.alive and not self._greeted:
                self._greeted = True
                hello = self.daemon.engine.sessions.hello(spec, incarnation, held)
                self._cancel = self.daemon.run(hello, self._opened)

        self._there.send(f"hello {[*map(tuple, held)]}", lambda: self.daemon.reach(arrive))

    def broken(self, why: str) -> None:
        """The stream breaks: what is under way is lost; each end learns of it in its own time, the daemon perhaps never."""
        if not self.up:
            return
        world = self.process.world
        self.process.note(f"its stream breaks: {why}")
        self.up = False
        if world.random.random() < 0.8:
            world.agenda.after(world.random.randrange(1, 3_000), lambda: self.daemon.reach(self.unserved))
        self.process.later(world.random.randrange(1, 3_000), lambda: self.process.cut_off(self))

    # the daemon's end

    def unserved(self) -> None:
        """The daemon's end of the stream is over."""
        if not self._served:
            return
        self._served = False
        self._cancel()
        if self in self.daemon.connections:
            self.daemon.connections.remove(self)
        if not self.daemon.alive:
            return
        session, sessions = self.session, self.daemon.engine.sessions
        if session is None or (sessions.get(session.agent_id) is session and session.connected):
            self.process.agent.detached(hello=session is None)
        if session is not None:
            sessions.detach(session)

    def _opened(self, result: Any) -> None:
        if isinstance(result, FleetError):
            after = 500 if isinstance(result, (Unavailable, Overloaded)) else None
            self._tell(EndItem(result.reason, result.message, after))
            self._served = False
            return
        session: Session = result
        if not self._served:
            self.process.agent.detached(hello=False)
            self.daemon.engine.sessions.detach(session)
            return
        self.session = session
        self.daemon.connections.append(self)
        process, world = self.process, self.process.world
        if self.daemon.engine.sessions.get(session.agent_id) is session:
            world.checker.asked[session.agent_id] = process.agent.slots
            self._vouch(session)
        adopted = tuple(session.adopted)
        self._deliver(
            f"welcome {[*map(tuple, adopted)]}",
            lambda: process.welcomed(self, adopted, session.heartbeat_interval, session.lease_ttl),
        )

    def pump(self) -> None:
        """Send what the daemon has to say."""
        session = self.session
        if session is None or not session.outbox.event.is_set() or not self._served:
            return
        for item in session.outbox.take():
            self._tell(item)
            if isinstance(item, EndItem):
                self.process.world.agenda.after(1, self.unserved)

    def pinged(self, session: Session, number: int, held: list[LeaseRef], confirmed: list[str]) -> None:
        """A ping arrived."""
        sessions = self.daemon.engine.sessions
        if sessions.get(session.agent_id) is session:
            self._vouch(session)
        sessions.ping(session, number, held, confirmed)
        self.pump()

    def slots(self, session: Session, ceiling: int) -> None:
        sessions = self.daemon.engine.sessions
        sessions.slots(session, ceiling)
        if sessions.get(session.agent_id) is session:
            self.process.world.checker.asked[session.agent_id] = ceiling

    def _vouch(self, session: Session) -> None:
        world, agent = self.process.world, self.process.agent
        certain = world.clock.now() >= agent.uncertain_until
        lives = session.lease_ttl if certain else session.heartbeat_interval
        world.checker.vouched[session.agent_id] = world.clock.now() + lives

    def _tell(self, item: Item) -> None:
        self._deliver(_text(item), lambda: self.process.told(self, item))

    def _deliver(self, what: str, hear: Callable[[], object]) -> None:
        def arrive() -> None:
            if self.up:
                self.process.act(hear)

        self._back.send(what, arrive)


class StreamProcess(Process):
    """The process of an agent that talks by a stream."""

    def __init__(self, agent: Agent, incarnation: str) -> None:
        super().__init__(agent, incarnation)
        self._connection: Connection | None = None
        self._welcome = False
        self._ping_sent: dict[int, int] = {}
        self._hello_pings = 0
        self._interval = 10_000
        self._ttl = 30_000

    def start(self) -> None:
        self._connect()

    def crash(self, why: str) -> None:
        super().crash(why)
        if self._connection is not None:
            self._connection.broken("its agent died")

    def break_stream(self) -> None:
        if self._connection is not None:
            self._connection.broken("the network failed")

    def _connect(self) -> None:
        if self._connection is not None:
            return
        daemon = self.world.daemon
        if daemon is None:
            self.later(self.world.random.randrange(500, 3_000), self._connect)
            return
        connection = self._connection = Connection(self, daemon)
        self._welcome = False
        self.confirmed.clear()
        connection.hello(self.agent.spec(), self.incarnation, self.held())
        self.later(5_000, lambda: self._given_up(connection))

    def _given_up(self, connection: Connection) -> None:
        if connection is self._connection and not self._welcome:
            connection.broken("no welcome came")

    def cut_off(self, connection: Connection) -> None:
        """This end of the stream is over: try again."""
        if connection is self._connection:
            self._connection = None
            self.later(self.world.random.randrange(1, 2_000), self._connect)

    def welcomed(
        self, connection: Connection, adopted: tuple[LeaseRef, ...], interval: int, ttl: int
    ) -> None:
        if connection is not self._connection or self._welcome:
            return
        self._welcome = True
        self._interval, self._ttl = interval, ttl
        connection.heard_at = self.world.clock.now()
        for work in list(self.works.values()):
            if work.ref not in adopted and not work.ended:
                self.drop(work.ref)
        self.flush_all()
        self._ping(connection)

    def flush(self) -> None:
        """Send the word that was said last."""
        if self.unacked:
            self._send_words((next(reversed(self.unacked.values())),))

    def flush_all(self) -> None:
        if self.unacked:
            self._send_words(tuple(self.unacked.values()))

    def _send_words(self, words: tuple[Any, ...]) -> None:
        connection = self._connection
        if connection is None or not self._welcome:
            return
        what = ", ".join(f"{word.kind.name} {word.task_id}/{word.lease_epoch}" for word in words)
        sessions = connection.daemon.engine.sessions
        connection.send(what, lambda session: sessions.post_words(session, words))

    def _ping(self, connection: Connection) -> None:
        if connection is not self._connection or not connection.up:
            return
        if self.world.clock.now() - connection.heard_at > self._ttl:
            connection.broken("the daemon was not heard")
            return
        self.pings += 1
        number, held, confirmed = self.pings, list(self.held()), list(self.confirmed)
        connection.send(
            f"ping {number} {[*map(tuple, held)]}",
            lambda session: connection.pinged(session, number, held, confirmed),
        )
        self.flush_all()
        random = self.world.random
        if not self.leaving and (self.world.calm or random.random() < 0.1):
            ceiling = self.agent.slots if self.world.calm else random.randrange(self.agent.slots + 1)
            connection.send(f"slots {ceiling}", lambda session: connection.slots(session, ceiling))
        self.later(self._interval, lambda: self._ping(connection))
        self.go_if_done()

    def leave(self) -> None:
        connection = self._connection
        if connection is not None and self._welcome:
            daemon = connection.daemon

            def goodbye(session: Session) -> None:
                daemon.run(daemon.engine.sessions.goodbye(session, "told to"), lambda _: None)

            connection.send("goodbye", goodbye)
            self.world.agenda.after(5_000, lambda: connection.broken("its agent left"))
        self.dead = True
        self.note("leaves")
        self.agent.died(self)

    def told(self, connection: Connection, item: Item) -> None:
        """Hear the daemon."""
        if connection is not self._connection:
            return
        connection.heard_at = self.world.clock.now()
        if isinstance(item, Offers):
            for offer in item.offers:
                self.granted(offer)
        elif isinstance(item, Acks):
            for ack in item.acks:
                self.acknowledged(ack)
        elif isinstance(item, OrdersItem):
            for order in item.orders:
                self.obey(order)
        elif isinstance(item, BeaconItem):
            self._compare(item)
        else:
            self._over(connection, item)

    def _compare(self, beacon: BeaconItem) -> None:
        """A lease that was named in the ping and is not in its answer is over."""
        self._interval, self._ttl = beacon.heartbeat_interval, beacon.lease_ttl
        for work in list(self.works.values()):
            if work.ref not in beacon.leases and work.listed <= beacon.sequence and not work.ended:
                self.drop(work.ref)

    def _over(self, connection: Connection, end: EndItem) -> None:
        self._connection = None
        connection.up = False
        if end.reason == "RECONNECTED":
            # An older hello of this process arrived after its present one.
            self.later(self.world.random.randrange(1, 2_000), self._connect)
        elif end.reconnect_after is None:
            self.crash(end.reason)
            self.agent.died(self)
        else:
            self.later(end.reconnect_after + self.world.random.randrange(1, 1_000), self._connect)


def _text(item: Item) -> str:
    if isinstance(item, Offers):
        return "leases " + ", ".join(f"{offer.task.id}/{offer.lease_epoch}" for offer in item.offers)
    if isinstance(item, Acks):
        return "acks " + ", ".join(f"{ack.task_id}/{ack.lease_epoch} {ack.result.name}" for ack in item.acks)
    if isinstance(item, OrdersItem):
        return "orders " + ", ".join(order.order_id for order in item.orders)
    if isinstance(item, BeaconItem):
        return f"beacon {item.sequence} {[*map(tuple, item.leases)]}"
    return f"end {item.reason}"
