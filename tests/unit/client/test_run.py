"""Runs of handlers: what they return and raise becomes a word, and they stop when told to."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fleetd_client import AgentFail, Artifact, Cancelled, Fatal, Result, Retry
from fleetd_client import stubs as s
from fleetd_client.effects import Told
from fleetd_client.stubs import Checkpoint, Payload
from tests.unit.client.desk import KEY, Desk, plainly


@pytest.fixture(params=[lambda function: function, plainly], ids=["async", "plain"])
def kind(request):
    return request.param


async def test_what_a_handler_returns_is_its_output(kind):
    """T3, S2."""

    async def work(ctx):
        return {"upper": ctx.text.upper(), "json": ctx.json()}

    desk = Desk(kind(work))
    desk.begin(input=Payload(text='"a"', content_type="application/json"))
    word = await desk.word()
    assert word.complete.output.data == b'{"upper":"\\"A\\"","json":"a"}'


async def test_a_result_brings_artifacts():
    """T3."""

    async def work(_ctx):
        return Result(b"x", [Artifact(name="log", uri="file:///log", size=3)], content_type="image/png")

    desk = Desk(work)
    desk.begin()
    word = await desk.word()
    assert word.complete.output.content_type == "image/png"
    assert word.complete.artifacts[0].name == "log"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Fatal("broken input"), "LOGIC_ERROR", "broken input"),
        (Retry("busy"), "AGENT_ERROR", "busy"),
        (AgentFail("CONTEXT_EXCEEDED", "too long"), "CONTEXT_EXCEEDED", "too long"),
        (KeyError("path"), "AGENT_ERROR", "KeyError: 'path'"),
        (ValueError("name \udcff"), "AGENT_ERROR", "ValueError: name ?"),
        (SystemExit(3), "AGENT_ERROR", "SystemExit: 3"),
    ],
)
async def test_what_a_handler_raises_is_its_failure(kind, error, code, message):
    """T2, S2."""

    async def work(_ctx):
        raise error

    if kind is plainly and isinstance(error, SystemExit):

        def handler(_ctx):
            raise error
    else:
        handler = kind(work)
    desk = Desk(handler)
    desk.begin()
    word = await desk.word()
    assert (word.fail.code, word.fail.message) == (code, message)


@pytest.mark.parametrize("value", [object(), Result({1}), float("inf"), "\ud800", bytes(5 * 1024 * 1024)])
async def test_a_result_that_cannot_travel_is_a_failure_and_not_the_end_of_the_agent(value):
    """S7."""

    async def work(_ctx):
        return value

    desk = Desk(work)
    desk.begin()
    assert (await desk.word()).fail.code == "AGENT_ERROR"


async def test_a_task_of_an_unknown_type_fails_in_words():
    """T2."""

    async def work(_ctx):
        raise AssertionError("not for this type")

    work.task_type = "known"
    desk = Desk(work)
    desk.begin(task_type="other")
    assert "no handler for task type 'other'" in (await desk.word()).fail.message


async def test_a_handler_of_a_type_comes_before_the_one_for_all():
    """S2."""

    async def special(_ctx):
        return "special"

    async def general(_ctx):
        return "general"

    special.task_type = "special"
    desk = Desk(special, general)
    desk.begin(task_type="special")
    assert (await desk.word()).complete.output.text == "special"
    desk.begin(task_type="else")
    assert (await desk.word()).complete.output.text == "general"


async def test_cancel_arrives_as_cancelled_error_and_is_confirmed():
    """D4."""
    begun = asyncio.Event()

    async def work(ctx):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert ctx.cancelled
            raise

    desk = Desk(work)
    desk.begin()
    await begun.wait()
    desk.stop()
    assert (await desk.word()).WhichOneof("word") == "stopped"


async def test_a_run_that_is_stopped_before_its_first_step_never_begins():
    """D4."""

    async def work(_ctx):
        raise AssertionError("must not begin")

    desk = Desk(work)
    desk.begin()
    desk.stop()
    assert (await desk.word()).WhichOneof("word") == "stopped"


async def test_a_result_that_a_cancelled_handler_still_returns_is_said():
    """D4: the daemon decides what counts."""
    begun = asyncio.Event()

    async def work(_ctx):
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "saved"

    desk = Desk(work)
    desk.begin()
    await begun.wait()
    desk.stop()
    assert (await desk.word()).complete.output.text == "saved"


async def test_a_plain_handler_sees_the_cancel_and_stops_at_its_next_check():
    """D4."""
    begun, told = threading.Event(), threading.Event()

    def work(ctx):
        assert not ctx.cancelled
        begun.set()
        told.wait(10)
        ctx.check()
        raise AssertionError("the check must raise")

    desk = Desk(work)
    desk.begin()
    await asyncio.to_thread(begun.wait, 10)
    desk.stop()
    told.set()
    assert (await desk.word()).WhichOneof("word") == "stopped"


async def test_a_handler_that_cancels_itself_has_failed():
    """D4: nobody asked for it."""

    async def work(_ctx):
        raise asyncio.CancelledError

    async def plain(_ctx):
        raise Cancelled

    for handler in (work, plain):
        desk = Desk(handler)
        desk.begin()
        assert (await desk.word()).fail.code == "AGENT_ERROR"


async def test_a_run_whose_lease_is_no_longer_certain_is_given_back():
    """D2: self-fencing of exclusive tasks."""
    begun = asyncio.Event()

    async def work(_ctx):
        begun.set()
        await asyncio.Event().wait()

    desk = Desk(work)
    desk.begin()
    await begun.wait()
    desk.stop("uncertain")
    assert (await desk.word()).WhichOneof("word") == "release"


async def test_the_context_tells_of_earlier_runs_and_of_the_lease():
    """T3, D2."""
    seen = {}

    async def work(ctx):
        seen.update(
            data=ctx.checkpoint_data,
            steps=ctx.completed_steps,
            certain=ctx.lease_certain,
            attempt=ctx.attempt,
        )

    desk = Desk(work, certain=lambda: False)
    desk.begin(attempt=2, checkpoint=Checkpoint(data=b"half", completed_steps=["s1", "s2"]))
    assert (await desk.word()).WhichOneof("word") == "complete"
    assert seen == {"data": b"half", "steps": ("s1", "s2"), "certain": False, "attempt": 2}


async def test_progress_and_checkpoints_are_said_while_it_runs(kind):
    """T3."""

    async def work(ctx):
        ctx.progress(50, "half")
        ctx.checkpoint(b"state", step_id="s1")

    desk = Desk(kind(work))
    desk.begin()
    progress, checkpoint, last = [await desk.word() for _ in range(3)]
    assert (progress.progress.percent, progress.progress.message) == (50, "half")
    assert (checkpoint.checkpoint.data, checkpoint.checkpoint.step_id) == (b"state", "s1")
    assert last.WhichOneof("word") == "complete"
    assert not last.complete.HasField("output")


@pytest.mark.parametrize(
    "say",
    [
        lambda ctx: ctx.progress(101),
        lambda ctx: ctx.progress(-1),
        lambda ctx: ctx.checkpoint(bytes(1024 * 1024 + 1)),
        lambda ctx: ctx.checkpoint(b"", step_id="s" * 257),
    ],
)
async def test_a_word_beyond_its_limit_is_an_error_where_it_is_said(say):
    """S7."""

    async def work(ctx):
        with pytest.raises(ValueError, match=r"must lie between|has at most"):
            say(ctx)

    desk = Desk(work)
    desk.begin()
    assert (await desk.word()).WhichOneof("word") == "complete"


async def test_stopping_everything_waits_for_the_async_handlers_to_clean_up():
    """D2."""
    begun, cleaned = asyncio.Event(), []

    async def work(_ctx):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    desk = Desk(work)
    desk.begin()
    await begun.wait()
    await desk.runs.stop_all()
    assert cleaned == [True]


ROUTE = s.RouteAssignment(plan_id="p", plan_version=1, instance=s.Instance(id="a:1"), fallback=["b:1"])


def switch(instance_id="b:1", **step):
    return s.NextStep(kind=s.StepKind.STEP_KIND_SWITCH, instance=s.Instance(id=instance_id), **step)


def tell(desk, report, step=None, result=s.ReportResult.REPORT_RESULT_ACCEPTED, message=""):
    ack = s.ReportAck(result=result, message=message, next=step)
    desk.runs.apply([Told(KEY, report, ack)])


@pytest.fixture(params=["async", "plain"])
def falls_over(request):
    """A handler that fails until its instance is called wanted; its result is all instances it was given."""

    def make(wanted, error="CONN_REFUSED", **more):
        async def work(ctx):
            seen = [ctx.instance.id]
            while ctx.instance.id != wanted or len(seen) == 1:
                seen.append((await ctx.next_instance(error, **more)).id)
            return seen

        def plain(ctx):
            seen = [ctx.instance.id]
            while ctx.instance.id != wanted or len(seen) == 1:
                seen.append(ctx.next_instance_sync(error, **more).id)
            return seen

        return work if request.param == "async" else plain

    return make


async def test_a_failed_try_is_told_and_the_run_goes_on_with_the_next_instance(falls_over):
    """R11: on the same lease."""
    desk = Desk(falls_over("c:1", "503", message="overloaded", retry_after=7))
    desk.begin(route=ROUTE)
    word = await desk.word()
    assert (word.instance_failed.instance, word.instance_failed.code) == ("a:1", "503")
    assert (word.instance_failed.message, word.instance_failed.retry_after.seconds) == ("overloaded", 7)
    tell(desk, word, switch("b:1"))
    word = await desk.word()
    assert word.instance_failed.instance == "b:1"
    tell(desk, word, switch("c:1"))
    assert (await desk.word()).complete.output.data == b'["a:1","b:1","c:1"]'


async def test_a_retry_keeps_the_instance_and_waits_as_told(falls_over):
    """R11, F2."""
    desk = Desk(falls_over("a:1"))
    desk.begin(route=ROUTE)
    word = await desk.word()
    began = asyncio.get_running_loop().time()
    tell(desk, word, s.NextStep(kind=s.StepKind.STEP_KIND_RETRY_SAME, delay={"nanos": 50_000_000}))
    assert (await desk.word()).complete.output.data == b'["a:1","a:1"]'
    assert asyncio.get_running_loop().time() - began >= 0.05


@pytest.mark.parametrize(
    ("step", "code", "message"),
    [
        (
            s.NextStep(
                kind=s.StepKind.STEP_KIND_GIVE_UP, code="NO_AVAILABLE_INSTANCE", reason="4 breaker_open"
            ),
            "NO_AVAILABLE_INSTANCE",
            "4 breaker_open",
        ),
        (s.NextStep(kind=s.StepKind.STEP_KIND_GIVE_UP), "CONN_REFUSED", "down"),
        (s.NextStep(kind=s.StepKind.STEP_KIND_PROCEED), "CONN_REFUSED", "down"),
        (s.NextStep(), "CONN_REFUSED", "down"),
    ],
)
async def test_a_run_that_is_told_to_give_up_fails_with_the_code_it_was_told(falls_over, step, code, message):
    """R11, F4: an error that concerns no instance ends the run, too, or it would go round for ever."""
    desk = Desk(falls_over("b:1", message="down"))
    desk.begin(route=ROUTE)
    tell(desk, await desk.word(), step)
    word = await desk.word()
    assert (word.fail.code, word.fail.message) == (code, message)


async def test_a_refused_report_fails_the_run_with_its_own_code(falls_over):
    """R11."""
    desk = Desk(falls_over("b:1", message="down"))
    desk.begin(route=ROUTE)
    word = await desk.word()
    tell(desk, word, result=s.ReportResult.REPORT_RESULT_REJECTED, message="no such instance")
    assert (await desk.word()).fail.code == "CONN_REFUSED"


async def test_a_task_without_route_has_no_instance_and_no_next_one(falls_over):
    """R13."""
    seen = []

    async def work(ctx):
        seen.append(ctx.instance)
        await ctx.next_instance(TimeoutError("slow"))

    desk = Desk(work)
    desk.begin()
    assert (await desk.word()).fail.code == "TIMEOUT"
    assert seen == [None]


@pytest.mark.parametrize("delay", [None, 3600])
async def test_a_run_that_is_stopped_while_it_waits_for_an_instance_stops(falls_over, delay):
    """R11, D4."""
    desk = Desk(falls_over("b:1"))
    desk.begin(route=ROUTE)
    word = await desk.word()
    if delay:
        tell(desk, word, switch(delay={"seconds": delay}))
        await asyncio.sleep(0)
    desk.stop()
    assert (await desk.word()).WhichOneof("word") == "stopped"


async def test_the_blocking_twin_refuses_to_block_a_loop():
    """R11."""

    async def work(ctx):
        with pytest.raises(RuntimeError, match=r"await ctx.next_instance"):
            ctx.next_instance_sync("TIMEOUT")

    desk = Desk(work)
    desk.begin(route=ROUTE)
    assert (await desk.word()).WhichOneof("word") == "complete"
