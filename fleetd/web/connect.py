"""POST /fleet.v1.Service/Method: the unary form of the Connect protocol (spec S4), in JSON for curl and in protobuf for its clients."""

from __future__ import annotations

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from fleetd.api.boundary import too_large
from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.api.table import Method
from fleetd.errors import InvalidArgument
from fleetd.web.errors import JSON, STATUSES, Refused
from fleetd.web.message_json import encoded, json_of, message_of, parse_object
from fleetd.web.port import Port, aside, media_type, wrong_type

PROTO = "application/proto"
KINDS = f"{JSON}, {PROTO}"
VERSION = "connect-protocol-version"


class Connect:
    """Serves the methods of the table."""

    def __init__(self, port: Port, largest: int) -> None:
        """Serve through a port; `largest` bytes of an answer."""
        self._port = port
        self._largest = largest

    async def serve(self, request: Request) -> Response:
        """Answer one request for a path of two parts."""
        name = f"{request.path_params['service']}/{request.path_params['method']}"
        method = self._port.methods.get(f"/{name}")

        async def work(call: Call) -> Response:
            if method is None:
                raise Refused(404, Code.UNIMPLEMENTED, "METHOD_UNKNOWN", f"there is no method {name[:256]}")
            return await self._unary(request, method, call)

        return await self._port.answer(request, name if method is not None else "unknown", work)

    async def _unary(self, request: Request, method: Method, call: Call) -> Response:
        if request.method != "POST":
            message = "methods are called with POST"
            raise Refused(405, Code.UNIMPLEMENTED, "POST_ONLY", message, {"Allow": "POST"})
        if method.client_streaming or method.server_streaming or method.serve is None:
            other = (
                "use ListEvents here"
                if method.name == "WatchEvents"
                else "use ClaimTasks, ReportTasks and Heartbeat here"
            )
            message = f"{method.name} is a stream, which is served over gRPC: {other}"
            raise Refused(501, Code.UNIMPLEMENTED, "STREAM", message)
        version = request.headers.get(VERSION, "1")
        if version != "1":
            raise InvalidArgument([("Connect-Protocol-Version", f"must be 1, not {version[:16]!r}")])
        kind = media_type(request)
        if kind not in (JSON, PROTO):
            raise wrong_type(KINDS)
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            message = "bodies are read as they are: send no Content-Encoding but identity"
            raise Refused(
                415, Code.UNIMPLEMENTED, "CONTENT_ENCODING", message, {"Accept-Encoding": "identity"}
            )
        data = await self._port.body(request, method.size_limit)
        message = await aside(len(data), _read, method, data, kind)
        answer = await self._port.call(request, method, message, call)
        size = answer.ByteSize()
        if size > self._largest:
            problem = too_large(size, self._largest)
            raise Refused(STATUSES[problem.code], problem.code, problem.reason, problem.message)
        return Response(await aside(size, _write, answer, kind), media_type=kind)


def _read(method: Method, data: bytes, kind: str) -> Message:
    if kind == PROTO:
        message: Message = method.read(data)
        return message
    return message_of(method.request, parse_object(data))


def _write(answer: Message, kind: str) -> bytes:
    return answer.SerializeToString() if kind == PROTO else encoded(json_of(answer))
