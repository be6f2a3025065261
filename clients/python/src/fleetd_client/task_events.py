"""
What an agent can tell while it works (G6): a function for each kind of event, for ctx.emit.

    from fleetd_client import task_events

    await ctx.emit(task_events.plan_step("step-1", "running", title="Search", tool="web_search"))

Each has an id and the present time of its own, unless given. Statuses are words: pending, running, completed, failed, skipped of a step;
calling, success, error of a call. What is bad is InvalidArgument, which names the field, before anything travels.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.struct_pb2 import Struct, Value

from fleet.v1 import task_event_pb2 as pb
from fleetd_client.errors import InvalidArgument
from fleetd_client.stubs import ClaimRequest, TaskEvent
from fleetd_client.tasks import new_key
from fleetd_client.times import Moment, Span, duration, timestamp
from fleetd_client.words import number

P = ParamSpec("P")

# The daemon's limits of one event.
EVENT_BYTES = 256 * 1024
ID_CHARS = 128
# A level of protobuf takes two bytes at least, and a message may have 100 of them: with so few bytes there is no need to look.
SURELY_FLAT = 150
TOO_DEEP = [("event", "nested too deep: some 30 levels are the most")]
TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
DATA = TaskEvent.DESCRIPTOR.oneofs_by_name["data"]
# What none of an agent's own kinds may be called: the known ones, and what the daemon calls those that it does not know.
TAKEN = frozenset(field.name for field in DATA.fields) | {"unknown"}


def _made(function: Callable[P, TaskEvent]) -> Callable[P, TaskEvent]:
    """Half a surrogate pair in a text, a time out of range, or what is nested too deep, is InvalidArgument like everything that is bad."""

    @wraps(function)
    def make(*arguments: P.args, **keywords: P.kwargs) -> TaskEvent:
        try:
            return function(*arguments, **keywords)
        except (ValueError, OverflowError) as error:
            raise InvalidArgument([("event", str(error))]) from error
        except (DecodeError, EncodeError):
            raise InvalidArgument(TOO_DEEP) from None

    return make


@_made
def message(
    content: str = "",
    *,
    role: str = "",
    data: Mapping[str, Any] | None = None,
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """Something to show; `content` may be a part of a longer text."""
    return _event(id, at, message=pb.MessageEvent(content=content, role=role, data=_struct("data", data)))


@_made
def error(
    code: str,
    message: str = "",
    *,
    step_id: str = "",
    call_id: str = "",
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """Something went wrong, in a step or a call, or neither; the run may go on."""
    _wanted("code", code)
    return _event(id, at, error=pb.ErrorEvent(code=code, message=message, step_id=step_id, call_id=call_id))


@_made
def done(
    *,
    session_id: str = "",
    message_id: str = "",
    usage: Mapping[str, Any] | None = None,
    execution_mode: str = "",
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """The work is finished as far as its reader is concerned; `usage` for instance {"inputTokens": 12}."""
    its = pb.DoneEvent(
        session_id=session_id,
        message_id=message_id,
        usage=_struct("usage", usage),
        execution_mode=execution_mode,
    )
    return _event(id, at, done=its)


@_made
def heartbeat(*, id: str = "", at: Moment | None = None) -> TaskEvent:  # noqa: A002 - as the API calls it
    """The work goes on, and there is nothing to say."""
    return _event(id, at, heartbeat=pb.HeartbeatEvent())


@_made
def plan_step(
    step_id: str,
    status: str | int,
    *,
    title: str = "",
    tool: str = "",
    params: Mapping[str, Any] | None = None,
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """Where a step of a plan stands."""
    _wanted("step_id", step_id)
    its = pb.PlanStepEvent(
        step_id=step_id,
        title=title,
        status=_status(pb.StepStatus, "STEP_STATUS", status),
        tool=tool,
        params=_struct("params", params),
    )
    return _event(id, at, plan_step=its)


@_made
def skill_call(
    skill_name: str = "",
    arguments: Mapping[str, Any] | None = None,
    *,
    skill_id: str = "",
    status: str | int = "calling",
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """A skill is called."""
    _wanted("skill_name", skill_name or skill_id)
    its = pb.SkillEvent(
        skill_id=skill_id,
        skill_name=skill_name,
        arguments=_struct("arguments", arguments),
        status=_status(pb.CallStatus, "CALL_STATUS", status),
    )
    return _event(id, at, skill_call=its)


@_made
def skill_result(
    skill_name: str = "",
    result: Any = None,
    *,
    skill_id: str = "",
    error: str = "",
    status: str | int | None = None,
    duration: Span | None = None,
    arguments: Mapping[str, Any] | None = None,
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """A skill has answered: with a result, or with an error, which makes the status one unless it is given."""
    _wanted("skill_name", skill_name or skill_id)
    its = pb.SkillEvent(
        skill_id=skill_id, skill_name=skill_name, **_answer(result, error, status, duration, arguments)
    )
    return _event(id, at, skill_result=its)


@_made
def mcp_call(
    tool_name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    server_id: str = "",
    status: str | int = "calling",
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """A tool of an MCP server is called."""
    return _event(id, at, mcp_call=_call(tool_name, server_id, arguments, status))


@_made
def mcp_result(
    tool_name: str,
    result: Any = None,
    *,
    server_id: str = "",
    error: str = "",
    status: str | int | None = None,
    duration: Span | None = None,
    arguments: Mapping[str, Any] | None = None,
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """A tool of an MCP server has answered; as skill_result."""
    _wanted("tool_name", tool_name)
    answer = _answer(result, error, status, duration, arguments)
    return _event(id, at, mcp_result=pb.ToolEvent(server_id=server_id, tool_name=tool_name, **answer))


@_made
def tool_call(
    tool_name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    server_id: str = "",
    status: str | int = "calling",
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """A tool is called."""
    return _event(id, at, tool_call=_call(tool_name, server_id, arguments, status))


@_made
def tool_result(
    tool_name: str,
    result: Any = None,
    *,
    server_id: str = "",
    error: str = "",
    status: str | int | None = None,
    duration: Span | None = None,
    arguments: Mapping[str, Any] | None = None,
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """A tool has answered; as skill_result."""
    _wanted("tool_name", tool_name)
    answer = _answer(result, error, status, duration, arguments)
    return _event(id, at, tool_result=pb.ToolEvent(server_id=server_id, tool_name=tool_name, **answer))


@_made
def other(
    type: str,  # noqa: A002 - as the API calls it
    data: Mapping[str, Any] | None = None,
    *,
    id: str = "",  # noqa: A002 - as the API calls it
    at: Moment | None = None,
) -> TaskEvent:
    """An event of a kind of your own, in small letters, digits and _, a letter first; stored and streamed unchanged."""
    if not TYPE.fullmatch(type) or type in TAKEN:
        right = "1 to 64 small letters, digits and _, a letter first, and none of the known types"
        raise InvalidArgument([("type", f"{right}, not {type!r}")])
    return _event(id, at, other=pb.OtherEvent(type=type, data=_struct("data", data)))


def checked(event: object) -> int:
    """Bytes of an event that may travel; InvalidArgument for one that the daemon would refuse for its size or form."""
    if not isinstance(event, TaskEvent) or (event.WhichOneof("data") is None and not event.ByteSize()):
        raise InvalidArgument([("event", "an event of fleetd_client.task_events, and not an empty one")])
    if len(event.id) > ID_CHARS:
        raise InvalidArgument([("id", f"at most {ID_CHARS} characters, not {len(event.id)}")])
    if (size := event.ByteSize()) > EVENT_BYTES:
        raise InvalidArgument([("event", f"at most {EVENT_BYTES} bytes, not {size}")])
    if size > SURELY_FLAT:
        try:
            whole = ClaimRequest()
            whole.reports.reports.add().events.events.append(event)
            ClaimRequest.FromString(whole.SerializeToString())
        except (DecodeError, EncodeError):
            raise InvalidArgument(TOO_DEEP) from None
    return int(size)


def kind(event: TaskEvent) -> str:
    """The type of an event as readers see it, for instance plan_step; that of an `other` is its own."""
    which = event.WhichOneof("data") or ""
    return event.other.type if which == "other" else which


def _event(id: str, at: Moment | None, **data: Any) -> TaskEvent:  # noqa: A002 - as the API calls it
    moment = timestamp("at", time.time() if at is None else at)
    return TaskEvent(id=id or new_key(), timestamp=moment, **data)


def _call(
    tool_name: str, server_id: str, arguments: Mapping[str, Any] | None, status: str | int
) -> pb.ToolEvent:
    _wanted("tool_name", tool_name)
    return pb.ToolEvent(
        server_id=server_id,
        tool_name=tool_name,
        arguments=_struct("arguments", arguments),
        status=_status(pb.CallStatus, "CALL_STATUS", status),
    )


def _answer(
    result: Any,
    error: str,
    status: str | int | None,
    took: Span | None,
    arguments: Mapping[str, Any] | None,
) -> dict[str, Any]:
    if status is None:
        status = "error" if error else "success"
    return {
        "arguments": _struct("arguments", arguments),
        "status": _status(pb.CallStatus, "CALL_STATUS", status),
        "result": None if result is None else _parsed("result", result, Value()),
        "error": error,
        "duration": duration(took),
    }


def _status(enum: Any, prefix: str, value: str | int) -> Any:
    found = number(enum, prefix, value, "status")
    if not found:
        raise InvalidArgument([("status", "is required")])
    return found


def _wanted(field: str, value: str) -> None:
    if not value:
        raise InvalidArgument([(field, "is required")])


def _struct(field: str, value: Mapping[str, Any] | None) -> Any:
    return None if value is None else _parsed(field, dict(value), Struct())


def _parsed(field: str, value: Any, into: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)  # what could be kept, but not be shown as JSON again
        return ParseDict(value, into)
    except (ParseError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument([(field, f"a value JSON can hold: {error}")]) from error
