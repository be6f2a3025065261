"""What the clients' methods ask about dead letters; the sister of `tasks`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict, Unpack

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.plan import Page, Plan, ask
from fleetd_client.times import Moment, Span, duration, seconds, timestamp


class DeadLetterMatch(TypedDict, total=False):
    """Which dead letters; parts that are given must all hold. `cause` is the limit that was exhausted."""

    org_id: str
    task_type: str
    cause: str  # ATTEMPTS_EXHAUSTED, PROVIDERS_EXHAUSTED, TASK_TIMEOUT, POISON
    error_code: str
    tag: str
    after: Moment
    before: Moment


def dead_letter_page(
    position: Any, *, page_size: int = 100, **match: Unpack[DeadLetterMatch]
) -> Plan[Page[s.DeadLetter]]:
    """Dead letters that match, newest task first, without their attempts."""
    request = s.ListDeadLettersRequest(filter=_filter(match), page_size=page_size, page_token=position or "")
    response = yield from ask(m.LIST_DEAD_LETTERS, request)
    return Page(response.dead_letters, response.next_page_token or None)


def dead_letter(task_id: str) -> Plan[s.DeadLetter]:
    """One dead letter with every attempt; NotFound when the task is none."""
    return ask(m.GET_DEAD_LETTER, s.GetDeadLetterRequest(id=task_id))


def replay_dead_letters(
    task_ids: Iterable[str] = (),
    *,
    reason: str = "",
    dry_run: bool = False,
    allow_all: bool = False,
    max_per_second: float = 0.0,
    patience: Span = 0.0,
    **match: Unpack[DeadLetterMatch],
) -> Plan[s.ReplayDeadLettersResponse]:
    """
    Put these dead letters, or those that match, back in the queue with fresh attempts; dry_run only counts. Without ids and filter
    allow_all is needed. `patience` is how much longer than the client's timeout the call may take; `.more` tells that it was not enough.
    """
    request = s.ReplayDeadLettersRequest(
        ids=task_ids,
        filter=_filter(match),
        allow_all=allow_all,
        dry_run=dry_run,
        max_per_second=max_per_second,
        reason=reason,
    )
    return ask(m.REPLAY_DEAD_LETTERS, request, extra=seconds(patience))


def discard_dead_letters(
    task_ids: Iterable[str] = (),
    *,
    reason: str = "",
    dry_run: bool = False,
    allow_all: bool = False,
    max_per_second: float = 0.0,
    patience: Span = 0.0,
    **match: Unpack[DeadLetterMatch],
) -> Plan[s.DiscardDeadLettersResponse]:
    """Throw these dead letters, or those that match, away; arguments as for replay_dead_letters."""
    request = s.DiscardDeadLettersRequest(
        ids=task_ids,
        filter=_filter(match),
        allow_all=allow_all,
        dry_run=dry_run,
        max_per_second=max_per_second,
        reason=reason,
    )
    return ask(m.DISCARD_DEAD_LETTERS, request, extra=seconds(patience))


def purge_dead_letters(older_than: Span, *, confirm: bool = False, reason: str = "") -> Plan[int]:
    """Delete dead letters and discarded tasks older than this, for good, which `confirm` must say; how many there were."""
    request = s.PurgeDeadLettersRequest(older_than=duration(older_than), confirm=confirm, reason=reason)
    response = yield from ask(m.PURGE_DEAD_LETTERS, request)
    return response.purged


def _filter(match: DeadLetterMatch) -> s.DeadLetterFilter | None:
    if not match:
        return None
    return s.DeadLetterFilter(
        org_id=match.get("org_id", ""),
        task_type=match.get("task_type", ""),
        reason=match.get("cause", "").upper(),
        error_code=match.get("error_code", ""),
        tag=match.get("tag", ""),
        after=timestamp("after", match.get("after")),
        before=timestamp("before", match.get("before")),
    )
