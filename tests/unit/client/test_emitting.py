"""What handlers tell while they work, and in which mode they are to work (G1, G2, G6)."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fleetd_client import Cancelled, EventsRefused, InvalidArgument, Result, TaskMode, journal, task_events
from fleetd_client import stubs as s
from fleetd_client.effects import Heard
from fleetd_client.task_events import message
from tests.unit.client.desk import KEY, Desk


@pytest.fixture(params=["async", "plain"])
def telling(request):
    """A handler that tells so many messages; its result is what it is interrupted by."""

    def make(count, *, then=None):
        async def work(ctx):
            for number in range(count):
                await ctx.emit(message(str(number)))
            return "all told" if then is None else await asyncio.to_thread(then, ctx)

        def plain(ctx):
            for number in range(count):
                ctx.emit_sync(message(str(number)))
            return "all told" if then is None else then(ctx)

        return work if request.param == "async" else plain

    return make


def content(word):
    return [one.message.content for one in word.events.events]


def hear(desk, count, *refused, message=""):
    desk.runs.apply([Heard(KEY, count, refused, message)])


async def test_events_are_said_in_order_before_the_last_word(telling):
    """G6."""
    desk = Desk(telling(3))
    desk.begin()
    words = [await desk.word() for _ in range(4)]
    assert [content(word) for word in words[:3]] == [["0"], ["1"], ["2"]]
    assert words[3].complete.output.text == "all told"


async def test_a_handler_waits_while_too_many_events_are_under_way(telling, monkeypatch):
    """G6, S7: what is not stored yet never fills the memory."""
    monkeypatch.setattr(journal, "MOST_EVENTS", 2)
    desk = Desk(telling(4))
    desk.begin()
    for _ in range(2):
        await desk.word()
    await asyncio.sleep(0.05)
    assert desk.words.empty()
    hear(desk, 1)
    assert content(await desk.word()) == ["2"]
    await asyncio.sleep(0.05)
    assert desk.words.empty()
    hear(desk, 2)
    assert content(await desk.word()) == ["3"]
    assert (await desk.word()).WhichOneof("word") == "complete"


async def test_bytes_are_bounded_as_well(telling, monkeypatch):
    """G6, S7."""
    monkeypatch.setattr(journal, "MOST_BYTES", 2 * message("0").ByteSize() + 1)
    desk = Desk(telling(4))
    desk.begin()
    await desk.word()
    for text in ("1", "2", "3"):
        assert content(await desk.word()) == [text]
        await asyncio.sleep(0.05)
        assert desk.words.empty() == (text != "3")
        hear(desk, 1)
    assert (await desk.word()).WhichOneof("word") == "complete"


async def test_a_single_large_event_always_has_room(telling, monkeypatch):
    """G6, S7."""
    monkeypatch.setattr(journal, "MOST_BYTES", 1)
    desk = Desk(telling(1))
    desk.begin()
    assert content(await desk.word()) == ["0"]
    assert (await desk.word()).WhichOneof("word") == "complete"


async def test_a_run_that_shall_stop_does_not_wait_for_room(telling, monkeypatch):
    """G6, D4."""
    monkeypatch.setattr(journal, "MOST_EVENTS", 1)
    desk = Desk(telling(2))
    desk.begin()
    await desk.word()
    await asyncio.sleep(0.05)
    desk.stop()
    assert (await desk.word()).WhichOneof("word") == "stopped"


async def test_a_cancelled_handler_may_still_tell_how_it_ended():
    """G6, D4."""
    begun = asyncio.Event()

    async def work(ctx):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await ctx.emit(task_events.error("CANCELLED"))
            raise

    desk = Desk(work)
    desk.begin()
    await begun.wait()
    desk.stop()
    assert (await desk.word()).events.events[0].error.code == "CANCELLED"
    assert (await desk.word()).WhichOneof("word") == "stopped"


async def test_what_outlives_its_run_tells_nothing_more(telling):
    """G6: nothing comes after the last word."""
    kept = []
    desk = Desk(telling(0, then=kept.append))
    desk.begin()
    await desk.word()
    with pytest.raises(Cancelled):
        await asyncio.to_thread(kept[0].emit_sync, message("late"))
    assert desk.words.empty()


async def test_a_handler_learns_by_its_next_event_that_one_was_refused_and_may_go_on():
    """G6: once; what it then tells arrives."""
    going = asyncio.Event()
    bad = message("bad")

    async def work(ctx):
        await ctx.emit(bad)
        await going.wait()
        with pytest.raises(EventsRefused, match="1 events refused: no such thing") as raised:
            await ctx.emit(message("not told"))
        assert raised.value.events == (bad,)
        await ctx.emit(message("told"))

    desk = Desk(work)
    desk.begin()
    await desk.word()
    hear(desk, 1, bad, message="no such thing")
    going.set()
    assert content(await desk.word()) == ["told"]
    assert (await desk.word()).WhichOneof("word") == "complete"


async def test_a_refusal_that_nobody_catches_fails_the_run():
    """G6: a defect of the handler is not hidden."""
    going = asyncio.Event()

    async def work(ctx):
        await going.wait()
        await ctx.emit(message("x"))

    desk = Desk(work)
    desk.begin()
    hear(desk, 0, message("bad"), message="no such thing")
    going.set()
    assert "events refused: no such thing" in (await desk.word()).fail.message


@pytest.mark.parametrize(
    "event",
    [
        s.TaskEvent(),
        message("x" * (256 * 1024)),
        message("x", id="i" * 129),
    ],
    ids=["empty", "too large", "id too long"],
)
async def test_a_bad_event_is_an_error_where_it_is_told_and_nothing_travels(event):
    """G6, S7."""

    async def work(ctx):
        with pytest.raises(InvalidArgument):
            await ctx.emit(event)

    desk = Desk(work)
    desk.begin()
    assert (await desk.word()).WhichOneof("word") == "complete"


async def test_blocking_in_the_loop_is_refused_in_words():
    """G6, S2."""

    async def work(ctx):
        ctx.emit_sync(message("x"))

    desk = Desk(work)
    desk.begin()
    assert "await ctx.emit" in (await desk.word()).fail.message


async def test_threads_of_a_handler_may_tell_at_once():
    """G6: none is lost, none comes twice."""

    def work(ctx):
        def tell(thread):
            for number in range(50):
                ctx.emit_sync(message(f"{thread}-{number}"))

        threads = [threading.Thread(target=tell, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    desk = Desk(work)
    desk.begin()
    found = [content(await desk.word())[0] for _ in range(200)]
    for thread in range(4):
        assert [one for one in found if one.startswith(f"{thread}-")] == [
            f"{thread}-{number}" for number in range(50)
        ]
    assert (await desk.word()).WhichOneof("word") == "complete"


async def seen_by(handler_sees, **lease):
    """What a handler sees of its context."""
    found = []

    async def work(ctx):
        found.append(handler_sees(ctx))

    desk = Desk(work)
    desk.begin(**lease)
    assert (await desk.word()).WhichOneof("word") == "complete"
    return found[0]


async def test_a_run_knows_the_mode_to_work_in_and_whether_it_is_a_shadow():
    """G1, G2."""
    rollout = s.TaskRollout(
        rollout="chat",
        mode="runtime_orchestrator",
        cause=s.DecisionCause.DECISION_CAUSE_ALLOW_LIST,
        epoch=3,
        shadow=True,
        shadow_of="T",
    )
    seen = await seen_by(lambda ctx: (ctx.mode, ctx.shadow, ctx.rollout), rollout=rollout)
    whole = TaskMode("runtime_orchestrator", "ALLOW_LIST", True, False, "chat", "T")
    assert seen == ("runtime_orchestrator", True, whole)


async def test_a_run_without_a_rollout_has_no_mode_and_is_no_shadow():
    """G1."""
    assert await seen_by(lambda ctx: (ctx.mode, ctx.shadow, ctx.rollout)) == ("", False, None)


@pytest.mark.parametrize("place", ["result", "context"])
@pytest.mark.parametrize(("digest", "word"), [("sha256:1", "complete"), ("x" * 129, "fail")])
async def test_a_result_may_have_a_digest_that_its_shadow_is_compared_by(digest, word, place):
    """G2."""

    async def work(ctx):
        if place == "result":
            return Result("answer", digest=digest)
        ctx.digest = digest
        return "answer"

    desk = Desk(work)
    desk.begin()
    last = await desk.word()
    assert last.WhichOneof("word") == word
    if word == "complete":
        assert last.complete.digest == digest
    else:
        assert "a digest has at most 128 characters" in last.fail.message
