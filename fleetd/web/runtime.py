"""
The runtime paths of the predecessor's chat switch (spec G4, G5): one rollout, in the words that switch had for it. docs/http-compat.md has their bodies.

Only callers of this machine are answered, whatever the port listens on: nothing proves who calls, and these paths change where all chats go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.errors import InvalidArgument
from fleetd.web.errors import Refused, json_response
from fleetd.web.message_json import message_of
from fleetd.web.port import Port

Handler = Callable[[Request, Call], Awaitable[Response]]

BASE = "/api/v1/runtime"
RESET = f"{BASE}/fallback/reset"
FORCE = f"{BASE}/fallback/force"
SHORTEST, LONGEST = 1_000, 30 * 86_400_000
"""Milliseconds for which a fallback can be forced."""


class Runtime:
    """Serves these paths for one rollout, whose old mode is called direct and whose new one runtime."""

    def __init__(self, port: Port, rollout: str) -> None:
        self._port = port
        self._rollout = rollout

    def routes(self) -> list[Route]:
        """Return the paths."""
        rows: list[tuple[str, str, Handler]] = [
            ("GET", f"{BASE}/metrics", self._metrics),
            # Names of orgs may hold slashes.
            ("GET", f"{BASE}/metrics/{{org_id:path}}", self._metrics),
            ("GET", f"{BASE}/fallback/status", self._status),
            ("POST", RESET, self._reset),
            ("POST", FORCE, self._force),
        ]
        return [
            Route(path, self._served(verb, path, handler), methods=[verb]) for verb, path, handler in rows
        ]

    def _served(self, verb: str, path: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        name = f"{verb} {path.replace(':path', '')}"

        async def serve(request: Request) -> Response:
            async def work(call: Call) -> Response:
                on_this_machine(request)
                return await handler(request, call)

            return await self._port.answer(request, name, work)

        return serve

    async def _metrics(self, request: Request, call: Call) -> Response:
        _only(request.query_params, ())
        asked = {"rollout": self._rollout, **request.path_params}
        metrics = (await self._ask(request, call, "GetRolloutMetrics", asked)).metrics
        data = {"direct": mode_data(metrics.old_mode), "runtime": mode_data(metrics.new_mode)}
        return _success(data | fallback_data(metrics.fallback))

    async def _status(self, request: Request, call: Call) -> Response:
        _only(request.query_params, ())
        answer = await self._ask(request, call, "GetRollout", {"name": self._rollout})
        return _success(fallback_data(answer.fallback))

    async def _reset(self, request: Request, call: Call) -> Response:
        body = await self._body(request, "ResetFallback", ("reason",))
        asked = {"reason": body.get("reason", f"POST {RESET}")}
        return _success(fallback_data(await self._ask(request, call, "ResetFallback", self._named(asked))))

    async def _force(self, request: Request, call: Call) -> Response:
        body = await self._body(request, "ForceFallback", ("enabled", "reason", "durationMs"))
        asked: dict[str, Any] = {"reason": body.get("reason", f"POST {FORCE}")}
        asked["off"] = not body.get("enabled", True)
        if "durationMs" in body:
            seconds, rest = divmod(body["durationMs"], 1_000)
            asked["duration"] = f"{seconds}.{rest:03}s"
        return _success(fallback_data(await self._ask(request, call, "ForceFallback", self._named(asked))))

    def _named(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {"rollout": self._rollout, **fields}

    async def _body(self, request: Request, method: str, known: tuple[str, ...]) -> dict[str, Any]:
        """Return the fields of a body; null counts as not given. Raises InvalidArgument."""
        _only(request.query_params, ())
        found = await self._port.json(request, self._port.method(method).size_limit)
        _only(found, known)
        given = {name: value for name, value in found.items() if value is not None}
        bad = [(name, right) for name, value in given.items() if (right := _problem(name, value))]
        if bad:
            raise InvalidArgument(bad)
        return given

    async def _ask(self, request: Request, call: Call, name: str, fields: Mapping[str, Any]) -> Any:
        method = self._port.method(name)
        return await self._port.call(request, method, message_of(method.request, fields), call)


def on_this_machine(request: Request) -> None:
    """
    Refuse callers of other machines, and whoever means another one: a page whose name has come to lead here (DNS rebinding) is of the same origin for its
    browser, and only the name it asked for gives it away. A unix socket is of this machine, and no page can ask it. Raises Refused.
    """
    client = request.client
    if client is None:
        return
    if not _is_loopback(client.host):
        raise _elsewhere("only callers of this machine may use this path")
    host = request.headers.get("host", "")
    if host and not _is_loopback(_name_in(host)):
        raise _elsewhere("Host must be localhost or an address such as 127.0.0.1 on this path")


def _elsewhere(message: str) -> Refused:
    return Refused(403, Code.PERMISSION_DENIED, "LOOPBACK_ONLY", message)


def _name_in(host: str) -> str:
    """Return a Host header without its port; "" when it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def mode_data(metrics: Any) -> dict[str, int | float]:
    """Return what a fleet.v1.ModeMetrics says, as the predecessor called it."""
    return {
        "total": metrics.total,
        "success": metrics.success,
        "error": metrics.error,
        "timeout": metrics.timeout,
        "avgLatencyMs": _short(_milliseconds(metrics.avg_latency)),
        "errorRate": _short(metrics.error_rate),
        "timeoutRate": _short(metrics.timeout_rate),
    }


def fallback_data(state: Any) -> dict[str, bool | str]:
    """Return what a fleet.v1.FallbackState says, as the predecessor called it; while it is forced on, the reason is that of whoever did it."""
    if not state.fallback:
        return {"fallbackEnabled": False, "fallbackReason": ""}
    forced = state.HasField("forced") and state.forced.on
    return {"fallbackEnabled": True, "fallbackReason": state.forced.reason if forced else state.reason}


def _milliseconds(span: Duration) -> float:
    found: float = span.seconds * 1_000 + span.nanos / 1e6
    return found


def _short(value: float) -> int | float:
    """Return a whole number as an integer, as the predecessor's language wrote it."""
    return int(value) if value == int(value) else value


def _only(fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise InvalidArgument when there are other fields than those that are known."""
    takes = f"takes {', '.join(known)}" if known else "takes none"
    bad = [(name[:128], f"is no field of this path, which {takes}") for name in fields if name not in known]
    if bad:
        raise InvalidArgument(bad[:20])


def _problem(name: str, value: object) -> str:
    """Return what would be right for a field of a body; "" when it is good."""
    if name == "enabled":
        return "" if isinstance(value, bool) else "must be true or false"
    if name == "reason":
        return "" if isinstance(value, str) else "must be a text"
    whole = isinstance(value, int) and not isinstance(value, bool) and SHORTEST <= value <= LONGEST
    return "" if whole else f"must be a whole number of milliseconds, {SHORTEST:,} to {LONGEST:,}"


def _success(data: Mapping[str, Any]) -> Response:
    return json_response({"success": True, "data": data})
