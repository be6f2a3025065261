"""The words of agents about their leases: which ones count, and what they change (spec T5 to T7, D4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from fleetd.core import routed, runs
from fleetd.core.event import EventType
from fleetd.core.ledger import Keys, Ledger
from fleetd.core.outcome import Advice, Failure
from fleetd.core.task import Artifact, Checkpoint, Ending, Payload, Status, Task
from fleetd.core.task_event import Told
from fleetd.errors import NotFound


class WordKind(IntEnum):
    """What an agent can say about a lease."""

    ACCEPT = 1
    START = 2
    PROGRESS = 3
    CHECKPOINT = 4
    COMPLETE = 5
    FAIL = 6
    RELEASE = 7
    STOPPED = 8
    INSTANCE_FAILED = 9
    EVENTS = 10


TERMINAL_WORDS = {
    WordKind.COMPLETE: Ending.COMPLETED,
    WordKind.FAIL: Ending.FAILED,
    WordKind.RELEASE: Ending.RELEASED,
    WordKind.STOPPED: Ending.STOPPED,
}


class Word(NamedTuple):
    """
    One word; the parts after `kind` belong to the kinds that use them. `refusal` set means the word itself is bad. `retry_after` in ms. `first` is the number
    of the first of `events` within the lease, from 1.
    """

    task_id: str
    lease_epoch: int
    kind: WordKind
    report_id: int = 0
    percent: int = 0
    message: str = ""
    code: str = ""
    data: bytes = b""
    step_id: str = ""
    output: Payload | None = None
    artifacts: tuple[Artifact, ...] = ()
    refusal: str = ""
    instance: str = ""
    retry_after: int = 0
    digest: str = ""
    first: int = 0
    events: tuple[Told, ...] = ()


class Result(IntEnum):
    """What became of a word; numbers equal fleet.v1.ReportResult."""

    ACCEPTED = 1
    DUPLICATE = 2
    LEASE_LOST = 3
    REJECTED = 4


class Ack(NamedTuple):
    """Answer to one word; `next` belongs to INSTANCE_FAILED."""

    report_id: int
    task_id: str
    lease_epoch: int
    result: Result
    message: str = ""
    reason: str = ""
    next: Advice | None = None


@dataclass(frozen=True, slots=True)
class Say:
    """Words of one session, in the order in which they were said. Answer: one Ack each."""

    agent_id: str
    session_epoch: int
    words: tuple[Word, ...]

    def keys(self) -> Keys:
        ids = dict.fromkeys(word.task_id for word in self.words)
        checkpoints = tuple(word.task_id for word in self.words if word.kind is WordKind.CHECKPOINT)
        return Keys(task_ids=tuple(ids), checkpoints=checkpoints)

    def more(self, ledger: Ledger) -> Keys | None:
        """Ask for the endings of older leases that terminal words speak of: a repeat must be told from a stale word (T5)."""
        pairs = []
        for word in self.words:
            task = ledger.task(word.task_id)
            if task is not None and word.lease_epoch < task.lease_epoch and word.kind in TERMINAL_WORDS:
                pairs.append((word.task_id, word.lease_epoch))
        return Keys(runs=tuple(pairs)) if pairs else None

    def apply(self, ledger: Ledger) -> list[Ack]:
        return [self._hear(ledger, word) for word in self.words]

    def _hear(self, ledger: Ledger, word: Word) -> Ack:
        if word.refusal:
            return _ack(word, Result.REJECTED, word.refusal, "FIELD_INVALID")
        task = ledger.task(word.task_id)
        if task is None:
            return _ack(word, Result.LEASE_LOST, "no such task", "LEASE_LOST")
        holds = (
            task.lease_epoch == word.lease_epoch
            and task.agent_id == self.agent_id
            and task.session_epoch == self.session_epoch
        )
        if not holds or not task.live:
            if self._said_before(ledger, task, word):
                return _ack(word, Result.DUPLICATE)
            return _ack(word, Result.LEASE_LOST, _why_lost(task, word, self.agent_id), "LEASE_LOST")
        if word.kind is WordKind.INSTANCE_FAILED:
            return _instance_failed(ledger, task, word)
        if word.kind is WordKind.EVENTS:
            return _events(ledger, task, word)
        return _ack(word, _act(ledger, task, word))

    def _said_before(self, ledger: Ledger, task: Task, word: Word) -> bool:
        """Tell whether this word ended the lease it speaks of, or was said before it ended."""
        if task.lease_epoch == word.lease_epoch and task.agent_id == self.agent_id:
            if word.kind is WordKind.EVENTS:
                return word.first + len(word.events) <= _expected(task)
            ending = task.ending
        else:
            run = ledger.runs.get((word.task_id, word.lease_epoch))
            ending = run.ending if run is not None and run.agent_id == self.agent_id else Ending.NONE
        return ending is not Ending.NONE and TERMINAL_WORDS.get(word.kind) is ending


def _act(ledger: Ledger, task: Task, word: Word) -> Result:
    """Carry out a word that counts."""
    kind = word.kind
    if kind is WordKind.START:
        if task.status is Status.RUNNING:
            return Result.DUPLICATE
        runs.start(ledger, task)
    elif kind is WordKind.COMPLETE:
        runs.complete(ledger, task, word.output, word.artifacts, digest=word.digest)
    elif kind is WordKind.ACCEPT:
        if task.accepted:
            return Result.DUPLICATE
        runs.accept(ledger, task)
    elif kind is WordKind.FAIL:
        runs.fail(ledger, task, word.code or "AGENT_ERROR", word.message, word.output, word.artifacts)
    elif kind is WordKind.PROGRESS:
        return _progress(ledger, task, word)
    elif kind is WordKind.CHECKPOINT:
        return _checkpoint(ledger, task, word)
    elif kind is WordKind.RELEASE:
        runs.release(ledger, task, word.message or "released by the agent")
    else:
        runs.stopped(ledger, task)
    return Result.ACCEPTED


def _instance_failed(ledger: Ledger, task: Task, word: Word) -> Ack:
    """A try on an instance failed while the run goes on; the answer says what to do next (R11)."""
    if task.route is None:
        text = "instance_failed: is for tasks with a route, which this one has not; fail the run instead"
        return _ack(word, Result.REJECTED, text, "FIELD_INVALID")
    try:
        routed.known(ledger, task.route, word.instance or task.route.instance)
    except NotFound as error:
        return _ack(word, Result.REJECTED, f"instance: {error.message}", error.reason)
    if task.status is Status.ASSIGNED:
        runs.start(ledger, task)
    failure = Failure(word.instance, word.code, word.message, word.retry_after)
    return _ack(word, Result.ACCEPTED)._replace(next=routed.instance_failed(ledger, task, failure))


def _expected(task: Task) -> int:
    """Return the number, within the present lease, of the next event of a task."""
    return task.task_event_seq - task.task_event_base + 1


def _events(ledger: Ledger, task: Task, word: Word) -> Ack:
    """What the run tells: each event is stored once, and none is left out (G6)."""
    expected = _expected(task)
    if word.first > expected:
        text = (
            f"events.first: must be {expected}, the number of the next event of this lease, not {word.first}"
        )
        return _ack(word, Result.REJECTED, text, "EVENTS_MISSING")
    fresh = word.events[expected - word.first :]
    if not fresh:
        return _ack(word, Result.DUPLICATE)
    if task.status is Status.ASSIGNED:
        runs.start(ledger, task)
    ledger.tell(task, fresh)
    return _ack(word, Result.ACCEPTED)


def _progress(ledger: Ledger, task: Task, word: Word) -> Result:
    """Keep the newest; write an event at most once a second (T8)."""
    if task.status is Status.ASSIGNED:
        runs.start(ledger, task)
    elif (task.progress, task.progress_message) == (word.percent, word.message) and task.progress_at:
        return Result.DUPLICATE
    task.progress, task.progress_message = word.percent, word.message
    # Written before now, or after it: then the wall clock was set back.
    if not 0 <= ledger.now - task.progress_at < ledger.rules.progress_interval:
        task.progress_at = ledger.now
        ledger.event(task, EventType.TASK_PROGRESS, {"percent": word.percent, "message": word.message})
    ledger.touch(task)
    return Result.ACCEPTED


def _checkpoint(ledger: Ledger, task: Task, word: Word) -> Result:
    before = ledger.checkpoints.get(task.seq)
    if task.status is Status.ASSIGNED:
        runs.start(ledger, task)
    elif (
        before
        and before.saved_at >= task.started_at
        and (before.data, before.step_id) == (word.data, word.step_id)
    ):
        return Result.DUPLICATE
    steps = before.completed_steps if before else ()
    if word.step_id and word.step_id not in steps:
        steps = (*steps, word.step_id)
    checkpoint = Checkpoint(word.data, word.step_id, ledger.now, steps)
    ledger.checkpoints[task.seq] = ledger.changes.checkpoints[task.seq] = checkpoint
    ledger.touch(task)
    ledger.event(task, EventType.TASK_CHECKPOINTED, {"step_id": word.step_id, "bytes": len(word.data)})
    return Result.ACCEPTED


def _why_lost(task: Task, word: Word, agent_id: str) -> str:
    if word.lease_epoch > task.lease_epoch:
        return f"lease {word.lease_epoch} was never given"
    if word.lease_epoch < task.lease_epoch:
        return f"lease {word.lease_epoch} is over, the task is at lease {task.lease_epoch}"
    if task.agent_id != agent_id:
        return "another agent holds the lease"
    if not task.live:
        return f"the lease is over, the task is {task.status.name}"
    return "another session holds the lease"


def _ack(word: Word, result: Result, message: str = "", reason: str = "") -> Ack:
    return Ack(word.report_id, word.task_id, word.lease_epoch, result, message, reason)
