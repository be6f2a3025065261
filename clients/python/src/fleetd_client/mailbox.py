"""A mailbox of an event loop: any thread puts, the loop takes everything that has come together in one turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Crossing between loops costs a system call and a switch of threads; one crossing carries all that waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.deliver: Callable[[list[T]], None] = _nowhere  # set before the first put; called on the loop
        self._loop = loop
        self._waiting: deque[T] = deque()
        self._called = False

    def put(self, *items: T) -> None:
        """Hand over items, in order; dropped when the loop is closed."""
        self._waiting.extend(items)
        if not self._called:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._take)
            except RuntimeError:  # the loop is closed: nobody is left to care
                self._waiting.clear()

    def _take(self) -> None:
        # Cleared before the taking: an item put in between calls once more for nothing, but is never left behind.
        self._called = False
        items: list[T] = []
        while self._waiting:
            items.append(self._waiting.popleft())
        if items:
            self.deliver(items)


def _nowhere(items: list[T]) -> None:
    raise RuntimeError(f"a mailbox without an address was given {len(items)} items")
