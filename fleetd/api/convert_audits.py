"""Lines of the audit log: what an act was about, in words that fit into one line (spec F5)."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message
from google.protobuf.text_format import MessageToString

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.convert_times import timestamp
from fleetd.core.audit import AuditLine

TARGET = 1_000
"""Characters of a target: some thirty ids, or any filter a person would write."""


def named(ids: Sequence[str]) -> str:
    """Return the target of an act on these ids; that of a single one is the id itself."""
    text = ", ".join(ids)
    return text if len(text) <= TARGET else _cut(text, f" … {len(ids)} in all")


def matching(wanted: Message) -> str:
    """Return the target of an act on whatever a filter selects."""
    text = MessageToString(wanted, as_one_line=True, as_utf8=True).strip() or "all"
    return text if len(text) <= TARGET else _cut(text, " …")


def limits_reason(request: pb.SetQueueLimitsRequest, given: Sequence[str]) -> str:
    """Return the reason of a change of limits: what was set comes first, for the target only says whose they are."""
    what = ", ".join(f"{name}={getattr(request, name)}".removesuffix(".0") for name in given)
    return f"{what}: {request.reason}" if request.reason else what


def audit_line_out(line: AuditLine) -> pb.AuditLine:
    return pb.AuditLine(
        id=line.id,
        time=timestamp(line.at),
        actor=line.actor,
        action=line.action,
        target=line.target,
        reason=line.reason,
    )


def _cut(text: str, rest: str) -> str:
    return text[: TARGET - len(rest)] + rest
