"""WatchTask and ListTaskEvents over a real channel: G6."""

import asyncio
import json
from itertools import count

import grpc
import pytest

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import lease_pb2, task_pb2
from fleetd.engine import task_feed
from fleetd.errors import OutOfRange
from fleetd.rpc import watch_task
from fleetd.rpc.watch_task import TaskWatch
from tests.integration.rpc.wire import refused, until


class Teller:
    """An agent that holds one lease and tells events whose ids are their numbers."""

    def __init__(self, end, lease):
        self.end = end
        self.lease = lease
        self.first = 1

    async def tell(self, number=1, content="", **fields):
        ids = range(self.first, self.first + number)
        events = [{"id": str(n), "message": {"content": content}, **fields} for n in ids]
        ack = await self.end.say(self.lease, events={"first": self.first, "events": events})
        assert ack.result == lease_pb2.REPORT_RESULT_ACCEPTED, ack
        self.first += number

    async def finish(self, **word):
        await self.end.say(self.lease, **(word or {"complete": {}}))


AGENTS = count(1)


async def teller(wire, **fields):
    task = await wire.submit(**fields)
    end = await wire.agent(f"teller-{next(AGENTS)}")
    return task.id, Teller(end, await end.lease())


def watch(wire, task_id="", from_seq=0, **fields):
    return wire.dispatcher.WatchTask(pb.WatchTaskRequest(task_id=task_id, from_seq=from_seq, **fields))


async def read(call, number):
    """Return (seq, id) of the next so many events, and where to resume after them."""
    found, resume = [], 0
    while len(found) < number:
        message = await call.read()
        assert message is not grpc.aio.EOF, await call.details()
        found += [(event.seq, event.id) for event in message.events]
        resume = message.resume_from_seq
    return found, resume


def numbered(first, last):
    return [(n, str(n)) for n in range(first, last + 1)]


async def drained(call):
    """Return everything until the stream ends well: (seq, id) of the events, and what the last message says."""
    found, last = [], None
    while (message := await call.read()) is not grpc.aio.EOF:
        found += [(event.seq, event.id) for event in message.events]
        last = message
    assert await call.code() is grpc.StatusCode.OK
    return found, last


async def test_a_watcher_gets_the_past_and_then_what_is_told(wire):
    """G6."""
    task_id, agent = await teller(wire)
    await agent.tell(3)
    call = watch(wire, task_id)
    assert await read(call, 3) == (numbered(1, 3), 4)
    await agent.tell(2)
    assert await read(call, 2) == (numbered(4, 5), 6)


async def test_a_watcher_resumes_from_the_seq_it_was_told(wire):
    """G6: replayable by sequence number."""
    task_id, agent = await teller(wire)
    await agent.tell(5)
    assert await read(watch(wire, task_id, 4), 2) == (numbered(4, 5), 6)
    ahead = watch(wire, task_id, 6)
    await until(lambda: wire.engine.task_feed._by_task)
    await agent.tell()
    assert await read(ahead, 1) == (numbered(6, 6), 7)


async def test_only_new_events_can_be_asked_for(wire):
    """G6: the first message tells where that begins."""
    task_id, agent = await teller(wire)
    await agent.tell(3)
    calls = [watch(wire, task_id, -1), watch(wire, "", -1)]
    for call in calls:
        message = await call.read()
        assert (len(message.events), message.resume_from_seq) == (0, 4)
    await agent.tell()
    for call in calls:
        assert await read(call, 1) == (numbered(4, 4), 5)


async def test_a_watcher_of_all_tasks_gets_each_event_once_in_the_order_of_positions(wire):
    """G6: per task in order, too, under several agents."""
    tellers = [await teller(wire) for _ in range(4)]
    call = watch(wire)

    async def tell(agent):
        for number in (1, 3, 2, 4):
            await agent.tell(number)

    await asyncio.gather(*(tell(agent) for _, agent in tellers))
    events = []
    while len(events) < 40:
        events += (await call.read()).events
    assert [event.position for event in events] == list(range(1, 41))
    for task_id, _ in tellers:
        assert [(e.seq, e.id) for e in events if e.task_id == task_id] == numbered(1, 10)


async def test_the_stream_of_a_task_ends_when_it_is_terminal_and_all_was_sent(wire):
    """G6: the last message says how it ended."""
    task_id, agent = await teller(wire)
    call, everything = watch(wire, task_id), watch(wire)
    await agent.tell(2)
    await agent.finish()
    found, last = await drained(call)
    assert found == numbered(1, 2)
    assert (last.finished, last.resume_from_seq) == (task_pb2.TASK_STATUS_COMPLETED, 3)
    found, _ = await read(everything, 2)
    assert found == numbered(1, 2)
    assert not everything.done()


