"""
The predecessors' paths (spec S4), each an alias of one method. docs/http-compat.md lists them with their bodies.

Bodies have the fields of the method's request, in their small_names; answers are those of the method in the form of fleetd.web.plain_json.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fleetd.api.calls import Call
from fleetd.errors import InvalidArgument, LeaseLost
from fleetd.web.errors import JSON, json_response
from fleetd.web.message_json import encoded, message_of
from fleetd.web.plain_json import plain, renamed
from fleetd.web.port import Port, aside

Fields = dict[str, Any]
Handler = Callable[[Request, Call], Awaitable[Response]]

TASK_NAMES = {"capabilities": "required_capabilities", "mode": "execution_mode"}
AGENT_NAMES = {"type": "agent_type", "max_concurrent_tasks": "max_concurrency", "version": "software_version"}
WORDS = {"COMPLETED": "complete", "SUCCESS": "complete", "FAILED": "fail", "ERROR": "fail"}
"""What the predecessors' agents say of a result, and the word it is."""

FLAGS: Mapping[str, bool] = {"true": True, "false": False}
SWITCHES = frozenset({"connected", "include_history"})
"""Fields of queries that are true or false."""


class Aliases:
    """Serves the predecessors' paths."""

    def __init__(self, port: Port) -> None:
        self._port = port

    def routes(self) -> list[Route]:
        """Return the paths; those with a fixed word come before those that have a name in its place."""
        rows: list[tuple[str, str, Handler]] = [
            ("POST", "/api/v1/tasks", self._submit),
            ("POST", "/api/v1/tasks/dequeue", self._dequeue),
            ("POST", "/api/v1/tasks/{task_id}/assign", self._simple("AssignTask")),
            ("GET", "/api/v1/tasks/{task_id}/events", self._task_events),
            ("POST", "/tasks/dispatch", self._submit),
            ("POST", "/tasks/cancel", self._simple("CancelTask")),
            ("GET", "/tasks/queue/status", self._simple("GetQueueStatus")),
            ("GET", "/tasks/{task_id}/result", self._simple("GetTaskResult")),
            ("POST", "/tasks/{task_id}/result", self._result),
            ("POST", "/tasks/{task_id}/timeout", self._simple("TimeoutTask")),
            ("POST", "/agents/register", self._register),
            ("GET", "/agents/load", self._simple("GetAgentLoad")),
            ("GET", "/agents/workload", self._simple("GetAgentWorkload")),
            ("GET", "/agents", self._agents),
            ("GET", "/agents/{agent_id:path}/status", self._simple("GetAgent")),
            ("POST", "/agents/{agent_id:path}/heartbeat", self._simple("Heartbeat")),
            ("POST", "/agents/{agent_id:path}/restart", self._simple("RestartAgent")),
            ("DELETE", "/agents/{agent_id:path}", self._simple("UnregisterAgent")),
            ("GET", "/status", self._simple("GetStatus")),
        ]
        return [
            Route(path, self._served(verb, path, handler), methods=[verb]) for verb, path, handler in rows
        ]

    def _served(self, verb: str, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        name = f"{verb} {path.replace(':path', '')}"

        async def serve(request: Request) -> Response:
            return await self._port.answer(request, name, lambda call: handler(request, call))

        return serve

    def _simple(self, name: str) -> Handler:
        """Return a handler that calls a method with the body's fields and the names in the path."""

        async def handle(request: Request, call: Call) -> Response:
            return await _shown(await self._ask(request, call, name, await self._fields(request, name)))

        return handle

    async def _submit(self, request: Request, call: Call) -> Response:
        fields = renamed(await self._fields(request, "SubmitTask"), TASK_NAMES)
        return await _shown(await self._ask(request, call, "SubmitTask", fields), 201)

    async def _dequeue(self, request: Request, call: Call) -> Response:
        """Claim one task: 200 with its lease, or 204 when there is none."""
        fields = await self._fields(request, "ClaimTasks") | {"max_tasks": 1}
        leases = plain(await self._ask(request, call, "ClaimTasks", fields))["leases"]
        return json_response(leases[0]) if leases else Response(status_code=204)

    async def _result(self, request: Request, call: Call) -> Response:
        """Say complete or fail about a lease. LEASE_LOST and refused words are errors of the call."""
        report = result_word(await self._fields(request, "ReportTasks"))
        (ack,) = plain(await self._ask(request, call, "ReportTasks", report))["acks"]
        if ack["result"] == "LEASE_LOST":
            raise LeaseLost(ack["message"], {"task_id": ack["task_id"]})
        if ack["result"] == "REJECTED":
            raise InvalidArgument([("request", ack["message"])], ack["reason"] or "FIELD_INVALID")
        return json_response({"task_id": ack["task_id"], "result": ack["result"]})

    async def _task_events(self, request: Request, call: Call) -> Response:
        """What a run tells, as JSON events."""
        fields = await self._fields(request, "ListTaskEvents") | {"envelopes": True}
        page: Any = await self._ask(request, call, "ListTaskEvents", fields)
        # The events are JSON texts already.
        events, end = ",".join(page.envelopes), encoded(page.end).decode()
        body = f'{{"events":[{events}],"next_from_seq":{page.next_from_seq},"end":{end}}}'
        return Response(body, media_type=JSON)

    async def _register(self, request: Request, call: Call) -> Response:
        fields = renamed(await self._fields(request, "RegisterAgent"), AGENT_NAMES)
        message = {"agent": fields, "incarnation": fields.pop("incarnation", "")}
        return await _shown(await self._ask(request, call, "RegisterAgent", message), 201)

    async def _agents(self, request: Request, call: Call) -> Response:
        fields = await self._fields(request, "ListAgents")
        if "status" in fields:
            fields["statuses"] = [fields.pop("status")]
        return await _shown(await self._ask(request, call, "ListAgents", fields))

    async def _fields(self, request: Request, name: str) -> Fields:
        """Return the fields of the body, or of the query where there is none, and those of the path, which win."""
        if request.method == "POST":
            found = await self._port.json(request, self._port.method(name).size_limit)
        else:
            found = {
                key: FLAGS.get(value, value) if key in SWITCHES else value
                for key, value in request.query_params.items()
            }
        return found | request.path_params

    async def _ask(self, request: Request, call: Call, name: str, fields: Mapping[str, Any]) -> Message:
        method = self._port.method(name)
        return await self._port.call(request, method, message_of(method.request, fields), call)


def result_word(fields: Mapping[str, Any]) -> Fields:
    """
    Return the ReportTasks of a result: {agent_id, lease_epoch, status, output, artifacts, error: {code, message}}.

    Raises:
        InvalidArgument: a field is missing; the lease_epoch that the dequeue gave is required, so that a late result harms no newer run.
    """
    known = ("task_id", "agent_id", "incarnation", "lease_epoch", "status", "output", "artifacts", "error")
    bad = [(name, "is no field of a result") for name in fields if name not in known]
    status = str(fields.get("status", "COMPLETED")).upper()
    word = WORDS.get(status)
    if word is None:
        bad.append(("status", f"must be one of {', '.join(WORDS)}"))
    if not fields.get("lease_epoch"):
        bad.append(("lease_epoch", "is required: the number that came with the lease"))
    error = fields.get("error") or {}
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict) or set(error) - {"code", "message"}:
        bad.append(("error", "must be a text, or an object with code and message"))
    if bad:
        raise InvalidArgument(bad)
    said: Fields = dict(error) if word == "fail" else {}
    output = fields.get("output")
    if output is not None:
        said["output"] = {"text": output} if isinstance(output, str) else {"json": output}
    if fields.get("artifacts"):
        said["artifacts"] = fields["artifacts"]
    report = {
        "task_id": fields.get("task_id", ""),
        "lease_epoch": fields["lease_epoch"],
        str(word): said,
    }
    return {
        "agent_id": fields.get("agent_id", ""),
        "incarnation": fields.get("incarnation", ""),
        "reports": [report],
    }


async def _shown(message: Message, status: int = 200) -> Response:
    body = await aside(message.ByteSize(), lambda: encoded(plain(message)))
    return Response(body, status, media_type=JSON)
