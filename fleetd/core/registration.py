"""Adding, removing and holding instances, and what probes find out about them (spec R1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fleetd.core.breaking import set_condition
from fleetd.core.event import EventType
from fleetd.core.instance import Condition, Instance, InstanceState, first_condition, unknown_instance
from fleetd.core.ledger import Ledger, Registered, Rowless


@dataclass(frozen=True, slots=True)
class PutInstances(Rowless):
    """
    Add instances or replace their definition. Answer: registry version.

    `states` are those that a file gives, by id. `only` names a source whose other instances are removed: a file that was read again. An instance that is
    asked as before keeps its condition. Of instances whose credential is named `credentials` tells whether it is there.
    """

    instances: tuple[Instance, ...]
    states: Mapping[str, InstanceState] = field(default_factory=dict)
    only: str = ""
    credentials: Mapping[str, bool] = field(default_factory=dict)

    def apply(self, ledger: Ledger) -> int:
        routes = ledger.routes
        wanted = {each.id: each for each in self.instances}
        registered = routes.registry.index.instances
        gone = [
            key
            for key, each in registered.items()
            if self.only and each.source == self.only and key not in wanted
        ]
        put = {}
        for key, instance in wanted.items():
            known = routes.registry.get(key)
            condition = self._condition(ledger, instance, known)
            if known == instance and condition == routes.registry.condition(key):
                continue
            put[key] = (instance, condition)
        if not put and not gone:
            return routes.registry.version
        before = {key: routes.registry.condition(key) for key in put if key in registered}
        routes.put(put, gone)
        for key in gone:
            ledger.changes.instances[key] = None
        for key, (instance, condition) in put.items():
            ledger.changes.instances[key] = Registered(instance, condition)
            if key not in before or before[key].state is not condition.state:
                _told(ledger, key, condition)
        return routes.registry.version

    def _condition(self, ledger: Ledger, instance: Instance, known: Instance | None) -> Condition:
        given = self.states.get(instance.id)
        present = self.credentials.get(instance.id, True)
        same = known is not None and (known.probe, known.probe_url) == (instance.probe, instance.probe_url)
        if same:
            # What a file says of the state is where an instance begins, not what it is made again at every look.
            return replace(ledger.routes.registry.condition(instance.id), credentials=present)
        condition = first_condition(instance, ledger.now)
        if given is not None:
            stopped = given is InstanceState.STOPPED
            condition = Condition(given, "as its file says", ledger.now, held=stopped)
        return replace(condition, credentials=present)


@dataclass(frozen=True, slots=True)
class RemoveInstance(Rowless):
    """Forget an instance; what runs on it goes on. Answer: registry version."""

    instance_id: str

    def apply(self, ledger: Ledger) -> int:
        _known(ledger, self.instance_id)
        ledger.routes.put({}, (self.instance_id,))
        ledger.changes.instances[self.instance_id] = None
        return ledger.routes.registry.version


@dataclass(frozen=True, slots=True)
class SetState(Rowless):
    """Set the state of an instance by hand. Answer: Registered. STOPPED stays until set to READY, others until the next probe or outcome."""

    instance_id: str
    state: InstanceState
    reason: str = ""

    def apply(self, ledger: Ledger) -> Registered:
        instance = _known(ledger, self.instance_id)
        before = ledger.routes.registry.condition(self.instance_id)
        since = before.since if before.state is self.state else ledger.now
        held = self.state is InstanceState.STOPPED
        reason = "" if self.state is InstanceState.READY else self.reason or "set by an operator"
        condition = replace(before, state=self.state, reason=reason, since=since, held=held)
        set_condition(ledger, self.instance_id, condition)
        return Registered(instance, condition)


@dataclass(frozen=True, slots=True)
class NoteConditions(Rowless):
    """What probes found out. Answer: None. What an operator holds is left alone: it was set while the probe was under way."""

    conditions: Mapping[str, Condition]

    def apply(self, ledger: Ledger) -> None:
        for instance_id, condition in self.conditions.items():
            if ledger.routes.registry.get(instance_id) is None:
                continue
            if not ledger.routes.registry.condition(instance_id).held:
                set_condition(ledger, instance_id, condition)


def _known(ledger: Ledger, instance_id: str) -> Instance:
    instance = ledger.routes.registry.get(instance_id)
    if instance is None:
        raise unknown_instance(instance_id, ledger.routes.registry.nearest(instance_id))
    return instance


def _told(ledger: Ledger, instance_id: str, condition: Condition) -> None:
    payload = {"instance": instance_id, "state": condition.state.name, "reason": condition.reason}
    ledger.fleet_event(EventType.INSTANCE_STATE, payload)
