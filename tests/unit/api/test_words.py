"""Reports into words."""

import pytest

from fleet.v1 import lease_pb2, task_event_pb2
from fleetd.api.convert_leases import acks_out, leases_out, split, words_in
from fleetd.api.limits import Limits
from fleetd.core.instance import Instance
from fleetd.core.outcome import Advice
from fleetd.core.route import Step, StepKind
from fleetd.core.task import Artifact, Payload, Spec, Task
from fleetd.core.words import Ack, Result, Word, WordKind
from fleetd.engine.outbox import Offer
from fleetd.errors import InvalidArgument


def word(**said):
    report = lease_pb2.Report(**{"task_id": "t", "lease_epoch": 3, "report_id": 7, **said})
    return words_in([report], Limits())[0]


@pytest.mark.parametrize(
    ("said", "kind", "parts"),
    [
        ({"accept": {}}, WordKind.ACCEPT, {}),
        ({"start": {}}, WordKind.START, {}),
        ({"stopped": {}}, WordKind.STOPPED, {}),
        ({"progress": {"percent": 40, "message": "m"}}, WordKind.PROGRESS, {"percent": 40, "message": "m"}),
        ({"checkpoint": {"data": b"d", "step_id": "s"}}, WordKind.CHECKPOINT, {"data": b"d", "step_id": "s"}),
        ({"release": {"reason": "r"}}, WordKind.RELEASE, {"message": "r"}),
        (
            {"complete": {"output": {"text": "o"}, "artifacts": [{"name": "n", "uri": "u", "size": 1}]}},
            WordKind.COMPLETE,
            {"output": Payload(b"o", "text/plain"), "artifacts": (Artifact("n", "u", 1),)},
        ),
        ({"fail": {"code": "C", "message": "m"}}, WordKind.FAIL, {"code": "C", "message": "m"}),
        (
            {
                "instance_failed": {
                    "instance": "a:b",
                    "code": "503",
                    "message": "m",
                    "retry_after": {"seconds": 2},
                }
            },
            WordKind.INSTANCE_FAILED,
            {"instance": "a:b", "code": "503", "message": "m", "retry_after": 2_000},
        ),
        ({"instance_failed": {"code": "403"}}, WordKind.INSTANCE_FAILED, {"code": "AUTH"}),
    ],
)
def test_every_word_is_understood(said, kind, parts):
    """T5, T6."""
    assert word(**said) == Word("t", 3, kind, 7, **parts)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"task_id": "", "start": {}}, "task_id"),
        ({"task_id": "x" * 129, "start": {}}, "task_id"),
        ({"lease_epoch": 0, "start": {}}, "lease_epoch"),
        ({}, "word"),
        ({"instance_failed": {}}, "instance_failed.code"),
        ({"instance_failed": {"code": "x" * 129}}, "instance_failed.code"),
        ({"instance_failed": {"code": "503", "instance": "x" * 257}}, "instance_failed.instance"),
        (
            {"instance_failed": {"code": "503", "retry_after": {"seconds": 86_401}}},
            "instance_failed.retry_after",
        ),
        ({"progress": {"percent": 101}}, "progress.percent"),
        ({"progress": {"message": "x" * 1_001}}, "progress.message"),
        ({"checkpoint": {"data": b"x" * ((1 << 20) + 1)}}, "checkpoint.data"),
        ({"checkpoint": {"step_id": "x" * 257}}, "checkpoint.step_id"),
        ({"complete": {"output": {"data": b"x" * ((1 << 20) + 1)}}}, "complete.output"),
        ({"complete": {"artifacts": [{"name": "a"}, {"name": "a"}]}}, "complete.artifacts[1].name"),
        ({"complete": {"artifacts": [{"name": "a", "sha256": "AB"}]}}, "complete.artifacts[0].sha256"),
        ({"complete": {"artifacts": [{"name": str(n)} for n in range(101)]}}, "complete.artifacts"),
    ],
)
def test_a_bad_word_carries_its_refusal(said, path):
    """S3, S7, T5."""
    assert word(**said).refusal.startswith(f"{path}: ")


def test_a_bad_word_does_not_touch_its_neighbours():
    """T5: a bad one never sinks the others."""
    said = {"task_id": "t", "lease_epoch": 3}
    good, bad = ({"progress": {"percent": percent}, **said} for percent in (100, 101))
    heard = words_in([lease_pb2.Report(**one) for one in (bad, good, bad)], Limits())
    assert [one.refusal for one in heard] == [heard[0].refusal, "", heard[0].refusal]
    assert heard[0].refusal.count("progress.percent") == 1


