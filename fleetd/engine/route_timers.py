"""What clocks and commits bring to routes: breakers half-open, and BLOCKED tasks are looked at again (spec T1, F3, F6)."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from fleetd.core.blocking import Unblock, next_look
from fleetd.core.breaker import Breaker, BreakerKey, BreakerState
from fleetd.core.breaking import HalfOpen
from fleetd.core.ledger import Ledger

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

GROUPS_LOOKED = 200
"""Groups of BLOCKED tasks that one transaction asks for room at most, each about as dear as a route."""


class RouteTimers:
    """One timer for everything that happens to routes by itself. `_open` holds the open breakers: epoch ms and monotonic ms of their half-opening."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._book = engine.routes
        self._open: dict[BreakerKey, tuple[int, int]] = {}
        self._looking = False
        # Groups of BLOCKED tasks that are to be looked at, in order.
        self._unseen: dict[int, None] = {}

    def begin(self) -> None:
        """Fill in what memory holds after a start."""
        for breaker in self._book.known_breakers():
            self._watch(breaker)
        self._arm()
        if self._book.groups:
            # Whatever changed while nobody looked.
            self._engine.sweeper.timers.set(("unblock", ""), self._engine.clock.now())

    def released(self, ledger: Ledger) -> None:
        """A transaction was committed: set timers, and look at what waits when something may go."""
        for breaker in ledger.turned.values():
            self._watch(breaker)
        if ledger.turned or self._book.groups:
            self._arm()
        self.look()

    def look(self) -> None:
        """Look at BLOCKED tasks when something has become available."""
        book = self._book
        if self._looking or self._engine.state == "STARTING":
            return
        if book.loosened and book.groups:
            # Without groups it stays noted: a transaction that is on its way may be blocking a task by what was true before.
            book.loosened = False
            self._unseen.update(dict.fromkeys(list(book.groups)))
        if not self._unseen:
            return
        groups = tuple(islice(self._unseen, GROUPS_LOOKED))
        for key in groups:
            del self._unseen[key]
        self._looking = True
        self._engine.post_internal(Unblock(groups)).add_done_callback(self._looked)

    def _looked(self, future: asyncio.Future[Any]) -> None:
        self._looking = False
        if future.cancelled() or future.exception() is not None:
            # The store refused: look at all of them again with the next commit, or a moment later.
            self._unseen.clear()
            self._book.loosened = True
            self._engine.sweeper.timers.set(("unblock", ""), self._engine.clock.now() + 1_000)
            return
        self._unseen.update(dict.fromkeys(future.result()))
        # Something may have become available in the transaction that looked, after it had looked.
        self.look()

    def fire(self) -> None:
        """Half-open the breakers whose time has come, forget routes that nobody reported, look at what waits."""
        now = self._engine.clock.now()
        due = tuple((key, retry_at) for key, (retry_at, at) in self._open.items() if at <= now)
        for key, _ in due:
            del self._open[key]
        if due:
            self._engine.post_internal(HalfOpen(due)).add_done_callback(
                lambda future: self._half_opened(due, future)
            )
        self._engine.router.expire(now)
        if self._book.groups:
            self._book.loosened = True
            self.look()
        self._arm()

    def _half_opened(self, due: tuple[tuple[BreakerKey, int], ...], future: asyncio.Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            for key, retry_at in due:
                self._open.setdefault(key, (retry_at, self._engine.clock.now() + 1_000))
            self._arm()

    def _watch(self, breaker: Breaker) -> None:
        """Note when a breaker half-opens, if it is open. It never waits longer than it was opened for, should the wall clock have been set back (F3c)."""
        self._open.pop(breaker.key, None)
        if breaker.state is BreakerState.OPEN:
            clock, until = self._engine.clock, breaker.retry_at
            wait = min(until - clock.wall(), until - breaker.opened_at)
            self._open[breaker.key] = until, clock.now() + max(0, wait)

    def _arm(self) -> None:
        """Set the timer to the next moment at which something happens by itself."""
        clock = self._engine.clock
        times = [at for _, at in self._open.values()]
        if self._book.groups:
            again = next_look(self._book)
            if again:
                times.append(clock.now() + max(0, again - clock.wall()))
            vanishing = self._engine.router.next_expiry()
            if vanishing is not None:
                times.append(vanishing)
        if times:
            self._engine.sweeper.timers.set(("unblock", ""), min(times))
        else:
            self._engine.sweeper.timers.cancel(("unblock", ""))
