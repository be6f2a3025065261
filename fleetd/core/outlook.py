"""What a route is made from at one place: the registry, the work in flight, the probes that are held."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fleetd.core.breaker import BreakerKey, BreakerKind, BreakerRules, BreakerState, BreakerView
from fleetd.core.load import Load
from fleetd.core.registry import Registry
from fleetd.core.route import Candidate, Requirements, RoutePlan
from fleetd.core.routing import reject, route
from fleetd.errors import InvalidArgument

Token = tuple[BreakerKey, int]
"""A probe of a half-open breaker, and the number under which it is held."""


class Probing(Protocol):
    """Who may try a half-open breaker, as fleetd.engine.half_open does it."""

    def take(self, key: BreakerKey, now: int, rules: BreakerRules) -> int | None: ...

    def release(self, key: BreakerKey, token: int) -> bool: ...

    def holds(self, key: BreakerKey, token: int, now: int) -> bool: ...

    def held(self, now: int) -> Mapping[BreakerKey, int]: ...


# Every route asks for them, and a member of an enum costs a look-up by its name.
_INSTANCE, _PROVIDER = BreakerKind.INSTANCE, BreakerKind.PROVIDER


@dataclass(slots=True)
class Outlook:
    """Answers by one registry and one load. Both belong to whoever holds the outlook; the probes are everybody's."""

    registry: Registry
    load: Load
    probes: Probing

    def plan(
        self,
        requirements: Requirements,
        now: int,
        *,
        own: str = "",
        mine: Collection[Token] = (),
        strict: bool = False,
        **options: Any,
    ) -> RoutePlan:
        """
        Return a plan; `options` are those of `routing.route`.

        `own` is an instance that whoever asks works on already: that work does not take its room away; `mine` are probes it was given, of which only those count that it still holds. A wanted model that is
        unknown raises InvalidArgument when `strict`; else it makes a plan without an instance, for it was known when the work was taken.
        """
        probing = self._probing(now, mine)
        counted = bool(own) and own in self.load
        if counted:
            self.load.add(own, -1)
        try:
            return route(self.registry, requirements, now=now, load=self.load, probing=probing, **options)
        except InvalidArgument as error:
            if strict:
                raise
            return RoutePlan(
                plan_id=options["plan_id"],
                task_id=options.get("task_id", ""),
                version=options.get("version", 1),
                selected="",
                fallback=(),
                scores={},
                reasons=(),
                requirements=requirements,
                registry_version=self.registry.version,
                seed=options.get("seed") or options.get("task_id", ""),
                made_at=now,
                considered=len(self.registry),
                cause="blocked",
                summary=error.fields[0][1],
            )
        finally:
            if counted:
                self.load.add(own)

    def refusal(
        self,
        instance_id: str,
        requirements: Requirements,
        now: int,
        *,
        own: bool = False,
        mine: Collection[Token] = (),
    ) -> Candidate | None:
        """Return the filter that refuses an instance, None when none does; `own` and `mine` as for `plan`."""
        counted = own and instance_id in self.load
        if counted:
            self.load.add(instance_id, -1)
        try:
            return reject(
                self.registry,
                instance_id,
                requirements,
                now=now,
                load=self.load,
                probing=self._probing(now, mine),
            )
        finally:
            if counted:
                self.load.add(instance_id)

    def guards(self, instance_id: str, provider_id: str) -> tuple[BreakerKey, BreakerKey]:
        """Return the breakers of an instance and of its provider."""
        return (_INSTANCE, instance_id), (_PROVIDER, provider_id)

    def views(self, guards: tuple[BreakerKey, BreakerKey]) -> tuple[BreakerView, BreakerView]:
        """Return how the breakers of an instance and of its provider are."""
        (kind, name), (other, owner) = guards
        return self.registry.breaker(kind, name), self.registry.breaker(other, owner)

    def broken(self, instance_id: str, provider_id: str) -> bool:
        """Tell whether a breaker lets nothing through to the instance."""
        guards = self.guards(instance_id, provider_id)
        return any(self.registry.breaker(*key).state is BreakerState.OPEN for key in guards)

    def _probing(self, now: int, mine: Collection[Token]) -> Mapping[BreakerKey, int]:
        held = self.probes.held(now)
        if not held or not mine:
            return held
        # One that took longer than its lease may have lost its probe to somebody else.
        own = {key for key, token in mine if self.probes.holds(key, token, now)}
        return {key: until for key, until in held.items() if key not in own}
