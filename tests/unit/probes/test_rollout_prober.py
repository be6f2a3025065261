"""Probes of the new modes of rollouts: rhythm and changes with a sleep of the test's own, answers of a real server, and the engine behind it (spec G3)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fleetd.clock import ManualClock
from fleetd.core.event import EventType
from fleetd.core.fallback import Phase
from fleetd.core.rolling import PutRollout, RemoveRollout
from fleetd.core.rollout import Rollout
from fleetd.probes.rollout_prober import BODY, HealthAsker, RolloutProber
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.rollouts import phase, put, rollout, state
from tests.unit.engine.routes import fleet_events
from tests.unit.probes.server import free_port, http, serving

URL = "http://runtime:8000/health"


class QuietLog:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, event: str, **fields: Any) -> None:
        self.errors.append(event)


class Stage:
    """A prober whose answers and sleep are the test's: every sleep ends when the test lets one round pass."""

    def __init__(self, **rollouts: Rollout) -> None:
        self.rollouts = rollouts
        self.changed = asyncio.Event()
        self.log = QuietLog()
        self.asked: list[tuple[str, int]] = []
        self.slept: list[float] = []
        self.found: list[tuple[str, bool, str]] = []
        self.forgotten: list[str] = []
        self.answer: str | Exception = ""
        self.hold: asyncio.Event | None = None
        self._round = asyncio.Event()
        self.clock = ManualClock()
        self.took = 0
        self.prober = RolloutProber(
            lambda: self.rollouts,
            self.changed,
            self,
            self.log,
            ask=self.ask,
            clock=self.clock,
            sleep=self.sleep,
        )

    async def ask(self, url: str, timeout: int) -> str:
        self.asked.append((url, timeout))
        self.clock.advance(self.took)
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._round.wait()

    def note_health(self, name: str, *, well: bool, detail: str = "") -> None:
        self.found.append((name, well, detail))

    def forget_health(self, name: str) -> None:
        self.forgotten.append(name)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def round(self) -> None:
        """Let the pause of every probe pass."""
        passed, self._round = self._round, asyncio.Event()
        passed.set()
        await self.settle()

    async def change(self, **rollouts: Rollout) -> None:
        self.rollouts = rollouts
        self.changed.set()
        await self.settle()

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.prober.run())
        await self.settle()
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not [each for each in asyncio.all_tasks() if each.get_name().startswith("health of")]


async def test_a_probe_is_made_at_once_and_then_in_its_rhythm():
    """G3: every 5 s with a timeout of 5 s"""
    stage = Stage(chat=rollout(health_url=URL), none=rollout("none"))
    async with stage.running():
        assert (stage.asked, stage.slept) == ([(URL, 5_000)], [5.0])
        await stage.round()
        await stage.round()
    assert (len(stage.asked), stage.slept) == (3, [5.0] * 3)
    assert stage.found == [("chat", True, "")] * 3


async def test_a_server_that_hangs_is_asked_as_often_as_any_other():
    """G3: the rhythm is that of the questions"""
    stage = Stage(chat=rollout(health_url=URL))
    stage.took = 4_000
    async with stage.running():
        await stage.round()
        stage.took = 7_000
        await stage.round()
    assert stage.slept == [1.0, 1.0, 0.0]


async def test_interval_and_timeout_are_those_of_the_rollout():
    stage = Stage(chat=rollout(health_url=URL, probe_interval=250, probe_timeout=700))
    async with stage.running():
        assert (stage.asked, stage.slept) == ([(URL, 700)], [0.25])


async def test_what_is_wrong_is_reported_with_its_words():
    stage = Stage(chat=rollout(health_url=URL))
    stage.answer = "HTTP 503"
    async with stage.running():
        pass
    assert stage.found == [("chat", False, "HTTP 503")]


