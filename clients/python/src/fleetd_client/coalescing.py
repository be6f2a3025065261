"""Coalescing for FleetClient (spec S5): one call under way; what waits meanwhile travels in the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fleetd_client.errors import ClientClosed, FleetError
from fleetd_client.joint import Joint, Line, Waiting, late
from fleetd_client.plan import Call

Send = Callable[[Call, float], Awaitable[Any]]


class _Rider(Waiting):
    __slots__ = ("answer",)

    def __init__(self, joint: Joint, request: Any, end: float, answer: asyncio.Future[Any]) -> None:
        super().__init__(joint, request, end)
        self.answer = answer

    def settle(self, answer: Any) -> None:
        self.gone = True
        if not self.answer.done():
            self.answer.set_result(answer)


class Coalescer:
    """
    Callers of one loop share calls made by `send(call, timeout)`, which raises FleetError. A call is made at the end of the loop's turn,
    so that all who ask in one turn travel together; `idle` is called when nobody waits any more.
    """

    def __init__(self, joint: Joint, send: Send, idle: Callable[[], object]) -> None:
        self._joint = joint
        self._line = Line(joint)
        self._send = send
        self._idle = idle
        self._runner: asyncio.Task[None] | None = None
        self._aboard: dict[_Rider, None] = {}
        # One timer for all: their deadlines mostly pass in the order they came, and a timer each would cost more than their requests.
        self._alarm: asyncio.TimerHandle | None = None

    async def ride(self, request: Any, timeout: float) -> Any:
        """The response to one request. Raises FleetError; DeadlineExceeded after `timeout` seconds, while the call of the others goes on."""
        loop = asyncio.get_running_loop()
        rider = _Rider(self._joint, request, loop.time() + timeout, loop.create_future())
        self._line.add(rider)
        if self._alarm is None or rider.end < self._alarm.when():
            self._wake_at(rider.end)
        if self._runner is None:
            self._runner = loop.create_task(self._run())
        try:
            answer = await rider.answer
        except asyncio.CancelledError:
            self._leave(rider)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Refuse everybody with ClientClosed."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
        self._wake_at(None)
        for rider in self._aboard:
            rider.settle(ClientClosed())
        self._line.close(ClientClosed())

    async def _run(self) -> None:
        try:
            while batch := self._line.take():
                self._aboard = dict.fromkeys(batch)
                await self._carry(batch)
                self._aboard = {}
                # Who was just answered and asks again at once travels with those who wait already.
                await asyncio.sleep(0)
        except BaseException:
            # Otherwise the callers left; here the loop ends, or the link's did.
            if self._runner is asyncio.current_task():
                self._runner = None
                self.close()
            raise
        self._runner = None
        self._wake_at(None)
        self._idle()

    async def _carry(self, batch: list[_Rider]) -> None:
        left = max(rider.end for rider in batch) - asyncio.get_running_loop().time()
        try:
            response = await self._send(self._line.call(batch), max(left, 0.0))
        except FleetError as error:
            self._line.refuse(batch, error)
        except Exception as error:  # noqa: BLE001 - a defect must reach the callers, who would wait for ever
            for rider in batch:
                rider.settle(error)
        else:
            self._line.settle(batch, response)

    def _wake_at(self, when: float | None) -> None:
        """Look for passed deadlines at this time of the loop, or not at all."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if when is None else asyncio.get_running_loop().call_at(when, self._expire)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        riders = [*self._aboard, *self._line]
        for rider in riders:
            if rider.end <= now:
                self._leave(rider)
                rider.settle(late())
        self._wake_at(min((rider.end for rider in riders if rider.end > now), default=None))

    def _leave(self, rider: _Rider) -> None:
        """Do without a caller; a call that nobody waits for any more is given up, so that it does not hold up the others."""
        rider.gone = True
        if rider not in self._aboard:
            return
        del self._aboard[rider]
        if not self._aboard and self._runner is not None:
            self._runner.cancel()
            self._runner = asyncio.get_running_loop().create_task(self._run())
