"""Limits and fair shares: gates that every lease passes, one for the org and one for each capability it needs (spec D3, D10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class GateKey(NamedTuple):
    """`kind` is "org" or "capability"."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class GateRule:
    """What an operator set: 0 = no limit. `weight` is the org's share; `max_pending` concerns orgs only."""

    weight: float = 1.0
    max_running: int = 0
    max_pending: int = 0
    paused: bool = False
    reason: str = ""


FREE = GateRule()


def closure(capabilities: Iterable[str]) -> frozenset[str]:
    """Close a capability set over prefixes: `code:rust` brings `code` (D3)."""
    closed: set[str] = set()
    for capability in capabilities:
        parts = capability.split(":")
        closed.update(":".join(parts[:end]) for end in range(1, len(parts) + 1))
    return frozenset(closed)


@dataclass(slots=True)
class Gate:
    """One org or capability: its rule, the leases that stand, and the org's virtual time."""

    key: GateKey
    rule: GateRule = FREE
    running: int = 0
    pending: int = 0
    vtime: float = 0.0
    parked: dict[int, None] = field(default_factory=dict)

    @property
    def shut(self) -> bool:
        """True while no further lease may pass."""
        return self.rule.paused or bool(self.rule.max_running and self.running >= self.rule.max_running)


class Gates:
    """All gates in memory. Changes belong to a transaction: `commit` keeps them, `rollback` takes them back."""

    def __init__(self) -> None:
        self._gates: dict[GateKey, Gate] = {}
        self._undo: dict[GateKey, tuple[GateRule, int, int, float]] = {}

    def gate(self, key: GateKey) -> Gate:
        """Return the gate; it is made when it is new."""
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(key)
        return gate

    def of(self, org_id: str, capabilities: tuple[str, ...]) -> tuple[Gate, ...]:
        """Return the gates a lease of this org with these capabilities passes, the org's first. A limit on `code` holds for `code:rust`, too."""
        org = self.gate(GateKey("org", org_id))
        return (org, *(self.gate(GateKey("capability", name)) for name in sorted(closure(capabilities))))

    def all(self) -> Iterator[Gate]:
        return iter(self._gates.values())

    def set_rule(self, key: GateKey, rule: GateRule) -> Gate:
        gate = self._touch(self.gate(key))
        gate.rule = rule
        return gate

    def enter(self, gates: tuple[Gate, ...]) -> None:
        """Note a lease that was given."""
        for gate in gates:
            self._touch(gate).running += 1

    def leave(self, gates: tuple[Gate, ...]) -> None:
        """Note a lease that ended."""
        for gate in gates:
            self._touch(gate).running -= 1

    def charge(self, org: Gate, start: float) -> None:
        """Charge a lease that started at virtual time `start` to its org."""
        self._touch(org).vtime = start + 1.0 / org.rule.weight

    def wait(self, org_id: str, change: int) -> None:
        """Note that the number of the org's waiting tasks changed."""
        self._touch(self.gate(GateKey("org", org_id))).pending += change

    def commit(self) -> None:
        self._undo.clear()

    def rollback(self) -> None:
        for key, (rule, running, pending, vtime) in self._undo.items():
            gate = self._gates[key]
            gate.rule, gate.running, gate.pending, gate.vtime = rule, running, pending, vtime
        self._undo.clear()

    def _touch(self, gate: Gate) -> Gate:
        if gate.key not in self._undo:
            self._undo[gate.key] = (gate.rule, gate.running, gate.pending, gate.vtime)
        return gate