async def test_a_probe_that_breaks_is_a_failure_and_goes_on():
    """G3"""
    stage = Stage(chat=rollout(health_url=URL))
    stage.answer = RuntimeError("a defect")
    async with stage.running():
        stage.answer = ""
        await stage.round()
    assert stage.found == [("chat", False, "the probe broke: RuntimeError"), ("chat", True, "")]
    assert stage.log.errors == ["probe_broke"]


async def test_another_address_forgets_what_the_first_one_said():
    """G3: three in a row are three of one address"""
    stage = Stage(chat=rollout(health_url=URL))
    async with stage.running():
        await stage.change(chat=rollout(health_url=f"{URL}2"))
        assert (stage.forgotten, [url for url, _ in stage.asked]) == (["chat"], [URL, f"{URL}2"])


async def test_another_rhythm_does_not():
    stage = Stage(chat=rollout(health_url=URL))
    async with stage.running():
        await stage.change(chat=rollout(health_url=URL, probe_interval=1_000))
        assert (stage.forgotten, stage.slept) == ([], [5.0, 1.0])
        await stage.change(chat=rollout(health_url=URL, probe_interval=1_000, percent=7.0))
        assert len(stage.asked) == 2


@pytest.mark.parametrize("gone", [{}, {"chat": rollout()}])
async def test_a_probe_ends_with_its_address(gone):
    stage = Stage(chat=rollout(health_url=URL))
    async with stage.running():
        await stage.change(**gone)
        await stage.round()
        assert (stage.forgotten, len(stage.asked)) == (["chat"], 1)
        await stage.change(chat=rollout(health_url=URL))
        assert len(stage.asked) == 2


async def test_a_probe_under_way_of_an_old_address_says_nothing_any_more():
    """G3"""
    stage = Stage(chat=rollout(health_url=URL))
    stage.answer, stage.hold = "HTTP 503", asyncio.Event()
    async with stage.running():
        assert (len(stage.asked), stage.found) == (1, [])
        hold, stage.hold, stage.answer = stage.hold, None, ""
        await stage.change(chat=rollout(health_url=f"{URL}2"))
        hold.set()
        await stage.settle()
        assert stage.found == [("chat", True, "")]


async def test_a_slow_one_holds_up_no_other():
    stage = Stage(slow=rollout("slow", health_url=URL), chat=rollout(health_url=f"{URL}2"))
    held = asyncio.Event()

    async def ask(url: str, timeout: int) -> str:
        if url == URL:
            await held.wait()
        return ""

    stage.prober._ask = ask
    async with stage.running():
        await stage.round()
        assert stage.found == [("chat", True, "")] * 2


# answers


@pytest.fixture
async def asker():
    asker = HealthAsker()
    yield asker
    await asker.close()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (http("200 OK", b"{}"), ""),
        (http("204 No Content"), ""),
        (http("302 Found"), "HTTP 302"),
        (http("404 Not Found"), "HTTP 404"),
        (http("500 Internal Server Error", b"oh"), "HTTP 500"),
        (b"nonsense\r\n\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
    ],
)
async def test_only_a_status_from_200_to_299_is_well(asker, answer, problem):
    """G3: a redirect is none; where it leads to is not asked"""
    async with serving(lambda _: answer) as server:
        found = await asker.ask(f"{server.url}/health", 5_000)
        assert found.startswith(problem)
        assert bool(found) is bool(problem)
        assert server.asked == [b"GET /health HTTP/1.1"]


