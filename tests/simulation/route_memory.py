"""Whether the book of routes of an engine is what its store says, and what its services hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from fleetd.engine.engine import Engine


def standing(engine: Engine) -> Counter[str]:
    """Return how many routes that are no task's are counted, by instance."""
    return Counter(kept.instance for kept in engine.router._ring._kept.values() if kept.counted)


def compare(engine: Engine, fresh: Engine) -> Iterator[str]:
    """Yield what differs between an idle engine and one that was just made from the store."""
    book, stored = engine.routes, fresh.routes
    book.gather()
    book.begin()
    pairs: list[tuple[str, Any, Any]] = [
        ("the load within and without transactions", dict(book.inside.load), dict(book.outside.load)),
        ("the load", dict(book.outside.load), dict(Counter(stored.outside.load) + standing(engine))),
        ("the registry within and without", book.inside.registry.version, book.outside.registry.version),
        ("the instances", _instances(engine), _instances(fresh)),
        ("the breakers", _breakers(engine), _breakers(fresh)),
        ("what routes see of breakers", _views(engine), _views(fresh)),
    ]
    for name, mine, theirs in pairs:
        if mine != theirs:
            yield f"memory differs from the store in {name}: {mine} and {theirs}"
    lacking = [key for key in stored.groups if key not in book.groups]
    if lacking:
        yield f"nobody looks for tasks that wait in the groups {lacking}"
    yield from _probes(engine)


def _instances(engine: Engine) -> dict[str, Any]:
    registry = engine.routes.outside.registry
    return {
        instance_id: (instance, registry.condition(instance_id).state, registry.condition(instance_id).held)
        for instance_id, instance in sorted(registry.index.instances.items())
    }


def _breakers(engine: Engine) -> dict[Any, Any]:
    return {b.key: b for b in engine.routes.all_breakers() if b.failures or b.epoch}


def _views(engine: Engine) -> dict[Any, Any]:
    registry = engine.routes.outside.registry
    keys = sorted(b.key for b in engine.routes.all_breakers() if b.failures or b.epoch)
    return {key: registry.breaker(*key) for key in keys}


def _probes(engine: Engine) -> Iterator[str]:
    """A probe that is held is held by somebody: else nobody tries that breaker until its lease ends."""
    book = engine.routes
    held = {token for tokens in book._held.values() for token in tokens}
    held |= {token for kept in engine.router._ring._kept.values() for token in kept.tokens}
    for key, probe in book.probes._probes.items():  # type: ignore[attr-defined]
        if (key, probe.token) not in held:
            yield f"the probe of {key} is held by nobody"
    live = {task_id for session in engine.sessions.all() for task_id, _ in session.refs()}
    for task_id in book._held:
        if task_id not in live:
            yield f"{task_id} holds a probe and no lease"
