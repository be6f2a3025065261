"""Task events at the edge: what is taken, what is refused by name, and how they are given out (G6)."""

import json

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import lease_pb2, task_event_pb2
from fleetd.api.convert_leases import words_in
from fleetd.api.convert_task_events import BYTES, KNOWN
from fleetd.api.envelopes import envelope
from fleetd.api.limits import Limits
from fleetd.api.task_event_bytes import event_bytes, events_bytes, varint, watch_bytes
from fleetd.core.task_event import TaskEvent, Told
from fleetd.core.words import WordKind
from fleetd.errors import InvalidArgument, NotFound, OutOfRange
from tests.unit.api.events import ID, PLAN_STEP, SKILL_CALL, STAMP, TYPES

NEWER = b"\xa2\x06\x03new"
"""Field 100 of a newer agent, with three bytes."""


def heard(*events, first=1):
    word = lease_pb2.EventsWord(first=first, events=events)
    (found,) = words_in([lease_pb2.Report(task_id="t", lease_epoch=3, events=word)], Limits())
    return found


def an_event(kind="heartbeat", data=None, **fields):
    return task_event_pb2.TaskEvent(**{kind: data or {}}, **fields)


def stored(told, **fields):
    values = {"task_ref": 9, "task_id": "task-9", "seq": 7, "lease_epoch": 3, "time": 1_700_000_000_250}
    return TaskEvent(**{**values, "position": 4_000_000_000, **fields}, **told._asdict())


def given_out(event, **fields):
    """Return what a reader gets of an event that an agent told."""
    (told,) = heard(event).events
    return task_event_pb2.TaskEvent.FromString(event_bytes(stored(told, **fields)))


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_taken_and_given_out_as_it_was_told(kind):
    """G6."""
    event = an_event(kind, TYPES[kind][0], id="mine", timestamp=STAMP)
    found = given_out(event)
    expected = an_event(kind, TYPES[kind][0], id="mine", timestamp=STAMP)
    expected.MergeFrom(
        task_event_pb2.TaskEvent(task_id="task-9", seq=7, position=4_000_000_000, lease_epoch=3)
    )
    assert found == expected


def test_every_type_of_the_proto_is_tested():
    """G6."""
    assert set(TYPES) == set(KNOWN)


def test_what_the_daemon_sets_is_set_whatever_the_agent_sent():
    """G6."""
    event = an_event(task_id="other", seq=99, position=98, lease_epoch=97)
    found = given_out(event)
    assert (found.task_id, found.seq, found.position, found.lease_epoch) == ("task-9", 7, 4_000_000_000, 3)


def test_an_event_without_id_and_time_gets_both():
    """G6: <task_id>-<seq>, and when it was taken."""
    found = given_out(an_event())
    assert found.id == "task-9-7"
    assert found.timestamp.ToJsonString() == "2023-11-14T22:13:20.250Z"


def test_a_time_of_whole_seconds_keeps_nothing_of_the_default():
    """G6: messages of two parts are merged field by field."""
    assert given_out(an_event(timestamp=Timestamp(seconds=5))).timestamp == Timestamp(seconds=5)
    assert given_out(an_event(timestamp=Timestamp())).timestamp == Timestamp()


def test_an_event_of_a_newer_agent_is_kept_byte_for_byte():
    """G6: unknown types are stored and streamed unchanged."""
    newer = task_event_pb2.TaskEvent.FromString(NEWER)
    (told,) = heard(newer).events
    assert told == Told(NEWER)
    assert event_bytes(stored(told)).endswith(NEWER)
    inside = an_event("plan_step", {"step_id": "s", "status": 1})
    inside.plan_step.MergeFromString(NEWER)
    whole = event_bytes(stored(heard(inside).events[0]))
    assert task_event_pb2.TaskEvent.FromString(whole).plan_step.SerializeToString().endswith(NEWER)


def test_an_unknown_type_of_this_protocol_is_taken():
    """G6."""
    event = an_event("other", {"type": "screen_shot_2", "data": {"w": 3}})
    assert given_out(event).other == event.other


