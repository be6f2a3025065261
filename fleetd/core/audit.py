"""The audit log: every act of an operator leaves its line, written before the act and in its transaction (spec F5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from fleetd.core.ledger import Audit, Keys, Ledger, Rowless


class _Act(Protocol):
    def keys(self) -> Keys: ...

    def more(self, ledger: Ledger) -> Keys | None: ...

    def apply(self, ledger: Ledger) -> Any: ...


@dataclass(frozen=True, slots=True)
class Audited:
    """An act with its line of the audit log; the line stands even when the act is refused. Answer: that of the act."""

    act: _Act
    actor: str
    action: str
    target: str
    reason: str = ""

    def keys(self) -> Keys:
        return self.act.keys()

    def more(self, ledger: Ledger) -> Keys | None:
        return self.act.more(ledger)

    def apply(self, ledger: Ledger) -> Any:
        line = Audit(ledger.now, self.actor, self.action, self.target, self.reason)
        ledger.changes.audits.append(line)
        return self.act.apply(ledger)


@dataclass(frozen=True, slots=True)
class Nothing(Rowless):
    """No act: for a line that precedes an act of several transactions, or for proving that a transaction can be written. Answer: None."""

    def apply(self, ledger: Ledger) -> None:
        return None


@dataclass(frozen=True, slots=True)
class AuditLine:
    """A line as it is read; `id` grows with time."""

    id: int
    at: int
    actor: str
    action: str
    target: str
    reason: str
