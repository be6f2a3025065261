"""What probes find out about instances: noted in memory, and durable when it changes a state (spec R1, R12)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fleetd.core.instance import Condition, InstanceState
from fleetd.core.ledger import Changes
from fleetd.core.registration import NoteConditions
from fleetd.engine.availability import Availability

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine


class InstanceNotes:
    """Conditions on their way into the book of routes, and how much of the time each instance was READY."""

    def __init__(self, engine: Engine) -> None:
        self.availability = Availability()
        self._engine = engine
        self._book = engine.routes
        self._latencies: dict[str, Condition] = {}
        self._states: dict[str, Condition] = {}
        self._noting = False

    def begin(self) -> None:
        """Note how the instances are at the start."""
        registry = self._book.outside.registry
        for instance_id in registry.ids():
            self._note_ready(instance_id, registry.condition(instance_id))

    def released(self, changes: Changes) -> None:
        """A transaction was committed."""
        for instance_id, registered in changes.instances.items():
            if registered is None:
                self.availability.forget(instance_id)
            else:
                self._note_ready(instance_id, registered.condition)

    def condition(self, instance_id: str) -> Condition | None:
        """Return how an instance is, what was just reported included; None when there is no such instance."""
        registry = self._book.outside.registry
        if registry.get(instance_id) is None:
            return None
        return (
            self._states.get(instance_id)
            or self._latencies.get(instance_id)
            or registry.condition(instance_id)
        )

    def note(self, instance_id: str, condition: Condition) -> None:
        """Take what a probe found out. A change of state is durable and an event; a latency is noted in memory alone."""
        registry = self._book.outside.registry
        if registry.get(instance_id) is None:
            return
        before = registry.condition(instance_id)
        same = before.state is condition.state and before.credentials is condition.credentials
        # While another state is on its way to the store, the same one as before is a change, too.
        if same and instance_id not in self._states:
            if not self._latencies:
                self._engine.between(self._note_latencies)
            self._latencies[instance_id] = condition
            return
        self._latencies.pop(instance_id, None)
        self._states[instance_id] = condition
        self._note_states()

    def _note_latencies(self) -> None:
        noted, self._latencies = self._latencies, {}
        registry = self._book.outside.registry
        # The latency alone: what else it was may have changed in the transaction that was under way.
        self._book.note_conditions(
            {
                key: replace(registry.condition(key), latency=condition.latency)
                for key, condition in noted.items()
                if registry.get(key) is not None and _only_latency(registry.condition(key), condition)
            }
        )

    def _note_states(self) -> None:
        if self._noting or not self._states:
            return
        self._noting = True
        noted = dict(self._states)

        def landed(future: asyncio.Future[Any]) -> None:
            self._noting = False
            for key, condition in noted.items():
                if self._states.get(key) is condition:
                    del self._states[key]
            if not future.cancelled() and future.exception() is None:
                self._note_states()

        self._engine.post_internal(NoteConditions(noted)).add_done_callback(landed)

    def _note_ready(self, instance_id: str, condition: Condition) -> None:
        now = self._engine.clock.now()
        self.availability.note(instance_id, now, ready=condition.state is InstanceState.READY)


def _only_latency(before: Condition, condition: Condition) -> bool:
    """Tell whether what a probe found still differs by its latency alone: the state may have changed since it was noted."""
    return not before.held and before.state is condition.state and before.credentials is condition.credentials