BAD = [
    (task_event_pb2.TaskEvent(), "events[0].data"),
    (task_event_pb2.TaskEvent(id="x"), "events[0].data"),
    (an_event("error", {"message": "m"}), "events[0].error.code"),
    (an_event("plan_step", {"status": 1}), "events[0].plan_step.step_id"),
    (an_event("plan_step", {"step_id": "s"}), "events[0].plan_step.status"),
    (an_event("plan_step", {"step_id": "s", "status": 6}), "events[0].plan_step.status"),
    (an_event("skill_call", {"status": 1}), "events[0].skill_call.skill_id"),
    (an_event("skill_call", {"skill_name": "n"}), "events[0].skill_call.status"),
    (an_event("skill_result", {"skill_id": "n", "status": 4}), "events[0].skill_result.status"),
    (
        an_event("skill_result", {"skill_id": "n", "status": 2, "duration": {"seconds": -1}}),
        "events[0].skill_result.duration",
    ),
    (an_event("mcp_call", {"server_id": "s", "status": 1}), "events[0].mcp_call.tool_name"),
    (an_event("mcp_result", {"tool_name": "t"}), "events[0].mcp_result.status"),
    (an_event("tool_call", {"status": 1}), "events[0].tool_call.tool_name"),
    (
        an_event("tool_result", {"tool_name": "t", "status": 2, "duration": {"nanos": 1_000_000_000}}),
        "events[0].tool_result.duration",
    ),
    *(
        (an_event("other", {"type": name}), "events[0].other.type")
        for name in ("", "Shot", "2d", "a-b", "a" * 65, "plan_step", "message", "tool_result", "unknown")
    ),
    (an_event(id="x" * 129), "events[0].id"),
    (an_event(timestamp=Timestamp(seconds=253_402_300_800)), "events[0].timestamp"),
    (an_event(timestamp=Timestamp(nanos=-1)), "events[0].timestamp"),
    (an_event("message", {"content": "x" * BYTES}), "events[0]"),
]


@pytest.mark.parametrize(("event", "path"), BAD)
def test_a_bad_event_is_refused_by_name(event, path):
    """G6, S3: the word is refused with the path of what is wrong."""
    word = heard(event)
    assert word.refusal.startswith(f"{path}: ")
    assert (word.kind, word.events) == (WordKind.EVENTS, ())


def test_every_bad_event_of_a_word_is_named():
    """G6, S3."""
    good, bad = an_event(), an_event("plan_step", {"step_id": "s", "status": 9})
    expected = (
        "events[1].plan_step.status: must be one of STEP_STATUS_PENDING, STEP_STATUS_RUNNING, STEP_STATUS_COMPLETED,"
        " STEP_STATUS_FAILED, STEP_STATUS_SKIPPED, not 9"
    )
    assert heard(good, bad).refusal == expected
    assert heard(bad, good, bad, first=0).refusal.count("plan_step.status") == 2
    assert heard(good, first=0).refusal.startswith("events.first: is required")


def test_a_word_has_one_to_a_thousand_events():
    """G6, S7."""
    assert heard().refusal == "events: must have 1 to 1,000 entries, not 0"
    assert heard(*[an_event()] * 1_001).refusal == "events: must have 1 to 1,000 entries, not 1,001"
    assert len(heard(*[an_event()] * 1_000).events) == 1_000


def test_an_event_of_just_the_limit_is_taken():
    """G6, S7."""
    event = an_event("message", {"content": "x" * (BYTES - 8)})
    event.message.content = "x" * (BYTES - 8 - (event.ByteSize() - BYTES))
    assert event.ByteSize() == BYTES
    assert not heard(event).refusal


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 16_383, 16_384, 2**32, 2**63 - 1])
def test_lengths_are_written_as_protobuf_writes_them(number):
    """G6: compared with protobuf's own bytes, after the key of the field."""
    assert task_event_pb2.TaskEvent(seq=number).SerializeToString()[1:] == (varint(number) if number else b"")


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 20_000])
def test_an_answer_of_bytes_is_the_answer_of_messages(size):
    """G6: forwarding does not read what is in an event."""
    told = heard(
        an_event("message", {"content": "x" * size}),
        an_event(id="mine"),
        task_event_pb2.TaskEvent.FromString(NEWER),
    ).events
    events = [stored(one, seq=seq) for seq, one in enumerate(told, 1)]
    messages = [task_event_pb2.TaskEvent.FromString(event_bytes(event)) for event in events]
    expected = pb.WatchTaskResponse(events=messages, resume_from_seq=4)
    assert pb.WatchTaskResponse.FromString(watch_bytes(events, 4)) == expected
    listed = pb.ListTaskEventsResponse.FromString(events_bytes(events))
    assert list(listed.events) == messages


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_has_its_json_form(kind):
    """G6: the types that readers knew before have their name outside, the new ones are messages."""
    fields, data = TYPES[kind]
    (told,) = heard(an_event(kind, fields, id=ID, timestamp=STAMP)).events
    outside = kind if kind in ("message", "error", "done", "heartbeat") else "message"
    inner = {"id": ID, "type": kind, "data": data, "timestamp": "2024-01-01T00:00:00Z"}
    assert json.loads(envelope(stored(told))) == {"event": outside, "data": inner}


