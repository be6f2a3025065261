"""What a handler is given: its task, and the means to speak while it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from fleetd_client.advice import Advice
from fleetd_client.decision import TaskMode
from fleetd_client.effects import Heard
from fleetd_client.faults import Fault, fault_of
from fleetd_client.journal import Journal
from fleetd_client.outcome import DIGEST_CHARS, Cancelled, GiveUp
from fleetd_client.payload import content
from fleetd_client.stubs import CheckpointWord, Instance, Lease, ProgressWord, Report, ReportAck, TaskEvent
from fleetd_client.times import Span

PROGRESS_CHARS = 1_000
CHECKPOINT_BYTES = 1024 * 1024
STEP_CHARS = 256


class Context:
    """One run of one task. May be used from the handler's own thread or loop, and from threads it starts."""

    def __init__(self, lease: Lease, say: Callable[[Report], None], certain: Callable[[], bool]) -> None:
        self.lease = lease
        self._digest = ""
        self._say = say
        self._certain = certain
        self._cancelled = False
        self._advice = Advice(lease, say) if lease.HasField("route") else None
        self._journal = Journal(lease, say)
        self._rollout = TaskMode.of(lease.rollout) if lease.HasField("rollout") else None

    @property
    def task_id(self) -> str:
        return self.lease.task_id

    @property
    def title(self) -> str:
        return self.lease.title

    @property
    def description(self) -> str:
        return self.lease.description

    @property
    def task_type(self) -> str:
        return self.lease.task_type

    @property
    def attempt(self) -> int:
        """Number of this run, from 1."""
        return self.lease.attempt

    @property
    def labels(self) -> Mapping[str, str]:
        return dict(self.lease.labels)

    @property
    def metadata(self) -> Mapping[str, str]:
        return dict(self.lease.metadata)

    @property
    def input(self) -> bytes:
        """The input's bytes; empty when there is none."""
        return content(self.lease.input)

    @property
    def text(self) -> str:
        """The input as UTF-8 text."""
        return self.input.decode()

    def json(self) -> Any:
        """The input parsed as JSON; None when there is none."""
        data = self.input
        return json.loads(data) if data else None

    @property
    def checkpoint_data(self) -> bytes | None:
        """The last checkpoint of an earlier run; None when there is none."""
        return self.lease.checkpoint.data if self.lease.HasField("checkpoint") else None

    @property
    def completed_steps(self) -> tuple[str, ...]:
        """Steps that earlier runs have ended, in order."""
        return tuple(self.lease.checkpoint.completed_steps)

    @property
    def instance(self) -> Instance | None:
        """The model instance to work on; None when the task was submitted without route requirements."""
        return None if self._advice is None else self._advice.instance

    @property
    def rollout(self) -> TaskMode | None:
        """How the task was decided; None when it was submitted without a rollout."""
        return self._rollout

    @property
    def mode(self) -> str:
        """The mode to work in; empty when the task was submitted without a rollout."""
        return "" if self._rollout is None else self._rollout.mode

    @property
    def shadow(self) -> bool:
        """True of work on the side, whose result is only compared: it must have no effect outside."""
        return self._rollout is not None and self._rollout.shadow

    @property
    def digest(self) -> str:
        """Of the result, at most 128 characters of your choice: results of a task and its shadow are equal when their digests are."""
        return self._digest

    @digest.setter
    def digest(self, digest: str) -> None:
        if len(digest) > DIGEST_CHARS:
            raise ValueError(f"a digest has at most {DIGEST_CHARS} characters, not {len(digest)}")
        self._digest = digest

    @property
    def lease_certain(self) -> bool:
        """False when the daemon has not been heard for the lease's time: another agent may be running this task already."""
        return self._certain()

    @property
    def cancelled(self) -> bool:
        """True once the run shall stop. Async handlers are told by asyncio.CancelledError, too."""
        return self._cancelled

    def check(self) -> None:
        """Raise Cancelled once the run shall stop: for plain handlers, between two steps."""
        if self._cancelled:
            raise Cancelled

    def progress(self, percent: float, message: str = "") -> None:
        """Say how far it is: 0 to 100, and a line for people (cut at 1,000 characters). At most two a second travel, the latest wins."""
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must lie between 0 and 100, not {percent}")
        word = ProgressWord(percent=int(percent), message=message[:PROGRESS_CHARS])
        self._say(self._report(progress=word))

    def checkpoint(self, data: bytes | str, *, step_id: str = "") -> None:
        """Save what the next run needs to go on from here, at most 1 MiB; step_id names the step this ends."""
        data = data.encode() if isinstance(data, str) else data
        if len(data) > CHECKPOINT_BYTES:
            raise ValueError(f"a checkpoint has at most {CHECKPOINT_BYTES} bytes, not {len(data)}")
        if len(step_id) > STEP_CHARS:
            raise ValueError(f"step_id has at most {STEP_CHARS} characters, not {len(step_id)}")
        self._say(self._report(checkpoint=CheckpointWord(data=data, step_id=step_id)))

    async def emit(self, event: TaskEvent) -> None:
        """
        Tell an event of fleetd_client.task_events, for whoever watches the task. Each is stored once and in order, before the run's last
        word. Goes on at once, unless some 2,000 are under way. InvalidArgument for a bad one; EventsRefused when the daemon did not
        take one told earlier: then this one is not told either.
        """
        await self._journal.tell(event)

    def emit_sync(self, event: TaskEvent) -> None:
        """emit for plain handlers: blocks while too many are under way. Raises Cancelled when the run shall stop meanwhile."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._journal.tell_sync(event)
            return
        raise RuntimeError("this would block the loop: await ctx.emit(...)")

    async def next_instance(
        self, error: BaseException | str, message: str = "", retry_after: Span | None = None
    ) -> Instance:
        """
        Tell that the try on the present instance failed, wait as the daemon asks, and return the instance to go on with: the same or
        another. `error` is the exception (fleetd_client.faults tells what it says), or a code such as "TIMEOUT" or "503"; `retry_after`
        what the provider asked for. Raises GiveUp when there is nothing to go on with: let it pass, and the run fails with the right code.
        """
        fault = fault_of(error, message, retry_after)
        return await self._adviser(fault).next(fault)

    def next_instance_sync(
        self, error: BaseException | str, message: str = "", retry_after: Span | None = None
    ) -> Instance:
        """next_instance for plain handlers: blocks. Raises Cancelled when the run shall stop meanwhile."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            fault = fault_of(error, message, retry_after)
            return self._adviser(fault).next_sync(fault)
        raise RuntimeError("this would block the loop: await ctx.next_instance(...)")

    def _cancel(self) -> None:
        self._cancelled = True
        self._journal.stop()
        if self._advice is not None:
            self._advice.stop()

    def _told(self, report: Report, ack: ReportAck) -> None:
        if self._advice is not None:
            self._advice.told(report, ack)

    def _heard(self, heard: Heard) -> None:
        self._journal.heard(heard)

    def _close(self) -> None:
        self._journal.close()

    def _adviser(self, fault: Fault) -> Advice:
        if self._advice is None:
            raise GiveUp(
                fault.code, f"{fault.message} (the task has no route, so that there is no other instance)"
            )
        return self._advice

    def _report(self, **word: Any) -> Report:
        return Report(task_id=self.lease.task_id, lease_epoch=self.lease.lease_epoch, **word)
