"""
Results as comments on the issues they came from (spec M6): follows the event feed from where it stands, and posts when a task of an issue ends.

Nothing waits for it, as for fleetd.bridges.webhook: what waits is bounded, a comment that fails is repeated with backoff and then given up with a line of
the log. The access token is never logged.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import httpx

from fleetd.bridges.webhook import AGAIN, FIRST_WAIT, LONGEST_WAIT, Sleep
from fleetd.core.event import EventFilter, EventType
from fleetd.core.task import Run, Status, Task
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log

ENDS = frozenset({EventType.TASK_COMPLETED, EventType.TASK_FAILED, EventType.TASK_DEAD_LETTERED})
"""A task that was cancelled is no news to whoever closed the issue."""
REF = re.compile(r"(?:forgejo|gitea):(?!\.\.?/)([\w.-]+)/(?!\.\.?#)([\w.-]+)#([0-9]+)", re.ASCII)
"""Neither part may be `.` or `..`: the URL that is made of them would lead elsewhere."""
SHOWN = 8_000
"""Characters of an output that are shown."""
QUEUE = 1_000


@dataclass(frozen=True, slots=True)
class CommentOptions:
    """`url` of the forge; `timeout` of one attempt in milliseconds; `attempts` in all."""

    url: str
    token: str
    timeout: int = 5_000
    attempts: int = 6


class Comment(NamedTuple):
    """What to say where."""

    owner: str
    repo: str
    number: str
    text: str


class Comments:
    """Follows the feed and posts comments, until cancelled."""

    def __init__(
        self, options: CommentOptions, engine: Engine, log: Log, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._options = options
        self._engine = engine
        self._log = log
        self._sleep = sleep
        self._queue: deque[str] = deque()
        self._waiting = asyncio.Event()

    async def run(self) -> None:
        """Tell what ends from now on."""
        subscription = self._engine.feed.subscribe(EventFilter(types=ENDS))
        try:
            async with (
                httpx.AsyncClient(timeout=self._options.timeout / 1_000, trust_env=False) as client,
                asyncio.TaskGroup() as both,
            ):
                both.create_task(self._send(client))
                while True:
                    await subscription.ready()
                    events, overflowed = subscription.take()
                    if overflowed:
                        self._log.warning("comments_missed", message="more tasks ended than the feed keeps")
                    for event in events:
                        # A failed run may be retried: whether the task ended is seen when its turn comes.
                        self._put(event.task_id)
        finally:
            subscription.close()

    def _put(self, task_id: str) -> None:
        if len(self._queue) >= QUEUE:
            self._log.warning("comment_dropped", task=self._queue.popleft())
        self._queue.append(task_id)
        self._waiting.set()

    async def _send(self, client: httpx.AsyncClient) -> None:
        while True:
            while self._queue:
                task_id = self._queue.popleft()
                comment = await self._comment(task_id)
                if comment is not None:
                    await self._deliver(client, task_id, comment)
            self._waiting.clear()
            await self._waiting.wait()

    async def _comment(self, task_id: str) -> Comment | None:
        """Return what to say of a task, None for one that goes on or belongs to no issue."""
        row = (await self._engine.store.get_tasks([task_id])).get(task_id)
        if row is None or not row.task.terminal:
            return None
        found = REF.fullmatch(row.task.external_ref)
        if found is None:
            return None
        ended = await self._engine.store.get_runs(task_id)
        return Comment(found[1], found[2], found[3], text(row.task, ended[-1] if ended else None))

    async def _deliver(self, client: httpx.AsyncClient, task_id: str, comment: Comment) -> None:
        wait = FIRST_WAIT
        for attempt in range(1, self._options.attempts + 1):
            problem, again = await self._post(client, comment)
            if not problem:
                self._log.info("comment_posted", task=task_id, attempts=attempt)
                return
            if not again or attempt == self._options.attempts:
                self._log.error("comment_given_up", task=task_id, attempts=attempt, problem=problem)
                return
            await self._sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _post(self, client: httpx.AsyncClient, comment: Comment) -> tuple[str, bool]:
        """Return what went wrong, empty when nothing did, and whether another attempt may mend it."""
        place = f"{quote(comment.owner)}/{quote(comment.repo)}/issues/{comment.number}/comments"
        url = f"{self._options.url.rstrip('/')}/api/v1/repos/{place}"
        headers = {"Authorization": f"token {self._options.token}"}
        try:
            async with client.stream("POST", url, json={"body": comment.text}, headers=headers) as response:
                status = response.status_code  # what else it says is not read
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__, True
        if 200 <= status < 300:
            return "", False
        return f"HTTP {status}", status >= 500 or status in AGAIN


def text(task: Task, run: Run | None) -> str:
    """Return the comment on how a task ended, in Markdown. What an agent said stands in a block, where it names and links nobody."""
    if task.status is Status.COMPLETED:
        said, output = f"Task `{task.id}` is completed.", run.output if run is not None else None
        if output is None:
            return said
        try:
            shown = output.data.decode()
        except UnicodeDecodeError:
            return f"{said} Its output is {len(output.data):,} bytes of {_inline(output.content_type)}."
    else:
        said, shown = (
            f"Task `{task.id}` is {task.status.name}: {_inline(task.error_code)}.",
            task.error_message,
        )
    return f"{said}\n\n{_block(shown)}" if shown.strip() else said


def _inline(words: str) -> str:
    return f"`{words.replace('`', ' ')}`"


def _block(shown: str) -> str:
    if len(shown) > SHOWN:
        shown = shown[:SHOWN] + "\n…"
    # Longer than any fence inside, so that nothing leaves the block.
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", shown)), default=0))
    return f"{fence}\n{shown}\n{fence}"
