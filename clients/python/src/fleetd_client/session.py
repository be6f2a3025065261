"""
The agent's side of the protocol: which leases it holds, what it has to say, what it was told.

A state machine without clock, thread or network: messages and `now` (seconds of a steady clock) come in, effects and messages go
out. It outlives connections: what is not acknowledged is said again on the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Literal

from fleetd_client.effects import Begin, Effect, Heard, Key, Stop, Told, Why
from fleetd_client.outcome import plain_failure
from fleetd_client.stubs import (
    Beacon,
    ClaimRequest,
    ClaimResponse,
    Goodbye,
    Hello,
    Lease,
    LeaseRef,
    Order,
    OrderKind,
    Ping,
    ReleaseWord,
    Report,
    ReportAck,
    ReportResult,
    Reports,
    SessionEnd,
    Slots,
    StartWord,
    StoppedWord,
    TaskEvent,
    Welcome,
)
from fleetd_client.telling import MISSING, Telling
from fleetd_client.times import span

log = logging.getLogger("fleetd_client")

PROTOCOL_VERSION = 1
# The daemon's limits of one Reports message, the last with room to its 8 MiB.
REPORTS_ITEMS = 1_000
REPORTS_EVENTS = 10_000
REPORTS_BYTES = 3 * 1024 * 1024
# Progress is for people: two words a second and task are all an eye can follow.
PROGRESS_SECONDS = 0.5
# A daemon that named no interval must not be flooded.
SHORTEST_INTERVAL = 0.05
NEVER = float("inf")
# Looked up once: a busy agent takes thousands of acknowledgements a second, and the generated enums are slow to ask.
LEASE_LOST = ReportResult.REPORT_RESULT_LEASE_LOST
REJECTED = ReportResult.REPORT_RESULT_REJECTED

Ending = Literal["finished", "restart"]

STOPS: dict[int, Why] = {
    OrderKind.ORDER_KIND_CANCEL_TASK: "cancel",
    OrderKind.ORDER_KIND_TIMEOUT_TASK: "timeout",
    OrderKind.ORDER_KIND_RELEASE_TASK: "release",
}
# In place of the id of a last word that waits for its turn.
WAITING = -1
TERMINAL = frozenset({"complete", "fail", "release", "stopped"})


class Held:
    """A lease from its arrival until the acknowledgement of its last word."""

    __slots__ = ("first_ping", "last_report", "progress_at", "reports", "stopping", "telling")

    def __init__(self, first_ping: int) -> None:
        self.first_ping = first_ping  # the first ping that lists it
        self.stopping = False
        self.last_report = 0  # id of its terminal word, 0 before, WAITING while events go first
        self.reports: list[int] = []  # unacknowledged
        self.progress_at = 0.0  # progress may be said again
        self.telling: Telling | None = None  # its events, once there was one


class Session:
    """One agent process's session, over any number of connections."""

    def __init__(self, hello: Hello) -> None:
        self._hello = hello
        self.connected = False
        self.ended: SessionEnd | None = None
        self.ending: Ending | None = None  # set: take no more work, leave when nothing is held
        self.leaving = False  # leave now, whatever is held
        self.certain_until = 0.0
        self._held: dict[Key, Held] = {}
        self._exclusive: dict[Key, Held] = {}
        self._pending: dict[int, Report] = {}  # unacknowledged, in the order they were said
        self._unsent: list[Report] = []
        self._growing: list[Telling] = []  # their newest word is not sent yet
        self._progress: dict[Key, Report] = {}
        self._progress_at = NEVER
        self._report_id = 0
        self._interval = self._ttl = SHORTEST_INTERVAL
        self._ping = 0
        self._ping_at = NEVER
        self._ping_sent: dict[int, float] = {}
        self._hello_sent = 0.0
        self._confirmed: dict[str, None] = {}
        self._heard: set[str] = set()  # orders of the agent itself, on this connection
        self._ceiling_due = False

    @property
    def held(self) -> list[Key]:
        return list(self._held)

    @property
    def done(self) -> bool:
        """Nothing keeps the agent: it may say goodbye."""
        return self.leaving or (self.ending is not None and not self._held)

    # What the agent says

    def hello(self, now: float) -> ClaimRequest:
        """The first message of a connection."""
        self._hello_sent = now
        del self._hello.held[:]
        self._hello.held.extend(self._refs())
        return ClaimRequest(hello=self._hello)

    def say(self, report: Report, now: float) -> None:
        """Take a word of a run; the words of leases no longer held, or already ended, are dropped."""
        key = (report.task_id, report.lease_epoch)
        held = self._held.get(key)
        if held is None or held.last_report:
            return
        word = report.WhichOneof("word")
        if word == "progress":
            self._progress[key] = report
            self._progress_at = min(self._progress_at, max(now, held.progress_at))
            return
        if word == "events":
            self._tell(held, report)
            return
        if word in TERMINAL:
            self._progress.pop(key, None)
            self._end(held, report)
            return
        if word == "checkpoint" and not self.connected:
            self._supersede(held, report.checkpoint.step_id)
        self._queue(held, report)

    def outgoing(self, now: float) -> list[ClaimRequest]:
        """Everything that is to be sent now; nothing before the welcome."""
        if not self.connected:
            return []
        out: list[ClaimRequest] = []
        if self._ceiling_due:
            self._ceiling_due = False
            out.append(ClaimRequest(slots=Slots(ceiling=0)))
        reports, self._unsent = self._unsent, []
        for telling in self._growing:
            telling.close()
        self._growing.clear()
        if now >= self._progress_at:
            reports.extend(self._due_progress(now))
        out.extend(ClaimRequest(reports=Reports(reports=batch)) for batch in _batches(reports))
        if now >= self._ping_at:
            out.append(self._next_ping(now))
        return out

    def goodbye(self) -> ClaimRequest:
        return ClaimRequest(goodbye=Goodbye(reason=self.ending or "leaving"))

    def wake_at(self) -> float:
        """When outgoing or tick has something to do, if nothing happens before."""
        fence = self.certain_until if any(map(_runs, self._exclusive.values())) else NEVER
        return min(self._ping_at, self._progress_at, fence) if self.connected else fence

    # What happens to it

    def receive(self, message: ClaimResponse, now: float) -> list[Effect]:
        """Take a message of the daemon; unknown kinds of a newer daemon are ignored."""
        kind = message.WhichOneof("kind")
        if kind == "acks":
            return [effect for ack in message.acks.acks for effect in self._acknowledged(ack)]
        if kind == "leases":
            return [effect for lease in message.leases.leases for effect in self._granted(lease)]
        if kind == "beacon":
            return self._beacon(message.beacon, now)
        if kind == "orders":
            return [effect for order in message.orders.orders for effect in self._ordered(order)]
        if kind == "welcome":
            return self._welcome(message.welcome, now)
        if kind == "end":
            self.ended = message.end
            if message.end.reason == "SESSION_REPLACED":
                return self._lose(self._held)
        return []

    def disconnected(self) -> None:
        """The connection is gone; what is held stays held, what is unacknowledged will be said again."""
        self.connected = False
        self.ended = None
        self._ping_at = NEVER
        self._ping_sent.clear()
        self._heard.clear()

    def tick(self, now: float) -> list[Effect]:
        """Self-fencing: past the lease's time without a heartbeat acknowledged, exclusive runs stop."""
        if now < self.certain_until:
            return []
        doubtful = [key for key, held in self._exclusive.items() if _runs(held)]
        for key in doubtful:
            self._exclusive[key].stopping = True
        return [Stop(key, "uncertain") for key in doubtful]

    def drain(self, ending: Ending) -> None:
        """Take no more work; done once nothing is held."""
        if self.ending is None:
            self._ceiling_due = True
        if (
            self.ending != "finished"
        ):  # who was told on the spot to end must not come back for an operator's restart
            self.ending = ending

    def leave(self) -> list[Effect]:
        """Stop all runs and leave; the goodbye gives the leases back."""
        self.leaving = True
        self.ending = "finished"
        for held in self._held.values():
            if held.telling is not None and held.telling.last is not None:
                self._end(held, held.telling.last)
        return [Stop(key, "release") for key, held in self._held.items() if not held.last_report]

    def lose_all(self) -> list[Effect]:
        """The session is over for good: stop all runs, drop all words."""
        return self._lose(self._held)

    # The daemon's words, one by one

    def _welcome(self, welcome: Welcome, now: float) -> list[Effect]:
        self.connected = True
        self._times(span(welcome.heartbeat_interval), span(welcome.lease_ttl))
        self.certain_until = max(self.certain_until, self._hello_sent + self._ttl)
        self._ping_at = now + self._interval
        self._ceiling_due = self.ending is not None
        adopted = {(ref.task_id, ref.lease_epoch) for ref in welcome.adopted}
        effects = self._lose([key for key in self._held if key not in adopted])
        self._unsent = list(self._pending.values())
        return effects

    def _granted(self, lease: Lease) -> list[Effect]:
        key = (lease.task_id, lease.lease_epoch)
        if key in self._held:  # offered again: the start is on its way
            return []
        held = self._held[key] = Held(self._ping + 1)
        if lease.exclusive:
            self._exclusive[key] = held
        report = Report(task_id=lease.task_id, lease_epoch=lease.lease_epoch)
        if self.ending is not None:  # it crossed the notice that there is no room
            report.release.CopyFrom(ReleaseWord(reason="the agent is leaving"))
            self._queue(held, report)
            held.last_report = report.report_id
            return []
        report.start.CopyFrom(StartWord())
        self._queue(held, report)
        return [Begin(lease)]

    def _acknowledged(self, ack: ReportAck) -> list[Effect]:
        key = (ack.task_id, ack.lease_epoch)
        report = self._pending.pop(ack.report_id, None)
        held = self._held.get(key)
        if held is None:
            return []
        if report is not None:
            held.reports.remove(ack.report_id)
        result = ack.result
        if result == LEASE_LOST:
            return self._lose([key])
        word = "" if report is None else report.WhichOneof("word")
        if report is not None and word == "instance_failed":
            return [Told(key, report, ack)]
        if report is not None and word == "events":
            return [self._passed(key, held, report, ack)]
        if result == REJECTED:
            if report is None and ack.reason == MISSING:  # it followed a refused one, and is told again
                return []
            log.warning("word of task %s rejected: %s", ack.task_id, ack.message)
            if report is not None and ack.report_id == held.last_report:
                self._say_less(held, report, ack.message)
        elif ack.report_id == held.last_report:
            self._forget(key)
        return []

    def _say_less(self, held: Held, rejected: Report, message: str) -> None:
        """The last word was refused: a simpler one must end the lease, or it would run into its timeout."""
        held.last_report = 0
        key = (rejected.task_id, rejected.lease_epoch)
        word = rejected.WhichOneof("word")
        rich = word == "complete" or (
            word == "fail" and (rejected.fail.HasField("output") or bool(rejected.fail.artifacts))
        )
        if rich:
            code = rejected.fail.code if word == "fail" else "AGENT_ERROR"
            simpler = plain_failure(*key, code, f"{word} rejected: {message}")
        elif word == "fail":
            simpler = Report(task_id=key[0], lease_epoch=key[1], release=ReleaseWord(reason="fail rejected"))
        else:
            self._forget(key)
            return
        self._queue(held, simpler)
        held.last_report = simpler.report_id

    def _beacon(self, beacon: Beacon, now: float) -> list[Effect]:
        del now  # certainty counts from the sending of the ping, not from its answer
        self._times(span(beacon.heartbeat_interval), span(beacon.lease_ttl))
        sent = self._ping_sent.pop(beacon.sequence, None)
        if sent is not None:
            self.certain_until = max(self.certain_until, sent + self._ttl)
            self._ping_sent = {one: at for one, at in self._ping_sent.items() if one > beacon.sequence}
        known = {(ref.task_id, ref.lease_epoch) for ref in beacon.leases}
        return self._lose(
            [
                key
                for key, held in self._held.items()
                if key not in known and held.first_ping <= beacon.sequence and not held.last_report
            ]
        )

    def _ordered(self, order: Order) -> list[Effect]:
        key = (order.task_id, order.lease_epoch)
        held = self._held.get(key)
        why = STOPS.get(order.kind)
        if why is not None:
            if held is None:  # it does not run here (any more): say so, or the order would be repeated
                self._say_stopped_unknown(key)
            elif _runs(held):
                held.stopping = True
                return [Stop(key, why)]
            return []
        if order.kind == OrderKind.ORDER_KIND_DROP_TASK:
            return self._lose([key])
        if order.kind == OrderKind.ORDER_KIND_RESTART:
            self.drain("restart")
        # Drain, stop, start and undrain ask nothing but to know: the daemon gives, or does not give, work.
        if order.order_id:
            self._confirmed[order.order_id] = None
            # Only the first time: an order repeated in the answer to a ping would be answered by a ping for ever.
            if order.order_id not in self._heard:
                self._heard.add(order.order_id)
                self._ping_at = 0.0 if self.connected else NEVER
        return []

    # Events

    def _tell(self, held: Held, report: Report) -> None:
        if held.telling is None:
            held.telling = Telling()
        if not held.telling.gather(report):
            self._queue(held, report)
            held.telling.queued(report, grows=True)
            self._growing.append(held.telling)

    def _passed(self, key: Key, held: Held, report: Report, ack: ReportAck) -> Effect:
        telling = held.telling
        assert telling is not None  # noqa: S101 - it said the word
        telling.words.pop(report.report_id, None)
        refused: list[TaskEvent] = []
        count = len(report.events.events)
        if ack.result == REJECTED:
            self._withdraw(held, telling.words)
            instead, refused = telling.mend(report, ack.reason)
            for word in instead:
                self._queue(held, word)
                telling.queued(word, grows=False)
            count = len(refused)
            if refused:
                log.warning("%d events of task %s refused: %s", count, key[0], ack.message)
        if not telling.words and telling.last is not None:
            self._end(held, telling.last)
        return Heard(key, count, tuple(refused), ack.message if refused else "")

    def _withdraw(self, held: Held, words: Collection[int]) -> None:
        for one in words:
            held.reports.remove(one)
            del self._pending[one]
        self._unsent = [report for report in self._unsent if report.report_id not in words]

    def _end(self, held: Held, report: Report) -> None:
        """Say the last word of a lease; its events go first, and have to be stored, for a word after the last one would tell nothing."""
        if held.telling is not None and held.telling.words and not self.leaving:
            held.telling.last = report
            held.last_report = WAITING
            return
        if held.telling is not None:
            held.telling.last = None
        self._queue(held, report)
        held.last_report = report.report_id

    # Books

    def _queue(self, held: Held | None, report: Report) -> None:
        self._report_id += 1
        report.report_id = self._report_id
        if held is not None:
            self._pending[self._report_id] = report
            held.reports.append(self._report_id)
            if held.telling is not None:
                held.telling.close()
        if self.connected:
            self._unsent.append(report)

    def _say_stopped_unknown(self, key: Key) -> None:
        self._queue(None, Report(task_id=key[0], lease_epoch=key[1], stopped=StoppedWord()))

    def _supersede(self, held: Held, step_id: str) -> None:
        """Without a connection the newest checkpoint of a step replaces the older: a long absence must not fill the memory."""
        for one in held.reports:
            older = self._pending[one]
            if older.WhichOneof("word") == "checkpoint" and older.checkpoint.step_id in {"", step_id}:
                held.reports.remove(one)
                del self._pending[one]
                return

    def _lose(self, keys: Iterable[Key]) -> list[Effect]:
        effects: list[Effect] = []
        for key in list(keys):
            held = self._held.get(key)
            if held is not None:
                if not held.last_report:
                    effects.append(Stop(key, "lost"))
                self._forget(key)
        return effects

    def _forget(self, key: Key) -> None:
        held = self._held.pop(key)
        self._exclusive.pop(key, None)
        self._progress.pop(key, None)
        for one in held.reports:
            self._pending.pop(one, None)

    def _times(self, interval: float, ttl: float) -> None:
        self._interval = max(interval, SHORTEST_INTERVAL)
        self._ttl = max(ttl, SHORTEST_INTERVAL)

    def _next_ping(self, now: float) -> ClaimRequest:
        self._ping += 1
        self._ping_at = now + self._interval
        self._ping_sent[self._ping] = now
        confirmed, self._confirmed = self._confirmed, {}
        return ClaimRequest(
            ping=Ping(sequence=self._ping, held=self._refs(), confirmed_orders=list(confirmed))
        )

    def _due_progress(self, now: float) -> list[Report]:
        due = [key for key in self._progress if now >= self._held[key].progress_at]
        reports = [self._progress.pop(key) for key in due]
        for key, report in zip(due, reports, strict=True):
            self._held[key].progress_at = now + PROGRESS_SECONDS
            self._report_id += 1
            report.report_id = self._report_id
        self._progress_at = min((self._held[key].progress_at for key in self._progress), default=NEVER)
        return reports

    def _refs(self) -> list[LeaseRef]:
        return [LeaseRef(task_id=task_id, lease_epoch=epoch) for task_id, epoch in self._held]


def _runs(held: Held) -> bool:
    return not held.stopping and not held.last_report


def _batches(reports: list[Report]) -> Iterable[list[Report]]:
    start = size = told = 0
    for index, report in enumerate(reports):
        its = report.ByteSize()
        events = len(report.events.events) if report.HasField("events") else 0
        full = index - start == REPORTS_ITEMS or size + its > REPORTS_BYTES or told + events > REPORTS_EVENTS
        if index > start and full:
            yield reports[start:index]
            start, size, told = index, 0, 0
        size += its
        told += events
    if start < len(reports):
        yield reports[start:]