async def test_events_of_the_transaction_that_ends_a_task_are_sent_before_the_end(wire):
    """G6: told and completed in one message."""
    task_id, agent = await teller(wire)
    call = watch(wire, task_id)
    await call.read()
    ids = {"task_id": agent.lease.task_id, "lease_epoch": agent.lease.lease_epoch}
    told = {"first": 1, "events": [{"id": "1", "heartbeat": {}}]}
    reports = [{**ids, "events": told}, {**ids, "complete": {}}]
    await agent.end.call.write(pb.ClaimRequest(reports={"reports": reports}))
    found, last = await drained(call)
    assert (found, last.finished) == (numbered(1, 1), task_pb2.TASK_STATUS_COMPLETED)


async def test_a_task_that_was_terminal_before_is_sent_whole_and_ends(wire):
    """G6."""
    task_id, agent = await teller(wire)
    await agent.tell(3)
    await agent.finish(fail={"code": "LOGIC_ERROR"})
    for first in (0, 2):
        found, last = await drained(watch(wire, task_id, first))
        assert (found, last.finished) == (numbered(first or 1, 3), task_pb2.TASK_STATUS_FAILED)
    silent = await wire.submit(required_capabilities=["nobody"])
    await wire.dispatcher.CancelTask(pb.CancelTaskRequest(task_id=silent.id))
    found, last = await drained(watch(wire, silent.id, -1))
    assert (found, last.finished) == ([], task_pb2.TASK_STATUS_CANCELLED)


async def test_another_attempt_does_not_end_the_stream(wire):
    """G6: the task goes on, and so do its numbers."""
    task_id, agent = await teller(wire)
    call = watch(wire, task_id)
    await agent.tell(2)
    await agent.end.say(agent.lease, release={"reason": "later"})
    again = Teller(agent.end, await agent.end.lease())
    await again.tell(1)
    assert (await read(call, 3))[0] == [(1, "1"), (2, "2"), (3, "1")]
    await again.finish()
    assert (await drained(call))[1].finished == task_pb2.TASK_STATUS_COMPLETED


async def test_a_task_that_was_put_back_meanwhile_is_watched_on(wire):
    """G6: an operator's retry can come before a watcher has read to the end."""
    task_id, agent = await teller(wire)
    await agent.tell(1)
    watcher = TaskWatch(wire.engine, wire.server._task_watch._methods)
    messages = watcher.messages(pb.WatchTaskRequest(task_id=task_id))
    assert len(await parsed(messages)) == 1
    await agent.finish(fail={"code": "LOGIC_ERROR"})
    await wire.dispatcher.RetryTask(pb.RetryTaskRequest(task_id=task_id))
    again = Teller(agent.end, await agent.end.lease())
    await again.tell(2)
    assert [event.seq for event in await parsed(messages)] == [2, 3]
    await again.finish()
    last = pb.WatchTaskResponse.FromString(await anext(messages))
    assert last.finished == task_pb2.TASK_STATUS_COMPLETED


async def parsed(messages):
    """Return the events of the next message that has some."""
    while True:
        message = pb.WatchTaskResponse.FromString(await anext(messages))
        if message.events:
            return message.events


async def test_a_watcher_that_stopped_reading_is_cut_and_resumes_without_a_loss(wire, monkeypatch):
    """G6, S7: RESOURCE_EXHAUSTED, WATCHER_TOO_SLOW, and the seq to resume from."""
    monkeypatch.setattr(task_feed, "EVENTS", 4)
    monkeypatch.setattr(watch_task, "DELIVERY", 50_000)
    task_id, agent = await teller(wire)
    call = watch(wire, task_id)
    await call.read()
    (subscription,) = wire.engine.task_feed._by_task[task_id].values()
    await until(lambda: subscription.live)
    # Not a word of it is read: what the connection does not take waits in the daemon, until there is no room.
    while not subscription.cut:
        await agent.tell(content="x" * 50_000)
    told = agent.first - 1
    found = []

    async def read_on():
        while True:
            found.extend(event.seq for event in (await call.read()).events)

    code, message, details = await refused(read_on())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = details["ErrorInfo"]
    assert info.reason == "WATCHER_TOO_SLOW"
    resume = int(info.metadata["resume_from_seq"])
    assert message == f"more happened than waits for one watcher; resume from {resume}"
    assert found == list(range(1, resume))
    assert resume <= told
    again, _ = await read(watch(wire, task_id, resume), told - resume + 1)
    assert again == numbered(resume, told)
    assert subscription not in wire.engine.task_feed._by_task[task_id].values()


