"""One event of each type, and the JSON form that each has; for the tests of task events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

STAMP = datetime(2024, 1, 1, tzinfo=UTC)
ID = "msg-uuid"

PLAN_STEP = {
    "event": "message",
    "data": {
        "id": "msg-uuid",
        "type": "plan_step",
        "data": {
            "stepId": "step-1",
            "title": "搜索相关信息",
            "status": "running",
            "tool": "web_search",
            "params": {"query": "..."},
        },
        "timestamp": "2024-01-01T00:00:00Z",
    },
}
"""The first sample of the predecessor (seeds/004)."""

SKILL_CALL = {
    "event": "message",
    "data": {
        "id": "msg-uuid",
        "type": "skill_call",
        "data": {
            "skillId": "skill-uuid",
            "skillName": "web_search",
            "arguments": {"query": "..."},
            "status": "calling",
        },
        "timestamp": "2024-01-01T00:00:00Z",
    },
}
"""The second one."""

CALLED: dict[str, Any] = {"arguments": {"q": [1, 2.5, True, None, {"deep": "x"}]}, "status": 1}
CALLED_JSON: dict[str, Any] = {
    "arguments": {"q": [1, 2.5, True, None, {"deep": "x"}]},
    "status": "calling",
}
ANSWERED: dict[str, Any] = {"status": 2, "result": {"list_value": {"values": [{"string_value": "hit"}]}}}
ANSWERED_JSON: dict[str, Any] = {"status": "success", "result": ["hit"]}

TYPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "message": (
        {"content": "Hello", "role": "assistant", "data": {"n": 1}},
        {"content": "Hello", "role": "assistant", "data": {"n": 1}},
    ),
    "error": (
        {"code": "TOOL_FAILED", "message": "no such file", "step_id": "s", "call_id": "c"},
        {"code": "TOOL_FAILED", "message": "no such file", "stepId": "s", "callId": "c"},
    ),
    "done": (
        {
            "session_id": "s",
            "message_id": "m",
            "usage": {"inputTokens": 12},
            "execution_mode": "runtime_orchestrator",
        },
        {
            "sessionId": "s",
            "messageId": "m",
            "usage": {"inputTokens": 12},
            "executionMode": "runtime_orchestrator",
        },
    ),
    "heartbeat": ({}, {}),
    "plan_step": (
        {
            "step_id": "step-1",
            "title": "搜索相关信息",
            "status": 2,
            "tool": "web_search",
            "params": {"query": "..."},
        },
        PLAN_STEP["data"]["data"],
    ),
    "skill_call": (
        {"skill_id": "skill-uuid", "skill_name": "web_search", "arguments": {"query": "..."}, "status": 1},
        SKILL_CALL["data"]["data"],
    ),
    "skill_result": (
        {
            "skill_id": "k",
            "status": 3,
            "error": "gone",
            "duration": {"seconds": 1, "nanos": 500_000_000},
            "result": {"null_value": 0},
        },
        {"skillId": "k", "status": "error", "error": "gone", "duration": 1500, "result": None},
    ),
    "mcp_call": (
        {"server_id": "files", "tool_name": "read", **CALLED},
        {"serverId": "files", "toolName": "read", **CALLED_JSON},
    ),
    "mcp_result": (
        {"server_id": "files", "tool_name": "read", **ANSWERED, "duration": {"nanos": 2_500_000}},
        {"serverId": "files", "toolName": "read", **ANSWERED_JSON, "duration": 2.5},
    ),
    "tool_call": ({"tool_name": "bash", **CALLED}, {"toolName": "bash", **CALLED_JSON}),
    "tool_result": ({"tool_name": "bash", **ANSWERED}, {"toolName": "bash", **ANSWERED_JSON}),
}
"""By type: the fields of its message, and `data` of its JSON form."""
