"""Drives the scripts of `failover` in an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from fleetd_client.plan import Call, Plan
from fleetd_client.pool import Pool
from fleetd_client.script import Abandon, Begin, Ended, Function, Pause, Script, Step, Watch
from fleetd_client.stubs import Instance

# What an abandoned function gets for its cleaning up, before another one begins.
CLEANUP_SECONDS = 5.0


async def drive(
    script: Script[dict[str, Any]],
    perform: Callable[[Plan[Any]], Awaitable[Any]],
    sleep: Callable[[float], Awaitable[None]],
) -> dict[str, Any]:
    """Do what the script asks for until it returns. A cancellation is told to the script, which has things to put in order."""
    runner = _Runner()
    error: BaseException | None = None
    answer: Any = None
    while True:
        try:
            step = script.send(answer) if error is None else script.throw(error)
        except StopIteration as done:
            result: dict[str, Any] = done.value
            return result
        answer = error = None
        try:
            answer = await _do(step, runner, perform, sleep)
        except BaseException as raised:  # noqa: BLE001 - it comes back out of the script
            error = raised


async def _do(
    step: Step,
    runner: _Runner,
    perform: Callable[[Plan[Any]], Awaitable[Any]],
    sleep: Callable[[float], Awaitable[None]],
) -> Any:
    if isinstance(step, Call):
        return await perform(one_call(step))
    if isinstance(step, Begin):
        return runner.begin(step.function, step.instance)
    if isinstance(step, Watch):
        return await runner.watch(step.seconds)
    if isinstance(step, Pause):
        return await sleep(step.seconds)
    assert isinstance(step, Abandon)  # noqa: S101 - there is no other
    return await runner.abandon()


class _Runner:
    """One run of a function at a time: an async one in this loop, a plain one in a thread."""

    def __init__(self) -> None:
        self._run: asyncio.Future[Any] | None = None
        self._pool = Pool("fleet-failover")

    def begin(self, function: Function, instance: Instance) -> None:
        if is_async(function):
            self._run = asyncio.ensure_future(function(instance))
        else:
            self._run = self._in_thread(function, instance)

    async def watch(self, seconds: float) -> Ended | None:
        run = self._run
        assert run is not None  # noqa: S101 - it was begun
        await asyncio.wait({run}, timeout=seconds)
        if not run.done():
            return None
        self._run = None
        if run.cancelled():
            return Ended(error=asyncio.CancelledError())
        error = run.exception()
        return Ended(run.result()) if error is None else Ended(error=error)

    async def abandon(self) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.cancel()
        done, _ = await asyncio.wait({run}, timeout=CLEANUP_SECONDS)
        if done and not run.cancelled():
            run.exception()  # seen: nobody wants to read that it was not

    def _in_thread(self, function: Function, instance: Instance) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        run: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(ended: Ended) -> None:
            if run.done():
                return
            if ended.error is None:
                run.set_result(ended.value)
            else:
                run.set_exception(ended.error)

        def work() -> None:
            ended = outcome_of(lambda: context.run(function, instance))
            try:
                loop.call_soon_threadsafe(settle, ended)
            except RuntimeError:  # the loop is closed: nobody waits for it any more
                return

        self._pool.start(work)
        return run


def one_call(call: Call) -> Plan[Any]:
    """The plan of one call that is there already."""
    return (yield call)


def outcome_of(work: Callable[[], Any]) -> Ended:
    """How a plain function ended, sys.exit() included; StopIteration, which no future can hold, as the defect that it is."""
    try:
        return Ended(work())
    except StopIteration as error:
        defect = RuntimeError("the function raised StopIteration")
        defect.__cause__ = error
        return Ended(error=defect)
    except BaseException as error:  # noqa: BLE001 - it is what came of it
        return Ended(error=error)


def is_async(function: Function) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__ is one, too
    )
