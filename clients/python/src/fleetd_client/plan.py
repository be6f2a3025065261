"""
What a client method does, without saying how it is sent: a plan yields calls and is given their responses.

Both clients run the same plans; only the loop that sends one call and waits between tries exists twice (client.perform, sync.perform).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from fleetd_client.backoff import Backoff
from fleetd_client.errors import FleetError
from fleetd_client.methods import Method

Q = TypeVar("Q")
R = TypeVar("R")
T = TypeVar("T")

# A try that fails at once is repeated after 0.1, 0.2, … s, half of it left to chance: 1.5 to 3 s in all, time enough for a daemon to
# restart, and for the connection to try again, which it does every 1.2 s at the latest.
TRIES = 6
LONGEST_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call; `extra` seconds are added to the client's deadline when the method waits on purpose."""

    method: Method[Any, Any]
    request: Any
    extra: float = 0.0


Plan: TypeAlias = Generator[Call, Any, R]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and the position of the next page; None after the last one."""

    items: Sequence[T]
    following: Any


def ask(method: Method[Q, R], request: Q, extra: float = 0.0) -> Plan[R]:
    """The plan of one call; its result is the response."""
    response: R = yield Call(method, request, extra)
    return response


class Tries:
    """The tries of one call: how much time is left, and whether and when to try again. `now` in seconds, of any steady clock."""

    def __init__(self, call: Call, timeout: float, now: float, backoff: Backoff | None = None) -> None:
        self._method = call.method
        self._end = now + timeout + call.extra
        self._backoff = backoff or Backoff(cap=LONGEST_WAIT, sure=0.5)

    def left(self, now: float) -> float:
        return max(self._end - now, 0.0)

    def wait_after(self, error: FleetError, now: float) -> float:
        """Seconds to wait before the next try; raises the error when there is to be none."""
        if not self._method.may_repeat(error) or self._backoff.tries + 1 >= TRIES:
            raise error
        wait = self._backoff.next(error.retry_after)
        if wait >= self.left(now):
            raise error
        return wait
