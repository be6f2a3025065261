"""Results posted as comments to a real HTTP server on loopback, from tasks of a real engine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fleetd.bridges.comments import CommentOptions, Comments, text
from fleetd.core.task import Ending, Payload, Run, Status, Task
from tests.unit.api.port import Port
from tests.unit.bridges.test_webhook import Log, Receiver

REF = "forgejo:acme/parser#7"


class Desk:
    """A port whose finished tasks are commented on at a receiver."""

    def __init__(self, port: Port, receiver: Receiver, log: Log) -> None:
        self.port = port
        self.receiver = receiver
        self.log = log
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def finish(self, ref: str = REF, **word) -> str:
        task = await self.port.submit(external_ref=ref)
        await self.port.report(await self.port.claim(), **word)
        return task.id

    def body(self, number: int = 0) -> str:
        return json.loads(self.receiver.bodies[number])["body"]


@asynccontextmanager
async def desk(*statuses: int | None) -> AsyncIterator[Desk]:
    port, receiver, log = await Port().open(), Receiver(*statuses), Log()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    made = Desk(port, receiver, log)
    comments = Comments(CommentOptions(url, "t0ken", attempts=3), port.engine, log, sleep=made.sleep)
    running = asyncio.create_task(comments.run())
    await asyncio.sleep(0)
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()
        await server.wait_closed()
        await port.close()


async def test_a_completed_task_of_an_issue_is_told_there():
    """M6: with the token, at the issue its name points to."""
    async with desk() as at:
        task_id = await at.finish(complete={"output": {"text": "It works.\n@ada"}})
        await at.receiver.until(1)
        head = at.receiver.heads[0].decode().lower()
        assert head.startswith("post /api/v1/repos/acme/parser/issues/7/comments http/1.1\r\n")
        assert "authorization: token t0ken\r\n" in head
        assert at.body() == f"Task `{task_id}` is completed.\n\n```\nIt works.\n@ada\n```"
        await at.log.until("comment_posted")
        assert "t0ken" not in repr(at.log.lines)


async def test_a_failed_task_is_told_with_its_error():
    """M6"""
    async with desk() as at:
        task_id = await at.finish(fail={"code": "LOGIC_ERROR", "message": "no such file"})
        await at.receiver.until(1)
        assert at.body() == f"Task `{task_id}` is FAILED: `LOGIC_ERROR`.\n\n```\nno such file\n```"


async def test_other_tasks_and_those_that_are_tried_again_are_not_told():
    """M6: nobody reads of an attempt that has a successor, or of a task that was cancelled by closing its issue."""
    async with desk() as at:
        for ref in ("jira:X-1", "forgejo:../parser#1", "forgejo:acme/..#1", "gitea:./parser#1"):
            await at.finish(ref=ref, complete={})
        await at.finish(fail={"code": "AGENT_ERROR", "message": "once more"})
        cancelled = await at.port.submit(external_ref="forgejo:acme/parser#8")
        await at.port("CancelTask", task_id=cancelled.id)
        last = await at.finish(ref="gitea:acme/parser#9", complete={})
        await at.receiver.until(1)
        await at.log.until("comment_posted")
        assert [at.body()] == [f"Task `{last}` is completed."]


@pytest.mark.parametrize("problem", [503, 429, None])
async def test_what_may_mend_itself_is_posted_again(problem):
    """M6"""
    async with desk(problem) as at:
        await at.finish(complete={})
        await at.receiver.until(2)
        await at.log.until("comment_posted")
        assert at.waits == [1.0]


async def test_a_comment_nobody_takes_is_given_up_with_a_line():
    """M6, S7: after all attempts, or at once when another cannot help."""
    async with desk(500, 500, 500, 404) as at:
        await at.finish(complete={})
        await at.log.until("comment_given_up")
        await at.finish(ref="forgejo:acme/parser#8", complete={})
        await at.receiver.until(4)
        while len(at.log.lines) < 2:
            at.log.wrote.clear()
            await at.log.wrote.wait()
        told = [(fields["attempts"], fields["problem"]) for _, fields in at.log.lines]
        assert told == [(3, "HTTP 500"), (1, "HTTP 404")]
        assert at.waits == [1.0, 2.0]


def test_what_an_agent_said_does_not_leave_its_block():
    """M6: fences inside, bytes that are no text, and very long texts."""
    task = Task(seq=1, id="T", status=Status.COMPLETED)

    def said(data: bytes) -> str:
        return text(
            task,
            Run(
                task_seq=1,
                lease_epoch=1,
                agent_id="a",
                attempt=1,
                ending=Ending.COMPLETED,
                status=Status.COMPLETED,
                output=Payload(data, "text/plain"),
            ),
        )

    assert said(b"a ```` b") == "Task `T` is completed.\n\n`````\na ```` b\n`````"
    assert said(b"\xff") == "Task `T` is completed. Its output is 1 bytes of `text/plain`."
    assert said(b" ") == "Task `T` is completed."
    assert len(said(b"x" * 10_000)) < 8_100
