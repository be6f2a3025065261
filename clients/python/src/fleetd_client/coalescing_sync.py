"""Coalescing for FleetClientSync (spec S5): the thread that comes first calls for all who wait, and the next of them for the next ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from fleetd_client.errors import ClientClosed, DeadlineExceeded, FleetError
from fleetd_client.joint import Joint, Line, Waiting, late
from fleetd_client.plan import Call

Send = Callable[[Call, float], Any]


class _Rider(Waiting):
    __slots__ = ("answer", "called", "drives")

    def __init__(self, joint: Joint, request: Any, end: float) -> None:
        super().__init__(joint, request, end)
        self.answer: Any = None
        self.drives = False
        self.called = threading.Event()

    def settle(self, answer: Any) -> None:
        if self.gone:
            return
        self.gone = True
        self.answer = answer
        self.called.set()


class CoalescerSync:
    """
    Threads share calls made by `send(call, timeout)`, which raises FleetError. Exactly one thread drives while anybody waits: the one at
    the head of the line, whose deadline is the call's. Who is still in time when that passes travels again, with the same keys.
    `riders` counts the threads that use it, for its owner.
    """

    def __init__(self, joint: Joint, send: Send) -> None:
        self._joint = joint
        self._line = Line(joint)
        self._send = send
        self._lock = threading.Lock()
        self._driven = False
        self._closed = False
        self.riders = 0

    def ride(self, request: Any, timeout: float) -> Any:
        """The response to one request. Raises FleetError; DeadlineExceeded after `timeout` seconds."""
        rider = _Rider(self._joint, request, time.monotonic() + timeout)
        with self._lock:
            self._line.add(rider)
            if not self._driven:
                self._driven = rider.drives = True
        try:
            if not rider.drives:
                rider.called.wait(timeout)
            while rider.drives and rider.answer is None and rider.end > time.monotonic():
                self._drive(rider)
        finally:
            self._get_off(rider)
        answer = rider.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """Refuse everybody with ClientClosed."""
        with self._lock:
            self._closed = True
            self._line.close(ClientClosed())

    def _drive(self, driver: _Rider) -> None:
        with self._lock:
            batch = self._line.take()
        try:
            response = self._send(self._line.call(batch), max(driver.end - time.monotonic(), 0.0))
        except FleetError as error:
            with self._lock:
                self._refused(driver, batch, error)
        except BaseException:
            with self._lock:
                self._line.put_back(batch[1:])
            raise
        else:
            with self._lock:
                self._line.settle(batch, response)

    def _refused(self, driver: _Rider, batch: list[_Rider], error: FleetError) -> None:
        if self._closed:
            error = ClientClosed()
        if isinstance(error, DeadlineExceeded):
            now = time.monotonic()
            self._line.put_back(one for one in batch if one is not driver and one.end > now)
            batch = [one for one in batch if one is driver or one.end <= now]
        self._line.refuse(batch, error)

    def _get_off(self, rider: _Rider) -> None:
        """Leave with the answer or without; a driver hands over to whoever comes next."""
        with self._lock:
            rider.gone = True
            if rider.answer is None:
                rider.answer = late()
            if not rider.drives:
                return
            following = self._line.first()
            if following is None:
                self._driven = False
            else:
                following.drives = True
                following.called.set()