async def test_a_redirect_is_not_followed(asker):
    def answer(line: bytes) -> bytes:
        if b"/health" in line:
            return b"HTTP/1.1 301 Moved\r\nLocation: /well\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        return http("200 OK")

    async with serving(answer) as server:
        assert await asker.ask(f"{server.url}/health", 5_000) == "HTTP 301"
        assert len(server.asked) == 1


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch):
    """G3: the new mode would look unwell for a proxy that does not know this machine"""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{await free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    asker = HealthAsker()
    async with serving(lambda _: http("200 OK")) as server:
        assert await asker.ask(f"{server.url}/health", 5_000) == ""
    await asker.close()


async def test_no_answer_in_time_is_a_failure(asker):
    """G3: the timeout is of the whole probe, and a body that trickles does not prolong it"""
    release = asyncio.Event()

    async def never(_: bytes) -> bytes:
        await release.wait()
        return b""

    async with serving(never) as server:
        assert await asker.ask(f"{server.url}/health", 50) == "no answer within 50 ms"
        release.set()


async def test_a_port_nobody_listens_on_and_a_bad_address_are_failures(asker):
    found = await asker.ask(f"http://127.0.0.1:{await free_port()}/health", 5_000)
    assert found.startswith("ConnectError")
    assert await asker.ask("http://[", 5_000)


async def test_a_body_without_an_end_is_left(asker):
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (2 * BODY)
    async with serving(lambda _: endless) as server:
        assert await asker.ask(f"{server.url}/health", 5_000) == ""


# the engine


class Heard:
    """Passes on to the engine what probes find out, and tells the test."""

    def __init__(self, fleet: Fleet) -> None:
        self._rollouts = fleet.engine.rollouts
        self.forget_health = self._rollouts.forget_health
        self.probes = asyncio.Semaphore(0)

    def note_health(self, name: str, **found: Any) -> None:
        self._rollouts.note_health(name, **found)
        self.probes.release()


async def test_three_failures_in_a_row_bring_the_old_mode_back_and_one_good_answer_the_trial():
    """G3, G4: without any request"""
    fleet = await Fleet().open()
    asker, heard, rounds = HealthAsker(), Heard(fleet), asyncio.Semaphore(0)
    engine, statuses = fleet.engine, ["503 Service Unavailable"] * 4 + ["200 OK"]

    async def sleep(seconds: float) -> None:
        assert 0 <= seconds <= 5
        await rounds.acquire()

    async def probed() -> None:
        await asyncio.wait_for(heard.probes.acquire(), 30)
        await fleet.settle()

    async with serving(lambda _: http(statuses.pop(0))) as server:
        await put(fleet, health_url=f"{server.url}/health")
        prober = RolloutProber(
            engine.rollout_book.effective,
            engine.rollouts_changed,
            heard,
            fleet.log,
            ask=asker.ask,
            clock=fleet.clock,
            sleep=sleep,
        )
        probing = asyncio.create_task(prober.run())
        for _ in range(3):
            assert phase(fleet) is Phase.NORMAL
            await probed()
            rounds.release()
        words = "health probe failed 3 times in a row: HTTP 503"
        assert (phase(fleet), state(fleet).reason) == (Phase.FALLBACK, words)
        await probed()
        await fleet.pass_time(10 * 60_000)
        assert phase(fleet) is Phase.FALLBACK
        rounds.release()
        await probed()
        assert phase(fleet) is Phase.TRIAL
        events = await fleet_events(fleet, EventType.ROLLOUT_FALLBACK_ON)
        assert [payload["reason"] for _, payload in events] == [words]
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
    await asker.close()
    await fleet.close()


async def test_a_probe_follows_what_is_put_and_removed_in_the_engine():
    fleet = await Fleet().open()
    engine, asked = fleet.engine, []

    async def ask(url: str, timeout: int) -> str:
        asked.append(url)
        return "HTTP 500"

    async def never(_: float) -> None:
        await asyncio.Event().wait()

    prober = RolloutProber(
        engine.rollout_book.effective,
        engine.rollouts_changed,
        engine.rollouts,
        fleet.log,
        ask=ask,
        clock=fleet.clock,
        sleep=never,
    )
    probing = asyncio.create_task(prober.run())
    for command in (
        PutRollout(rollout(health_url=URL)),
        PutRollout(rollout(health_url=f"{URL}2")),
        RemoveRollout("chat"),
    ):
        await fleet.do(command)
        for _ in range(10):
            await asyncio.sleep(0)
    assert asked == [URL, f"{URL}2"]
    assert not engine.rollouts._health
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    await fleet.close()
