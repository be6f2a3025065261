"""Drives the scripts of `failover` without asyncio: the function runs in a thread, so that the lease can be kept meanwhile."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

from fleetd_client.driver import is_async, one_call, outcome_of
from fleetd_client.plan import Call, Plan
from fleetd_client.pool import Pool
from fleetd_client.script import Abandon, Begin, Ended, Function, Pause, Script, Step, Watch
from fleetd_client.stubs import Instance


def drive_sync(
    script: Script[dict[str, Any]], perform: Callable[[Plan[Any]], Any], sleep: Callable[[float], None]
) -> dict[str, Any]:
    """Do what the script asks for until it returns. An interrupt is told to the script, which has things to put in order."""
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
            answer = _do(step, runner, perform, sleep)
        except BaseException as raised:  # noqa: BLE001 - it comes back out of the script
            error = raised


def _do(
    step: Step, runner: _Runner, perform: Callable[[Plan[Any]], Any], sleep: Callable[[float], None]
) -> Any:
    if isinstance(step, Call):
        return perform(one_call(step))
    if isinstance(step, Begin):
        return runner.begin(step.function, step.instance)
    if isinstance(step, Watch):
        return runner.watch(step.seconds)
    if isinstance(step, Pause):
        return sleep(step.seconds)
    assert isinstance(step, Abandon)  # noqa: S101 - there is no other
    return runner.abandon()


class _Runner:
    """One run of a function at a time. A thread cannot be stopped: what is abandoned goes on alone."""

    def __init__(self) -> None:
        self._pool = Pool("fleet-failover")
        self._run: _Run | None = None

    def begin(self, function: Function, instance: Instance) -> None:
        if is_async(function):
            raise TypeError("an async function needs FleetClient, not FleetClientSync")
        self._run = run = _Run()
        context = contextvars.copy_context()

        def work() -> None:
            run.ended = outcome_of(lambda: context.run(function, instance))
            run.over.set()

        self._pool.start(work)

    def watch(self, seconds: float) -> Ended | None:
        run = self._run
        assert run is not None  # noqa: S101 - it was begun
        return run.ended if run.over.wait(seconds) else None

    def abandon(self) -> None:
        self._run = None


class _Run:
    __slots__ = ("ended", "over")

    def __init__(self) -> None:
        self.ended = Ended()
        self.over = threading.Event()
