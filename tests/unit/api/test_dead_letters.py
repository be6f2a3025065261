"""Dead letters: listed, replayed, discarded and purged (spec F5)."""

from __future__ import annotations

import pytest

from fleet.v1 import task_pb2
from fleetd.api.calls import Call
from fleetd.api.limits import Limits
from fleetd.core.settings import Rules
from fleetd.errors import InvalidArgument, NotFound, WrongState
from tests.unit.api.port import Port

PENDING, DEAD_LETTER, DISCARDED = (
    task_pb2.TASK_STATUS_PENDING,
    task_pb2.TASK_STATUS_DEAD_LETTER,
    task_pb2.TASK_STATUS_DISCARDED,
)


async def fail(port, agent_id="agent-1", code="AGENT_ERROR", message="broken"):
    """Claim the next task and fail it."""
    lease = await port.claim(agent_id)
    await port.report(lease, agent_id, fail={"code": code, "message": message})
    return lease.task_id


async def dead(port, title="work", agent_id="agent-1", code="AGENT_ERROR", **fields):
    """Submit a task of one attempt and fail it; return its id."""
    task = await port.submit(title, max_attempts=1, **fields)
    assert await fail(port, agent_id, code) == task.id
    return task.id


async def overdue(port, count, **fields):
    """Make so many dead letters by letting their time to start pass; return their ids, oldest first."""
    items = [{"title": str(n), "schedule_to_start": {"seconds": 1}, **fields} for n in range(count)]
    answer = await port("SubmitTasks", tasks=items)
    port.clock.advance(1_000)
    ids = [item.task_id for item in answer.items]
    for _ in range(10):
        port.engine.nudge()
        await port.engine.turn()
    assert await status(port, ids[-1]) == DEAD_LETTER
    return ids


async def status(port, task_id):
    return (await port("GetTask", task_id=task_id)).status


class Waits:
    """Stands in for waiting: moves the clock at once and remembers for how long."""

    def __init__(self, port):
        self.spans = []
        self._clock = port.clock
        port.engine.wait = self

    async def __call__(self, event, milliseconds):
        self.spans.append(milliseconds)
        self._clock.advance(milliseconds)


async def test_a_dead_letter_tells_what_happened(port):
    """F5, T9."""
    task_id = await dead(port, "fix it", org_id="acme", task_type="fix")
    (entry,) = (await port("ListDeadLetters")).dead_letters
    assert (entry.id, entry.org_id, entry.title, entry.task_type) == (task_id, "acme", "fix it", "fix")
    assert (entry.reason, entry.error.code, entry.error.message) == (
        "ATTEMPTS_EXHAUSTED",
        "AGENT_ERROR",
        "broken",
    )
    assert entry.first_time.ToMilliseconds() == entry.last_time.ToMilliseconds() == port.clock.wall()
    assert not entry.attempts
    assert not entry.HasField("next_retry_at")
    task = await port("GetTask", task_id=task_id)
    assert (task.dead_letter_reason, task.replay_count) == ("ATTEMPTS_EXHAUSTED", 0)


async def test_one_dead_letter_shows_every_attempt_oldest_first(port):
    """F5."""
    task = await port.submit(max_attempts=2, retry_policy={"initial_backoff": {}})
    await fail(port, message="one")
    await fail(port, message="two")
    entry = await port("GetDeadLetter", id=task.id)
    assert [(run.attempt, run.error.message) for run in entry.attempts] == [(1, "one"), (2, "two")]
    assert entry.error.message == "two"


async def test_attempts_that_do_not_fit_into_one_answer_are_left_out_from_the_oldest_on():
    """F5, S7."""
    port = await Port(Limits(delivery=500)).open()
    task = await port.submit(max_attempts=2, retry_policy={"initial_backoff": {}})
    await fail(port, message="one" * 100)
    await fail(port, message="two" * 100)
    entry = await port("GetDeadLetter", id=task.id)
    assert [run.error.message[:3] for run in entry.attempts] == ["two"]
    await port.close()


@pytest.mark.parametrize("state", ["pending", "unknown", "discarded"])
async def test_a_task_that_is_no_dead_letter_is_not_found_among_them(port, state):
    """F5, S3."""
    task_id = {"pending": (await port.submit()).id, "unknown": "none"}.get(state)
    if task_id is None:
        await fail(port, "agent-0")
        task_id = await dead(port)
        await port("DiscardDeadLetters", ids=[task_id])
    with pytest.raises(NotFound) as caught:
        await port("GetDeadLetter", id=task_id)
    assert caught.value.reason == "DEAD_LETTER_NOT_FOUND"


