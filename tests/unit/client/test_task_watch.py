"""Watching what agents tell, by both clients: nothing is missed and nothing comes twice (G6)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from fleetd_client import FleetClient, FleetClientSync, OutOfRange, Overloaded, Unavailable
from fleetd_client.stubs import WatchTaskResponse
from fleetd_client.task_watch import Place
from tests.unit.client.chronicle import Chronicle, too_slow, trimmed, unavailable

ALL = [str(number) for number in range(1, 11)]


@pytest.fixture
async def chronicle():
    chronicle = await Chronicle().start()
    yield chronicle
    await chronicle.stop()


@pytest.fixture
def waits():
    return []


@pytest.fixture
async def client(chronicle, waits):
    async def sleep(seconds):
        waits.append(seconds)

    async with FleetClient(chronicle.address, sleep=sleep) as client:
        yield client


@pytest.fixture(params=["async", "sync"])
async def watched(request, chronicle, waits, client):
    """Everything a watcher gets until it ends, and how the task ended; the same of both clients."""

    async def watch(method="watch_task", *arguments):
        stream = getattr(client, method)(*arguments)
        found = [one async for one in stream]
        return found, stream.finished

    def watch_sync(method="watch_task", *arguments):
        with FleetClientSync(chronicle.address, sleep=waits.append) as one:
            stream = getattr(one, method)(*arguments)
            return list(stream), stream.finished

    async def in_thread(*arguments):
        return await asyncio.to_thread(watch_sync, *arguments)

    return watch if request.param == "async" else in_thread


def ids(events):
    return [one.id for one in events]


def asked(chronicle):
    return [request.from_seq for request in chronicle.asked]


async def test_a_watcher_gets_everything_until_the_task_has_ended(watched, chronicle):
    """G6."""
    events, finished = await watched("watch_task", "T")
    assert ids(events) == ALL
    assert finished == "COMPLETED"
    assert asked(chronicle) == [0]


async def test_a_watcher_begins_where_it_wants_to(watched):
    """G6: replayable by number."""
    events, _ = await watched("watch_task", "T", 8)
    assert ids(events) == ALL[7:]


@pytest.mark.parametrize("how", [None, unavailable(), too_slow(1)], ids=["ends", "unavailable", "too slow"])
async def test_a_broken_stream_goes_on_with_the_next_event(watched, chronicle, waits, how):
    """G6: no loss, no repeat."""
    chronicle.breaks.extend([(4, how), (0, how), (3, how)])
    events, finished = await watched("watch_task", "T")
    assert ids(events) == ALL
    assert finished == "COMPLETED"
    assert asked(chronicle) == [0, 5, 5, 8]
    assert len(waits) == 3


async def test_what_the_daemon_sends_again_does_not_come_twice(watched, chronicle):
    """G6."""
    chronicle.repeats = 2
    chronicle.breaks.extend([(4, None), (5, None)])
    events, _ = await watched("watch_task", "T")
    assert ids(events) == ALL


async def test_all_tasks_are_watched_by_position(watched, chronicle):
    """G6."""
    chronicle.breaks.extend([(4, unavailable()), (2, trimmed())])
    with pytest.raises(OutOfRange):
        await watched("watch_task")
    assert asked(chronicle) == [0, 5]


async def test_a_log_that_no_longer_reaches_back_is_an_error(watched, chronicle):
    """G6."""
    chronicle.breaks.append((0, trimmed()))
    with pytest.raises(OutOfRange):
        await watched("watch_task", "T")


async def test_envelopes_are_watched_alike(watched, chronicle):
    """G6: the JSON that web pages are sent."""
    chronicle.breaks.append((4, unavailable()))
    texts, finished = await watched("watch_task_envelopes", "T")
    assert texts == [f'{{"event":"message","data":{{"id":"{one}"}}}}' for one in ALL]
    assert finished == "COMPLETED"
    assert all(request.envelopes for request in chronicle.asked)


async def test_a_reader_who_stops_in_the_middle_may_come_back(client, chronicle):
    """G6: what was sent with the last one read is not lost."""
    stream = client.watch_task("T")
    found = []
    async with aclosing(aiter(stream)) as events:
        async for event in events:
            found.append(event.id)
            if event.id == "5":
                break
    assert stream.finished == ""
    found += [event.id async for event in stream]
    assert found == ALL
    assert stream.finished == "COMPLETED"


async def test_a_reader_who_stopped_among_the_last_events_needs_no_daemon_for_the_rest(client, chronicle):
    """G6."""
    chronicle.compact = True
    stream = client.watch_task("T", 8)
    async with aclosing(aiter(stream)) as events:
        assert (await anext(events)).id == "8"
    assert stream.finished == ""
    assert [event.id async for event in stream] == ["9", "10"]
    assert stream.finished == "COMPLETED"
    assert len(chronicle.asked) == 1


@pytest.mark.parametrize("method", ["list_task_events", "list_task_envelopes"])
async def test_pages_are_read_to_the_present_end(client, chronicle, method):
    """G6."""
    found = [one async for one in getattr(client, method)("T", from_seq=2, page_size=4)]
    assert len(found) == 9
    assert [request.from_seq for request in chronicle.asked] == [2, 6, 10]
    if method == "list_task_events":
        assert ids(found) == ALL[1:]


def test_who_wants_only_new_events_and_had_none_resumes_where_the_daemon_says():
    """G6."""
    place = Place("T", -1, envelopes=False)
    slow = Overloaded("WATCHER_TOO_SLOW", "", {"resume_from_seq": "7"})
    place.wait_after(slow)
    assert place.request().from_seq == 7
    place.take(WatchTaskResponse(resume_from_seq=9))
    place.wait_after(slow)
    assert place.request().from_seq == 9, "what was taken counts more"


def test_waits_grow_while_nothing_comes_and_other_refusals_are_raised():
    """G6, S7."""
    place = Place("T", 0, envelopes=False)
    place._backoff.chance = lambda: 1.0
    assert [place.wait_after(Unavailable("UNAVAILABLE", "")) for _ in range(3)] == [0.1, 0.2, 0.4]
    place.take(WatchTaskResponse(resume_from_seq=1))
    assert place.wait_after(None) == 0.1
    with pytest.raises(Overloaded):
        place.wait_after(Overloaded("WATCHERS_FULL", ""))
