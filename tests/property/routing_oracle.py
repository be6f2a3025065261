"""
Routing once more, by brute force: plain loops written from the words of the specification (R1, R3, R4, R5, R7).

It shares nothing with the code it judges but the values that go in. Scores are counted in 45-millionths, in which every one is whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from itertools import groupby

from fleetd.core.breaker import BreakerKind, BreakerState
from fleetd.core.instance import Instance, InstanceState, Kind
from fleetd.core.route import LatencyClass
from tests.property.routing_world import NOW, Question, World

ONE = 45_000_000
UNASKED = ("enabled", "credentials", "deprecated", "state", "breaker")
ASKED = ("tags", "ctx", "larger_ctx", "capacity")
"""Filters in order: first those that ask nothing of the question."""


@dataclass
class Answer:
    """What a route should say. `removed`: the filter of each instance that is not eligible; `order`: the eligible ones, the best first."""

    removed: dict[str, str]
    order: list[str]
    chain: list[str]
    raw: dict[str, int]
    retry_at: int


class Oracle:
    """Answers questions about one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.barred = {key: self.barred_until(instance) for key, instance in world.instances.items()}
        self.unfit = {key: self.first(UNASKED, instance, None) for key, instance in world.instances.items()}
        self.digests = {
            key: int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
            for key in world.instances
        }

    def answer(self, question: Question) -> Answer:
        removed: dict[str, str] = {}
        for key, instance in self.world.instances.items():
            name = self.unfit[key] or self.first(ASKED, instance, question)
            if name:
                removed[key] = name
        fitting = [key for key in self.world.instances if key not in removed]
        tried = set(question.tried)
        untried = [key for key in fitting if key not in tried]
        if untried:
            removed.update((key, "tried") for key in fitting if key in tried)
            fitting = untried
        raw = {key: self.raw(self.world.instances[key], question) for key in fitting}
        order = self.sorted(fitting, raw, question)
        retry_at = 0 if order else self.retry_at(question)
        return Answer(removed, order, self.chain(order, question.fallbacks), raw, retry_at)

    def first(self, names: tuple[str, ...], instance: Instance, question: Question | None) -> str:
        """The first of some filters that refuses an instance."""
        return next((name for name in names if self.refuses(name, instance, question)), "")

    def refuses(self, name: str, instance: Instance, question: Question | None) -> bool:
        condition = self.world.conditions[instance.id]
        if name == "enabled":
            return not instance.enabled
        if name == "credentials":
            return not condition.credentials
        if name == "deprecated":
            return instance.deprecated_at != 0 and instance.deprecated_at <= NOW
        if name == "state":
            return condition.state not in {InstanceState.READY, InstanceState.DEGRADED}
        if name == "breaker":
            return self.barred[instance.id] > 0
        asked = question.requirements
        if name == "tags":
            return any(tag not in instance.tags for tag in asked.required)
        if name == "ctx":
            return instance.ctx != 0 and instance.ctx < asked.min_ctx
        if name == "larger_ctx":
            return question.above > 0 and instance.ctx <= question.above
        return instance.max_inflight > 0 and self.world.load.get(instance.id, 0) >= instance.max_inflight

    def barred_until(self, instance: Instance) -> int:
        """When both breakers of an instance let it through; 0 when they do now."""
        latest = 0
        for kind, name in ((BreakerKind.PROVIDER, instance.provider_id), (BreakerKind.INSTANCE, instance.id)):
            view = self.world.breakers.get((kind, name))
            held = self.world.probing.get((kind, name), 0)
            if view and view.state is BreakerState.OPEN:
                latest = max(latest, view.retry_at)
            elif view and view.state is BreakerState.HALF_OPEN and held > NOW:
                latest = max(latest, held)
        return latest

    def raw(self, instance: Instance, question: Question) -> int:
        asked = question.requirements
        total = ONE * len([need for need in asked.needs if need in instance.tags]) // 5
        total += ONE // 10 if instance.ctx else ONE // 50
        latency = self.world.conditions[instance.id].latency
        if latency is not None and asked.latency_class is not LatencyClass.BATCH:
            over = min(450_000, max(0, round(latency * 1_000) - 50_000))
            part = (450_000 - over) * 10
            if asked.latency_class is LatencyClass.FAST and latency > 200:
                part //= 2
            if "fast" in asked.prefer:
                part *= 2
            total += part
        if (instance.kind is Kind.LOCAL and "local" in asked.prefer) or (
            instance.kind is Kind.CLOUD and "cloud" in asked.prefer
        ):
            total += ONE // 20
        elif instance.kind is not Kind.LOCAL:
            total -= ONE // 50
        return total

    def sorted(self, fitting: list[str], raw: dict[str, int], question: Question) -> list[str]:
        asked, world = question.requirements, self.world
        wanted = self.wanted(asked.model)
        failover_list = any(instance.failover for instance in world.instances.values())
        priority_alone = failover_list and set(asked.needs) <= {"general"} and not asked.required
        bits = int.from_bytes(blake2b(question.seed.encode()).digest(), "little")
        rows = []
        for row in range(26):
            part = bits >> 19 * row
            rows.append((1 << part % 64 ^ 1 << (part >> 6) % 64 ^ 1 << (part >> 12) % 64, part >> 18 & 1))

        def place(key: str) -> tuple[object, ...]:
            instance = world.instances[key]
            first = (
                key != question.pinned,
                instance.provider_id == question.avoid_provider,
                key not in wanted,
                world.conditions[key].state is InstanceState.DEGRADED,
            )
            value = (instance.priority, -raw[key]) if priority_alone else (-raw[key], instance.priority)
            price = (
                round((instance.input_cost + instance.output_cost) * 1_000_000)
                if "cheap" in asked.prefer
                else 0
            )
            count = world.load.get(key, 0)
            load = Fraction(count, instance.max_inflight or 1) if count else 0
            return (*first, *value, price, load)

        def hashed(key: str) -> tuple[list[int], str]:
            digest = self.digests[key]
            return [(digest & mask).bit_count() % 2 ^ odd for mask, odd in rows], key

        order = []
        for _, equal in groupby(sorted(fitting, key=place), key=place):
            tied = list(equal)
            order += sorted(tied, key=hashed) if len(tied) > 1 else tied
        return order

    def wanted(self, model: str) -> set[str]:
        instances = self.world.instances
        if not model:
            return set()
        if model in instances:
            return {model}
        by_provider = {key for key, instance in instances.items() if instance.provider_id == model}
        return by_provider or {key for key, each in instances.items() if each.model.lower() == model.lower()}

    def chain(self, order: list[str], fallbacks: int) -> list[str]:
        """The selected one; the next best; at the end the best cloud one, unless it is the selected one."""
        if not order or not fallbacks:
            return order[:1]
        cloud = [key for key in order if self.world.instances[key].kind is Kind.CLOUD]
        if not cloud or cloud[0] == order[0]:
            return order[: 1 + fallbacks]
        others = [key for key in order[1:] if key != cloud[0]]
        return [order[0], *others[: fallbacks - 1], cloud[0]]

    def retry_at(self, question: Question) -> int:
        others = tuple(name for name in (*UNASKED, *ASKED) if name != "breaker")
        fit = [each for each in self.world.instances.values() if not self.first(others, each, question)]
        return min((self.barred[each.id] for each in fit), default=0)