async def test_an_automatic_replay_is_announced():
    """F5: 5 min × 2^replay_count after it became a dead letter."""
    port = await Port(rules=Rules(auto_replay=True)).open()
    task_id = await dead(port)
    port.clock.advance(1_000)
    entry = await port("GetDeadLetter", id=task_id)
    assert entry.next_retry_at.ToMilliseconds() == entry.last_time.ToMilliseconds() + 300_000
    await port("ReplayDeadLetters", ids=[task_id])
    await fail(port)
    entry = await port("GetDeadLetter", id=task_id)
    assert entry.next_retry_at.ToMilliseconds() == entry.last_time.ToMilliseconds() + 600_000
    await port.close()


@pytest.mark.parametrize(
    "part",
    [
        {"org_id": "acme"},
        {"task_type": "fix"},
        {"tag": "nightly"},
        {"error_code": "LATE"},
        {"reason": "ATTEMPTS_EXHAUSTED"},
        {"after": {"seconds": 1_700_000_010}},
    ],
    ids=lambda part: next(iter(part)),
)
async def test_dead_letters_are_found_by_every_part_of_a_filter(port, part):
    """F5."""
    await overdue(port, 1)
    port.clock.advance(9_000)
    wanted = await dead(port, org_id="acme", task_type="fix", tags=["nightly"], code="LATE")
    found = (await port("ListDeadLetters", filter=part)).dead_letters
    assert [entry.id for entry in found] == [wanted]
    assert (await port("ReplayDeadLetters", filter=part, dry_run=True)).matched == 1
    assert (await port("DiscardDeadLetters", filter=part)).discarded == 1
    assert not (await port("ListDeadLetters", filter=part)).dead_letters
    assert len((await port("ListDeadLetters")).dead_letters) == 1


async def test_dead_letters_before_a_time_are_found_without_that_time_itself(port):
    """F5."""
    (task_id,) = await overdue(port, 1)
    at = port.clock.wall() // 1_000
    for before, found in ((at, []), (at + 1, [task_id])):
        shown = await port("ListDeadLetters", filter={"before": {"seconds": before}})
        assert [entry.id for entry in shown.dead_letters] == found


async def test_dead_letters_are_listed_in_pages_newest_first(port):
    """F5, S7."""
    ids = await overdue(port, 3)
    first = await port("ListDeadLetters", page_size=2)
    assert [entry.id for entry in first.dead_letters] == [ids[2], ids[1]]
    rest = await port("ListDeadLetters", page_size=2, page_token=first.next_page_token)
    assert [entry.id for entry in rest.dead_letters] == [ids[0]]
    assert not rest.next_page_token
    with pytest.raises(InvalidArgument, match="page_token"):
        await port("ListDeadLetters", filter={"org_id": "o"}, page_token=first.next_page_token)


async def test_a_bad_filter_names_its_fields(port):
    """F5, S3."""
    bad = {"org_id": "a b", "reason": "LUCK", "error_code": "x" * 129, "tag": "x" * 129}
    paths = ["filter.reason", "filter.org_id", "filter.tag", "filter.error_code"]
    for name in ("ListDeadLetters", "ReplayDeadLetters", "DiscardDeadLetters"):
        with pytest.raises(InvalidArgument) as caught:
            await port(name, filter=bad)
        assert [path for path, _ in caught.value.fields] == paths
    assert "ATTEMPTS_EXHAUSTED, PROVIDERS_EXHAUSTED, TASK_TIMEOUT, POISON" in str(caught.value)


async def test_a_replayed_task_has_fresh_attempts_and_its_replays_are_counted(port):
    """F5, T2."""
    task_id = await dead(port)
    answer = await port("ReplayDeadLetters", ids=[task_id], reason="the mirror is back")
    assert (answer.matched, answer.replayed, list(answer.refused), answer.more) == (1, 1, [], False)
    task = await port("GetTask", task_id=task_id)
    assert (task.status, task.attempt, task.replay_count, task.dead_letter_reason) == (PENDING, 0, 1, "")
    assert task.lease_epoch == 1
    edges = (await port("GetTaskLineage", task_id=task_id)).edges
    assert [edge.kind for edge in edges] == ["replay_of"]


