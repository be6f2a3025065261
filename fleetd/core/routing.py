"""Routing: from a snapshot and requirements to a plan that explains itself (spec R3 to R5)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from operator import attrgetter

from fleetd.core import scores
from fleetd.core.breaker import BreakerKey, BreakerKind, BreakerState
from fleetd.core.filters import FILTERS, Removal, sift
from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import Instance, InstanceState, Kind
from fleetd.core.ranking import Split, by_priority, ranked, ranking
from fleetd.core.registry import Registry
from fleetd.core.route import FALLBACKS, Candidate, Elimination, Requirements, RoutePlan
from fleetd.errors import InvalidArgument

TRACED = 200
"""Instances that a full trace tells of; of them at least half are eligible ones, when there are so many."""
# Every route asks for them, and a member of an enum costs a look-up by its name, as its name does.
_CLOUD = Kind.CLOUD
_STATES = {state: state.name for state in InstanceState}
_COUNT = attrgetter("count")
CAUSES_TOLD = 3
"""Causes that the summary names, the weightiest first: it is one sentence, the counts are all in the plan."""
AFTER_BREAKERS = tuple(each for each in FILTERS if each.name != "breaker")


def route(
    registry: Registry,
    requirements: Requirements,
    *,
    plan_id: str,
    now: int,
    load: Mapping[str, int],
    probing: Mapping[BreakerKey, int],
    task_id: str = "",
    seed: str = "",
    fallbacks: int = FALLBACKS,
    version: int = 1,
    tried: Collection[str] = (),
    avoid_provider: str = "",
    pinned: str = "",
    above: int = 0,
    trace: bool = False,
) -> RoutePlan:
    """
    Choose an instance and what is tried after it. The same arguments give the same plan, to the byte.

    `now` in epoch ms. `load` holds the work in flight by instance id (give a Load: another mapping is read anew each time). `probing` tells
    until when the probe of a half-open breaker is held. `tried` are left out while another one is
    eligible; `avoid_provider` comes last; `pinned` goes first when it is eligible. `above` asks for more tokens than that, known for sure.
    `seed` breaks ties, by default the task's id.

    Returns: a plan without `selected` when nothing fits, with `retry_at` when the end of a breaker's time would help.

    Raises:
        InvalidArgument: the wanted model is no instance, provider or model that is known.
    """
    inquiry = Inquiry(registry, requirements, now, load, probing, tried, above)
    wanted = 0
    if requirements.model:
        wanted = registry.meant(requirements.model)
        if not wanted:
            raise _unknown(registry, requirements.model)
    seed = seed or task_id
    eligible, removals = sift(inquiry, inquiry.index.all)
    by_score = scores.ByScore(inquiry)
    order = ranking(inquiry, by_score, seed, pinned=pinned, avoid_provider=avoid_provider, wanted=wanted)
    chain = _chain(inquiry, eligible, order, fallbacks)
    instances = inquiry.index.instances
    names = inquiry.index.ids
    ids = [names[slot] for slot in chain]
    eliminated = tuple(
        [Elimination(each.filter.name, each.mask.bit_count(), each.detail) for each in removals]
    )
    return RoutePlan(
        plan_id=plan_id,
        task_id=task_id,
        version=version,
        selected=ids[0] if ids else "",
        fallback=tuple(ids[1:]),
        scores={names[slot]: scores.display(by_score.units(slot)) for slot in chain},
        reasons=_reasons(inquiry, instances[ids[0]], wanted, pinned) if ids else (),
        requirements=requirements,
        registry_version=registry.version,
        seed=seed,
        made_at=now,
        eliminated=eliminated,
        considered=len(registry),
        trace=tuple(_trace(inquiry, eligible, order, removals)) if trace else (),
        cause="routed" if ids else "blocked",
        summary=_summary(len(registry), eligible.bit_count(), eliminated),
        retry_at=0 if ids else _retry_at(inquiry, removals),
    )


def reject(
    registry: Registry,
    instance_id: str,
    requirements: Requirements,
    *,
    now: int,
    load: Mapping[str, int],
    probing: Mapping[BreakerKey, int],
) -> Candidate | None:
    """Return the filter that refuses an instance, with what it saw and what it wanted; None when the instance is eligible."""
    instance = registry.get(instance_id)
    if instance is None:
        return Candidate(instance_id, "known", "not registered", "a registered instance")
    inquiry = Inquiry(registry, requirements, now, load, probing)
    _, removals = sift(inquiry, inquiry.index.mask((instance_id,)))
    return _removed(inquiry, instance, removals[0]) if removals else None


def _chain(inquiry: Inquiry, eligible: int, order: list[Split], fallbacks: int) -> list[int]:
    """Return the slots of the selected instance and its fallbacks: the next best ones, and the best cloud one as the last resort (R5)."""
    best = list(islice(ranked(eligible, order), 1 + fallbacks)) if eligible else []
    cloud = eligible & inquiry.index.having("kind", _CLOUD)
    if not fallbacks or not cloud:
        return best
    resort = next((slot for slot in best if cloud >> slot & 1), -1)
    if resort < 0:
        resort = next(ranked(cloud, order))
    if resort == best[0]:
        return best
    return [*[slot for slot in best if slot != resort][:fallbacks], resort]


def _reasons(inquiry: Inquiry, instance: Instance, wanted: int, pinned: str) -> tuple[str, ...]:
    """Say in short what speaks for the selected instance."""
    requirements = inquiry.requirements
    reasons = [_STATES[inquiry.registry.condition(instance.id).state]]
    if instance.id == pinned:
        reasons.append("pinned")
    if wanted >> inquiry.index.slots[instance.id] & 1:
        reasons.append(f"model={requirements.model}")
    matched = scores.matched(inquiry, instance)
    if matched:
        reasons.append(f"tags_match={','.join(matched)}")
    reasons.append(f"ctx>={requirements.min_ctx}" if instance.ctx else "ctx_unknown")
    if scores.preferred(requirements, instance.kind):
        reasons.append(f"{instance.kind.name.lower()}_preferred")
    if by_priority(inquiry):
        reasons.append(f"priority={instance.priority}")
    return tuple(reasons)


def _summary(considered: int, eligible: int, eliminated: tuple[Elimination, ...]) -> str:
    sentence = f"{eligible}/{considered} instances"
    if not eliminated:
        return sentence
    causes = sorted(eliminated, key=_COUNT, reverse=True)[:CAUSES_TOLD]
    return f"{sentence}: {', '.join([f'{each.count} {each.detail}' for each in causes])}"


def _trace(
    inquiry: Inquiry, eligible: int, order: list[Split], removals: list[Removal]
) -> Iterator[Candidate]:
    """Tell of the best eligible instances, the best first, then of the removed ones, by filter and id."""
    index = inquiry.index
    room = max(TRACED // 2, TRACED - sum(each.mask.bit_count() for each in removals))
    fitting = list(islice(ranked(eligible, order), room)) if eligible else []
    for slot in fitting:
        instance_id = index.ids[slot]
        terms = scores.terms(inquiry, index.instances[instance_id])
        yield Candidate(instance_id, terms=terms, raw=sum(term.value for term in terms))
    removed = ((each, name) for each in removals for name in index.names(each.mask))
    for each, name in islice(removed, TRACED - len(fitting)):
        yield _removed(inquiry, index.instances[name], each)


def _removed(inquiry: Inquiry, instance: Instance, removal: Removal) -> Candidate:
    observed, required = removal.filter.saw(inquiry, instance)
    return Candidate(instance.id, removal.filter.name, observed, required)


def _retry_at(inquiry: Inquiry, removals: list[Removal]) -> int:
    """Return when the first instance that only a breaker keeps away may be tried again; 0 when there is none."""
    kept = 0
    for each in removals:
        if each.filter.name == "breaker":
            kept |= each.mask
    fit, _ = sift(inquiry, kept, AFTER_BREAKERS)
    return min(_free_at(inquiry, fit), default=0)


def _free_at(inquiry: Inquiry, mask: int) -> Iterator[int]:
    """Yield the times at which breakers let somebody of a set through; who waits for two breakers waits for the later one."""
    registry, index = inquiry.registry, inquiry.index
    waits = {**inquiry.probes, **{key: view.retry_at for key, view in registry.breakers(BreakerState.OPEN)}}
    for (kind, name), time in waits.items():
        own = mask & registry.guarded(kind, name) if kind is BreakerKind.INSTANCE else 0
        if own:
            yield max(time, waits.get((BreakerKind.PROVIDER, index.instances[name].provider_id), 0))
            mask ^= own
    for (kind, name), time in waits.items():
        if kind is BreakerKind.PROVIDER and mask & registry.guarded(kind, name):
            yield time


def _unknown(registry: Registry, model: str) -> InvalidArgument:
    nearest = registry.nearest(model)
    hint = f"the nearest name is {nearest}" if nearest else "no name is like it"
    return InvalidArgument(
        [("requirements.model", f"no instance, provider or model is called {model}; {hint}")]
    )
