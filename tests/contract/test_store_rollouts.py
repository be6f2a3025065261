"""Rollouts in a store: definitions, salts, where they stand, and comparisons (spec G1 to G4)."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import permutations

import pytest

from fleetd.core.comparison import Comparison, Side, SideDone
from fleetd.core.fallback import Fallback, FallbackRules, Forced, Phase
from fleetd.core.rollout import BucketBy, Cause, Origin, Rollout, RolloutMode, Targets, TaskRollout
from fleetd.core.rolloutbook import Salt
from fleetd.store.base import Retention, Trimmed
from tests.contract.place import NOW, a_task, add, task, write
from tests.contract.test_store_router import at_default

ROLLOUT = Rollout(
    name="chat",
    old=RolloutMode("direct", ("plain",)),
    new=RolloutMode("runtime", ("code:rust", "gpu")),
    default="direct",
    explicit="runtime",
    allow=frozenset({"b", "a"}),
    deny=frozenset({"c"}),
    percent=12.34,
    bucket_by=BucketBy.SESSION,
    salt="pepper",
    hash_version=2,
    shadow_percent=0.01,
    shadow_limit=3,
    fallback=FallbackRules(
        0.1, 0.2, 3, 0.4, 5, 6, 7, 8, 9, 11, 12, 13, 14.5, 15, 0.16, per_org=True
    ),
    health_url="http://runtime:8000/health",
    targets=Targets(1, None, 0.05, 0.0),
    origin=Origin.STORE,
    version=4,
    updated_at=NOW,
)  # fmt: skip
STATE = Fallback(Phase.TRIAL, "why: ünïcode; 55.00%", 1, 2, 3, 4, 5, Forced(True, "outage", "op:kim", 6))
PRIMARY = Side("task-1", "direct", True, "503", 10, 1 << 40, "sha256:x")
SHADOW = Side("task-2", "runtime", True, "", 12, 13, "y")


def a_comparison(number: int = 1, **changed) -> Comparison:
    value = Comparison(
        f"shadow-{number}",
        "chat",
        "acme",
        Side(f"p-{number}", "direct"),
        Side(f"shadow-{number}", "runtime"),
        NOW + number,
    )
    return replace(value, **changed)


async def page(store, rollout="", found="", before=0, limit=100, examine=1_000, *, different=False):
    return await store.list_comparisons(rollout, found, before, limit, examine, different=different)


async def all_of(store, **more) -> list[Comparison]:
    return [replace(each, number=0) for each in (await page(store, **more)).comparisons]


async def test_every_field_of_a_definition_comes_back_as_it_was_written(store):
    """G1, G4"""
    plain = Rollout("", RolloutMode(""), RolloutMode(""), "")
    assert not at_default(ROLLOUT, plain) - {"origin"}
    assert not at_default(ROLLOUT.fallback, FallbackRules())
    await write(store, rollouts={"chat": ROLLOUT})

    (found,) = (await store.snapshot(0)).rollouts

    assert found == ROLLOUT
    for one, other in ((found, ROLLOUT), (found.fallback, ROLLOUT.fallback)):
        for each in fields(one):
            assert type(getattr(one, each.name)) is type(getattr(other, each.name)), each.name


async def test_the_least_definition_comes_back(store):
    least = Rollout("chat", RolloutMode("a"), RolloutMode("b"), "a", salt="chat")
    await write(store, rollouts={"chat": least})

    assert (await store.snapshot(0)).rollouts == [least]


async def test_definitions_are_replaced_and_removed(store):
    """G4"""
    await write(store, rollouts={"chat": ROLLOUT, "b": replace(ROLLOUT, name="b")})
    later = replace(ROLLOUT, version=5, percent=99.99)

    await write(store, rollouts={"chat": later, "b": None, "nowhere": None})

    assert (await store.snapshot(0)).rollouts == [later]


async def test_salts_and_hash_versions_are_kept_whoever_defines_the_rollout(store):
    """G2"""
    await write(store, rollout_salts={"chat": Salt("chat", 1), "file": Salt("s'alt", 2)})
    await write(store, rollout_salts={"chat": None})

    assert (await store.snapshot(0)).rollout_salts == {"file": Salt("s'alt", 2)}


async def test_states_come_back_by_scope(store):
    """G4, G5: also of orgs, and with what is forced"""
    assert not at_default(STATE, Fallback())
    states = {
        ("chat", ""): STATE,
        ("chat", "acme"): replace(STATE, forced=None, phase=Phase.FALLBACK),
        ("other", "acme"): Fallback(forced=Forced(False, "x")),
    }
    await write(store, rollout_states=states)

    found = (await store.snapshot(0)).rollout_states

    assert found == states
    assert type(found["chat", ""].phase) is Phase
    assert type(found["chat", ""].forced) is Forced
    assert found["chat", ""].forced.on is True
    await write(store, rollout_states={("chat", ""): None, ("other", "acme"): STATE})
    assert (await store.snapshot(0)).rollout_states == {
        ("chat", "acme"): states["chat", "acme"],
        ("other", "acme"): STATE,
    }


async def test_what_belongs_to_rollouts_is_there_for_the_next_store(durable_place):
    """G4"""
    first = await durable_place.open()
    await write(
        first,
        rollouts={"chat": ROLLOUT},
        rollout_states={("chat", ""): STATE},
        rollout_salts={"chat": Salt("pepper", 2)},
        comparisons=[a_comparison(open=True)],
    )
    await first.close()

    snapshot = await (await durable_place.open()).snapshot(0)

    assert (snapshot.rollouts, snapshot.rollout_states) == ([ROLLOUT], {("chat", ""): STATE})
    assert (snapshot.rollout_salts, snapshot.shadows) == ({"chat": Salt("pepper", 2)}, {"chat": 1})


async def test_how_the_mode_of_a_task_was_decided_comes_back(store):
    """G1"""
    decided = TaskRollout("chat", "runtime", Cause.PERCENT, 3, trial=True, shadow=True, other="task-9")
    await add(store, a_task(1, rollout=decided), a_task(2))

    found = (await task(store, "task-1")).rollout

    assert found == decided
    assert (type(found), type(found.cause), type(found.trial)) == (TaskRollout, Cause, bool)
    assert (await task(store, "task-2")).rollout is None


async def test_a_whole_comparison_comes_back_as_it_was_written(store):
    """G2: of work that is no task"""
    whole = a_comparison(primary=PRIMARY, shadow=SHADOW, finished_at=NOW + 9)
    await write(store, comparisons=[whole])

    assert await all_of(store) == [whole]
    assert (await store.snapshot(0)).shadows == {}


ENDS = (("primary", PRIMARY), ("shadow", SHADOW))


@pytest.mark.parametrize("order", list(permutations(ENDS)))
@pytest.mark.parametrize("together", [True, False])
async def test_sides_end_in_any_order(store, order, together):
    """G2: finished when the second one is; a place is held until the shadow has ended"""
    await write(store, comparisons=[a_comparison(open=True)])
    done = {
        ("shadow-1", name == "shadow"): SideDone("shadow-1", name == "shadow", side, NOW + at)
        for at, (name, side) in enumerate(order, 1)
    }
    if together:
        await write(store, sides=done)
    else:
        for key, each in done.items():
            (before,) = await all_of(store)
            assert before.finished_at == 0
            assert (await store.snapshot(0)).shadows == ({"chat": 1} if before.open else {})
            await write(store, sides={key: each})
    (found,) = await all_of(store)
    # Who they are was written with the comparison.
    assert found.primary == PRIMARY._replace(id="p-1", mode="direct")
    assert found.shadow == SHADOW._replace(id="shadow-1")
    assert (found.open, found.finished_at > NOW) == (False, True)
    if not together:
        assert found.finished_at == NOW + 2


async def test_a_side_may_end_again(store):
    """G2, F5: a replayed primary"""
    await write(store, comparisons=[a_comparison(open=True)])
    for at, code in enumerate(("503", "", "AGENT_ERROR"), 1):
        side = PRIMARY._replace(code=code)
        await write(store, sides={("shadow-1", False): SideDone("shadow-1", False, side, NOW + at)})
        (found,) = await all_of(store)
        assert (found.primary.code, found.finished_at, found.open) == (code, 0, True)


async def test_a_side_of_a_comparison_that_left_changes_nothing(store):
    await write(store, sides={("gone", True): SideDone("gone", True, SHADOW, NOW)})

    assert await all_of(store) == []


async def test_comparison_and_ends_may_come_in_one_write(store):
    """G2: a shadow that ends in the transaction of its submission"""
    done = SideDone("shadow-1", True, SHADOW, NOW)
    await write(store, comparisons=[a_comparison(open=True)], sides={("shadow-1", True): done})

    (found,) = await all_of(store)
    assert (found.open, found.shadow.finished) == (False, True)


async def test_open_places_are_counted_by_rollout(store):
    """G2"""
    await write(
        store,
        comparisons=[
            a_comparison(1, open=True),
            a_comparison(2, open=True),
            a_comparison(3),
            a_comparison(4, open=True, rollout="other"),
        ],
    )

    assert (await store.snapshot(0)).shadows == {"chat": 2, "other": 1}


async def test_pages_go_back_in_time_and_examine_a_bounded_number(store):
    """S7"""
    differ = {"primary": PRIMARY, "shadow": SHADOW, "finished_at": NOW}
    # Without a digest nobody knows of a difference.
    unknown = differ | {"shadow": SHADOW._replace(code=PRIMARY.code, digest="")}
    await write(
        store,
        comparisons=[
            a_comparison(
                n, rollout="chat" if n % 2 else "other", **({3: differ, 7: unknown, 9: differ}.get(n, {}))
            )
            for n in range(1, 11)
        ],
    )

    async def ids(**more) -> tuple[list[str], int]:
        found = await page(store, **more)
        return [each.id.removeprefix("shadow-") for each in found.comparisons], found.next_before

    assert await ids(limit=3) == (["10", "9", "8"], 8)
    assert await ids(limit=3, before=8) == (["7", "6", "5"], 5)
    assert (await ids(limit=30))[1] == 0
    assert await ids(rollout="chat", limit=3) == (["9", "7", "5"], 5)
    assert await ids(rollout="chat", before=5) == (["3", "1"], 0)
    assert (await ids(different=True))[0] == ["9", "3"]
    assert await ids(different=True, examine=4) == (["9"], 7)
    assert await ids(different=True, examine=3, before=7) == ([], 4)
    assert (await ids(found="shadow-4"))[0] == ["4"]
    assert (await ids(found="p-4"))[0] == ["4"]
    assert (await ids(found="p-4", rollout="chat"))[0] == []
    assert (await ids(found="nobody"))[0] == []


async def test_old_comparisons_leave_but_for_open_ones_and_the_newest(store):
    """D12: with the events of their time; an open one holds a place"""
    await write(store, comparisons=[a_comparison(n, open=n in (1, 2, 4)) for n in range(1, 9)])

    assert await store.trim(Retention(), 10) == Trimmed()
    assert await store.trim(Retention(events_before=NOW + 6), 10) == Trimmed(comparisons=2)
    assert [each.id for each in await all_of(store)] == [f"shadow-{n}" for n in (8, 7, 6, 4, 2, 1)]
    assert (await store.snapshot(0)).shadows == {"chat": 3}
    assert await store.trim(Retention(events_before=NOW + 100), 10) == Trimmed(comparisons=2)
    assert [each.id for each in await all_of(store)] == [f"shadow-{n}" for n in (8, 4, 2, 1)]


async def test_open_comparisons_do_not_keep_a_sweep_busy_or_others_from_leaving(store):
    """D12: however many there are at the old end"""
    await write(store, comparisons=[a_comparison(n, open=n <= 5) for n in range(1, 12)])

    first = await store.trim(Retention(events_before=NOW + 100), 5)
    second = await store.trim(Retention(events_before=NOW + 100), 5)

    assert (first.comparisons, first.more, second.comparisons, second.more) == (5, True, 0, False)


async def test_numbers_of_comparisons_never_come_again(store):
    """S7: a page that is read meanwhile goes on where it was"""
    await write(store, comparisons=[a_comparison(n) for n in (1, 2)])
    await store.trim(Retention(events_before=NOW + 100), 10)
    await write(store, comparisons=[a_comparison(3)])

    assert [each.number for each in (await page(store)).comparisons] == [3, 2]
