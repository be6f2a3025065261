"""What clocks and commits bring to routes: breakers half-open, and BLOCKED tasks are looked at again (spec T1, F3, F6)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fleetd.core.blocking import Unblock, look_begins, next_look
from fleetd.core.breaker import BreakerKey, BreakerState
from fleetd.core.breaking import HalfOpen
from fleetd.core.ledger import Ledger

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine


class RouteTimers:
    """
    One timer for everything that happens to routes by itself.

    `_open` holds the open breakers: epoch ms and monotonic ms of their half-opening; `_asked` the groups of BLOCKED tasks that a look which is
    to be gone on with has asked, None when none is.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._book = engine.routes
        self._open: dict[BreakerKey, tuple[int, int]] = {}
        self._looking = False
        self._asked: tuple[int, ...] | None = None

    def begin(self) -> None:
        """Fill in what memory holds after a start."""
        for key, view in self._book.outside.registry.breakers(BreakerState.OPEN):
            self._watch(key, view.retry_at)
        self._arm()
        if self._book.groups:
            # Whatever changed while nobody looked.
            self._engine.sweeper.timers.set(("unblock", ""), self._engine.clock.now())

    def released(self, ledger: Ledger) -> None:
        """A transaction was committed: set timers, and look at what waits when something may go."""
        for key, breaker in ledger.turned.items():
            self._open.pop(key, None)
            if breaker.state is BreakerState.OPEN:
                self._watch(key, breaker.retry_at)
        if ledger.turned or self._book.groups:
            self._arm()
        self.look()

    def look(self) -> None:
        """Look at BLOCKED tasks when something has become available."""
        book = self._book
        if self._looking or self._engine.state == "STARTING":
            return
        if not book.loosened and self._asked is None:
            return
        # What became available since is everybody's: the groups are asked anew, those first that were not asked yet.
        asked = () if book.loosened or self._asked is None else self._asked
        book.loosened, self._asked = False, None
        if not book.groups:
            return
        self._looking = True
        self._engine.post_internal(Unblock(asked)).add_done_callback(self._looked)

    def _looked(self, future: asyncio.Future[Any]) -> None:
        self._looking = False
        if future.cancelled() or future.exception() is not None:
            # The store refused: look again a moment later, or with the next commit, which sets the timer anew.
            self._book.loosened = True
            self._engine.sweeper.timers.set(("unblock", ""), self._engine.clock.now() + 1_000)
            return
        self._asked = future.result()
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
            look_begins(self._book, self._engine.clock.wall())
            self._book.loosened = True
            self.look()
        self._arm()

    def _half_opened(self, due: tuple[tuple[BreakerKey, int], ...], future: asyncio.Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            for key, retry_at in due:
                self._open.setdefault(key, (retry_at, self._engine.clock.now() + 1_000))
            self._arm()

    def _watch(self, key: BreakerKey, retry_at: int) -> None:
        clock = self._engine.clock
        self._open[key] = retry_at, clock.now() + max(0, retry_at - clock.wall())

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