async def test_a_task_that_is_replayed_and_dies_again_stays_one_entry_until_the_limit(port):
    """F5: replaying five times leaves one entry; the fourth is refused."""
    task_id = await dead(port)
    for replays in range(3):
        assert (await port("GetDeadLetter", id=task_id)).replay_count == replays
        assert (await port("ReplayDeadLetters", ids=[task_id])).replayed == 1
        await fail(port)
    for _ in range(2):
        with pytest.raises(WrongState) as caught:
            await port("ReplayDeadLetters", ids=[task_id])
        assert (caught.value.reason, caught.value.metadata["limit"]) == ("REPLAY_LIMIT", "3")
    (entry,) = (await port("ListDeadLetters")).dead_letters
    assert (entry.id, entry.replay_count) == (task_id, 3)
    assert len((await port("GetDeadLetter", id=task_id)).attempts) == 4


async def test_each_of_several_ids_has_its_own_answer(port):
    """F5."""
    task_id = await dead(port)
    waiting = (await port.submit()).id
    ids = [task_id, waiting, "none", task_id]
    dry = await port("ReplayDeadLetters", ids=ids, dry_run=True)
    assert (dry.matched, dry.replayed) == (1, 0)
    answer = await port("ReplayDeadLetters", ids=ids)
    assert (answer.matched, answer.replayed) == (1, 1)
    assert [(item.id, item.reason) for item in answer.refused] == [
        (waiting, "TASK_NOT_REPLAYABLE"),
        ("none", "TASK_NOT_FOUND"),
    ]
    assert "PENDING" in answer.refused[0].message


@pytest.mark.parametrize("name", ["ReplayDeadLetters", "DiscardDeadLetters"])
async def test_the_refusal_of_a_single_id_is_the_error_of_the_call(port, name):
    """F5, S3."""
    task = await port.submit()
    with pytest.raises(WrongState, match="not a dead letter"):
        await port(name, ids=[task.id])
    with pytest.raises(NotFound):
        await port(name, ids=["none"])


@pytest.mark.parametrize("name", ["ReplayDeadLetters", "DiscardDeadLetters"])
async def test_meaning_all_dead_letters_must_be_said(port, name):
    """F5."""
    ids = await overdue(port, 2)
    for empty in ({}, {"filter": {}}):
        with pytest.raises(InvalidArgument) as caught:
            await port(name, **empty)
        assert [path for path, _ in caught.value.fields] == ["allow_all"]
    with pytest.raises(InvalidArgument, match="ids: must not be given together with filter"):
        await port(name, ids=ids, filter={"org_id": "default"})
    assert (await port(name, allow_all=True, dry_run=True)).matched == 2
    assert (await port(name, allow_all=True)).matched == 2
    assert not (await port("ListDeadLetters")).dead_letters


@pytest.mark.parametrize("rate", [-1.0, 0.001, 100_001.0, float("nan"), float("inf")])
async def test_a_bad_bulk_request_names_its_fields(port, rate):
    """F5, S3, S7."""
    with pytest.raises(InvalidArgument) as caught:
        await port(
            "ReplayDeadLetters", ids=["", *map(str, range(999))], max_per_second=rate, reason="x" * 1_001
        )
    assert [path for path, _ in caught.value.fields] == ["reason", "max_per_second", "ids[0]"]
    with pytest.raises(InvalidArgument, match="ids: must have at most 1,000 entries"):
        await port("DiscardDeadLetters", ids=list(map(str, range(1_001))))


async def test_a_filter_reaches_all_that_match_each_once_in_several_commands(port):
    """F5."""
    ids = await overdue(port, 601, org_id="acme")
    (other,) = await overdue(port, 1)
    dry = await port("ReplayDeadLetters", filter={"org_id": "acme"}, dry_run=True)
    assert (dry.matched, dry.replayed) == (601, 0)
    answer = await port("ReplayDeadLetters", filter={"org_id": "acme"})
    assert (answer.matched, answer.replayed, len(answer.refused)) == (601, 601, 0)
    assert await status(port, ids[0]) == await status(port, ids[600]) == PENDING
    assert await status(port, other) == DEAD_LETTER


