"""WatchEvents over a real channel."""

import grpc

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import event_pb2
from fleetd.engine import feed
from fleetd.rpc import watch
from tests.integration.rpc.wire import refused, until


async def read(call, count):
    """Return the seqs of the next so many events, and where to resume after them."""
    seqs, resume = [], 0
    while len(seqs) < count:
        message = await call.read()
        assert message is not grpc.aio.EOF, await call.details()
        seqs += [event.seq for event in message.events]
        resume = message.resume_after_seq
    return seqs, resume


async def test_a_watcher_gets_the_past_and_then_what_happens(wire):
    """T8."""
    for n in range(3):
        await wire.submit(str(n))
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest())
    assert await read(call, 3) == ([1, 2, 3], 3)
    await wire.submit()
    assert await read(call, 1) == ([4], 4)


async def test_a_watcher_resumes_where_it_was(wire):
    """T8."""
    for n in range(3):
        await wire.submit(str(n))
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(after_seq=2))
    assert await read(call, 1) == ([3], 3)


async def test_only_new_events_can_be_asked_for(wire):
    """T8."""
    await wire.submit()
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(after_seq=-1))
    await until(lambda: wire.engine.feed._all)
    await wire.submit()
    assert await read(call, 1) == ([2], 2)


async def test_events_are_filtered_and_the_position_moves_past_the_others(wire):
    """T8."""
    one, two = await wire.submit("one"), await wire.submit("two")
    wanted = {"task_id": one.id, "types": [event_pb2.EVENT_TYPE_TASK_CREATED]}
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(filter=wanted))
    assert await read(call, 1) == ([1], 2)
    await wire.dispatcher.CancelTask(pb.CancelTaskRequest(task_id=two.id))
    none = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(filter={"task_id": "none"}))
    message = await none.read()
    assert (len(message.events), message.resume_after_seq) == (0, 4)


async def test_a_watcher_that_falls_behind_misses_nothing_and_gets_nothing_twice(wire, monkeypatch):
    """T8: its buffer holds 3 events, its pages 2, while bursts of 10 come."""
    monkeypatch.setattr(feed, "BUFFER", 3)
    monkeypatch.setattr(watch, "PAGE", 2)
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest())
    for _ in range(5):
        await wire.dispatcher.SubmitTasks(pb.SubmitTasksRequest(tasks=[{"title": "x"}] * 10))
    assert await read(call, 50) == (list(range(1, 51)), 50)
    await wire.submit()
    assert await read(call, 1) == ([51], 51)


async def test_watching_from_before_the_log_is_out_of_range(wire):
    """T8."""
    for n in range(3):
        await wire.submit(str(n))
    await wire.store._writer.run(lambda connection: connection.execute("DELETE FROM events WHERE seq <= 2"))
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(after_seq=1))
    code, message, details = await refused(call.read())
    assert code is grpc.StatusCode.OUT_OF_RANGE
    assert message == "events after 1 are gone, the oldest one is 3"
    assert dict(details["ErrorInfo"].metadata) == {"oldest_seq": "3"}


async def test_a_bad_filter_names_its_fields(wire):
    """S3."""
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest(after_seq=-2, filter={"types": [99]}))
    _, _, details = await refused(call.read())
    assert [v.field for v in details["BadRequest"].field_violations] == ["after_seq", "filter.types[0]"]


async def test_a_stopping_daemon_lets_its_watchers_go_at_once(wire):
    """T8: they resume from the last position after the restart."""
    await wire.submit()
    call = wire.dispatcher.WatchEvents(pb.WatchEventsRequest())
    await read(call, 1)
    await wire.server.stop(60_000)
    code, _, details = await refused(call.read())
    assert (code, details["ErrorInfo"].reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert not wire.engine.feed._all
