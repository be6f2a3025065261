"""
Alerts to a webhook (spec F8): follows the event feed from where it stands, and posts what is worth it.

Nothing waits for it: the feed has its own buffer, alerts wait in a bounded queue whose oldest leave with a log line, and a delivery that fails is
repeated with backoff. An alert that nobody took after all attempts is given up, with a log line. The URL is a secret, for chat bots carry their token
in it: it is never logged.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import httpx

from fleetd.clock import Clock
from fleetd.core.alert import DEAD_LETTERS, WATCHED, Alert, alert_of, body, dead_letters_alert
from fleetd.core.event import EventFilter
from fleetd.engine.feed import Feed, Subscription
from fleetd.engine.log import Log

Sleep = Callable[[float], Awaitable[object]]

JSON = "application/json"
TEMPLATE = '{"text": "fleetd: {kind} {name} {state} ({reason}) at {time}"}'
AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 that another attempt may mend; of the others the request itself is bad."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds before the second attempt, doubled with each, and at most."""
LOOK_AGAIN = 60.0
"""Seconds after which dead letters are counted again while there were too many: what retention takes makes no event."""


@dataclass(frozen=True, slots=True)
class WebhookOptions:
    """
    Where alerts go and in which words. `dead_letters_above` 0 = never; `timeout` of one attempt in milliseconds; `attempts` in all; `queue`: alerts
    that may wait.
    """

    url: str
    template: str = TEMPLATE
    content_type: str = JSON
    dead_letters_above: int = 0
    timeout: int = 5_000
    attempts: int = 6
    queue: int = 1_000


class Webhook:
    """Follows the feed and posts alerts, until cancelled."""

    def __init__(
        self,
        options: WebhookOptions,
        *,
        feed: Feed,
        dead_letters: Callable[[int], Awaitable[int]],
        clock: Clock,
        log: Log,
        sleep: Sleep = asyncio.sleep,
        look_again: float = LOOK_AGAIN,
    ) -> None:
        """
        Make a webhook; what happens before `run` begins is not told.

        Args:
            options: where to, and when.
            feed: the engine's feed of committed events.
            dead_letters: tells how many there are now, but counts no further than the number it is given.
            clock: for the time of alerts that are no events.
            log: told of every alert that was given up or dropped.
            sleep: waits between attempts, in seconds.
            look_again: see LOOK_AGAIN.
        """
        self._options = options
        self._feed = feed
        self._dead_letters = dead_letters
        self._clock = clock
        self._log = log
        self._sleep = sleep
        self._look_again = look_again
        self._alarmed = False
        self._queue: deque[Alert] = deque()
        self._waiting = asyncio.Event()

    async def run(self) -> None:
        """Tell what happens from now on."""
        subscription = self._feed.subscribe(EventFilter(types=WATCHED))
        try:
            async with (
                httpx.AsyncClient(timeout=self._options.timeout / 1_000, trust_env=False) as client,
                asyncio.TaskGroup() as both,
            ):
                both.create_task(self._follow(subscription))
                both.create_task(self._send(client))
        finally:
            subscription.close()
            if self._queue:
                self._log.warning("alerts_unsent", alerts=len(self._queue))

    async def _follow(self, subscription: Subscription) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_again if self._alarmed else None):
                    await subscription.ready()
            events, overflowed = subscription.take()
            if overflowed:
                # Thousands of events at once: what they were stands in the log of events, and the newest say enough.
                self._log.warning(
                    "alerts_missed", message="more events came than the feed keeps for the webhook"
                )
            for alert in filter(None, map(alert_of, events)):
                self._put(alert)
            if not events or any(event.type in DEAD_LETTERS for event in events):
                await self._count_dead_letters()

    async def _count_dead_letters(self) -> None:
        above = self._options.dead_letters_above
        if not above:
            return
        try:
            number = await self._dead_letters(above + 1)
        except Exception as error:  # noqa: BLE001 - a store that fails; the other alerts go on, and the next look counts again
            self._log.warning("dead_letters_not_counted", message=str(error))
            return
        alert = dead_letters_alert(number, above, self._clock.wall(), alarmed=self._alarmed)
        if alert:
            self._alarmed = not self._alarmed
            self._put(alert)

    def _put(self, alert: Alert) -> None:
        if len(self._queue) >= self._options.queue:
            oldest = self._queue.popleft()
            self._log.warning("alert_dropped", kind=oldest.kind, name=oldest.name, state=oldest.state)
        self._queue.append(alert)
        self._waiting.set()

    async def _send(self, client: httpx.AsyncClient) -> None:
        while True:
            while self._queue:
                await self._deliver(client, self._queue.popleft())
            self._waiting.clear()
            await self._waiting.wait()

    async def _deliver(self, client: httpx.AsyncClient, alert: Alert) -> None:
        """Post one alert, with as many attempts as it may have."""
        told = {"kind": alert.kind, "name": alert.name, "state": alert.state}
        wait = FIRST_WAIT
        for attempt in range(1, self._options.attempts + 1):
            problem, again = await self._post(client, alert)
            if not problem:
                self._log.info("alert_sent", attempts=attempt, **told)
                return
            if not again or attempt == self._options.attempts:
                self._log.error("alert_given_up", attempts=attempt, problem=problem, **told)
                return
            await self._sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _post(self, client: httpx.AsyncClient, alert: Alert) -> tuple[str, bool]:
        """Return what went wrong, empty when nothing did, and whether another attempt may mend it."""
        options = self._options
        is_json = options.content_type.partition(";")[0].strip().lower() == JSON
        content = body(options.template, alert, as_json=is_json).encode(errors="replace")
        try:
            async with client.stream(
                "POST", options.url, content=content, headers={"Content-Type": options.content_type}
            ) as response:
                status = response.status_code  # what else it says is not read
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__, True
        if 200 <= status < 300:
            return "", False
        return f"HTTP {status}", status >= 500 or status in AGAIN
