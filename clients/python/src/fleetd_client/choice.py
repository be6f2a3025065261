"""Work in the mode that a rollout decides, measured and reported by itself, with its shadow (G1, G2)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from fleetd_client import rollouts, routes
from fleetd_client.attempt import FAREWELL_SECONDS
from fleetd_client.decision import Decision
from fleetd_client.errors import DeadlineExceeded, FleetError, Overloaded, Unavailable
from fleetd_client.faults import fault_of
from fleetd_client.plan import Plan
from fleetd_client.times import Span

log = logging.getLogger("fleetd_client")

# The daemon cannot be asked now: the work can be done all the same, in the mode that was named for it.
UNASKED = (Unavailable, Overloaded, DeadlineExceeded)


class Measured:
    """What both clients share: the decision, the clock, and what is reported. `decision` is empty before it is entered."""

    def __init__(
        self,
        rollout: str,
        org_id: str = "",
        session_id: str = "",
        otherwise: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.decision = Decision("")
        self._use = (rollout, org_id, session_id)
        self._otherwise = Decision(otherwise, reason="the daemon could not be asked", rollout=rollout)
        self._clock = clock
        self._began = 0.0
        self._size = 0
        self._digest = ""

    @property
    def mode(self) -> str:
        """The mode to work in."""
        return self.decision.mode

    @property
    def cause(self) -> str:
        """Why this one: ALLOW_LIST, PERCENT, AUTO_FALLBACK, ...; empty when the daemon could not be asked."""
        return self.decision.cause

    @property
    def reason(self) -> str:
        """The cause in a sentence."""
        return self.decision.reason

    @property
    def shadow_mode(self) -> str:
        """The mode that should do the work on the side as well, without any effect outside; empty when none should."""
        return self.decision.shadow_mode

    def result(self, *, size: int = 0, digest: str = "") -> None:
        """Name the size of the result in bytes, and its digest: equal digests mean equal results. Reported when the work is over."""
        self._size, self._digest = size, digest

    def _enter(self) -> Plan[None]:
        if self.decision.mode:
            raise RuntimeError("this decision is made: call mode_of() once more")
        try:
            rollout, org_id, session_id = self._use
            self.decision = yield from rollouts.decide_mode(rollout, org_id=org_id, session_id=session_id)
        except UNASKED as error:
            if not self._otherwise.mode:
                raise
            log.warning("%s is used: %s", self._otherwise.mode, error)
            self.decision = self._otherwise
        self._began = self._clock()

    def _leave(self, error: BaseException | None) -> Plan[None]:
        # A failed run may have named a result before: it counts for what it was.
        outcome = self.decision.outcome(size=self._size, digest=self._digest)
        yield from self._report(outcome, self._clock() - self._began, error)

    def _shadow(
        self, error: BaseException | str | None, latency: Span | None, size: int, digest: str
    ) -> Plan[None]:
        if not self.decision.shadow_mode:
            raise ValueError("there is no shadow to report: shadow_mode is empty")
        outcome = self.decision.outcome(shadow=True, size=size, digest=digest)
        took = self._clock() - self._began if latency is None else latency
        yield from self._report(outcome, took, error)

    def _report(self, outcome: Any, latency: Span, error: BaseException | str | None) -> Plan[None]:
        if not outcome.decision_id:  # nobody decided, so that nobody waits for what came of it
            return
        what = routes.Outcome(latency=latency, rollout=outcome)
        if error is not None and error != "":
            fault = fault_of(error)
            what |= routes.Outcome(code=fault.code, message=fault.message)
        try:
            yield from routes.report_outcome(**what)
        except FleetError as unheard:  # the work is over as it is, whoever could not be told
            log.warning("what came of %s was not reported: %s", outcome.decision_id, unheard)


class Choice(Measured):
    """
    What `FleetClient.mode_of` returns; one piece of work:

        async with fleet.mode_of("chat", org_id=org) as choice:
            answer = await (runtime if choice.mode == "runtime_orchestrator" else direct)(prompt)
            choice.result(size=len(answer), digest=sha256(answer))

    When it is left, its latency and success, or the code of its exception, are reported; the exception passes.
    """

    def __init__(
        self, perform: Callable[[Plan[Any]], Awaitable[Any]], *arguments: Any, **keywords: Any
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._perform = perform

    async def __aenter__(self) -> Self:
        await self._perform(self._enter())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            await self._perform(self._leave(error))
        elif isinstance(error, asyncio.CancelledError):
            try:
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self._perform(self._leave(error))
            except TimeoutError:
                log.warning("what came of %s was not reported in time", self.decision.decision_id)

    async def report_shadow(
        self,
        error: BaseException | str | None = None,
        *,
        latency: Span | None = None,
        size: int = 0,
        digest: str = "",
    ) -> None:
        """
        Tell what came of the work on the side: nothing for success, or its exception or code. `latency` counts from the entering unless
        given. May be called after the work itself is over.
        """
        await self._perform(self._shadow(error, latency, size, digest))


class ChoiceSync(Measured):
    """What `FleetClientSync.mode_of` returns; as Choice, with plain `with`."""

    def __init__(self, perform: Callable[[Plan[Any]], Any], *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._perform = perform

    def __enter__(self) -> Self:
        self._perform(self._enter())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            self._perform(self._leave(error))

    def report_shadow(
        self,
        error: BaseException | str | None = None,
        *,
        latency: Span | None = None,
        size: int = 0,
        digest: str = "",
    ) -> None:
        """As Choice.report_shadow."""
        self._perform(self._shadow(error, latency, size, digest))