async def test_a_watcher_that_catches_up_is_not_cut_however_much_is_told(wire, monkeypatch):
    """G6: its buffer holds 3 events, its pages 2, while bursts of 10 come."""
    monkeypatch.setattr(task_feed, "EVENTS", 3)
    monkeypatch.setattr(watch_task, "PAGE", 2)
    task_id, agent = await teller(wire)
    await agent.tell(10)
    watcher = TaskWatch(wire.engine, wire.server._task_watch._methods)
    messages = watcher.messages(pb.WatchTaskRequest(task_id=task_id))
    found = []
    while len(found) < 50:
        # Before every page more than a buffer of events comes.
        if agent.first <= 50:
            await agent.tell(10)
        found += [event.seq for event in await parsed(messages)]
    await agent.tell(2)
    while len(found) < agent.first - 1:
        found += [event.seq for event in await parsed(messages)]
    assert found == list(range(1, agent.first))
    await messages.aclose()


async def test_an_event_that_comes_from_the_store_and_live_is_sent_once(wire, monkeypatch):
    """G6: what is told while a watcher catches up reaches it by both ways."""
    monkeypatch.setattr(watch_task, "PAGE", 2)
    task_id, agent = await teller(wire)
    await agent.tell(4)
    watchers = [TaskWatch(wire.engine, wire.server._task_watch._methods) for _ in range(2)]
    streams = [
        watcher.messages(pb.WatchTaskRequest(task_id=of))
        for watcher, of in zip(watchers, ("", task_id), strict=True)
    ]
    for messages in streams:
        assert [event.seq for event in await parsed(messages)] == [1, 2]
    await agent.tell(2)
    for messages in streams:
        assert [event.seq for event in await parsed(messages)] == [3, 4]
        assert [event.seq for event in await parsed(messages)] == [5, 6]
    late = [asyncio.ensure_future(parsed(messages)) for messages in streams]
    await agent.tell(1)
    for one in late:
        assert [event.seq for event in await one] == [7]
    for messages in streams:
        await messages.aclose()


async def test_texts_can_be_watched(wire):
    """G6."""
    task_id, agent = await teller(wire)
    await agent.tell(1, content="hi")
    call = watch(wire, task_id, envelopes=True)
    message = await call.read()
    (text,) = message.envelopes
    assert json.loads(text)["data"]["data"] == {"content": "hi"}
    assert (list(message.events), message.resume_from_seq) == ([], 2)


async def test_a_task_that_is_not_there_cannot_be_watched(wire):
    """G6, S3."""
    for first in (0, -1):
        code, _, details = await refused(watch(wire, "none", first).read())
        assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert not wire.engine.task_feed._by_task


async def test_watching_from_before_the_log_is_out_of_range(wire, monkeypatch):
    """G6: also when a page that a watcher still wanted has left."""
    monkeypatch.setattr(watch_task, "PAGE", 1)
    task_id, agent = await teller(wire)
    await agent.tell(5)
    watcher = TaskWatch(wire.engine, wire.server._task_watch._methods)
    behind = watcher.messages(pb.WatchTaskRequest(task_id=task_id))
    assert [event.seq for event in await parsed(behind)] == [1]
    await wire.store._writer.run(lambda c: c.execute("DELETE FROM task_events WHERE position <= 3"))
    for reading in (watch(wire, task_id, 3).read(), watch(wire, "", 3).read()):
        code, message, details = await refused(reading)
        assert code is grpc.StatusCode.OUT_OF_RANGE
        assert message == "task event 3 is gone, the oldest one is 4"
        info = details["ErrorInfo"]
        assert (info.reason, dict(info.metadata)) == ("EVENTS_TRIMMED", {"oldest_seq": "4"})
    with pytest.raises(OutOfRange, match="task event 2 is gone"):
        await anext(behind)


async def test_bad_fields_of_a_watch_are_named(wire):
    """S3."""
    _, _, details = await refused(watch(wire, "x" * 129, -2).read())
    assert [v.field for v in details["BadRequest"].field_violations] == ["task_id", "from_seq"]


async def test_a_stopping_daemon_lets_its_watchers_go_at_once(wire):
    """G6: they resume after the restart from where they were."""
    task_id, agent = await teller(wire)
    await agent.tell()
    calls = [watch(wire, task_id), watch(wire)]
    for call in calls:
        await read(call, 1)
    stopping = asyncio.ensure_future(wire.server.stop(60_000))
    for call in calls:
        code, _, details = await refused(call.read())
        assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    agent.end.call.cancel()
    await stopping


async def test_events_are_listed_over_the_wire(wire):
    """G6, S1: the bytes that are put together are a message to any client."""
    task_id, agent = await teller(wire)
    await agent.tell(3)
    page = await wire.dispatcher.ListTaskEvents(pb.ListTaskEventsRequest(task_id=task_id, page_size=2))
    assert [(event.seq, event.task_id, event.lease_epoch) for event in page.events] == [
        (1, task_id, 1),
        (2, task_id, 1),
    ]
    assert (page.next_from_seq, page.end) == (3, False)