async def test_refused_items_of_a_filter_are_counted_and_the_first_hundred_listed(port):
    """F5, S7."""
    await overdue(port, 101, deadline={"seconds": port.clock.wall() // 1_000 + 1})
    answer = await port("ReplayDeadLetters", allow_all=True)
    assert (answer.matched, answer.replayed, len(answer.refused)) == (101, 0, 100)
    assert {item.reason for item in answer.refused} == {"DEADLINE_PASSED"}


async def test_a_rate_spreads_the_replays_over_time(port):
    """F5: at most 20 a second, in groups of a tenth of a second."""
    await overdue(port, 7)
    waits = Waits(port)
    answer = await port("ReplayDeadLetters", allow_all=True, max_per_second=20.0)
    assert (answer.replayed, answer.more) == (7, False)
    assert waits.spans == [100, 100, 100]


async def test_a_slow_rate_waits_between_single_items(port):
    """F5."""
    ids = await overdue(port, 3)
    waits = Waits(port)
    answer = await port("DiscardDeadLetters", ids=ids, max_per_second=0.5)
    assert (answer.discarded, waits.spans) == (3, [2_000, 2_000])


async def test_what_is_left_at_the_deadline_of_the_call_is_told(port):
    """F5, S7."""
    ids = await overdue(port, 3)
    waits = Waits(port)
    call = Call(deadline=port.clock.now() + 1_500)
    answer = await port("ReplayDeadLetters", allow_all=True, max_per_second=1.0, call=call)
    assert (answer.matched, answer.replayed, answer.more) == (2, 2, True)
    assert waits.spans == [1_000]
    assert await status(port, ids[0]) == DEAD_LETTER
    answer = await port("ReplayDeadLetters", allow_all=True)
    assert (answer.replayed, answer.more) == (1, False)


async def test_a_discarded_task_stays_readable_and_is_no_dead_letter(port):
    """F5, T2."""
    task_id = await dead(port)
    answer = await port("DiscardDeadLetters", ids=[task_id], reason="an experiment")
    assert (answer.matched, answer.discarded) == (1, 1)
    assert await status(port, task_id) == DISCARDED
    assert not (await port("ListDeadLetters")).dead_letters
    with pytest.raises(WrongState) as caught:
        await port("DiscardDeadLetters", ids=[task_id])
    assert caught.value.reason == "TASK_NOT_DISCARDABLE"


async def test_a_purge_takes_old_dead_letters_and_discarded_tasks_for_good(port):
    """F5, D12."""
    old, discarded = await overdue(port, 2)
    await port("DiscardDeadLetters", ids=[discarded])
    waiting = (await port.submit()).id
    port.clock.advance(10_000)
    young = (await overdue(port, 1))[0]
    answer = await port("PurgeDeadLetters", older_than={"seconds": 5}, confirm=True)
    assert answer.purged == 2
    for task_id in (old, discarded):
        with pytest.raises(NotFound):
            await port("GetTask", task_id=task_id)
    assert await status(port, young) == DEAD_LETTER
    assert await status(port, waiting) == PENDING


async def test_a_purge_takes_dead_letters_and_nothing_else(port):
    """F5, D12: what operators did stays, and so do finished tasks and events."""
    await port.submit("done")
    lease = await port.claim()
    await port.report(lease, complete={})
    await port("DiscardDeadLetters", ids=await overdue(port, 1))
    before = await port("ListEvents", after_seq=0)
    port.clock.advance(1_000 * 86_400_000)
    await port("PurgeDeadLetters", older_than={"seconds": 1}, confirm=True)
    assert await status(port, lease.task_id) == task_pb2.TASK_STATUS_COMPLETED
    assert (await port("ListEvents", after_seq=0)).events[: len(before.events)] == before.events
    lines = (await port("ListAudits")).lines
    assert [line.action for line in lines] == ["PurgeDeadLetters", "DiscardDeadLetters"]


async def test_a_purge_takes_as_many_transactions_as_it_needs(port):
    """F5, D12."""
    await overdue(port, 501)
    port.clock.advance(2_000)
    assert (await port("PurgeDeadLetters", older_than={"seconds": 1}, confirm=True)).purged == 501


async def test_a_purge_must_be_confirmed_and_dated(port):
    """F5, S3."""
    await overdue(port, 1)
    for fields, paths in (
        ({}, ["older_than", "confirm"]),
        ({"older_than": {"nanos": 999_000_000}, "confirm": True}, ["older_than"]),
        ({"older_than": {"seconds": 5}}, ["confirm"]),
    ):
        with pytest.raises(InvalidArgument) as caught:
            await port("PurgeDeadLetters", **fields)
        assert [path for path, _ in caught.value.fields] == paths
    assert len((await port("ListDeadLetters")).dead_letters) == 1
