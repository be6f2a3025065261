"""Breakers in a transaction: what strikes, opens, half-opens and closes them, with the event of each change (spec F3, F4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetd.core.breaker import Breaker, BreakerKey, BreakerKind, Change
from fleetd.core.event import EventType
from fleetd.core.failover import Counts, Fault, hits
from fleetd.core.instance import Condition, Instance, InstanceState, ProbeKind
from fleetd.core.ledger import Ledger, Registered, Rowless
from fleetd.errors import InvalidArgument, NotFound

EVENTS = {
    Change.OPENED: EventType.BREAKER_OPENED,
    Change.HALF_OPENED: EventType.BREAKER_HALF_OPEN,
    Change.CLOSED: EventType.BREAKER_CLOSED,
}
WORKING = (InstanceState.READY, InstanceState.DEGRADED)
"""States that outcomes may set: the others say what a probe or an operator knows better."""

Epochs = tuple[int, int]
"""Epochs of the breakers of an instance and its provider, when a try was let through."""


def strike(
    ledger: Ledger, row: Fault, instance: Instance, message: str, *, epochs: Epochs | None, source: str
) -> bool:
    """
    Count a failed try at the breakers it concerns; tell whether it concerned any.

    `epochs` None: nobody knows when the try began, so it counts as of now. `source` is whose work it was (F3a), "" is somebody else each time. What is
    said of an instance that is not registered, or no longer, counts nowhere: there is nothing to spare, and any text could be its id.
    """
    routes = ledger.routes
    if routes.registry.get(instance.id) is None:
        return False
    alone = routes.registry.index.having("provider", instance.provider_id).bit_count() <= 1
    struck = hits(row, instance, alone=alone)
    rules = routes.rules.breakers
    for hit in struck:
        breaker = routes.change_breaker((hit.kind, hit.name))
        epoch = breaker.epoch if epochs is None else epochs[hit.kind is BreakerKind.PROVIDER]
        change = breaker.fail(
            ledger.now,
            rules,
            row.code,
            message,
            epoch=epoch,
            ratio_only=hit.counts is Counts.RATIO,
            open_for=rules.auth_open_for if hit.counts is Counts.OPEN_LONG else None,
            source=source,
        )
        ledger.changes.breakers[breaker.key] = breaker
        if change is not None:
            _turned(ledger, breaker, change)
    return bool(struck)


def succeeded(ledger: Ledger, instance: Instance, *, epochs: Epochs | None) -> None:
    """Count a try that went well at the breakers of its instance and provider, when that is registered."""
    routes = ledger.routes
    if routes.registry.get(instance.id) is None:
        return
    guards = routes.inside.guards(instance.id, instance.provider_id)
    for number, key in enumerate(guards):
        breaker = routes.change_breaker(key)
        failures = breaker.failures
        epoch = breaker.epoch if epochs is None else epochs[number]
        change = breaker.succeed(ledger.now, routes.rules.breakers, epoch=epoch)
        if change is not None:
            _turned(ledger, breaker, change)
        if change is not None or breaker.failures != failures:
            ledger.changes.breakers[key] = breaker


def set_condition(ledger: Ledger, instance_id: str, condition: Condition) -> None:
    """Set how an instance is; a change of its state is an event."""
    routes = ledger.routes
    instance = routes.registry.get(instance_id)
    if instance is None:
        return
    before = routes.registry.condition(instance_id)
    routes.put_condition(instance_id, condition)
    ledger.changes.instances[instance_id] = Registered(instance, condition)
    if before.state is not condition.state:
        payload = {"instance": instance_id, "state": condition.state.name, "reason": condition.reason}
        ledger.fleet_event(EventType.INSTANCE_STATE, payload)


def _turned(ledger: Ledger, breaker: Breaker, change: Change, reason: str = "") -> None:
    """Tell routes and everybody else that a breaker changed its state."""
    ledger.routes.show_breaker(breaker)
    payload = {
        "kind": breaker.kind.name,
        "name": breaker.name,
        "reason": reason or breaker.last_error,
        "epoch": breaker.epoch,
    }
    if change is Change.OPENED:
        payload["retry_at"] = breaker.retry_at
    ledger.fleet_event(EVENTS[change], payload)
    ledger.turned[breaker.key] = breaker
    if breaker.kind is BreakerKind.INSTANCE:
        _follow(ledger, breaker, change)


def _follow(ledger: Ledger, breaker: Breaker, change: Change) -> None:
    """
    Let the state of an instance without a probe follow its breaker (R1): DEGRADED while that is open.

    READY again with the half-opening, not after it: DEGRADED ones get work after all READY ones, and nobody would try it.
    """
    instance = ledger.routes.registry.get(breaker.name)
    if instance is None or instance.probe is not ProbeKind.NONE:
        return
    condition = ledger.routes.registry.condition(breaker.name)
    if condition.held or condition.state not in WORKING:
        return
    if change is Change.OPENED:
        state, reason = InstanceState.DEGRADED, f"its breaker is open: {breaker.last_error}"
    else:
        state, reason = InstanceState.READY, ""
    if state is not condition.state:
        changed = replace(condition, state=state, reason=reason, since=ledger.now)
        set_condition(ledger, breaker.name, changed)


@dataclass(frozen=True, slots=True)
class HalfOpen(Rowless):
    """
    Breakers whose time has come half-open; each goes with its `retry_at`. Answer: None. One that was reset or opened anew meanwhile is left as it is.

    Whoever sends this has waited that long by a clock that nobody sets: the wall clock may say otherwise.
    """

    breakers: tuple[tuple[BreakerKey, int], ...]

    def apply(self, ledger: Ledger) -> None:
        for key, retry_at in self.breakers:
            breaker = ledger.routes.change_breaker(key)
            change = breaker.due(retry_at) if breaker.retry_at == retry_at else None
            if change is not None:
                ledger.changes.breakers[key] = breaker
                _turned(ledger, breaker, change)


@dataclass(frozen=True, slots=True)
class ResetBreakers(Rowless):
    """
    Close breakers by hand and forget their strikes: the one of that kind and name, or all of the kind ("" for the name), or all (None). Answer: how
    many were not closed, or had strikes.
    """

    kind: BreakerKind | None = None
    name: str = ""
    reason: str = ""

    def apply(self, ledger: Ledger) -> int:
        count = 0
        for known in ledger.routes.all_breakers():
            if (self.kind and known.kind is not self.kind) or (self.name and known.name != self.name):
                continue
            breaker = ledger.routes.change_breaker(known.key)
            struck, spoke = breaker.failures > 0, breaker.last_error
            change = breaker.reset(ledger.now)
            if change is not None:
                _turned(ledger, breaker, change, f"reset: {self.reason}" if self.reason else "reset")
            if change is not None or struck or spoke:
                ledger.changes.breakers[known.key] = breaker
            if change is not None or struck:
                count += 1
        return count


@dataclass(frozen=True, slots=True)
class ForceBreaker(Rowless):
    """Open a breaker by hand for `duration` ms. Answer: Breaker. Raises NotFound for an instance or provider that nobody registered."""

    kind: BreakerKind
    name: str
    reason: str
    duration: int

    def apply(self, ledger: Ledger) -> Breaker:
        if self.kind is BreakerKind.HOST:
            raise InvalidArgument([("kind", "must be PROVIDER or INSTANCE: no host is known")])
        if not ledger.routes.registry.guarded(self.kind, self.name):
            what = self.kind.name.lower()
            nearest = ledger.routes.registry.nearest(self.name)
            hint = f"; the nearest name is {nearest}" if nearest else ""
            raise NotFound(f"{self.kind.name}_NOT_FOUND", f"no {what} is called {self.name!r}{hint}")
        breaker = ledger.routes.change_breaker((self.kind, self.name))
        change = breaker.force(ledger.now, self.duration, self.reason)
        ledger.changes.breakers[breaker.key] = breaker
        _turned(ledger, breaker, change)
        return breaker
