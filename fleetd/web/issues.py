"""POST /webhooks/forgejo and /webhooks/gitea: issues with labels agent:* become tasks (spec M6)."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.api.ids import ulids
from fleetd.core.issue import Issue, IssueRules, Outcome, Pull, TakeIssue, TakePull
from fleetd.core.task import TaskFilter
from fleetd.engine.engine import Engine
from fleetd.errors import Unavailable
from fleetd.web import deliveries
from fleetd.web.errors import Refused, json_response
from fleetd.web.message_json import parse_object
from fleetd.web.port import Port, aside

EXAMINED = 10_000
"""Tasks that a search for an issue's newest one may look at; the index leads to it at once."""


@dataclass(frozen=True, slots=True)
class IssueOptions:
    """
    The `secret` deliveries are signed with, and what they mean; `max_body` bytes of one. An issue that is opened again waits `patience` milliseconds for
    its old task to stop: forges wait five seconds for an answer.
    """

    secret: bytes
    rules: IssueRules = field(default_factory=IssueRules)
    max_body: int = 1 << 20
    patience: int = 4_000


class Issues:
    """Takes deliveries; without options there are no such paths."""

    def __init__(self, port: Port, options: IssueOptions | None) -> None:
        self._port = port
        self._engine: Engine = port.boundary.engine
        self._options = options
        self._new_id = ulids(self._engine.clock.wall)

    async def serve(self, request: Request) -> Response:
        """Answer one delivery."""
        source = request.path_params["source"]

        async def work(_: Call) -> Response:
            if self._options is None or source not in deliveries.SOURCES:
                message = "webhooks are off: webhooks.secret_file or webhooks.secret_env turns them on"
                raise Refused(404, Code.NOT_FOUND, "WEBHOOKS_OFF", message)
            if request.method != "POST":
                message = "deliveries are posted"
                raise Refused(405, Code.UNIMPLEMENTED, "POST_ONLY", message, {"Allow": "POST"})
            return await self._take(request, source, self._options)

        return await self._port.answer(request, f"webhooks/{source}"[:64], work)

    async def _take(self, request: Request, source: str, options: IssueOptions) -> Response:
        body = await self._port.body(request, options.max_body)
        headers = request.headers
        if not deliveries.is_signed(options.secret, body, headers):
            message = "the signature is missing or bad: is the secret the same on both sides?"
            raise Refused(401, Code.UNAUTHENTICATED, "SIGNATURE", message)
        happened = deliveries.read(
            source, deliveries.event_of(headers), await aside(len(body), parse_object, body)
        )
        if isinstance(happened, str):
            return _answer(Outcome("", happened))
        if self._port.state != "SERVING":
            raise Unavailable(self._port.state, f"the daemon is {self._port.state.lower()}")
        digest = hashlib.sha256(body).hexdigest()[:40]
        delivery = deliveries.id_of(headers, digest)
        if isinstance(happened, Pull):
            return _answer(await self._pull(happened, delivery, digest, options.rules))
        return _answer(await self._issue(happened, delivery, digest, options))

    async def _issue(self, issue: Issue, delivery: str, digest: str, options: IssueOptions) -> Outcome:
        place, rules = issue.place, options.rules
        newest = await self._newest(place.org(rules), place.ref(issue.number))
        command = TakeIssue(issue, rules, delivery, digest, self._new_id(), newest)
        watch = self._engine.feed.watch_tasks([newest]) if newest else None
        try:
            outcome: Outcome = await self._engine.execute(command)
        except Unavailable as error:
            if watch is None or error.reason != "TASK_STOPPING":
                raise
            with suppress(TimeoutError):
                async with asyncio.timeout(options.patience / 1_000):
                    await watch.next()
            outcome = await self._engine.execute(command)
        finally:
            if watch is not None:
                watch.close()
        return outcome

    async def _pull(self, pull: Pull, delivery: str, digest: str, rules: IssueRules) -> Outcome:
        place = pull.place
        newest = [await self._newest(place.org(rules), place.ref(number)) for number in pull.issues]
        outcome: Outcome = await self._engine.execute(
            TakePull(pull, rules, delivery, digest, tuple(filter(None, newest)))
        )
        return outcome

    async def _newest(self, org: str, ref: str) -> str:
        """Return the id of the newest task of an issue, "" when it has none."""
        wanted = TaskFilter(org_id=org, external_ref=ref)
        rows = (await self._engine.store.list_tasks(wanted, 0, 1, EXAMINED)).rows
        return rows[0].task.id if rows else ""


def _answer(outcome: Outcome) -> Response:
    said = {"task_id": outcome.task_id, "ignored": outcome.ignored}
    return json_response({name: text for name, text in said.items() if text}, 202)