def test_a_failure_is_heard_however_it_is_worded():
    """F4: a run that failed must not go on because its report was too long."""
    heard = word(fail={"code": "x" * 200, "message": "m" * 5_000})
    assert (heard.code, len(heard.message), heard.refusal) == ("AGENT_ERROR", 4_096, "")
    heard = word(instance_failed={"code": "503", "message": "m" * 5_000})
    assert (heard.code, len(heard.message), heard.refusal) == ("503", 4_096, "")


def test_too_many_words_at_once_are_refused():
    """S7."""
    with pytest.raises(InvalidArgument, match="reports: must have at most 1,000 entries"):
        words_in([lease_pb2.Report()] * 1_001, Limits())


def test_too_many_events_at_once_are_refused_in_however_many_words_they_come():
    """S7, G6: the daemon stands still while it reads them, small as they are."""
    event = task_event_pb2.TaskEvent(heartbeat={})

    def said(count):
        words = [lease_pb2.EventsWord(first=1, events=[event] * 1_000) for _ in range(count // 1_000)]
        words.append(lease_pb2.EventsWord(first=1, events=[event] * (count % 1_000)))
        return [lease_pb2.Report(task_id="t", lease_epoch=1, events=word) for word in words]

    assert len(words_in(said(9_999), Limits())) == 10
    with pytest.raises(InvalidArgument, match="at most 10,000 events"):
        words_in(said(10_001), Limits())


def test_messages_are_split_by_bytes_and_keep_their_order():
    """S7."""
    refs = [lease_pb2.LeaseRef(task_id="x" * 100, lease_epoch=n) for n in range(1, 11)]
    parts = list(split(refs, 250))
    assert [len(part) for part in parts] == [2] * 5
    assert [ref for part in parts for ref in part] == refs
    assert list(split([], 10)) == []
    assert [len(part) for part in split(refs[:3], 1)] == [1, 1, 1]


def offer(seq, data=None):
    task = Task(seq=seq, id=f"task-{seq}", lease_epoch=seq)
    return Offer(task, Spec("t"), data and Payload(data, "a/b"), None, seq, 1, 1_500)


def test_leases_are_split_by_bytes_and_a_larger_one_goes_alone():
    """S7."""
    offers = [offer(1), offer(2, b"x" * 900), offer(3), offer(4, b"x" * 9_000), offer(5), offer(6)]
    messages = list(leases_out(offers, 1_000))
    assert [[lease.lease_epoch for lease in m.leases.leases] for m in messages] == [[1, 2], [3], [4], [5, 6]]
    assert [m.leases.leases[-1].input.data for m in messages] == [b"x" * 900, b"", b"x" * 9_000, b""]
    assert all(lease.timeout.ToMilliseconds() == 1_500 for m in messages for lease in m.leases.leases)
    assert list(leases_out([], 1_000)) == []


def test_as_many_leases_as_fit_exactly_go_together():
    """S7."""
    offers = [offer(seq) for seq in range(1, 5)]
    (two,) = leases_out(offers[:2], 1_000)
    size = sum(lease.ByteSize() for lease in two.leases.leases)
    parts = [[len(m.leases.leases) for m in leases_out(offers, limit)] for limit in (size, size - 1)]
    assert parts == [[2, 2], [1, 1, 1, 1]]


def test_acknowledgements_go_a_thousand_at_a_time_and_keep_their_order():
    """S7: the largest thousand stays below what a client reads."""
    refused = word(
        task_id="\U0001f600" * 128,
        complete={"artifacts": [{"name": "", "sha256": "no", "size": -1, "uri": "u" * 5_000}] * 4},
    )
    acks = [
        Ack(n, refused.task_id, 1, Result.REJECTED, refused.refusal, "FIELD_INVALID") for n in range(2_001)
    ]
    messages = list(acks_out(acks))
    assert [len(m.acks.acks) for m in messages] == [1_000, 1_000, 1]
    assert [ack.report_id for m in messages for ack in m.acks.acks] == list(range(2_001))
    assert max(m.ByteSize() for m in messages) < Limits().delivery
    assert messages[0].acks.acks[0].message == refused.refusal


def test_next_steps_fill_messages_that_a_client_reads():
    """S7, R11: an instance may be as large as its definition."""
    large = Instance("a:b", "a", tags=tuple(f"{n:0128}" for n in range(64)))
    advice = Advice(Step(StepKind.RETRY_SAME, 1_000, "a:b"), None, large, 1)
    acks = [Ack(n, "t", 1, Result.ACCEPTED, next=advice) for n in range(1_000)]
    messages = list(acks_out(acks))
    assert [ack.report_id for m in messages for ack in m.acks.acks] == list(range(1_000))
    assert max(m.ByteSize() for m in messages) < Limits().delivery
    assert messages[0].acks.acks[0].next.instance.tags == list(large.tags)