@pytest.mark.parametrize("sample", [PLAN_STEP, SKILL_CALL])
def test_the_samples_of_the_predecessor_come_out_as_they_are(sample):
    """G6: seeds/004."""
    kind = sample["data"]["type"]
    (told,) = heard(an_event(kind, TYPES[kind][0], id=ID, timestamp=STAMP)).events
    assert json.loads(envelope(stored(told))) == sample


def test_another_type_is_exported_as_it_was_given():
    """G6."""
    (told,) = heard(an_event("other", {"type": "shot", "data": {"w": 3}}, id="i", timestamp=STAMP)).events
    inner = {"id": "i", "type": "shot", "data": {"w": 3}, "timestamp": "2024-01-01T00:00:00Z"}
    assert json.loads(envelope(stored(told))) == {"event": "message", "data": inner}


def test_an_event_of_a_newer_agent_is_exported_with_its_bytes():
    """G6."""
    (told,) = heard(task_event_pb2.TaskEvent.FromString(NEWER)).events
    found = json.loads(envelope(stored(told)))
    assert found["event"] == "message"
    assert found["data"]["id"] == "task-9-7"
    assert (found["data"]["type"], found["data"]["data"]) == ("unknown", {"bytes": "ogYDbmV3"})


def test_numbers_that_json_does_not_know_have_names():
    """G6: NaN would make the text unreadable."""
    data = Struct()
    for name, value in (
        ("a", float("nan")),
        ("b", float("inf")),
        ("c", float("-inf")),
        ("d", 1e300),
        ("e", -2.0),
    ):
        data.fields[name].number_value = value
    (told,) = heard(an_event("other", {"type": "odd", "data": data})).events
    found = json.loads(envelope(stored(told)), parse_constant=pytest.fail)
    assert found["data"]["data"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1e300, "e": -2}


async def told(port, lease, *events, first=1):
    return await port.report(lease, events=lease_pb2.EventsWord(first=first, events=events))


async def test_an_agent_without_a_stream_tells_events(port):
    """G6, S1: ReportTasks takes them; a task shows the seq of its newest one."""
    task = await port.submit()
    lease = await port.claim()
    ack = await told(port, lease, an_event(), an_event("message", {"content": "hi"}))
    assert ack.result == lease_pb2.REPORT_RESULT_ACCEPTED
    bad = await told(port, lease, an_event("plan_step", {"step_id": "s"}), first=3)
    assert (bad.result, bad.reason) == (lease_pb2.REPORT_RESULT_REJECTED, "FIELD_INVALID")
    assert bad.message.startswith("events[0].plan_step.status: must be one of")
    assert (await port("GetTask", task_id=task.id)).task_event_seq == 2
    page = await port("ListTaskEvents", task_id=task.id)
    assert [(event.seq, event.position, event.WhichOneof("data")) for event in page.events] == [
        (1, 1, "heartbeat"),
        (2, 2, "message"),
    ]
    assert (page.next_from_seq, page.end) == (3, True)


async def test_events_are_listed_a_page_at_a_time(port):
    """G6, S7."""
    task = await port.submit()
    lease = await port.claim()
    await told(port, lease, *(an_event(id=str(n)) for n in range(5)))
    seen, first = [], 0
    while True:
        page = await port("ListTaskEvents", task_id=task.id, from_seq=first, page_size=2)
        seen.append([event.id for event in page.events])
        first = page.next_from_seq
        if page.end:
            break
    assert seen == [["0", "1"], ["2", "3"], ["4"]]
    again = await port("ListTaskEvents", task_id=task.id, from_seq=first)
    assert (list(again.events), again.next_from_seq, again.end) == ([], 6, True)


