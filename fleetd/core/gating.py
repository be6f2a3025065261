"""Setting limits, weights and pauses of orgs and capabilities (spec D10)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetd.core.effect import RuleChanged
from fleetd.core.ledger import Ledger, Rowless
from fleetd.core.limits import GateKey, GateRule


@dataclass(frozen=True, slots=True)
class SetLimits(Rowless):
    """Set the numbers of a gate; None leaves one as it is, 0 lifts a limit. Answer: GateRule."""

    key: GateKey
    weight: float | None = None
    max_running: int | None = None
    max_pending: int | None = None

    def apply(self, ledger: Ledger) -> GateRule:
        rule = _rule(ledger, self.key)
        if self.weight is not None:
            rule = replace(rule, weight=self.weight)
        if self.max_running is not None:
            rule = replace(rule, max_running=self.max_running)
        if self.max_pending is not None:
            rule = replace(rule, max_pending=self.max_pending)
        return _set(ledger, self.key, rule)


@dataclass(frozen=True, slots=True)
class Pause(Rowless):
    """Let no further lease of an org or capability begin, or let them again. What runs goes on. Answer: GateRule."""

    key: GateKey
    paused: bool
    reason: str = ""

    def apply(self, ledger: Ledger) -> GateRule:
        rule = replace(_rule(ledger, self.key), paused=self.paused, reason=self.reason if self.paused else "")
        return _set(ledger, self.key, rule)


def _rule(ledger: Ledger, key: GateKey) -> GateRule:
    """Return the rule as it stands, changes of this transaction included."""
    return ledger.changes.rules.get(key) or ledger.gates.gate(key).rule


def _set(ledger: Ledger, key: GateKey, rule: GateRule) -> GateRule:
    ledger.changes.rules[key] = rule
    ledger.effects.append(RuleChanged(key, rule))
    return rule
