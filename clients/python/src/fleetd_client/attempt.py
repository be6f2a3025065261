"""Attempts of services that run their own work: an instance to work on, what came of it, the next one (R7, F2)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from fleetd_client import methods as m
from fleetd_client import routes
from fleetd_client import stubs as s
from fleetd_client.advice import following
from fleetd_client.decision import Decision
from fleetd_client.errors import FleetError
from fleetd_client.faults import Fault, fault_of
from fleetd_client.outcome import GiveUp
from fleetd_client.plan import Plan, ask
from fleetd_client.times import Span

log = logging.getLogger("fleetd_client")

# What a caller that is being cancelled waits for its last word; the daemon forgets an unreported route by itself.
FAREWELL_SECONDS = 5.0


class Course:
    """
    What both kinds of attempts share. `plan` is the route's, `instance` the one to work on now; both are empty before the attempt is
    entered. `decision` says in which mode, when a rollout was named.
    """

    def __init__(self, request: s.RouteTaskRequest, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan = s.RoutePlan()
        self.instance = s.Instance()
        self.decision: Decision | None = None
        self._result: dict[str, Any] = {}
        self._request = request
        self._clock = clock
        self._began = 0.0
        self._looping = self._entered = self._over = False
        self._given_up: GiveUp | None = None

    def result(self, *, size: int = 0, digest: str = "") -> None:
        """Name the size of the result in bytes, and its digest, for the rollout that was named: equal digests mean equal results."""
        self._result = {"size": size, "digest": digest}

    def _turn(self) -> bool:
        """Whether the loop goes round once more."""
        if self._looping and not self._entered:
            raise RuntimeError("enter the attempt in the loop: `with attempt:`, or `async with attempt:`")
        self._looping, self._entered = True, False
        return not self._over

    def _enter(self) -> Plan[None]:
        if self._over:
            raise RuntimeError("this attempt is over: call routed() once more")
        self._entered = True
        if not self.instance.id:
            response = yield from ask(m.ROUTE_TASK, self._request)
            self.plan = response.plan
            if response.HasField("decision"):
                self.decision = Decision.of(response.decision)
            if not response.selected:
                self._over = True
                known = self.plan.HasField("retry_at")
                retry_at = self.plan.retry_at.seconds + self.plan.retry_at.nanos / 1e9 if known else None
                raise GiveUp(
                    "NO_AVAILABLE_INSTANCE", self.plan.summary or "no instance fits", retry_at=retry_at
                )
            self.instance = response.instance
        self._began = self._clock()

    def _succeed(self) -> Plan[None]:
        self._over = True
        if self._given_up is not None:  # told already, and caught by the caller
            return
        try:
            yield from self._report()
        except FleetError as error:  # the work is done, whoever could not be told
            log.warning("success on %s was not reported: %s", self.instance.id, error)

    def _fail(self, error: BaseException) -> Plan[float | None]:
        """Seconds to wait before the loop goes round; None when the error is to be raised."""
        if self._given_up is not None:
            self._over = True
            return None
        fault = fault_of(error)
        try:
            step = yield from self._report(fault)
            wait, instance = following(step, self.instance, fault)
        except GiveUp as end:
            self._over = True
            error.add_note(f"fleetd gave up: {end.code}: {end.message}")
            return None
        except FleetError as unheard:
            self._over = True
            log.warning("failure on %s was not reported: %s", self.instance.id, unheard)
            return None
        if not self._looping:
            self._over = True
            return None
        self.instance = instance
        return wait

    def _next(self, fault: Fault) -> Plan[tuple[float, s.Instance]]:
        step = yield from self._report(fault)
        try:
            return following(step, self.instance, fault)
        except GiveUp as end:
            self._given_up = end
            raise

    def _go_on(self, instance: s.Instance) -> s.Instance:
        self.instance = instance
        self._began = self._clock()
        return instance

    def _report(self, fault: Fault | None = None) -> Plan[s.NextStep]:
        what = routes.Outcome(
            plan_id=self.plan.plan_id, instance=self.instance.id, latency=self._clock() - self._began
        )
        if self.decision is not None:
            what["rollout"] = self.decision.outcome(**self._result)
        if fault is not None:
            what |= routes.Outcome(code=fault.code, message=fault.message)
            if fault.retry_after is not None:
                what["retry_after"] = fault.retry_after
        return routes.report_outcome(**what)


class Attempt(Course):
    """
    What `FleetClient.routed` returns. Entered once, it is one try, whose outcome is reported when it is left; in a loop it is as many as
    the daemon says:

        async for attempt in fleet.routed("Mend the parser", needs=["coding"]):
            async with attempt:
                answer = await ask(attempt.instance)

    The loop ends with the first success; when there is nothing left to try, the last error is raised.
    """

    def __init__(
        self,
        request: s.RouteTaskRequest,
        perform: Callable[[Plan[Any]], Awaitable[Any]],
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(request, clock)
        self._perform = perform
        self._sleep = sleep

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        if not self._turn():
            raise StopAsyncIteration
        return self

    async def __aenter__(self) -> Self:
        await self._perform(self._enter())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            await self._perform(self._succeed())
            return False
        if isinstance(error, asyncio.CancelledError):
            await self._take_leave(error)
            return False
        if not isinstance(error, Exception):  # the process ends
            return False
        wait = await self._perform(self._fail(error))
        if wait is None:
            return False
        if wait:
            await self._sleep(wait)
        return True

    async def next_instance(
        self, error: BaseException | str, message: str = "", retry_after: Span | None = None
    ) -> s.Instance:
        """
        Tell that the try on the present instance failed, wait as the daemon asks, and return the instance to go on with: the same or
        another. As an agent's ctx.next_instance; raises GiveUp when there is nothing to go on with.
        """
        wait, instance = await self._perform(self._next(fault_of(error, message, retry_after)))
        if wait:
            await self._sleep(wait)
        return self._go_on(instance)

    async def _take_leave(self, error: BaseException) -> None:
        try:
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._perform(self._fail(error))
        except TimeoutError:
            log.warning("the end of the try on %s was not reported in time", self.instance.id)


class AttemptSync(Course):
    """
    What `FleetClientSync.routed` returns; as Attempt:

        for attempt in fleet.routed("Mend the parser", needs=["coding"]):
            with attempt:
                answer = ask(attempt.instance)
    """

    def __init__(
        self,
        request: s.RouteTaskRequest,
        perform: Callable[[Plan[Any]], Any],
        sleep: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(request, clock)
        self._perform = perform
        self._sleep = sleep

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Self:
        if not self._turn():
            raise StopIteration
        return self

    def __enter__(self) -> Self:
        self._perform(self._enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._perform(self._succeed())
            return False
        if not isinstance(error, Exception):  # the process ends
            return False
        wait = self._perform(self._fail(error))
        if wait is None:
            return False
        if wait:
            self._sleep(wait)
        return True

    def next_instance(
        self, error: BaseException | str, message: str = "", retry_after: Span | None = None
    ) -> s.Instance:
        """As Attempt.next_instance."""
        wait, instance = self._perform(self._next(fault_of(error, message, retry_after)))
        if wait:
            self._sleep(wait)
        return self._go_on(instance)
