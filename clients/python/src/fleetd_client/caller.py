"""The agent of one call: without a stream, with one task at most, gone when the call is over. Scripts (script.Script)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable
from typing import Any

from fleetd_client import agents, tasks
from fleetd_client import stubs as s
from fleetd_client.errors import DeadlineExceeded, FleetError, Overloaded, Unavailable
from fleetd_client.script import Pause, Script
from fleetd_client.times import span

log = logging.getLogger("fleetd_client")

# One turn of waiting for the lease; in between it is looked whether somebody ended the task.
CLAIM_SECONDS = 20.0
LEASE_SECONDS = 60.0
# The daemon may be restarting; what has to be said is said again, as long as the lease may last.
PASSING = (Unavailable, Overloaded, DeadlineExceeded)
REPEAT_SECONDS = 1.0

ENDS = frozenset(
    {
        s.TaskStatus.TASK_STATUS_COMPLETED,
        s.TaskStatus.TASK_STATUS_FAILED,
        s.TaskStatus.TASK_STATUS_CANCELLED,
        s.TaskStatus.TASK_STATUS_DEAD_LETTER,
        s.TaskStatus.TASK_STATUS_DISCARDED,
    }
)
STOPS = {
    s.OrderKind.ORDER_KIND_CANCEL_TASK: "the task was cancelled",
    s.OrderKind.ORDER_KIND_TIMEOUT_TASK: "the task ran out of time",
    s.OrderKind.ORDER_KIND_RELEASE_TASK: "the task was taken back",
    s.OrderKind.ORDER_KIND_DROP_TASK: "the lease was lost",
}


class Stopped(Exception):
    """The run is over, whatever it does; `silent` when the daemon expects no word about it."""

    def __init__(self, why: str, *, silent: bool) -> None:
        super().__init__(why)
        self.silent = silent


class Caller:
    """`clock` is any steady one, in seconds. Passing troubles of the daemon are waited through; other FleetErrors are raised."""

    def __init__(self, agent_id: str, capability: str, clock: Callable[[], float]) -> None:
        self.agent_id = agent_id
        self.capability = capability
        self.lease: s.Lease | None = None
        self._clock = clock
        self._incarnation = secrets.token_hex(16)
        self._interval = LEASE_SECONDS / 3
        self._beat_at = 0.0

    @property
    def beat_at(self) -> float:
        """When the lease wants a heartbeat."""
        return self._beat_at

    def register(self) -> Script[None]:
        spec = s.AgentSpec(
            agent_id=self.agent_id, agent_type="client", capabilities=[self.capability], max_concurrency=1
        )
        yield from agents.register_agent(spec, incarnation=self._incarnation)

    def leave(self) -> Script[None]:
        """Be forgotten; a lease that is still held goes back."""
        try:
            yield from agents.unregister_agent(self.agent_id)
        except FleetError as error:
            log.info("agent %s was not unregistered: %s", self.agent_id, error)

    def claim(self, task_id: str, end: float) -> Script[None]:
        """Wait for the lease of a task; none when `end` has come, or the task ended without it."""
        self.lease = None
        while True:
            wait = min(max(end - self._clock(), 0.0), CLAIM_SECONDS)
            try:
                response = yield from agents.claim_tasks(
                    self.agent_id, incarnation=self._incarnation, wait=wait, lease_duration=LEASE_SECONDS
                )
            except PASSING as error:
                log.info("no claim for %s: %s", self.agent_id, error)
                response = s.ClaimTasksResponse()
                yield Pause(REPEAT_SECONDS)
            for lease in response.leases:
                if lease.task_id == task_id:
                    self.lease = lease
                    self._renewed(span(response.lease_ttl))
                    return
                # Another call's, replayed: it waits for whoever asks for it by its id.
                yield from self._report(lease, s.Report(release=s.ReleaseWord(reason="not this call's")))
                yield Pause(REPEAT_SECONDS)
            task = yield from tasks.get(task_id)
            if task.status in ENDS or self._clock() >= end:
                return

    def say(self, **word: Any) -> Script[s.ReportAck]:
        """A word about the lease, said until it is heard; Stopped when the lease is over."""
        end = self._clock() + LEASE_SECONDS
        while True:
            try:
                response = yield from self._report(self._held(), s.Report(**word))
            except PASSING:
                if self._clock() >= end:
                    raise
                yield Pause(REPEAT_SECONDS)
                continue
            ack: s.ReportAck = response.acks[0]
            if ack.result == s.ReportResult.REPORT_RESULT_LEASE_LOST:
                raise Stopped(ack.message or "the lease was lost", silent=True)
            return ack

    def beat(self) -> Script[None]:
        """Keep the lease; Stopped when it is over, or the daemon wants it to be."""
        lease = self._held()
        ref = s.LeaseRef(task_id=lease.task_id, lease_epoch=lease.lease_epoch)
        self._beat_at = self._clock() + self._interval
        try:
            response = yield from agents.heartbeat(self.agent_id, incarnation=self._incarnation, held=[ref])
        except PASSING as error:
            log.info("heartbeat of %s was not heard: %s", self.agent_id, error)
            return
        self._renewed(span(response.lease_ttl))
        self._obey(response.orders, lease.task_id)
        if ref not in response.leases:
            raise Stopped("the lease was lost", silent=True)

    def rest(self, wait: float) -> Script[None]:
        """Wait, and keep the lease meanwhile."""
        while wait > 0:
            pause = min(wait, max(self._beat_at - self._clock(), 0.0))
            yield Pause(pause)
            wait -= pause
            if self._clock() >= self._beat_at:
                yield from self.beat()

    def _held(self) -> s.Lease:
        assert self.lease is not None  # noqa: S101 - nobody speaks about a lease before it is claimed
        return self.lease

    def _report(self, lease: s.Lease, report: s.Report) -> Script[s.ReportTasksResponse]:
        report.task_id, report.lease_epoch, report.report_id = lease.task_id, lease.lease_epoch, 1
        response = yield from agents.report_tasks(self.agent_id, [report], incarnation=self._incarnation)
        self._renewed(span(response.lease_ttl))
        return response

    def _renewed(self, ttl: float) -> None:
        if ttl > 0:
            self._interval = ttl / 3
        self._beat_at = self._clock() + self._interval

    def _obey(self, orders: Iterable[s.Order], task_id: str) -> None:
        for order in orders:
            if order.task_id == task_id and order.kind in STOPS:
                raise Stopped(STOPS[order.kind], silent=order.kind == s.OrderKind.ORDER_KIND_DROP_TASK)
