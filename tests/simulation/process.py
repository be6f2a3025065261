"""One process of an agent: what it believes it holds, what it does with it, and what it keeps saying until it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetd.core.agent import AgentOrder
from fleetd.core.attendance import LeaseRef
from fleetd.core.rollout import TaskRollout
from fleetd.core.task import Order, Payload
from fleetd.core.words import Ack, Result, Word, WordKind
from fleetd.engine.outbox import Offer, OrderItem
from tests.simulation.teller import Teller
from tests.simulation.tries import Tries

if TYPE_CHECKING:
    from tests.simulation.agent import Agent
    from tests.simulation.world import World

ENDS = (WordKind.COMPLETE, WordKind.FAIL, WordKind.RELEASE, WordKind.STOPPED)
CODES = ("AGENT_ERROR", "AGENT_ERROR", "ODD_ERROR", "LOGIC_ERROR", "BAD_REQUEST")


@dataclass(slots=True)
class Work:
    """A lease the process believes it holds, until its last word is acknowledged. `listed`: the first ping that names it; `tries`: of a run with a route, `rollout`: what decided its mode, `teller`: of a world in which runs tell what they do."""

    ref: LeaseRef
    listed: int
    ended: bool = False
    stopping: bool = False
    tries: Tries | None = None
    rollout: TaskRollout | None = None
    teller: Teller | None = None


class Process:
    """What streams and unary agents have in common. A paused process hears nothing, does nothing, and then goes on with old words."""

    def __init__(self, agent: Agent, incarnation: str) -> None:
        self.agent = agent
        self.world: World = agent.world
        self.name = f"{agent.agent_id}/{incarnation[1:]}"
        self.incarnation = incarnation
        self.dead = False
        self.leaving = False
        self.paused_until = 0
        self.works: dict[LeaseRef, Work] = {}
        self.unacked: dict[int, Word] = {}
        self.confirmed: dict[str, None] = {}
        self.pings = 0

    # life

    def later(self, delay: int, action: Callable[[], object]) -> None:
        """Plan something the process does by itself."""
        self.world.agenda.after(delay, lambda: self.act(action))

    def act(self, action: Callable[[], object]) -> None:
        """Do something, unless the process is dead; when it is paused, as soon as it goes on."""
        if self.dead:
            return
        if self.world.clock.now() < self.paused_until:
            self.world.agenda.at(self.paused_until, lambda: self.act(action))
            return
        action()

    def pause(self, milliseconds: int) -> None:
        self.note(f"is paused for {milliseconds} ms")
        self.paused_until = self.world.clock.now() + milliseconds

    def crash(self, why: str) -> None:
        """The process is gone and leaves no word."""
        self.note(f"dies: {why}")
        self.dead = True

    def note(self, what: str) -> None:
        self.world.history.note(self.name, what)

    def start(self) -> None:
        """Begin to talk to the daemon."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send the words that wait."""
        raise NotImplementedError

    def leave(self) -> None:
        """Say goodbye and go."""
        raise NotImplementedError

    def tells_by_words(self) -> bool:
        """Tell whether failures of instances are told among the words of the session (R11)."""
        return True

    # work

    def held(self) -> tuple[LeaseRef, ...]:
        return tuple(self.works)

    def granted(self, offer: Offer) -> None:
        """A lease came; one that came before and is over looks like a new one, as to a process that forgot it."""
        ref = LeaseRef(offer.task.id, offer.lease_epoch)
        if ref in self.works:
            return
        self.note(f"gets lease {ref.lease_epoch} of {ref.task_id}")
        random, faults = self.world.random, self.world.faults
        work = self.works[ref] = Work(ref, self.pings + 1, rollout=offer.task.rollout)
        if offer.route is not None:
            work.tries = Tries(self, work, offer.route.instance.id, words=self.tells_by_words())
        slow = random.random() < faults.handler / 4
        delay = random.randrange(3_000, 9_000) if slow else random.randrange(1, 200)
        self.later(delay, lambda: self._begin(work))

    def _begin(self, work: Work) -> None:
        if work.ref not in self.works or work.ended:
            return
        random, trouble = self.world.random, self.world.faults.handler
        way = random.random()
        if way < 0.2:
            self.say(work, WordKind.ACCEPT)
        if way < 0.8:
            self.later(random.randrange(0, 50), lambda: self.say(work, WordKind.START))
        if self.world.calm:
            duration = random.randrange(20, 400)
        elif random.random() < trouble / 5:
            duration = random.randrange(20_000, 90_000)
        else:
            duration = random.randrange(20, 8_000)
        for _ in range(random.choice((0, 0, 0, 1, 3))):
            self.later(random.randrange(0, duration), lambda: self._report(work))
        if self.world.telling is not None:
            work.teller = Teller(self, work)
            work.teller.start(duration)
        self.later(duration, work.tries.over if work.tries is not None else lambda: self.finish(work))

    def _report(self, work: Work) -> None:
        random = self.world.random
        if random.random() < 0.5:
            self.say(work, WordKind.PROGRESS, percent=random.randrange(100), message="going on")
        else:
            self.say(work, WordKind.CHECKPOINT, data=b"state", step_id=f"step-{random.randrange(4)}")

    def finish(self, work: Work) -> None:
        """Come to the end of a run that nothing outside kept from it."""
        random, trouble = self.world.random, self.world.faults.handler
        rollouts = self.world.rollouts
        if rollouts is not None and (code := rollouts.ailment(work.rollout)):
            self.say(work, WordKind.FAIL, code=code, message="the new mode is ill")
            return
        end = random.random() / trouble if trouble else 1.0
        if end < 0.1:
            self.note(f"hangs at {work.ref.task_id}")
        elif end < 0.2:
            self.say(work, WordKind.RELEASE, message="no use")
        elif end < 0.5:
            self.say(work, WordKind.FAIL, code=random.choice(CODES), message="it broke")
        elif end < 0.55 and self.agent.strained:
            self.crash("the handler took it down")
            self.agent.died(self)
        else:
            self.complete(work)

    def complete(self, work: Work) -> None:
        result = f"{self.name} {work.ref.lease_epoch} {self.world.random.randrange(1_000)}"
        digest = result if work.rollout is not None else ""
        self.say(work, WordKind.COMPLETE, output=Payload(result.encode(), "text/plain"), digest=digest)

    def say(self, work: Work, kind: WordKind, **parts: Any) -> None:
        """Say a word about a lease until it is acknowledged."""
        if work.ended or work.ref not in self.works:
            return
        work.ended = kind in ENDS
        self.utter(work.ref, kind, **parts)

    def utter(self, ref: LeaseRef, kind: WordKind, **parts: Any) -> None:
        """Say a word about a lease, also one that is over, until it is acknowledged."""
        word = Word(*ref, kind, report_id=self.world.number(), **parts)
        self.unacked[word.report_id] = word
        self.world.checker.say(self.agent.agent_id, word)
        self.flush()

    def acknowledged(self, ack: Ack) -> None:
        word = self.unacked.pop(ack.report_id, None)
        ref = LeaseRef(ack.task_id, ack.lease_epoch)
        if word is not None and word.kind is WordKind.INSTANCE_FAILED and ack.result is not Result.LEASE_LOST:
            work = self.works.get(ref)
            if work is not None and work.tries is not None:
                work.tries.advised(word.code, ack.next)
        if word is not None and word.kind is WordKind.EVENTS:
            self._heard_events(word, ack)
        lost = ack.result is Result.LEASE_LOST
        if lost or (word is not None and word.kind in ENDS):
            self.drop(ref)

    def _heard_events(self, word: Word, ack: Ack) -> None:
        if ack.result in (Result.ACCEPTED, Result.DUPLICATE):
            self.world.checker.told.acknowledged(word)
        work = self.works.get(LeaseRef(ack.task_id, ack.lease_epoch))
        if work is not None and work.teller is not None:
            work.teller.heard(word, ack)

    def drop(self, ref: LeaseRef) -> None:
        """Forget a lease; words about it that were not acknowledged are said all the same."""
        self.works.pop(ref, None)
        self.go_if_done()

    def go_if_done(self) -> None:
        if self.leaving and not self.works and not self.dead:
            self.leave()

    # orders

    def obey(self, order: OrderItem) -> None:
        if order.task_id:
            self._obey_about(order)
        elif order.order_id not in self.confirmed:
            self.note(f"is ordered to {AgentOrder(order.kind).name.lower()}")
            self.confirmed[order.order_id] = None
            if order.kind in (AgentOrder.STOP, AgentOrder.RESTART):
                self.leaving = True
                self.later(1, self.go_if_done)

    def _obey_about(self, order: OrderItem) -> None:
        ref = LeaseRef(order.task_id, order.lease_epoch)
        work = self.works.get(ref)
        if work is None or work.stopping:
            return
        self.note(f"is told {Order(order.kind).name} of {ref.task_id}/{ref.lease_epoch}")
        if order.kind == Order.DROP:
            self.drop(ref)
            return
        random = self.world.random
        if random.random() < self.world.faults.deaf:
            return
        work.stopping = True
        kind = WordKind.RELEASE if order.kind == Order.RELEASE else WordKind.STOPPED
        way = random.random()
        delay = random.randrange(1, 3_000)
        if way < 0.15:
            self.later(delay, lambda: self.complete(work))
        elif way < 0.3:
            self.later(delay, lambda: self.say(work, WordKind.FAIL, code="AGENT_ERROR", message="stopped"))
        else:
            self.later(delay, lambda: self.say(work, kind))