async def test_a_page_is_bounded_by_its_bytes(port):
    """G6, S7: a thousand events may have 256 MB."""
    await port.submit()
    lease = await port.claim()
    events = [an_event("message", {"content": str(n) * 250_000}) for n in range(9)] * 3
    for first, event in enumerate(events, 1):
        await told(port, lease, event, first=first)
    page = await port("ListTaskEvents", page_size=1_000)
    assert 0 < page.ByteSize() <= Limits().delivery
    assert (page.end, page.next_from_seq) == (False, len(page.events) + 1)
    texts = await port("ListTaskEvents", page_size=1_000, envelopes=True)
    assert [len(texts.envelopes), texts.end] == [2, False]


async def test_events_of_all_tasks_are_listed_by_position(port):
    """G6."""
    tasks = [await port.submit(str(n)) for n in range(2)]
    leases = [await port.claim(f"agent-{n}") for n in range(2)]
    for number, (lease, agent) in enumerate(zip(leases * 2, ["agent-0", "agent-1"] * 2, strict=True)):
        word = lease_pb2.EventsWord(first=1 + number // 2, events=[an_event()])
        await port.report(lease, agent, events=word)
    page = await port("ListTaskEvents", from_seq=2)
    assert [(e.position, e.task_id, e.seq) for e in page.events] == [
        (2, tasks[1].id, 1),
        (3, tasks[0].id, 2),
        (4, tasks[1].id, 2),
    ]
    assert page.next_from_seq == 5


async def test_the_texts_are_those_of_the_events(port):
    """G6."""
    task = await port.submit()
    lease = await port.claim()
    await told(port, lease, an_event("error", {"code": "E"}, id="i", timestamp=STAMP))
    page = await port("ListTaskEvents", task_id=task.id, envelopes=True)
    (text,) = page.envelopes
    inner = {"id": "i", "type": "error", "data": {"code": "E"}, "timestamp": "2024-01-01T00:00:00Z"}
    assert json.loads(text) == {"event": "error", "data": inner}
    assert not page.events


async def test_a_task_that_is_not_there_has_no_events(port):
    """G6, S3."""
    with pytest.raises(NotFound) as caught:
        await port("ListTaskEvents", task_id="none")
    assert caught.value.reason == "TASK_NOT_FOUND"


async def test_a_task_that_told_nothing_has_an_empty_page(port):
    """G6."""
    task = await port.submit()
    page = await port("ListTaskEvents", task_id=task.id)
    assert (list(page.events), page.next_from_seq, page.end) == ([], 1, True)


async def test_events_from_before_the_log_and_beyond_it_are_out_of_range(port):
    """G6: nobody is left to wait in silence, or takes a hole for the whole."""
    task = await port.submit()
    lease = await port.claim()
    await told(port, lease, *[an_event()] * 5)
    await port.store._writer.run(lambda c: c.execute("DELETE FROM task_events WHERE position <= 3"))
    for task_id in ("", task.id):
        with pytest.raises(OutOfRange) as caught:
            await port("ListTaskEvents", task_id=task_id, from_seq=3)
        assert (caught.value.reason, caught.value.metadata) == ("EVENTS_TRIMMED", {"oldest_seq": "4"})
        assert [e.seq for e in (await port("ListTaskEvents", task_id=task_id)).events] == [4, 5]
        with pytest.raises(OutOfRange) as caught:
            await port("ListTaskEvents", task_id=task_id, from_seq=7)
        assert (caught.value.reason, caught.value.metadata) == ("EVENTS_AHEAD", {"last_seq": "5"})


async def test_bad_fields_of_a_list_are_named(port):
    """S3."""
    with pytest.raises(InvalidArgument) as caught:
        await port("ListTaskEvents", task_id="x" * 129, from_seq=-1, page_size=1_001)
    assert [path for path, _ in caught.value.fields] == ["task_id", "from_seq", "page_size"]
