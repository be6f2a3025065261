"""Attempts of services that run their own work, by both clients."""

from __future__ import annotations

import asyncio

import pytest

from fleetd_client import FleetClient, FleetClientSync, GiveUp
from tests.unit.client.fleet import Fleet, give_up, retry_same, switch


class Broken(Exception):
    """A try that failed with a code."""

    def __init__(self, code, retry_after=None):
        super().__init__("broken")
        self.code, self.retry_after = code, retry_after


@pytest.fixture
async def fleet():
    fleet = await Fleet().start()
    yield fleet
    await fleet.stop()


@pytest.fixture
def waits():
    return []


@pytest.fixture
async def client(fleet, waits):
    async def sleep(seconds):
        waits.append(seconds)

    async with FleetClient(fleet.address, sleep=sleep) as client:
        yield client


@pytest.fixture(params=["async", "sync"])
async def loop_over(request, fleet, waits, client):
    """Runs `work(instance)` in the loop of routed(); the same of both clients."""

    async def loop(work, **wanted):
        async for attempt in client.routed("Mend it", **wanted):
            async with attempt:
                result = work(attempt.instance)
        return result

    def loop_sync(work, **wanted):
        with FleetClientSync(fleet.address, sleep=waits.append) as one:
            for attempt in one.routed("Mend it", **wanted):
                with attempt:
                    result = work(attempt.instance)
            return result

    async def in_thread(work, **wanted):
        return await asyncio.to_thread(loop_sync, work, **wanted)

    return loop if request.param == "async" else in_thread


def failing(*errors):
    left = list(errors)

    def work(on):
        work.seen.append(on.id)
        if left:
            raise left.pop(0)
        return f"done on {on.id}"

    work.seen = []
    return work


def told(fleet):
    return [(one.instance, one.code) for one in fleet.outcomes]


async def test_leaving_reports_success_with_the_time_it_took(client, fleet):
    """R7, F2."""
    async with client.routed("Mend it", needs=["coding"], task_id="mine") as attempt:
        assert (attempt.instance.id, attempt.plan.plan_id) == ("a:1", "p")
    assert told(fleet) == [("a:1", "")]
    assert (fleet.outcomes[0].plan_id, fleet.outcomes[0].HasField("latency")) == ("p", True)
    (request,) = fleet.called("RouteTask")
    assert (list(request.requirements.needs), request.task_id) == (["coding"], "mine")


async def test_an_exception_is_reported_with_its_code_and_raised(client, fleet):
    """R7, F4."""
    fleet.steps.append(switch("b:1"))
    with pytest.raises(Broken):
        async with client.routed("Mend it"):
            raise Broken("429", retry_after=7)
    assert told(fleet) == [("a:1", "429")]
    assert fleet.outcomes[0].retry_after.seconds == 7


async def test_a_loop_goes_on_as_the_daemon_says_until_one_try_succeeds(loop_over, fleet, waits):
    """R7, F2."""
    fleet.steps.extend([retry_same(1), retry_same(2), switch("b:1")])
    work = failing(Broken("503"), Broken("503"), Broken("CONN_REFUSED"))
    assert await loop_over(work) == "done on b:1"
    assert work.seen == ["a:1", "a:1", "a:1", "b:1"]
    assert told(fleet) == [("a:1", "503"), ("a:1", "503"), ("a:1", "CONN_REFUSED"), ("b:1", "")]
    assert waits == [1, 2]
    assert len(fleet.called("RouteTask")) == 1


async def test_a_loop_that_is_told_to_give_up_raises_the_last_error_with_a_note(loop_over, fleet):
    """F2, F4."""
    fleet.steps.extend([switch("b:1"), give_up("PROVIDERS_EXHAUSTED", "2 instances tried")])
    last = Broken("503")
    with pytest.raises(Broken) as raised:
        await loop_over(failing(Broken("503"), last))
    assert raised.value is last
    assert last.__notes__ == ["fleetd gave up: PROVIDERS_EXHAUSTED: 2 instances tried"]


async def test_a_failure_that_cannot_be_reported_is_raised_as_it_is(loop_over, fleet, caplog):
    """R6: routing trouble must not hide what happened."""
    with pytest.raises(Broken):
        await loop_over(failing(Broken("503")))
    assert "failure on a:1 was not reported" in caplog.text


async def test_when_nothing_fits_there_is_no_attempt(loop_over, fleet):
    """R4, F6: with the summary, and the time to look again."""
    fleet.plan.selected = ""
    fleet.plan.summary = "0/57 instances: 57 lack tag vision"
    fleet.plan.retry_at.FromSeconds(1_800_000_000)
    work = failing()
    with pytest.raises(GiveUp, match="57 lack tag vision") as raised:
        await loop_over(work, required=["vision"])
    assert (raised.value.code, raised.value.retry_at) == ("NO_AVAILABLE_INSTANCE", 1_800_000_000)
    assert (work.seen, fleet.outcomes) == ([], [])


async def test_a_loop_without_its_attempt_entered_is_an_error_and_not_endless(client, fleet):
    """S3."""
    with pytest.raises(RuntimeError, match="enter the attempt in the loop"):
        async for _attempt in client.routed("Mend it"):
            pass
    assert fleet.calls == []


async def test_leaving_a_loop_early_is_a_success(client, fleet):
    """R7."""
    async for attempt in client.routed("Mend it"):
        async with attempt:
            break
    assert told(fleet) == [("a:1", "")]


async def test_the_next_instance_may_be_asked_for_within_an_attempt(client, fleet, waits):
    """R7, R11: as an agent does."""
    fleet.steps.extend([retry_same(4), switch("b:1")])
    async with client.routed("Mend it") as attempt:
        assert (await attempt.next_instance(Broken("503"))).id == "a:1"
        assert (await attempt.next_instance("CONN_REFUSED", "gone")).id == "b:1"
        assert attempt.instance.id == "b:1"
    assert told(fleet) == [("a:1", "503"), ("a:1", "CONN_REFUSED"), ("b:1", "")]
    assert waits == [4]


async def test_a_failure_is_told_once(client, fleet):
    """F3: one failure must not be two strikes."""
    fleet.steps.append(give_up("PROVIDERS_EXHAUSTED"))
    with pytest.raises(GiveUp):
        async with client.routed("Mend it") as attempt:
            await attempt.next_instance("503")
    fleet.steps.append(give_up("PROVIDERS_EXHAUSTED"))
    async with client.routed("Mend it") as attempt:
        with pytest.raises(GiveUp):
            await attempt.next_instance("503")
    assert told(fleet) == [("a:1", "503"), ("a:1", "503")]


async def test_a_cancelled_attempt_says_so_and_blames_nobody(client, fleet):
    """F4: CANCELLED counts nothing."""
    fleet.steps.append(give_up("CANCELLED"))
    entered = asyncio.Event()

    async def work():
        async with client.routed("Mend it"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told(fleet) == [("a:1", "CANCELLED")]


async def test_an_attempt_is_entered_once(client, fleet):
    """S3."""
    attempt = client.routed("Mend it")
    async with attempt:
        pass
    with pytest.raises(RuntimeError, match="this attempt is over"):
        await attempt.__aenter__()
