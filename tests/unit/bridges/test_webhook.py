"""Alerts posted to a real HTTP server on loopback, from events of a real feed and a real engine."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fleetd.bridges.webhook import Webhook, WebhookOptions
from fleetd.clock import ManualClock
from fleetd.core.deadletters import Discard
from fleetd.core.event import Event, EventType
from fleetd.core.task import Status
from fleetd.engine.feed import BUFFER, Feed
from fleetd.engine.retention import RetentionOptions, sweep
from fleetd.store.base import Trimmed
from fleetd.store.sqlite import SqliteStore
from tests.unit.engine.fleet import Fleet
from tests.unit.probes.server import free_port

NOW = 1_767_225_600_000
LONG = 60.0
"""Seconds after which what did not come will not come."""
OPENED = Event(EventType.BREAKER_OPENED, NOW, payload={"kind": "PROVIDER", "name": "openai", "reason": "503"})
CLOSED = Event(EventType.BREAKER_CLOSED, NOW, payload={"kind": "PROVIDER", "name": "openai"})


class Receiver:
    """A server that answers with the statuses it was told, then with 200; None hangs up without an answer."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.came = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        self.heads.append(head)
        self.came.set()
        await self.gate.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        if status is not None:
            writer.write(f"HTTP/1.1 {status} Any\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        writer.close()

    async def until(self, number: int) -> None:
        """Wait until so many requests came."""
        async with asyncio.timeout(LONG):
            while len(self.bodies) < number:
                self.came.clear()
                await self.came.wait()


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, dict]] = []
        self.wrote = asyncio.Event()

    def note(self, event: str, **fields) -> None:
        self.lines.append((event, fields))
        self.wrote.set()

    info = warning = error = note

    async def until(self, *events: str) -> list[str]:
        """Wait until these events were logged; return all names so far."""
        async with asyncio.timeout(LONG):
            while not set(events) <= {event for event, _ in self.lines}:
                self.wrote.clear()
                await self.wrote.wait()
        return [event for event, _ in self.lines]


class Stage:
    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.feed = Feed()
        self.clock = ManualClock(wall=NOW)
        self.log = Log()
        self.waits: list[float] = []
        self.runs: list[asyncio.Task[None]] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def start(
        self,
        feed: Feed | None = None,
        dead: Callable[[int], Awaitable[int]] | None = None,
        look_again: float = LONG,
        **options,
    ) -> None:
        hook = Webhook(
            WebhookOptions(**{"url": self.receiver.url, "timeout": 10_000, **options}),
            feed=feed or self.feed,
            dead_letters=dead or SqliteStore(":memory:").count_dead_letters,
            clock=self.clock,
            log=self.log,
            sleep=self.sleep,
            look_again=look_again,
        )
        self.runs.append(asyncio.create_task(hook.run()))
        await asyncio.sleep(0)

    async def stop(self) -> None:
        for run in self.runs:
            run.cancel()
        await asyncio.gather(*self.runs, return_exceptions=True)


@asynccontextmanager
async def staged(*statuses: int | None) -> AsyncGenerator[Stage]:
    receiver = Receiver(*statuses)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/bot123:secret/sendMessage"
    stage = Stage(receiver)
    try:
        yield stage
    finally:
        await stage.stop()
        receiver.gate.set()
        server.close()
        await server.wait_closed()


async def test_a_breaker_that_opens_and_closes_is_posted_in_the_words_of_the_template():
    """F8: a webhook with a body template."""
    async with staged() as stage:
        await stage.start(template='{"chat_id": 42, "text": "{kind} {name} {state} {reason} {time}"}')
        stage.feed.publish([OPENED, Event(EventType.BREAKER_HALF_OPEN, NOW), CLOSED])
        await stage.receiver.until(2)
        assert [json.loads(each)["text"] for each in stage.receiver.bodies] == [
            "provider_breaker openai OPEN 503 2026-01-01T00:00:00Z",
            "provider_breaker openai CLOSED  2026-01-01T00:00:00Z",
        ]
        assert stage.receiver.heads[0].startswith(b"POST /bot123:secret/sendMessage HTTP/1.1\r\n")
        assert b"content-type: application/json\r\n" in stage.receiver.heads[0].lower()


async def test_a_receiver_that_fails_twice_gets_the_alert_a_third_time():
    """F8: retries with backoff."""
    async with staged(503, None) as stage:
        await stage.start()
        stage.feed.publish([OPENED])
        await stage.log.until("alert_sent")
        assert (len(stage.receiver.bodies), len(set(stage.receiver.bodies))) == (3, 1)
        assert stage.waits == [1.0, 2.0]
        assert stage.log.lines == [
            ("alert_sent", {"attempts": 3, "kind": "provider_breaker", "name": "openai", "state": "OPEN"})
        ]


async def test_after_the_last_attempt_the_alert_is_given_up_and_the_next_one_is_sent():
    async with staged(*[500] * 4) as stage:
        await stage.start(attempts=4)
        stage.feed.publish([OPENED, CLOSED])
        assert await stage.log.until("alert_sent") == ["alert_given_up", "alert_sent"]
        assert stage.waits == [1.0, 2.0, 4.0]
        assert (stage.log.lines[0][1]["problem"], stage.log.lines[1][1]["state"]) == ("HTTP 500", "CLOSED")


@pytest.mark.parametrize(("status", "requests"), [(400, 1), (401, 1), (404, 1), (302, 1), (429, 2), (408, 2)])
async def test_what_another_attempt_cannot_mend_is_not_tried_again(status, requests):
    async with staged(status) as stage:
        await stage.start(attempts=2)
        stage.feed.publish([OPENED])
        await stage.log.until("alert_given_up" if requests == 1 else "alert_sent")
        assert len(stage.receiver.bodies) == requests


