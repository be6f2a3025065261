"""What happens when time is over: delays, deadlines, offers, stop orders (spec T3, T6, T7). The engine says when; these say what."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from fleetd.core import runs
from fleetd.core.deadletters import replay
from fleetd.core.effect import Ordered
from fleetd.core.ledger import Due, DueKind, Keys, Ledger, lane_key
from fleetd.core.task import Order, Status, Task
from fleetd.errors import WrongState


@dataclass(frozen=True, slots=True)
class FireDue:
    """Entries of the due table whose time has come. Answer: None. An entry that no longer holds is dropped."""

    entries: tuple[Due, ...]

    def keys(self) -> Keys:
        return Keys(task_seqs=tuple(dict.fromkeys(entry.task_seq for entry in self.entries)))

    def more(self, ledger: Ledger) -> Keys | None:
        """A reservation that ends moves the task to another lane, which its capabilities name; a replay needs its external reference."""
        specs: list[str] = []
        refs: list[tuple[str, str]] = []
        for entry in self.entries:
            task = ledger.task_by_seq(entry.task_seq)
            if task is not None and entry.kind == DueKind.RESERVATION:
                specs.append(task.id)
            elif task is not None and entry.kind == DueKind.REPLAY and task.external_ref:
                refs.append((task.org_id, task.external_ref))
        return Keys(specs=tuple(specs), external_refs=tuple(refs)) if specs or refs else None

    def apply(self, ledger: Ledger) -> None:
        for entry in self.entries:
            task = ledger.task_by_seq(entry.task_seq)
            if task is None or not task.due & entry.kind:
                ledger.changes.due_done.append((entry.task_seq, entry.kind))
                continue
            if entry.kind == DueKind.START and entry.at != task.run_at:
                continue  # replaced by another start in the same transaction
            ledger.clear_due(task, entry.kind)
            ledger.touch(task)
            if entry.kind == DueKind.START:
                _start_delayed(ledger, task)
            elif entry.kind == DueKind.START_BY:
                _start_by_passed(ledger, task)
            elif entry.kind == DueKind.REPLAY:
                # Refused when its limit or deadline is reached or another task has its reference: it stays a dead letter.
                with suppress(WrongState):
                    replay(ledger, task, "automatic")
            elif entry.kind == DueKind.DEADLINE:
                _deadline_passed(ledger, task)
            else:
                _reservation_over(ledger, task)


def _start_delayed(ledger: Ledger, task: Task) -> None:
    if task.status is Status.BLOCKED:
        # From now on it waits for an instance alone, whatever becomes of the wall clock.
        task.run_at = 0
        task.queued_at = ledger.now
    if task.status is Status.PENDING and not task.queued:
        task.run_at = 0
        task.queued_at = ledger.now
        ledger.enter_lane(task)


def _start_by_passed(ledger: Ledger, task: Task) -> None:
    if task.status in (Status.PENDING, Status.BLOCKED):
        _out_of_time(ledger, task, "not started within schedule_to_start")
    elif task.status is Status.ASSIGNED:
        # The offer may still come back unaccepted: look again when it must have.
        ledger.add_due(task, DueKind.START_BY, ledger.now + ledger.rules.offer_timeout)


def _deadline_passed(ledger: Ledger, task: Task) -> None:
    if task.status in (Status.PENDING, Status.BLOCKED):
        _out_of_time(ledger, task, "the deadline has passed")
    elif task.live and task.order in (Order.NONE, Order.RELEASE):
        runs.order(ledger, task, Order.TIMEOUT, "the deadline has passed")
        ledger.effects.append(Ordered(task))


def _out_of_time(ledger: Ledger, task: Task, message: str) -> None:
    task.error_code, task.error_message = "TASK_TIMEOUT", message
    runs.dead_letter(ledger, task, "TASK_TIMEOUT", message)


def _reservation_over(ledger: Ledger, task: Task) -> None:
    if not task.reserved_agent or task.status is not Status.PENDING:
        return
    if task.queued:
        ledger.leave_lane(task)
    task.reserved_agent = ""
    spec = ledger.specs[task.seq]
    ledger.homeless[task.seq] = task, lane_key(task, spec.required_capabilities)


@dataclass(frozen=True, slots=True)
class EndOffers:
    """Offers (task id, lease epoch) that nobody accepted in time, or, once `accepted`, nobody started in time. Answer: None."""

    offers: tuple[tuple[str, int], ...]
    accepted: bool = False

    def keys(self) -> Keys:
        return Keys(task_ids=tuple(task_id for task_id, _ in self.offers))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> None:
        for task_id, epoch in self.offers:
            task = ledger.task(task_id)
            if task is None or task.status is not Status.ASSIGNED or task.lease_epoch != epoch:
                continue
            if self.accepted or not task.accepted:
                runs.offer_expired(ledger, task)


@dataclass(frozen=True, slots=True)
class EndGraces:
    """Leases (task id, lease epoch) under an order that was not confirmed within stop_grace. Answer: None."""

    leases: tuple[tuple[str, int], ...]

    def keys(self) -> Keys:
        return Keys(task_ids=tuple(task_id for task_id, _ in self.leases))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> None:
        for task_id, epoch in self.leases:
            task = ledger.task(task_id)
            if task is not None and task.live and task.lease_epoch == epoch and task.order is not Order.NONE:
                runs.grace_expired(ledger, task)
