"""Concurrent calls of the asynchronous client travel together."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from fleetd_client import (
    Aborted,
    AlreadyExists,
    ClientClosed,
    DeadlineExceeded,
    FleetClient,
    Internal,
    InvalidArgument,
    Overloaded,
    Unavailable,
    task,
)
from fleetd_client import stubs as s
from fleetd_client.coalescing import Coalescer
from fleetd_client.joint import JOINTS
from tests.unit.client.counter import Counter, accept, status, taken


@pytest.fixture
async def counter():
    counter = await Counter().start()
    yield counter
    await counter.stop()


@pytest.fixture
def waits():
    return []


@pytest.fixture
async def client(counter, waits):
    async def sleep(seconds):
        waits.append(seconds)

    async with FleetClient(counter.address, sleep=sleep) as client:
        yield client


async def ask(client, *titles, **options):
    """Begin to submit, all in one turn of the loop; the tasks that wait for the answers."""
    asked = [asyncio.create_task(client.submit(title, **options)) for title in titles]
    await asyncio.sleep(0)
    return asked


async def outcomes(asked):
    return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 30)


async def test_what_waits_while_one_call_is_under_way_travels_in_the_next(client, counter):
    """S5."""
    asked = await ask(client, "a")
    await counter.came(1)
    for title in "bcd":
        asked += await ask(client, title)
    counter.let_go()
    assert [one.id for one in await outcomes(asked)] == [f"id of {title}" for title in "abcd"]
    assert counter.titles == [["a"], ["b", "c", "d"]]


async def test_callers_of_one_turn_travel_together_in_their_order(client, counter):
    """S5."""
    counter.let_go()
    titles = [str(number) for number in range(50)]
    assert [one.title for one in await outcomes(await ask(client, *titles))] == titles
    assert counter.titles == [titles]


async def test_a_call_alone_is_a_single_call(client, counter):
    """S5."""
    counter.let_go()
    await client.submit("a")
    await client.submit("b")
    assert [type(one) for one in counter.requests] == [s.SubmitTaskRequest, s.SubmitTaskRequest]


async def test_a_refused_item_is_the_error_of_its_caller_and_of_nobody_else(client, counter):
    """S5, S3."""

    def answer(request):
        bad = s.ItemError(code=3, reason="FIELD_INVALID", message="bad")
        bad.fields.add(field="title", description="must not be empty")
        used = s.ItemError(code=6, reason="IDEMPOTENCY_KEY_REUSED", message="used", metadata={"task_id": "t"})
        return s.SubmitTasksResponse(
            items=[
                s.SubmitTasksItem(task_id="1", task=taken(request.tasks[0])),
                s.SubmitTasksItem(error=bad),
                s.SubmitTasksItem(error=used),
                s.SubmitTasksItem(task_id="4", task=taken(request.tasks[3])),
            ]
        )

    counter.then(answer)
    counter.let_go()
    a, b, c, d = await outcomes(await ask(client, "a", "b", "c", "d"))
    assert (a.title, d.title) == ("a", "d")
    assert isinstance(b, InvalidArgument)
    assert b.fields == (("title", "must not be empty"),)
    assert isinstance(c, AlreadyExists)
    assert (c.reason, c.metadata) == ("IDEMPOTENCY_KEY_REUSED", {"task_id": "t"})


async def test_an_item_refused_for_a_while_is_repeated_by_its_caller_alone(client, counter, waits):
    """S5, S7."""

    def answer(request):
        full = s.ItemError(code=8, reason="ORG_PENDING_LIMIT", message="full", retry_after={"seconds": 5})
        return s.SubmitTasksResponse(
            items=[s.SubmitTasksItem(task=taken(request.tasks[0])), s.SubmitTasksItem(error=full)]
        )

    counter.then(answer)
    counter.let_go()
    assert [one.title for one in await outcomes(await ask(client, "a", "b"))] == ["a", "b"]
    assert counter.titles == [["a", "b"], ["b"]]
    assert counter.requests[1].idempotency_key == counter.requests[0].tasks[1].idempotency_key
    assert len(waits) == 1
    assert 5 <= waits[0] <= 5.1


@pytest.mark.parametrize(
    ("code", "retry_after"),
    [(grpc.StatusCode.UNAVAILABLE, None), (grpc.StatusCode.RESOURCE_EXHAUSTED, 0.5)],
)
async def test_a_batch_that_failed_is_repeated_with_the_same_keys(client, counter, code, retry_after):
    """S5, T4."""
    counter.then(lambda request: status(code, "NOT_NOW", retry_after))
    counter.let_go()
    assert [one.title for one in await outcomes(await ask(client, "a", "b", "c"))] == ["a", "b", "c"]
    assert counter.titles == [["a", "b", "c"], ["a", "b", "c"]]
    first, second = ([one.idempotency_key for one in request.tasks] for request in counter.requests)
    assert first == second
    assert len(set(first)) == 3


async def test_a_batch_that_keeps_failing_gives_each_caller_an_error_of_its_own(client, counter, waits):
    """S5, S3."""
    for _ in range(6):
        counter.then(lambda request: status(grpc.StatusCode.UNAVAILABLE, "DRAINING"))
    counter.let_go()
    a, b = await outcomes(await ask(client, "a", "b"))
    assert a is not b
    assert all(isinstance(one, Unavailable) and one.reason == "DRAINING" for one in (a, b))
    assert len(waits) == 2 * 5


async def test_a_defect_hits_only_the_one_that_provokes_it(client, counter):
    """S5, S3."""

    def answer(request):
        titles = [one.title for one in getattr(request, "tasks", [request])]
        return status(grpc.StatusCode.INTERNAL, "INTERNAL") if "poison" in titles else accept(request)

    for _ in range(4):
        counter.then(answer)
    counter.let_go()
    a, poison, b = await outcomes(await ask(client, "a", "poison", "b"))
    assert (a.title, b.title) == ("a", "b")
    assert isinstance(poison, Internal)
    assert counter.titles == [["a", "poison", "b"], ["a"], ["poison"], ["b"]]


async def test_who_is_cancelled_while_waiting_is_not_sent_and_disturbs_nobody(client, counter):
    """S5."""
    asked = await ask(client, "a")
    await counter.came(1)
    asked += await ask(client, "b", "c", "d")
    asked[2].cancel()
    counter.let_go()
    a, b, c, d = await outcomes(asked)
    assert [a.title, b.title, d.title] == ["a", "b", "d"]
    assert isinstance(c, asyncio.CancelledError)
    assert counter.titles == [["a"], ["b", "d"]]


async def test_who_is_cancelled_under_way_disturbs_nobody(client, counter):
    """S5."""
    asked = await ask(client, "a", "b", "c")
    await counter.came(1)
    asked[0].cancel()
    counter.let_go()
    a, b, c = await outcomes(asked)
    assert isinstance(a, asyncio.CancelledError)
    assert [b.title, c.title] == ["b", "c"]
    assert not counter.cancelled.is_set()


async def test_a_call_that_nobody_waits_for_any_more_holds_nobody_up(client, counter):
    """S5."""
    asked = await ask(client, "a", "b")
    await counter.came(1)
    later = await ask(client, "c", "d")
    for one in asked:
        one.cancel()
    await counter.came(2)
    await asyncio.wait_for(counter.cancelled.wait(), 30)
    counter.let_go()
    assert [one.title for one in await outcomes(later)] == ["c", "d"]


async def test_a_caller_whose_time_is_over_leaves_and_the_others_get_their_answers():
    """S5: the item may still be taken, which is what the key is for."""
    go = asyncio.Event()
    timeouts = []

    async def send(call, timeout):
        timeouts.append(timeout)
        await go.wait()
        return accept(call.request)

    coalescer = Coalescer(JOINTS["SubmitTask"], send, lambda: None)
    patient, hasty, waiting = (
        asyncio.create_task(coalescer.ride(task(title), timeout))
        for title, timeout in (("patient", 60), ("hasty", 0.01), ("waiting", 60))
    )
    (late,) = await outcomes([hasty])
    assert isinstance(late, DeadlineExceeded)
    assert "idempotency key" in late.message
    go.set()
    assert [one.task.title for one in await outcomes([patient, waiting])] == ["patient", "waiting"]
    assert len(timeouts) == 1
    assert 59 < timeouts[0] <= 60


async def test_a_client_whose_time_is_over_gets_deadline_exceeded_while_it_waits(counter):
    """S5, S3."""
    async with FleetClient(counter.address, timeout=0.05) as client:
        asked = await ask(client, "a")
        await counter.came(1)
        asked += await ask(client, "b")
        assert all(isinstance(one, DeadlineExceeded) for one in await outcomes(asked))


async def test_a_closed_client_lets_nobody_wait_and_the_next_call_opens_it_again(client, counter):
    """S5."""
    asked = await ask(client, "a")
    await counter.came(1)
    asked += await ask(client, "b", "c")
    await client.close()
    assert all(isinstance(one, ClientClosed) for one in await outcomes(asked))
    counter.let_go()
    assert (await client.submit("d")).title == "d"
    assert counter.titles == [["a"], ["d"]]


async def test_a_defect_of_the_client_reaches_its_callers():
    """S5: nobody waits for ever."""

    async def send(call, timeout):
        raise RuntimeError("defect")

    coalescer = Coalescer(JOINTS["SubmitTask"], send, lambda: None)
    asked = [asyncio.create_task(coalescer.ride(task(title), 60)) for title in "ab"]
    assert [str(one) for one in await outcomes(asked)] == ["defect", "defect"]


async def test_nothing_is_kept_when_nobody_waits(client, counter):
    """S5."""
    counter.let_go()
    await outcomes(await ask(client, "a", "b"))
    await client.report_tasks("agent-1", [s.Report(report_id=1)])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert client._coalescers == {}


async def test_reports_of_one_agent_travel_together_and_those_of_another_by_themselves(client, counter):
    """S5, S1."""

    def report(agent_id, number):
        return asyncio.create_task(client.report_tasks(agent_id, [s.Report(report_id=number)]))

    asked = [report("agent-1", 1), report("agent-2", 2)]
    await counter.came(2)
    asked += [report("agent-1", 3), report("agent-1", 4)]
    await asyncio.sleep(0)
    counter.let_go()
    answers = await outcomes(asked)
    assert [[ack.report_id for ack in one.acks] for one in answers] == [[1], [2], [3], [4]]
    calls = [(one.agent_id, [word.report_id for word in one.reports]) for one in counter.requests]
    assert sorted(calls) == [("agent-1", [1]), ("agent-1", [3, 4]), ("agent-2", [2])]


async def test_an_overload_without_end_reaches_the_caller(client, counter):
    """S5, S7."""
    for _ in range(6):
        counter.then(lambda request: status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", 0.5))
    counter.let_go()
    with pytest.raises(Overloaded):
        await client.submit("a")


async def test_routes_and_outcomes_of_one_turn_travel_together(client, counter):
    """S5."""
    counter.let_go()
    found = await asyncio.gather(*(client.route(title, min_ctx=1) for title in "abc"))
    assert [one.selected for one in found] == [f"instance of {title}" for title in "abc"]
    steps = await asyncio.gather(*(client.report_outcome(plan_id=plan) for plan in "pq"))
    assert [one.reason for one in steps] == ["of p", "of q"]
    assert [type(one) for one in counter.requests] == [s.RouteTasksRequest, s.ReportOutcomesRequest]
    assert (await client.route("alone")).selected == "instance of alone"
    assert type(counter.requests[-1]) is s.RouteTaskRequest


async def test_a_bad_route_is_the_error_of_its_caller_and_of_nobody_else(client, counter):
    """S5, S3."""

    def answer(request):
        bad = s.RouteItemError(reason="FIELD_INVALID", message="no such model", field="requirements.model")
        return s.RouteTasksResponse(
            items=[s.RouteTasksItem(error=bad), s.RouteTasksItem(route={"selected": "x"})]
        )

    counter.then(answer)
    counter.let_go()
    bad, good = await outcomes([asyncio.create_task(client.route(title)) for title in "ab"])
    assert isinstance(bad, InvalidArgument)
    assert bad.fields == (("requirements.model", "no such model"),)
    assert good.selected == "x"


async def test_an_odd_refusal_of_a_route_is_asked_again_alone_for_its_true_error(client, counter):
    """S5, S3."""

    def answer(request):
        if isinstance(request, s.RouteTaskRequest):
            return status(grpc.StatusCode.ABORTED, "SOMETHING_NEW")
        return s.RouteTasksResponse(
            items=[
                s.RouteTasksItem(error=s.RouteItemError(reason="SOMETHING_NEW", message="?")),
                s.RouteTasksItem(route={"selected": "x"}),
            ]
        )

    counter.then(answer)
    counter.then(answer)
    counter.let_go()
    odd, good = await outcomes([asyncio.create_task(client.route(title)) for title in "ab"])
    assert isinstance(odd, Aborted)
    assert good.selected == "x"
