"""The runs of one agent's handlers, in the caller's loop (async ones) and in threads (plain ones)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from fleetd_client.context import Context
from fleetd_client.effects import Begin, Effect, Heard, Key, Told, Why
from fleetd_client.outcome import Cancelled, completed, failed, plain_failure
from fleetd_client.pool import Pool
from fleetd_client.stubs import Lease, ReleaseWord, Report, StoppedWord

Handler: TypeAlias = Callable[[Context], Any] | Callable[[Context], Awaitable[Any]]


class Run:
    """One run of one lease."""

    __slots__ = ("context", "key", "task", "why")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.key: Key = (context.lease.task_id, context.lease.lease_epoch)
        self.task: asyncio.Task[None] | None = None
        self.why: Why | None = None  # set: it shall stop

    def ended(self, value: Any) -> Report:
        """The word for a handler that returned: its result counts even when it was to stop; the daemon decides."""
        return completed(*self.key, value, self.context.digest)

    def raised(self, error: BaseException) -> Report:
        """The word for a handler that raised; a cancellation that was asked for is the end that was asked for."""
        task_id, epoch = self.key
        if not isinstance(error, (asyncio.CancelledError, Cancelled)):
            return failed(task_id, epoch, error)
        if self.why is None:
            return plain_failure(task_id, epoch, "AGENT_ERROR", "the handler cancelled itself")
        if self.why == "uncertain":
            word = ReleaseWord(reason="the lease was no longer certain")
            return Report(task_id=task_id, lease_epoch=epoch, release=word)
        return Report(task_id=task_id, lease_epoch=epoch, stopped=StoppedWord())


class Runs:
    """All runs of one agent; belongs to the caller's loop."""

    def __init__(
        self,
        agent_id: str,
        handlers: Mapping[str, Handler],
        say: Callable[[Report], None],
        certain: Callable[[], bool],
    ) -> None:
        self._handlers = {kind: (handler, _is_async(handler)) for kind, handler in handlers.items()}
        self._say = say
        self._certain = certain
        self._loop = asyncio.get_running_loop()
        self._pool = Pool(f"fleet-agent {agent_id}")
        self._runs: dict[Key, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def apply(self, effects: list[Effect]) -> None:
        """Begin and stop runs, in order."""
        for effect in effects:
            if isinstance(effect, Begin):
                self._begin(effect.lease)
            elif isinstance(effect, Told):
                self._tell(effect)
            elif isinstance(effect, Heard):
                self._hear(effect)
            else:
                self._stop(effect.key, effect.why)

    async def stop_all(self) -> None:
        """Stop every run and wait for the async ones; a plain handler that does not look at ctx.cancelled goes on alone."""
        for key in list(self._runs):
            self._stop(key, "release")
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, lease: Lease) -> None:
        run = Run(Context(lease, self._say, self._certain))
        handler, is_async = self._handlers.get(lease.task_type) or self._handlers.get("") or (None, False)
        if handler is None:
            message = f"this agent has no handler for task type {lease.task_type!r}"
            self._say(plain_failure(*run.key, "AGENT_ERROR", message))
            return
        self._runs[run.key] = run
        if is_async:
            run.task = self._loop.create_task(self._drive(run, handler))
            self._tasks.add(run.task)
            run.task.add_done_callback(lambda task: self._over(run, task))
        else:
            self._pool.start(lambda: self._drive_plain(run, handler))

    def _stop(self, key: Key, why: Why) -> None:
        run = self._runs.get(key)
        if run is None or run.why is not None:
            return
        run.why = why
        run.context._cancel()  # noqa: SLF001 - the one place that may
        if run.task is not None:
            run.task.cancel()

    def _tell(self, told: Told) -> None:
        run = self._runs.get(told.key)
        if run is not None:
            run.context._told(told.report, told.ack)  # noqa: SLF001 - the one place that may

    def _hear(self, heard: Heard) -> None:
        run = self._runs.get(heard.key)
        if run is not None:
            run.context._heard(heard)  # noqa: SLF001 - the one place that may

    async def _drive(self, run: Run, handler: Handler) -> None:
        try:
            word = run.ended(await handler(run.context))
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 - the daemon is told
            word = run.raised(error)
        finally:
            self._end(run)
        self._say(word)

    def _over(self, run: Run, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        # A task that is cancelled before its first step never enters its coroutine, which would have said so.
        if self._end(run):
            self._say(run.raised(asyncio.CancelledError()))

    def _drive_plain(self, run: Run, handler: Handler) -> None:
        try:
            run.context.check()
            word = run.ended(handler(run.context))
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler ends the run, not the agent
            word = run.raised(error)
        finally:
            self._end(run)
        self._say(word)

    def _end(self, run: Run) -> bool:
        """Nothing the handler left behind may speak after its last word; False when it had ended before."""
        run.context._close()  # noqa: SLF001 - the one place that may
        return self._runs.pop(run.key, None) is not None


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__ is a fine handler
    )
