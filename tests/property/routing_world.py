"""Worlds to route in: instances of a real catalogue in random conditions, and random questions."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from fleetd.core.breaker import BreakerKind, BreakerState, BreakerView
from fleetd.core.instance import Condition, Instance, InstanceState, Kind
from fleetd.core.registry import Registry
from fleetd.core.route import LatencyClass, Requirements

EXTRACT = Path(__file__).parents[1] / "data" / "instance_catalogue.json"
NOW = int(datetime(2026, 11, 27, tzinfo=UTC).timestamp() * 1_000)
TAGS = (
    "function_calling",
    "long_ctx",
    "reasoning",
    "json_schema",
    "vision",
    "prompt_caching",
    "pdf",
    "web_search",
)
RARE_TAGS = ("coding", "audio", "frontend", "general", "nobody_has_it")
WINDOWS = (1, 4_096, 8_192, 32_768, 128_000, 200_000, 262_144, 1_000_000, 2_000_001)


def catalogue(path: Path = EXTRACT) -> list[Instance]:
    """Read the instances of a catalogue, each id once, in the order of the file."""
    found = {}
    for provider in json.loads(path.read_text("utf-8"))["providers"]:
        for entry in provider["instances"]:
            metadata = entry["metadata"]
            date = metadata.get("deprecation_date")
            instance = Instance(
                id=f"{provider['provider_id']}:{entry['id']}",
                provider_id=provider["provider_id"],
                kind=Kind[provider["kind"].upper()],
                tags=tuple(sorted(metadata["tags"])),
                ctx=metadata.get("ctx", 0),
                model=metadata["model"],
                input_cost=metadata.get("input_cost_per_mtok", 0.0),
                output_cost=metadata.get("output_cost_per_mtok", 0.0),
                deprecated_at=int(datetime.fromisoformat(f"{date}T00:00:00+00:00").timestamp() * 1_000)
                if date
                else 0,
                source="catalogue",
            )
            found[instance.id] = instance
    return list(found.values())


@dataclass
class World:
    """Everything that a route depends on besides its question."""

    instances: dict[str, Instance]
    conditions: dict[str, Condition]
    breakers: dict[tuple[BreakerKind, str], BreakerView]
    load: dict[str, int]
    probing: dict[tuple[BreakerKind, str], int]

    def registry(self) -> Registry:
        """Register everything at once, in the order of the catalogue."""
        put = {key: (instance, self.conditions[key]) for key, instance in self.instances.items()}
        return Registry().with_instances(put).with_breakers(self.breakers)

    def registry_by_detours(self, rng: random.Random) -> Registry:
        """Register the same in another order, in small steps, with strangers that come and go and conditions that change."""
        registry = Registry()
        names = list(self.instances)
        rng.shuffle(names)
        while names:
            some, names = names[: len(self.instances) // 8 + 1], names[len(self.instances) // 8 + 1 :]
            strangers = {f"stranger:{key}": (self.instances[key], Condition(latency=1.0)) for key in some[:5]}
            # Strangers come last: the slots that those of the step before left go to instances that stay.
            registry = registry.with_instances(
                {**{key: (self.instances[key], Condition()) for key in some}, **strangers}
            )
            opened = [(BreakerKind.INSTANCE, key) for key in some[:3]]
            opened += [(BreakerKind.PROVIDER, self.instances[key].provider_id) for key in some[3:6]]
            registry = registry.with_breakers(dict.fromkeys(opened, BreakerView(BreakerState.OPEN, 1, 1)))
            changed = {
                key: (
                    replace(self.instances[key], tags=("other",), ctx=7, priority=3, enabled=False),
                    Condition(InstanceState.ERROR),
                )
                for key in some[:9]
            }
            registry = registry.with_instances(changed).with_instances(
                {key: (self.instances[key], registry.condition(key)) for key in changed},
                [*strangers, "unknown"],
            )
        for key in rng.sample(sorted(self.conditions), len(self.conditions)):
            if rng.random() < 0.3:
                registry = registry.with_condition(
                    key, Condition(InstanceState.STOPPED, latency=77.0, credentials=False)
                )
            registry = registry.with_condition(key, self.conditions[key])
        closed = dict.fromkeys(
            [key for key, _ in registry.breakers(BreakerState.OPEN)], BreakerView(BreakerState.CLOSED, 0, 2)
        )
        registry = registry.with_breakers(closed)
        for key, view in self.breakers.items():
            registry = registry.with_breakers({key: view})
        return registry


@dataclass
class Question:
    """What is asked, and how."""

    requirements: Requirements
    seed: str = "seed"
    fallbacks: int = 2
    tried: list[str] = field(default_factory=list)
    avoid_provider: str = ""
    pinned: str = ""
    above: int = 0


def world(rng: random.Random, known: list[Instance]) -> World:
    """Make a world: calm or broken, idle or busy, with or without a failover list."""
    trouble, busy, measured = (
        rng.choice((0.0, 0.1, 0.6)),
        rng.choice((0.0, 0.2, 0.9)),
        rng.choice((0.0, 0.5, 1.0)),
    )
    flat, failover, many_kinds = rng.random() < 0.4, rng.random() < 0.25, rng.random() < 0.5
    instances, conditions, load = {}, {}, {}
    for instance in known:
        changed = replace(
            instance,
            kind=rng.choice(list(Kind)) if many_kinds else instance.kind,
            priority=100 if flat else rng.choice((1, 2, 50, 100, 100, 100)),
            enabled=rng.random() >= trouble / 3,
            max_inflight=rng.choice((0, 0, 1, 2, 3, 4)),
            failover=failover and rng.random() < 0.05,
        )
        instances[instance.id] = changed
        latency = rng.choice(
            (20.0, 50.0, 200.0, 200.001, 219.0, 500.0, rng.randrange(5_000, 800_000) / 1_000)
        )
        conditions[instance.id] = Condition(
            state=rng.choice(list(InstanceState)) if rng.random() < trouble else InstanceState.READY,
            latency=latency if rng.random() < measured else None,
            credentials=rng.random() >= trouble / 4,
        )
        if rng.random() < busy:
            load[instance.id] = rng.randrange(5)
    breakers, probing = {}, {}
    guarded = [(BreakerKind.INSTANCE, key) for key in instances]
    guarded += [(BreakerKind.PROVIDER, key) for key in sorted({each.provider_id for each in known})]
    for kind, name in guarded:
        if rng.random() < trouble / 3:
            state = rng.choice(list(BreakerState))
            breakers[kind, name] = BreakerView(state, NOW + rng.randrange(1, 300_000), 1)
            if rng.random() < 0.5:
                probing[kind, name] = NOW + rng.randrange(-30_000, 60_000)
    return World(instances, conditions, breakers, load, probing)


def question(rng: random.Random, place: World) -> Question:
    """Ask something: mostly ordinary, now and then everything at once."""
    ids = list(place.instances)
    requirements = Requirements(
        needs=rng.choice(
            (
                (),
                ("general",),
                tuple(rng.sample(TAGS, rng.randrange(1, 5))),
                tuple(rng.sample(TAGS + RARE_TAGS, 2)),
            )
        ),
        prefer=tuple(sorted(rng.sample(("local", "cloud", "fast", "cheap"), rng.choice((0, 0, 1, 1, 2, 4))))),
        min_ctx=rng.choice(WINDOWS),
        latency_class=rng.choice(list(LatencyClass)),
        required=rng.choice(
            ((), (), (), (rng.choice(TAGS),), tuple(rng.sample(TAGS, 2)), ("nobody_has_it",))
        ),
        model=rng.choice(("", "", "", "", "", _model(rng, place))),
    )
    asked = Question(
        requirements, seed=f"task-{rng.randrange(1_000)}", fallbacks=rng.choice((0, 1, 2, 2, 5, 10))
    )
    if rng.random() < 0.2:
        asked.tried = rng.sample(ids, rng.choice((1, 2, len(ids) - 3, len(ids))))
    if rng.random() < 0.2:
        asked.avoid_provider = place.instances[rng.choice(ids)].provider_id
    if rng.random() < 0.1:
        asked.pinned = rng.choice(ids)
    if rng.random() < 0.1:
        asked.above = rng.choice(WINDOWS)
    return asked


def _model(rng: random.Random, place: World) -> str:
    instance = place.instances[rng.choice(list(place.instances))]
    return rng.choice((instance.id, instance.provider_id, instance.model, instance.model.upper()))
