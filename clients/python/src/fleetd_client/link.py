"""The link: one thread with the process's only grpc.aio loop, shared by its agents. Nothing a handler does can stall it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, ClassVar, TypeVar

T = TypeVar("T")


class Link:
    """Opened by the first agent of the process, closed by its last user; grpc.aio works badly in two loops of one process."""

    _shared: ClassVar[Link | None] = None
    _users: ClassVar[int] = 0
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        # A daemon thread: an interpreter that must go does not wait for the network.
        self._thread = threading.Thread(target=self._serve, name="fleet-link", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls) -> Link:
        """The process's link, started when there is none; each open needs a close."""
        with cls._lock:
            if cls._shared is None:
                cls._shared = cls()
            cls._users += 1
            return cls._shared

    @classmethod
    def share(cls) -> Link | None:
        """The process's link when an agent has opened it; each one returned needs a close."""
        with cls._lock:
            if cls._shared is not None:
                cls._users += 1
            return cls._shared

    def run(self, work: Awaitable[T]) -> Future[T]:
        """Await something on the link's loop."""
        return asyncio.run_coroutine_threadsafe(_coroutine(work), self.loop)

    def post(self, do: Callable[..., object], *args: Any) -> None:
        """Call a function on the link's loop; nothing when the link is closed."""
        try:
            self.loop.call_soon_threadsafe(do, *args)
        except RuntimeError:  # the loop is closed: who it was for is gone, too
            return

    def close(self) -> None:
        """Give the link back; the last one ends the thread and waits for it."""
        with Link._lock:
            Link._users -= 1
            if Link._users:
                return
            Link._shared = None
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()


async def _coroutine(work: Awaitable[T]) -> T:
    return await work
