"""Whether what a server answered means that it can take work."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

BODY = 256 * 1024
"""Bytes of an answer that are read: parsing more would hold up the loop; of a longer list its beginning must do."""

LISTS = {"/v1/models": "data", "/api/tags": "models"}
"""Paths whose answer is a list, and the key it stands under: of OpenAI and those who speak like it, of ollama."""
UNWELL = ("loading", "error", "fail", "unhealthy", "down", "starting")
"""Beginnings of a `status` that says no though the answer is a 200."""


def problem_of(url: str, status: int, body: bytes) -> str:
    """
    Return what is wrong with an answer; empty when it means that the server can take work.

    A path ending in /v1/models or /api/tags must answer with its list, /health with text whose `status`, if it is JSON and has one, says no ill; of
    any other path every 2xx will do. `body` holds at most BODY + 1 bytes.
    """
    said = _status_in(body)
    if not 200 <= status < 300:
        return f"HTTP {status}" + (f", status {said}" if said else "")
    path = urlsplit(url).path.rstrip("/")
    for end, key in LISTS.items():
        if path.endswith(end):
            return "" if _has_list(body, key) else f'the answer is no JSON object with a list "{key}"'
    if path.endswith("/health"):
        try:
            body[:BODY].decode(errors="strict" if len(body) <= BODY else "ignore")
        except UnicodeDecodeError:
            return "the answer is no text"
        if said.lower().startswith(UNWELL):
            return f"status {said}"
    return ""


def _has_list(body: bytes, key: str) -> bool:
    if len(body) > BODY:
        return body.lstrip().startswith(b"{")
    parsed = _parsed(body)
    return isinstance(parsed, dict) and isinstance(parsed.get(key), list)


def _status_in(body: bytes) -> str:
    """Return what a JSON answer says of itself: {"status": "…"} or {"error": {"message": "…"}}, as llama.cpp does."""
    parsed = _parsed(body) if len(body) <= BODY else None
    if not isinstance(parsed, dict):
        return ""
    error = parsed.get("error")
    said = parsed.get("status", error.get("message") if isinstance(error, dict) else None)
    return said[:60] if isinstance(said, str) and said.isprintable() else ""


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
