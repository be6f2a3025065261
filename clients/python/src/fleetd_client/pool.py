"""Threads for plain handlers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

# A thread without work ends after so many seconds.
IDLE_SECONDS = 10.0


class Pool:
    """
    Runs functions in threads, a new one whenever none is free. The daemon bounds how many run (max_concurrency).

    Not concurrent.futures: its threads are joined when the interpreter ends, so that one handler that hangs would keep a process
    that was told twice to leave.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._free = 0
        self._lock = threading.Lock()

    def start(self, work: Callable[[], None]) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                self._work.put(work)
                return
        threading.Thread(target=self._serve, args=(work,), name=self._name, daemon=True).start()

    def _serve(self, work: Callable[[], None]) -> None:
        while True:
            work()
            with self._lock:
                self._free += 1
            try:
                work = self._work.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._free:
                        self._free -= 1
                        return
                # Work was given out for a free thread in this very moment: it is for this one.
                work = self._work.get()
