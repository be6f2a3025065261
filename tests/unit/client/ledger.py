"""A daemon's book of the events of one lease: it stores each once, answers repeats and gaps as the protocol says, and knows bad ones."""

from __future__ import annotations

from fleetd_client.session import Key
from fleetd_client.stubs import EventsWord, Report, ReportAck, ReportResult, TaskEvent

BAD = "bad"


def event(text: str) -> TaskEvent:
    return TaskEvent(id=text, message={"content": text})


def events(key: Key, *texts: str) -> Report:
    """A run's report of events, as it leaves the journal."""
    return Report(
        task_id=key[0], lease_epoch=key[1], events=EventsWord(events=[event(text) for text in texts])
    )


def told(report: Report) -> tuple[int, list[str]]:
    """The first number, and the ids, of a word."""
    return report.events.first, [one.id for one in report.events.events]


class Ledger:
    """`stored` are ids in order; `last` is the word that ended the lease."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.last = ""

    def take(self, report: Report) -> ReportAck:
        """Do what a word asks and answer it."""
        result, reason = self._taken(report)
        return ReportAck(
            report_id=report.report_id,
            task_id=report.task_id,
            lease_epoch=report.lease_epoch,
            result=ReportResult.Value(f"REPORT_RESULT_{result}"),
            reason=reason,
            message=reason.lower(),
        )

    def _taken(self, report: Report) -> tuple[str, str]:
        word = report.WhichOneof("word") or ""
        if self.last:
            return ("DUPLICATE", "") if word == self.last else ("LEASE_LOST", "LEASE_LOST")
        if word in {"complete", "fail"}:
            self.last = word
        if word != "events":
            return "ACCEPTED", ""
        first, ids = told(report)
        if first > len(self.stored) + 1:
            return "REJECTED", "EVENTS_MISSING"
        fresh = ids[len(self.stored) + 1 - first :]
        if not fresh:
            return "DUPLICATE", ""
        if any(one.startswith(BAD) for one in ids):
            return "REJECTED", "FIELD_INVALID"
        self.stored += fresh
        return "ACCEPTED", ""
