"""The rhythm of probes: who is asked when, how many at once, and what is reported; the clock and the answers are the test's."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from fleetd.clock import ManualClock, SystemClock
from fleetd.core.instance import Condition, Instance, InstanceState, ProbeKind, first_condition
from fleetd.core.probing import Outcome, ProbeResult
from fleetd.probes.prober import ProbeOptions, Prober, keep_probing
from tests.unit.probes.server import free_port, http, serving

OK = ProbeResult(Outcome.OK, 40.0)
FAILED = ProbeResult(Outcome.FAILED, detail="HTTP 503")


class QuietLog:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, event, **fields) -> None:
        self.errors.append(event)


def probed(number: int = 1, **more) -> Instance:
    return Instance(
        f"own:{number}", "own", probe=ProbeKind.HTTP, probe_url=f"http://own:{number}/health", **more
    )


async def until(done: Callable[[], object]) -> None:
    """Let the others go on until something is so."""
    for _ in range(1_000):
        if done():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came")


class Stage:
    """A prober with answers written by the test; `hold` keeps probes under way until it is set."""

    def __init__(self, *instances: Instance, options: ProbeOptions | None = None) -> None:
        self.clock = ManualClock()
        self.log = QuietLog()
        self.instances = {each.id: each for each in instances}
        self.conditions = {each.id: first_condition(each, self.clock.wall()) for each in instances}
        self.reports: list[tuple[str, Condition]] = []
        self.asked: list[str] = []
        self.answer: ProbeResult | Exception = OK
        self.hold = asyncio.Event()
        self.hold.set()
        self.running, self.most = Counter(), 0
        self.secrets: set[str] = set()
        self.broken = ""
        self.prober = Prober(
            options or ProbeOptions(jitter=0.0),
            ask=self.ask,
            targets=lambda: list(self.instances.values()),
            condition=self.conditions.get,
            report=self.report,
            credentials=self.secrets.__contains__,
            clock=self.clock,
            log=self.log,
            sleep=self.sleep,
            random=Random(7),
        )
        self.rounds = 0

    async def ask(self, instance: Instance) -> ProbeResult:
        self.asked.append(instance.probe_url)
        self.running[instance.id] += 1
        self.most = max(self.most, self.running.total())
        assert self.running[instance.id] == 1, "probes of one instance overlap"
        try:
            await self.hold.wait()
        finally:
            self.running[instance.id] -= 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def report(self, instance_id: str, condition: Condition) -> None:
        if instance_id == self.broken:
            raise RuntimeError("a defect")
        self.reports.append((instance_id, condition))
        self.conditions[instance_id] = condition

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1_000))
        self.rounds += 1
        await asyncio.sleep(0)

    async def round(self, after: int = 0) -> None:
        self.clock.advance(after)
        self.prober.round()
        await self.prober.idle()


async def test_a_new_instance_is_probed_at_once_and_then_every_interval():
    """R1: UNKNOWN until its first probe, then every 10 s."""
    stage = Stage(probed())
    assert stage.conditions["own:1"].state is InstanceState.UNKNOWN
    await stage.round()
    assert stage.reports == [
        ("own:1", Condition(InstanceState.READY, since=stage.clock.wall(), latency=40.0))
    ]
    await stage.round(after=9_999)
    assert len(stage.asked) == 1
    await stage.round(after=1)
    assert len(stage.asked) == 2


async def test_nothing_is_reported_when_nothing_changed():
    stage = Stage(probed())
    for _ in range(3):
        await stage.round(after=10_000)
    assert (len(stage.asked), len(stage.reports)) == (3, 1)


async def test_instances_spread_over_the_interval_by_jitter():
    """R1: every 10 s ±20 %."""
    stage = Stage(*map(probed, range(200)), options=ProbeOptions(jitter=0.2))
    await stage.round()
    began, gaps = stage.clock.now(), []
    stage.asked.clear()
    while len(stage.asked) < 200:
        before = len(stage.asked)
        await stage.round(after=100)
        gaps += [stage.clock.now() - began] * (len(stage.asked) - before)
    assert 8_000 <= min(gaps) < 8_300
    assert 11_700 < max(gaps) <= 12_100
    assert max(Counter(gaps).values()) < 20, "no crowd in one moment"


async def test_probes_of_one_instance_never_overlap():
    """R1: a probe that takes longer than the interval delays the next one."""
    stage = Stage(probed())
    stage.hold.clear()
    for _ in range(5):
        stage.clock.advance(10_000)
        stage.prober.round()
        await asyncio.sleep(0)
    assert len(stage.asked) == 1
    stage.hold.set()
    await stage.prober.idle()
    await stage.round(after=10_000)
    assert len(stage.asked) == 2


async def test_only_so_many_probes_run_at_once_and_all_get_their_turn():
    """R1, S7: in parallel, with bounded concurrency."""
    stage = Stage(*map(probed, range(20)), options=ProbeOptions(concurrency=4))
    stage.hold.clear()
    stage.prober.round()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(stage.asked) == 4
    stage.hold.set()
    await stage.prober.idle()
    assert (len(stage.asked), stage.most) == (20, 4)
    assert {each.state for each in stage.conditions.values()} == {InstanceState.READY}


async def test_a_change_of_the_targets_is_picked_up_in_the_next_round():
    stage = Stage(probed(1), probed(2))
    await stage.round()
    del stage.instances["own:1"]
    stage.instances["own:2"] = replace(probed(2), probe_url="http://elsewhere/health")
    stage.instances["own:3"] = probed(3)
    stage.conditions["own:3"] = Condition(InstanceState.UNKNOWN)
    stage.asked.clear()
    await stage.round(after=1_000)
    assert stage.asked == ["http://elsewhere/health", "http://own:3/health"]
    await stage.round(after=20_000)
    assert "http://own:1/health" not in stage.asked


@pytest.mark.parametrize("change", ["moved", "removed", "held"])
async def test_a_result_that_comes_too_late_changes_nothing(change):
    """R1: the instance was redefined, removed, or taken in hand by an operator while it was asked."""
    stage = Stage(probed())
    stage.hold.clear()
    stage.answer = FAILED
    stage.prober.round()
    await asyncio.sleep(0)
    if change == "moved":
        stage.instances["own:1"] = replace(probed(), probe_url="http://elsewhere/health")
        stage.prober.round()
    elif change == "removed":
        del stage.conditions["own:1"]
    else:
        stage.conditions["own:1"] = Condition(InstanceState.READY, "by hand", held=True)
    stage.hold.set()
    await stage.prober.idle()
    assert stage.reports == []


async def test_what_is_disabled_held_stopped_or_has_no_probe_is_not_asked():
    stage = Stage(probed(1, enabled=False), probed(2), probed(3), Instance("own:4", "own"))
    stage.conditions["own:2"] = Condition(InstanceState.ERROR, held=True)
    stage.conditions["own:3"] = Condition(InstanceState.STOPPED)
    await stage.round()
    assert (stage.asked, stage.reports) == ([], [])


async def test_credentials_are_looked_at_with_or_without_a_probe():
    """R1: a missing credential is found out, and found again when it comes."""
    stage = Stage(
        probed(1, credential="env:A"),
        Instance("own:2", "own", credential="file:/b"),
        Instance("own:3", "own"),
    )
    await stage.round()
    assert {key: each.credentials for key, each in stage.conditions.items()} == {
        "own:1": False,
        "own:2": False,
        "own:3": True,
    }
    assert [each.state for each in stage.conditions.values()] == [InstanceState.READY] * 3
    stage.secrets.update({"env:A", "file:/b"})
    await stage.round(after=10_000)
    assert all(each.credentials for each in stage.conditions.values())


async def test_a_probe_that_breaks_counts_as_a_failure_and_is_logged():
    stage = Stage(probed())
    stage.answer = RuntimeError("a defect")
    await stage.round()
    await stage.round(after=10_000)
    assert stage.conditions["own:1"].state is InstanceState.ERROR
    assert stage.conditions["own:1"].reason == "2 failed probes in a row: the probe broke: RuntimeError"
    assert stage.log.errors == ["probe_broke"] * 2


async def test_an_instance_that_cannot_be_looked_at_keeps_the_others_from_nothing():
    stage = Stage(
        probed(1, credential="env:A"), *map(probed, range(2, 5)), options=ProbeOptions(concurrency=1)
    )
    stage.broken = "own:1"
    await stage.round()
    assert [instance_id for instance_id, _ in stage.reports] == ["own:2", "own:3", "own:4"]
    assert stage.log.errors == ["probe_not_begun"]


async def test_the_prober_runs_until_it_is_cancelled_and_leaves_no_probe_behind():
    stage = Stage(probed())
    task = asyncio.create_task(stage.prober.run())
    await until(lambda: stage.rounds == 30)
    assert len(stage.asked) == 3, "at 0, 10 and 20 seconds"
    stage.hold.clear()
    await until(lambda: len(stage.asked) == 4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert stage.running.total() == 0


async def test_a_round_that_breaks_is_logged_and_the_next_one_goes_on():
    stage = Stage(probed())
    good, calls = stage.prober._read_targets, []

    def targets():
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a defect")
        return good()

    stage.prober._read_targets = targets
    task = asyncio.create_task(stage.prober.run())
    await until(lambda: stage.reports)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert stage.log.errors == ["probe_round_failed"]


async def test_real_servers_are_told_apart():
    """R1: one answers like llama.cpp, one like OpenAI, one loads its model, one is gone."""
    replies = {
        b"/health": http("200 OK", b'{"status":"ok"}'),
        b"/v1/models": http("200 OK", b'{"object":"list","data":[]}'),
        b"/loading/health": http("503 Service Unavailable", b'{"status":"loading model"}'),
    }
    async with serving(lambda line: replies[line.split()[1]]) as server:
        gone = f"http://127.0.0.1:{await free_port()}/health"
        urls = {
            "llamacpp:a": server.url + "/health",
            "openai:b": server.url + "/v1/models",
            "llamacpp:c": server.url + "/loading/health",
            "ollama:d": gone,
        }
        instances = [
            Instance(key, key.partition(":")[0], probe=ProbeKind.HTTP, probe_url=url)
            for key, url in urls.items()
        ]
        conditions = {each.id: first_condition(each, 0) for each in instances}
        all_told, told = asyncio.Event(), []

        def report(instance_id: str, condition: Condition) -> None:
            conditions[instance_id] = condition
            told.append(instance_id)
            if len(told) == 4:
                all_told.set()

        probing = asyncio.create_task(
            keep_probing(
                ProbeOptions(timeout=10_000), targets=lambda: instances, condition=conditions.get, report=report, credentials=lambda name: True,
                clock=SystemClock(), log=QuietLog(),
            )
        )  # fmt: skip
        await all_told.wait()
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
    assert {key: each.state.name for key, each in conditions.items()} == {
        "llamacpp:a": "READY",
        "openai:b": "READY",
        "llamacpp:c": "UNKNOWN",
        "ollama:d": "DISCONNECTED",
    }
    assert conditions["llamacpp:c"].reason == "1 failed probe: HTTP 503, status loading model"
