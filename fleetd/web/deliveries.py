"""Deliveries of Forgejo and Gitea: who signed them, and what they say, in the words of fleetd.core.issue (spec M6)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from fleetd.core.issue import Issue, Place, Pull
from fleetd.errors import InvalidArgument

SOURCES = ("forgejo", "gitea")
REPO = re.compile(r"[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}")
BARE = ("x-forgejo-signature", "x-gitea-signature")
PREFIXED, PREFIX = "x-hub-signature-256", "sha256="
ISSUE_ACTIONS: Mapping[str, str] = {
    "opened": "opened",
    "edited": "edited",
    "closed": "closed",
    "reopened": "reopened",
    "label_updated": "labels",
    "label_cleared": "labels",
    # The words of GitHub, which other forges and test tools use.
    "labeled": "labels",
    "unlabeled": "labels",
}
LONGEST_ID = 128


def is_signed(secret: bytes, body: bytes, headers: Mapping[str, str]) -> bool:
    """Tell whether there is a signature and every one there is good: HMAC-SHA256 over the body as it came, compared in constant time."""
    right = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    given = [headers[name] for name in BARE if headers.get(name)]
    prefixed = headers.get(PREFIXED, "")
    if prefixed:
        given.append(prefixed.removeprefix(PREFIX) if prefixed.startswith(PREFIX) else "")
    checks = [hmac.compare_digest(text.strip().lower().encode(), right) for text in given]
    return bool(checks) and all(checks)


def event_of(headers: Mapping[str, str]) -> str:
    """Return what kind of event it is: issues, pull_request, push, …"""
    names = ("x-forgejo-event", "x-gitea-event", "x-github-event")
    return next((headers[name] for name in names if headers.get(name)), "")


def id_of(headers: Mapping[str, str], digest: str) -> str:
    """Return the forge's id of the delivery; the digest of its body when there is none."""
    names = ("x-forgejo-delivery", "x-gitea-delivery", "x-github-delivery")
    return next((headers[name][:LONGEST_ID] for name in names if headers.get(name)), digest)


def read(source: str, event: str, payload: Mapping[str, Any]) -> Issue | Pull | str:
    """Return what happened, or why it is no matter. Raises InvalidArgument naming a field that is missing or bad."""
    if event == "issues":
        return _issue(source, payload)
    if event == "pull_request":
        return _pull(source, payload)
    return f"event {event[:64] or '(none)'} is no matter here"


def _issue(source: str, payload: Mapping[str, Any]) -> Issue | str:
    action = ISSUE_ACTIONS.get(_text(payload, "action", ""))
    if action is None:
        return f"action {_text(payload, 'action', '')[:64]} of an issue is no matter here"
    issue = _object(payload, "issue", "")
    if issue.get("pull_request"):
        return "it is a pull request, which has events of its own"
    labels = issue.get("labels") or []
    if not isinstance(labels, list):
        raise InvalidArgument([("issue.labels", "must be a list of objects with a name")])
    return Issue(
        action,
        _place(source, payload),
        _number(issue, "issue."),
        _text(issue, "title", "issue."),
        _text(issue, "body", "issue.", required=False),
        tuple(_text(label, "name", f"issue.labels[{n}].") for n, label in enumerate(labels)),
        _text(issue, "html_url", "issue.", required=False),
        _text(issue, "state", "issue.", required=False) != "closed",
    )


def _pull(source: str, payload: Mapping[str, Any]) -> Pull | str:
    action = _text(payload, "action", "")
    if action not in ("opened", "closed"):
        return f"action {action[:64]} of a pull request is no matter here"
    pull = _object(payload, "pull_request", "")
    merged = pull.get("merged") is True
    head = pull.get("head")
    return Pull(
        _place(source, payload),
        _number(pull, "pull_request."),
        _text(pull, "title", "pull_request."),
        _text(pull, "body", "pull_request.", required=False),
        _text(head, "ref", "pull_request.head.", required=False) if isinstance(head, dict) else "",
        _text(pull, "html_url", "pull_request.", required=False),
        "merged" if action == "closed" and merged else action,
    )


def _place(source: str, payload: Mapping[str, Any]) -> Place:
    name = _text(_object(payload, "repository", ""), "full_name", "repository.")
    if not REPO.fullmatch(name):
        raise InvalidArgument([("repository.full_name", "must be owner/name")])
    return Place(source, name)


def _object(fields: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    found = fields.get(name)
    if not isinstance(found, dict):
        raise InvalidArgument([(path + name, "must be an object")])
    return found


def _text(fields: object, name: str, path: str, *, required: bool = True) -> str:
    found = fields.get(name) if isinstance(fields, dict) else None
    if found is None and not required:
        return ""
    if not isinstance(found, str):
        raise InvalidArgument([(path + name, "must be a text")])
    return found


def _number(fields: Mapping[str, Any], path: str) -> int:
    found = fields.get("number")
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found < 1 << 53:
        raise InvalidArgument([(path + "number", "must be a number above 0")])
    return found