async def test_the_address_with_its_token_is_never_logged():
    """S3: a chat bot's address holds its token."""
    async with staged(404) as stage:
        await stage.start(attempts=1)
        stage.feed.publish([OPENED])
        await stage.log.until("alert_given_up")
        stage.feed.publish([OPENED])
        await stage.log.until("alert_sent", "alert_given_up")
        assert "secret" not in str(stage.log.lines)


async def test_a_receiver_that_is_not_there_is_tried_again():
    port = await free_port()
    async with staged() as stage:
        await stage.start(url=f"http://127.0.0.1:{port}/bot123:secret", attempts=2)
        stage.feed.publish([OPENED])
        await stage.log.until("alert_given_up")
        assert stage.waits == [1.0]
        assert stage.log.lines[0][1]["problem"] == "ConnectError"
        assert "secret" not in str(stage.log.lines)


async def test_while_the_receiver_hangs_the_oldest_alerts_leave_with_a_log_line():
    """F8, S7: a bounded queue; nothing waits for the webhook."""
    async with staged() as stage:
        stage.receiver.gate.clear()
        await stage.start(queue=2, template="{name}", content_type="text/plain")
        stage.feed.publish([_opened("first")])
        await stage.receiver.until(1)
        stage.feed.publish([_opened(name) for name in ("second", "third", "fourth")])
        await stage.log.until("alert_dropped")
        assert stage.log.lines == [
            ("alert_dropped", {"kind": "provider_breaker", "name": "second", "state": "OPEN"})
        ]
        stage.receiver.gate.set()
        await stage.receiver.until(3)
        assert stage.receiver.bodies == [b"first", b"third", b"fourth"]


async def test_more_events_than_the_feed_keeps_are_a_log_line():
    async with staged() as stage:
        await stage.start()
        stage.feed.publish([OPENED] * (BUFFER + 1))
        await stage.log.until("alerts_missed")
        stage.feed.publish([CLOSED])
        await stage.log.until("alert_sent")
        assert len(stage.receiver.bodies) == 1


async def test_what_happened_before_the_start_is_not_told_and_the_end_leaves_nothing_behind():
    """F8: it follows from the point where it started."""
    async with staged() as stage:
        stage.feed.publish([OPENED])
        await stage.start()
        stage.feed.publish([CLOSED])
        await stage.log.until("alert_sent")
        assert len(stage.receiver.bodies) == 1
        stage.receiver.gate.clear()
        stage.feed.publish([OPENED, OPENED])
        await stage.receiver.until(2)
        await stage.stop()
        assert stage.feed._all == {}
        assert stage.log.lines[-1] == ("alerts_unsent", {"alerts": 1})


async def test_dead_letters_of_a_real_engine_are_told_above_the_threshold_and_when_it_is_over():
    """F8: a dead-letter queue above a threshold; told once, not for every one."""
    fleet = await Fleet().open()
    try:
        async with staged() as stage:
            await stage.start(
                feed=fleet.engine.feed,
                dead=fleet.store.count_dead_letters,
                dead_letters_above=1,
                template="{state} {reason}",
                content_type="text/plain",
            )
            tasks = [await fleet.submit(schedule_to_start=1_000) for _ in range(3)]
            await fleet.pass_time(1_000)
            assert await fleet.status(tasks[2].id) is Status.DEAD_LETTER
            await stage.receiver.until(1)
            await fleet.do(Discard((tasks[0].id, tasks[1].id), "seen"))
            await stage.receiver.until(2)
            assert stage.receiver.bodies == [
                b"ABOVE more than 1 dead letter",
                b"BELOW 1 dead letter, threshold 1",
            ]
    finally:
        await fleet.close()


async def test_dead_letters_that_retention_took_count_no_more():
    """F8, D12: it makes no event, so that they are counted again after a while; the counts of all that ever died say nothing."""
    fleet = await Fleet().open()
    try:
        async with staged() as stage:
            await stage.start(
                feed=fleet.engine.feed,
                dead=fleet.store.count_dead_letters,
                look_again=0.001,
                dead_letters_above=1,
                template="{state}",
                content_type="text/plain",
            )
            for _ in range(2):
                await fleet.submit(schedule_to_start=1_000)
            await fleet.pass_time(1_000)
            await stage.receiver.until(1)
            await fleet.pass_time(1_000)
            assert await sweep(fleet.engine, RetentionOptions(dead_letters=1, events=0)) == Trimmed(tasks=2)
            await stage.receiver.until(2)
            assert stage.receiver.bodies == [b"ABOVE", b"BELOW"]
            assert fleet.engine.counts[Status.DEAD_LETTER] == 2
            await fleet.submit(schedule_to_start=1_000)
            await fleet.submit(schedule_to_start=1_000)
            await fleet.pass_time(1_000)
            await stage.receiver.until(3)
            assert stage.receiver.bodies[2] == b"ABOVE"
    finally:
        await fleet.close()


async def test_a_store_that_fails_keeps_no_other_alert_back():
    """F8, S7."""
    async with staged() as stage:
        # This store was never opened.
        await stage.start(dead_letters_above=1)
        stage.feed.publish([Event(EventType.TASK_DEAD_LETTERED, NOW)])
        await stage.log.until("dead_letters_not_counted")
        stage.feed.publish([Event(EventType.TASK_DEAD_LETTERED, NOW), OPENED])
        await stage.log.until("alert_sent")
        assert len(stage.receiver.bodies) == 1


def _opened(name: str) -> Event:
    return Event(EventType.BREAKER_OPENED, NOW, payload={"kind": "PROVIDER", "name": name})
