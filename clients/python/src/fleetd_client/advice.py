"""What a run does after a try on its instance failed: the word to the daemon, its answer, and the wait it asks for (R11)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import TypeAlias

from fleetd_client.faults import Fault
from fleetd_client.outcome import Cancelled, GiveUp
from fleetd_client.stubs import (
    Instance,
    InstanceFailedWord,
    Lease,
    NextStep,
    Report,
    ReportAck,
    ReportResult,
    StepKind,
)
from fleetd_client.times import duration, span

Wake: TypeAlias = "Future[ReportAck | None]"


class Advice:
    """
    The present instance of one run whose lease has a route, and how it changes. Words leave by `say`; acknowledgements arrive through `told`, the end of the run
    through `stop`: both from the loop of the runs, while those who wait may be in any loop or thread.
    """

    def __init__(self, lease: Lease, say: Callable[[Report], None]) -> None:
        self.instance: Instance = lease.route.instance
        self._lease = lease
        self._say = say
        self._lock = threading.Lock()
        self._asked: dict[int, tuple[Report, Wake]] = {}
        self._pauses: set[Wake] = set()
        self._stopped = False

    async def next(self, fault: Fault) -> Instance:
        """Tell the fault, wait as told, return the instance to go on with; GiveUp when there is none, Cancelled when the run shall stop."""
        wait, instance = self._step(fault, await asyncio.wrap_future(self._ask(fault)))
        if wait:
            await asyncio.sleep(wait)
        self.instance = instance
        return instance

    def next_sync(self, fault: Fault) -> Instance:
        """As next, for a thread without a running loop."""
        wait, instance = self._step(fault, self._ask(fault).result())
        if wait:
            self._pause(wait)
        self.instance = instance
        return instance

    def told(self, report: Report, ack: ReportAck) -> None:
        """The acknowledgement of a word of this run."""
        with self._lock:
            asked = self._asked.pop(id(report), None)
        if asked is not None and not asked[1].cancelled():
            asked[1].set_result(ack)

    def stop(self) -> None:
        """Wake everybody who waits: the run shall stop."""
        with self._lock:
            self._stopped = True
            waiting = [wake for _, wake in self._asked.values()] + list(self._pauses)
            self._asked.clear()
            self._pauses.clear()
        for wake in waiting:
            if not wake.done():
                wake.set_result(None)

    def _ask(self, fault: Fault) -> Wake:
        word = InstanceFailedWord(
            instance=self.instance.id,
            code=fault.code,
            message=fault.message,
            retry_after=duration(fault.retry_after),
        )
        report = Report(
            task_id=self._lease.task_id, lease_epoch=self._lease.lease_epoch, instance_failed=word
        )
        wake: Wake = Future()
        wake.set_running_or_notify_cancel()
        with self._lock:
            if self._stopped:
                raise Cancelled
            # The report is kept beside its number: nothing else gets the number while it is there.
            self._asked[id(report)] = report, wake
        self._say(report)
        return wake

    def _step(self, fault: Fault, ack: ReportAck | None) -> tuple[float, Instance]:
        if ack is None:
            raise Cancelled
        if ack.result == ReportResult.REPORT_RESULT_REJECTED:
            raise GiveUp(fault.code, f"{fault.message} (the daemon refused the report: {ack.message})")
        return following(ack.next, self.instance, fault)

    def _pause(self, wait: float) -> None:
        wake: Wake = Future()
        with self._lock:
            if self._stopped:
                raise Cancelled
            self._pauses.add(wake)
        try:
            wake.result(wait)
        except NotYet:
            with self._lock:
                self._pauses.discard(wake)
            return
        raise Cancelled


def following(step: NextStep, present: Instance, fault: Fault) -> tuple[float, Instance]:
    """Seconds to wait and the instance to go on with; GiveUp when the step says so, or knows of no instance to blame."""
    if step.kind == StepKind.STEP_KIND_SWITCH and step.HasField("instance"):
        return span(step.delay), step.instance
    if step.kind == StepKind.STEP_KIND_RETRY_SAME:
        return span(step.delay), step.instance if step.HasField("instance") else present
    if step.kind == StepKind.STEP_KIND_GIVE_UP:
        raise GiveUp(step.code or fault.code, step.reason or fault.message)
    # To go on after an error that concerns no instance would be to do the same again, for ever.
    raise GiveUp(fault.code, fault.message)
