"""Routing: from a snapshot and requirements to a plan that explains itself (spec R3 to R5)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from operator import itemgetter

from fleetd.core import scores
from fleetd.core.breaker import BreakerKey, BreakerKind, BreakerState
from fleetd.core.filters import FILTERS, Removal, sift, sift_passing
from fleetd.core.inquiry import Inquiry
from fleetd.core.instance import Instance, InstanceState
from fleetd.core.ranking import Split, by_priority, parts, ranked, ranking
from fleetd.core.recall import CHOSEN, Recalled, eliminations, recall
from fleetd.core.registry import Registry
from fleetd.core.route import FALLBACKS, Candidate, Elimination, Requirements, RoutePlan
from fleetd.core.scores import ByScore

TRACED = 200
"""Instances that a full trace tells of; of them at least half are eligible ones, when there are so many."""
# Every route asks for them, and the name of a member of an enum costs a look-up.
_STATES = {state: state.name for state in InstanceState}
_COUNT = itemgetter(Elimination._fields.index("count"))
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
    recalled = recall(inquiry)
    eligible, removed = sift_passing(inquiry, recalled.eligible)
    removals = [*recalled.removals, *removed] if removed else recalled.removals
    seed = seed or task_id
    by_score = ByScore(inquiry)
    middle, in_cloud = recalled.splits(inquiry, by_score)
    order = ranking(inquiry, middle, seed, pinned=pinned, avoid_provider=avoid_provider)
    best: list[int] = []
    if eligible:
        best = [part.bit_length() - 1 for part in islice(parts(eligible, order), 1 + fallbacks)]
        cloud = eligible & recalled.cloud
        if fallbacks and cloud:
            for resort in best:
                if cloud >> resort & 1:
                    break
            else:
                others = (
                    ranking(inquiry, in_cloud, seed, pinned=pinned, avoid_provider=avoid_provider)
                    if in_cloud is not middle
                    else order
                )
                resort = next(ranked(cloud, others))
            best = _ending_with(resort, best)
    considered = len(inquiry.index.instances)
    eliminated = recalled.eliminated
    if removed:
        eliminated += eliminations(removed)
        summary = _summary(considered, eligible.bit_count(), eliminated)
    else:
        summary = recalled.summary
        if not summary:
            summary = recalled.summary = _summary(considered, eligible.bit_count(), eliminated)
    names = inquiry.index.ids
    ids = [names[slot] for slot in best]
    return RoutePlan(
        plan_id=plan_id,
        task_id=task_id,
        version=version,
        selected=ids[0] if ids else "",
        fallback=tuple(ids[1:]),
        scores=dict(zip(ids, recalled.shown(by_score, best), strict=True)),
        reasons=_reasons(inquiry, recalled, best[0], pinned=ids[0] == pinned) if best else (),
        requirements=requirements,
        registry_version=registry.version,
        seed=seed,
        made_at=now,
        eliminated=eliminated,
        considered=considered,
        trace=tuple(_trace(inquiry, eligible, order, removals)) if trace else (),
        cause="routed" if ids else "blocked",
        summary=summary,
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


def _ending_with(resort: int, best: list[int]) -> list[int]:
    """Return the selected instance and its fallbacks, of which the best cloud one is the last resort (R5)."""
    if resort == best[0]:
        return best
    return [*[slot for slot in best if slot != resort][: len(best) - 1], resort]


def _reasons(inquiry: Inquiry, recalled: Recalled, slot: int, *, pinned: bool) -> tuple[str, ...]:
    """Say in short what speaks for the selected instance."""
    known = recalled.reasons.get(slot)
    if known is None:
        known = _lasting_reasons(inquiry, slot, recalled.wanted)
        if len(recalled.reasons) < CHOSEN:
            recalled.reasons[slot] = known
    return (known[0], "pinned", *known[1:]) if pinned else known


def _lasting_reasons(inquiry: Inquiry, slot: int, wanted: int) -> tuple[str, ...]:
    requirements, index = inquiry.requirements, inquiry.index
    instance = index.instances[index.ids[slot]]
    reasons = [_STATES[inquiry.registry.condition(instance.id).state]]
    if wanted >> slot & 1:
        reasons.append(f"model={requirements.model}")
    matched = scores.matched(inquiry, instance)
    if matched:
        reasons.append(f"tags_match={','.join(matched)}")
    reasons.append(f"ctx>={requirements.min_ctx}" if instance.ctx else "ctx_unknown")
    if scores.preferred(requirements.prefer, instance.kind):
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
