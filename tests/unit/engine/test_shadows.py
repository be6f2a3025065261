"""Shadows: the same work done by the new mode on the side, compared and reported, and of no consequence (spec G2)."""

from __future__ import annotations

from typing import Any

import pytest

from fleetd.core.agent import AgentStatus
from fleetd.core.comparison import Comparison
from fleetd.core.deadletters import Discard
from fleetd.core.event import EventType
from fleetd.core.failover import fault
from fleetd.core.fallback import Forced
from fleetd.core.gating import SetLimits
from fleetd.core.interventions import Cancel, Retry
from fleetd.core.ledger import DueKind
from fleetd.core.limits import GateKey
from fleetd.core.rolling import ForceFallback, PutRollout, RemoveRollout, ResetFallback
from fleetd.core.rollout import Cause, RolloutMode, Sample
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Payload, Priority, Spec, Status, Task
from fleetd.core.words import WordKind
from fleetd.engine.rollouts import Half
from fleetd.engine.shadow_pairs import KEPT
from fleetd.errors import Overloaded, WrongState
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.rollouts import (
    CHAT,
    HOUR,
    MINUTE,
    NEW,
    OLD,
    decide,
    put,
    rollout,
    state,
    submit,
    trip,
)
from tests.unit.engine.routes import ANY, RULES, fleet_events, register

GRACE = 10 * MINUTE
"""Twice the timeout threshold: so long a shadow may hold its place."""
ALL: dict[str, Any] = {"default": OLD, "shadow_percent": 100.0}
APART: dict[str, Any] = {**ALL, "old": RolloutMode(OLD, ("old",)), "new": RolloutMode(NEW, ("new",))}


@pytest.fixture
async def fleet():
    """Agents need not be heard."""
    fleet = await Fleet(RULES).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


def taken(fleet: Fleet) -> int:
    return fleet.engine.rollout_book.places.taken("chat")


async def comparisons(fleet: Fleet, found: str = "", **more: Any) -> list[Comparison]:
    page = await fleet.store.list_comparisons("chat", found, 0, 1_000, 10_000, **{"different": False, **more})
    return page.comparisons


async def shadow_of(fleet: Fleet, task: Task) -> Task:
    assert task.rollout is not None
    assert task.rollout.other
    return await fleet.task(task.rollout.other)


def items(number: int, **more: Any) -> tuple[Submission, ...]:
    return tuple(
        Submission(f"task-{n}", "acme", Spec("w"), rollout="chat", shadow_id=f"side-{n}", **more)
        for n in range(number)
    )


# what a shadow is


async def test_a_shadow_is_a_marked_child_of_the_lowest_priority_with_one_attempt(fleet):
    """G2: lineage shadow_of; it requires what the other mode does, and has no route"""
    await register(fleet, "local:llama")
    await put(fleet, **APART)
    task = await submit(
        fleet,
        required_capabilities=("code",),
        priority=Priority.URGENT,
        input=Payload(b"question", "text/plain"),
        route=ANY,
        idempotency_key="key",
        external_ref="ref",
        tags=("t",),
        schedule_to_start=HOUR,
    )
    shadow = await shadow_of(fleet, task)
    assert shadow.rollout[:2] == ("chat", NEW)
    assert (shadow.rollout.shadow, shadow.rollout.other, shadow.parent_id) == (True, task.id, task.id)
    assert (shadow.priority, shadow.max_attempts, shadow.route) == (Priority.LOW, 1, None)
    assert (shadow.idempotency_key, shadow.external_ref, shadow.start_by) == ("", "", 0)
    assert (task.route is not None, task.rollout.mode, task.rollout.shadow) == (True, OLD, False)
    rows = await fleet.store.get_tasks([task.id, shadow.id])
    assert rows[task.id].spec.required_capabilities == ("code", "old")
    assert rows[shadow.id].spec.required_capabilities == ("code", "new")
    assert rows[shadow.id].spec.tags == ("t",)
    edges = [(task_id, edge.kind, edge.from_task_id) for task_id, edge in await fleet.store.lineage(task.id)]
    assert edges == [(shadow.id, "shadow_of", task.id)]
    (created,) = await fleet.payloads(shadow.id, EventType.TASK_CREATED)
    assert (created["shadow_of"], created["mode"], created["priority"]) == (task.id, NEW, "LOW")
    agent = await fleet.agent("agent-1", "code", "new")
    offer = await agent.take()
    assert (offer.task.id, offer.task.shadow, offer.input) == (
        shadow.id,
        True,
        Payload(b"question", "text/plain"),
    )
    assert offer.route is None
    await agent.say(offer, WordKind.COMPLETE)


async def test_a_task_is_served_before_its_shadow(fleet):
    """G2: lowest priority"""
    await put(fleet, **ALL)
    task = await submit(fleet)
    agent = await fleet.agent()
    first = await agent.start()
    assert first.task.id == task.id
    await agent.say(first, WordKind.COMPLETE)
    second = await agent.start()
    assert second.task.shadow
    await agent.say(second, WordKind.COMPLETE)


async def test_only_the_share_of_the_old_mode_s_work_has_shadows(fleet):
    """G2: sticky by org; growing it only adds members"""
    members: set[str] = set()
    for percent in (0.0, 10.0, 50.0):
        await put(fleet, default=OLD, shadow_percent=percent, shadow_limit=1_000)
        found = {f"org-{n}" for n in range(400) if decide(fleet, f"org-{n}", dry_run=True).shadow}
        assert members <= found
        assert len(found) / 400 == pytest.approx(percent / 100, abs=0.08)
        members = found
    await put(fleet, default=NEW, shadow_percent=100.0)
    assert decide(fleet).shadow == ""


async def test_there_is_no_shadow_while_forced_in_fallback_or_on_trial(fleet):
    """G2, G3"""
    await put(fleet, **ALL)
    await fleet.do(ForceFallback(CHAT, Forced(True, "outage")))
    assert (decide(fleet).shadow, (await submit(fleet)).rollout.other) == ("", "")
    await fleet.do(ForceFallback(CHAT, Forced(False, "go")))
    assert decide(fleet).shadow == NEW
    await fleet.do(ResetFallback(CHAT))
    await trip(fleet)
    assert (decide(fleet).shadow, (await submit(fleet)).rollout.other) == ("", "")
    await fleet.pass_time(MINUTE)
    assert (decide(fleet).shadow, (await submit(fleet)).rollout.other) == ("", "")


# places


async def test_there_are_never_more_than_ten_at_once(fleet):
    """G2: also of one transaction, and of tasks and services together"""
    await put(fleet, **ALL)
    assert [decide(fleet).shadow for _ in range(3)] == [NEW] * 3
    answers = await fleet.do(Submit(items(30)))
    shadows = [answer.task.rollout.other for answer in answers]
    assert (shadows[:7], set(shadows[7:])) == ([f"side-{n}" for n in range(7)], {""})
    assert [decide(fleet).shadow for _ in range(3)] == [""] * 3
    assert taken(fleet) == 10
    assert sum(task.shadow for task in await fleet.rows()) == 7
    await fleet.do(Cancel(("side-0",)))
    assert (decide(fleet).shadow, decide(fleet).shadow) == (NEW, "")


async def test_a_place_is_free_only_once_its_end_is_durable(fleet):
    """G2: never more than the limit, in no order of commands"""
    await put(fleet, **ALL, shadow_limit=1)
    await fleet.do(Submit(items(1)))
    late = items(3)[1:]
    _, answers = await fleet.together(Cancel(("side-0",)), Submit(late))
    assert [answer.task.rollout.other for answer in answers] == ["", ""]
    assert taken(fleet) == 0


async def end(fleet: Fleet, how: str, shadow: Task) -> None:
    """Bring a shadow to its end."""
    if how == "cancelled":
        await fleet.do(Cancel((shadow.id,)))
        return
    if how == "never taken":
        await fleet.pass_time(GRACE)
        return
    agent = await fleet.agent("agent-1", "new")
    offer = await agent.start()
    assert offer.task.id == shadow.id
    if how == "lost":
        await fleet.agent("agent-1", "new", incarnation="process-2")
    elif how == "deadline":
        await fleet.pass_time(GRACE)
        agent.read()
        await agent.say(offer, WordKind.STOPPED)
    elif how == "cancelled while running":
        await fleet.do(Cancel((shadow.id,)))
        await agent.say(offer, WordKind.STOPPED)
    elif how == "released":
        await agent.say(offer, WordKind.RELEASE)
        await agent.say(await agent.start(), WordKind.COMPLETE)
    elif how == "completed":
        await agent.say(offer, WordKind.COMPLETE)
    else:
        await agent.say(offer, WordKind.FAIL, code=how)


ENDS = {
    "completed": Status.COMPLETED,
    "released": Status.COMPLETED,
    "AGENT_ERROR": Status.FAILED,
    "LOGIC_ERROR": Status.FAILED,
    "TASK_TIMEOUT": Status.FAILED,
    "NO_AVAILABLE_INSTANCE": Status.FAILED,
    "503": Status.FAILED,
    "lost": Status.FAILED,
    "deadline": Status.FAILED,
    "never taken": Status.CANCELLED,
    "cancelled": Status.CANCELLED,
    "cancelled while running": Status.CANCELLED,
}


@pytest.mark.parametrize("how", ENDS)
async def test_a_shadow_gives_its_place_back_however_it_ends_and_never_becomes_a_dead_letter(fleet, how):
    """G2: nor does it touch windows, agents, breakers or its primary"""
    assert fault("TASK_TIMEOUT").limit
    await put(fleet, **APART)
    task = await submit(fleet)
    before = await fleet.task(task.id)
    shadow = await shadow_of(fleet, task)
    await end(fleet, how, shadow)
    ended = await fleet.task(shadow.id)
    assert ended.status is ENDS[how]
    assert (taken(fleet), ended.due, ended.dead_reason) == (0, 0, "")
    assert await fleet.task(task.id) == before
    events = await fleet.events(shadow.id)
    assert EventType.TASK_DEAD_LETTERED not in events
    assert EventType.TASK_RETRY_SCHEDULED not in events
    assert events.count(EventType.TASK_FAILED) == (ENDS[how] is Status.FAILED)
    assert events.count(EventType.TASK_CANCELLED) == (ENDS[how] is Status.CANCELLED)
    figures = fleet.engine.rollouts.figures("chat")
    assert (figures.old.total, figures.new.total, state(fleet).epoch) == (0, 0, 1)
    told = how not in ("never taken", "cancelled", "cancelled while running")
    assert (figures.shadow.total, figures.shadow.errors) == (told, ENDS[how] is Status.FAILED and told)
    assert not await fleet_events(fleet, EventType.BREAKER_OPENED, EventType.ROLLOUT_FALLBACK_ON)
    (compared,) = await comparisons(fleet)
    assert (compared.shadow.finished, compared.primary.finished, compared.open) == (True, False, False)
    assert (compared.shadow.code == "") is (ENDS[how] is Status.COMPLETED)


async def test_the_shadow_of_a_poisonous_task_is_over_with_its_first_loss(fleet):
    """G2, T9"""
    await put(fleet, **APART)
    shadow = await shadow_of(fleet, await submit(fleet))
    await end(fleet, "lost", shadow)
    ended = await fleet.task(shadow.id)
    assert (ended.losses, ended.error_code in ("AGENT_LOST", "LEASE_EXPIRED")) == (1, True)


async def test_failing_shadows_blame_no_agent(fleet):
    """G2: not even many of them in a row; a good one mends no record either"""
    await put(fleet, **APART)
    agent = await fleet.agent("agent-1", "new")
    before = fleet.engine.agents["agent-1"]
    counts = before.completed, before.failed, before.run_ms
    for _ in range(10):
        await submit(fleet)
        await agent.say(await agent.start(), WordKind.FAIL, code="AGENT_ERROR")
    await submit(fleet)
    await agent.say(await agent.start(), WordKind.COMPLETE)
    assert fleet.agent_status() is AgentStatus.IDLE
    after = fleet.engine.agents["agent-1"]
    assert (after.completed, after.failed, after.run_ms) == counts
    assert taken(fleet) == 0


async def test_how_long_a_shadow_took_says_nothing_of_how_long_others_will(fleet):
    """G2, T3: estimates are of the work itself"""
    await put(fleet, **APART)
    await submit(fleet, task_type="chat")
    agent = await fleet.agent("agent-1", "new")
    offer = await agent.start()
    await fleet.pass_time(MINUTE)
    await agent.say(offer, WordKind.COMPLETE)
    assert len(fleet.engine.run_times) == 0


async def test_a_failed_shadow_cannot_be_retried(fleet):
    """G2: its place is another's"""
    await put(fleet, **APART)
    shadow = await shadow_of(fleet, await submit(fleet))
    await end(fleet, "LOGIC_ERROR", shadow)
    before = await fleet.task(shadow.id)
    with pytest.raises(WrongState) as caught:
        await fleet.do(Retry(shadow.id, "again"))
    assert caught.value.reason == "TASK_NOT_RETRYABLE"
    assert await fleet.task(shadow.id) == before


async def test_the_deadline_of_a_shadow_is_its_own(fleet):
    """G2: nobody waits for it longer than twice the threshold; a delayed task's begins with the task"""
    await put(fleet, **APART)
    now = fleet.clock.wall()
    task = await submit(fleet, run_at=now + MINUTE)
    shadow = await shadow_of(fleet, task)
    assert (shadow.run_at, shadow.deadline) == (now + MINUTE, now + MINUTE + GRACE)
    assert shadow.due == DueKind.START | DueKind.DEADLINE
    agent = await fleet.agent("agent-1", "new")
    await fleet.settle()
    agent.read()
    assert not agent.offers
    await fleet.pass_time(MINUTE)
    await agent.say(await agent.take(), WordKind.COMPLETE)


async def test_a_task_that_begins_much_later_holds_no_place_until_then(fleet):
    """G2: ten of them would keep everybody else from being compared"""
    await put(fleet, **ALL)
    task = await submit(fleet, run_at=fleet.clock.wall() + GRACE + 1)
    assert (task.rollout.other, taken(fleet)) == ("", 0)
    assert (await submit(fleet, run_at=fleet.clock.wall() + GRACE)).rollout.other


async def test_an_org_at_its_pending_limit_gets_its_task_and_no_shadow(fleet):
    """G2, D10: a shadow takes no task's place"""
    await fleet.do(SetLimits(GateKey("org", "acme"), max_pending=3))
    await put(fleet, **ALL)
    found = [bool((await submit(fleet)).rollout.other) for _ in range(2)]
    assert found == [True, False]
    with pytest.raises(Overloaded):
        await submit(fleet)
    assert taken(fleet) == 1


async def test_a_repeated_submission_makes_no_second_shadow(fleet):
    """G2, T4: also in one transaction"""
    await put(fleet, **ALL)
    (first,) = items(1, idempotency_key="key", body_hash=b"x")
    again = first._replace(id="again", shadow_id="again-side")
    one, two = await fleet.together(Submit((first, again)), Submit((again,)))
    assert [answer.task.id for answer in (*one, *two)] == ["task-0"] * 3
    (repeated,) = await fleet.do(Submit((again,)))
    assert (repeated.duplicate, repeated.task.rollout.other) == (True, "side-0")
    assert (taken(fleet), len(await fleet.rows()), len(await comparisons(fleet))) == (1, 2, 1)


async def test_a_task_that_is_refused_takes_no_place(fleet):
    """G2"""
    await put(fleet, **ALL)
    (item,) = items(1, agent_id="nobody")
    await fleet.do(Submit((item,)))
    assert taken(fleet) == 0


async def test_places_of_a_transaction_that_was_taken_back_are_free():
    """G2: refused, and carried out twice"""
    store = FaultyStore()
    fleet = await Fleet(store=store).open()
    await put(fleet, **ALL)
    store.faults.append(FULL)
    await fleet.together(Submit(items(30)))
    assert taken(fleet) == 0
    store.faults.append(UNCLEAR_NOT_WRITTEN)
    await fleet.together(Submit(items(4)))
    assert taken(fleet) == 4
    store.faults.append(FULL)
    await fleet.together(Cancel(("side-0",)))
    assert taken(fleet) == 4
    await fleet.do(Cancel(("side-0",)))
    assert taken(fleet) == 3
    await fleet.check()
    await fleet.close()


async def test_a_restart_keeps_the_places_of_tasks_and_frees_those_of_services(fleet):
    """G2"""
    await put(fleet, **APART)
    assert decide(fleet).shadow == NEW
    tasks = [await submit(fleet) for _ in range(4)]
    await end(fleet, "cancelled", await shadow_of(fleet, tasks[0]))
    await fleet.restart()
    assert taken(fleet) == 3
    agent = await fleet.agent("agent-2", "new")
    for left in (2, 1, 0):
        await agent.say(await agent.start(), WordKind.COMPLETE)
        assert taken(fleet) == left


async def test_a_rollout_that_is_removed_lets_its_shadows_end(fleet):
    """G2: their places are counted until then"""
    await put(fleet, **APART)
    early = decide(fleet, decision_id="d")
    task = await submit(fleet)
    await fleet.do(RemoveRollout("chat"))
    assert taken(fleet) == 2
    await end(fleet, "completed", await shadow_of(fleet, task))
    assert taken(fleet) == 1
    await fleet.do(PutRollout(rollout(**ALL, shadow_limit=2)))
    assert [decide(fleet).shadow for _ in range(2)] == [NEW, ""]
    await fleet.pass_time(GRACE)
    assert (taken(fleet), early.shadow) == (0, NEW)


# comparisons


async def both(fleet: Fleet, first: str, task: Task, said: dict[str, dict[str, Any]]) -> Comparison:
    """Let both sides end, `first` ("old" or "new") before the other; return how they compare."""
    agents = {name: await fleet.agent(f"of-{name}", name) for name in ("old", "new")}
    offers = {name: await agent.start() for name, agent in agents.items()}
    second = "new" if first == "old" else "old"
    for name in (first, second):
        await fleet.pass_time(1_000)
        (before,) = await comparisons(fleet, task.id)
        assert before.finished_at == 0
        parts = dict(said[name])
        kind = WordKind.FAIL if parts.get("code") else WordKind.COMPLETE
        await agents[name].say(offers[name], kind, **parts)
    (found,) = await comparisons(fleet, task.id)
    assert found.finished_at == fleet.clock.wall()
    return found


@pytest.mark.parametrize("first", ["old", "new"])
@pytest.mark.parametrize(
    ("digests", "same"), [(("x", "x"), True), (("x", "y"), False), (("x", ""), None), (("", ""), None)]
)
async def test_a_comparison_is_complete_in_either_order(fleet, first, digests, same):
    """G2: digests, sizes, latencies and codes of both"""
    await put(fleet, **APART)
    task = await submit(fleet)
    said = {
        "old": {"output": Payload(b"12345", "text/plain"), "digest": digests[0]},
        "new": {"output": Payload(b"123", "text/plain"), "digest": digests[1]},
    }
    found = await both(fleet, first, task, said)
    assert (found.id, found.rollout, found.org_id) == (task.rollout.other, "chat", "acme")
    assert found.primary[:4] == (task.id, OLD, True, "")
    assert found.shadow[:4] == (task.rollout.other, NEW, True, "")
    assert (found.primary.size, found.shadow.size) == (5, 3)
    late = 1_000 * (first == "new") + 1_000, 1_000 * (first == "old") + 1_000
    assert (found.primary.latency, found.shadow.latency) == late
    assert (found.same_output, found.same_status, found.open) == (same, True, False)
    assert bool(await comparisons(fleet, different=True)) is (same is False)


async def test_work_that_fails_in_one_mode_alone_is_different(fleet):
    """G2"""
    await put(fleet, **APART)
    task = await submit(fleet)
    found = await both(fleet, "old", task, {"old": {}, "new": {"code": "AGENT_ERROR"}})
    assert (found.same_status, found.shadow.code, found.primary.code) == (False, "AGENT_ERROR", "")
    assert [each.id for each in await comparisons(fleet, different=True)] == [found.id]
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_both_sides_may_end_in_one_transaction(fleet):
    """G2"""
    await put(fleet, **APART)
    await submit(fleet)
    agents = [await fleet.agent("of-old", "old"), await fleet.agent("of-new", "new")]
    offers = [await agent.start() for agent in agents]
    await fleet.together(
        *(
            agent.saying(offer, WordKind.COMPLETE, digest="same")
            for agent, offer in zip(agents, offers, strict=True)
        )
    )
    (found,) = await comparisons(fleet)
    assert (found.same_output, found.same_status, bool(found.finished_at)) == (True, True, True)


async def test_a_shadow_does_not_end_with_its_primary(fleet):
    """G2: nor the other way round"""
    await put(fleet, **APART)
    task = await submit(fleet)
    await fleet.do(Cancel((task.id,)))
    shadow = await shadow_of(fleet, task)
    assert (shadow.status, taken(fleet)) == (Status.PENDING, 1)
    await end(fleet, "completed", shadow)
    (found,) = await comparisons(fleet)
    assert (found.primary.code, found.shadow.code, found.same_status) == ("CANCELLED", "", False)


async def test_a_primary_that_is_replayed_is_compared_by_how_it_ended_at_last(fleet):
    """G2; a dead letter that is thrown away has ended long before"""
    await put(fleet, **APART)
    tasks = [await submit(fleet, max_attempts=1) for _ in range(2)]
    agent = await fleet.agent("of-old", "old")
    for _ in range(2):
        offer = await agent.start()
        await fleet.pass_time(1_000)
        await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")
    await fleet.do(Retry(tasks[0].id, "again"))
    await agent.say(await agent.start(), WordKind.COMPLETE)
    await fleet.pass_time(MINUTE)
    await fleet.do(Discard((tasks[1].id,), "nobody wants it"))
    (good,), (bad,) = [await comparisons(fleet, task.id) for task in tasks]
    assert (good.primary.code, bad.primary.code, bad.primary.latency) == ("", "AGENT_ERROR", 1_000)


# shadows of services


async def report(fleet: Fleet, decision_id: str, *, shadow: bool, mode: str = "", **more: Any) -> None:
    values = {"size": 1, "digest": "x", "code": "", "latency": 5, **more}
    size, digest = values.pop("size"), values.pop("digest")
    sample = Sample("chat", "acme", mode or (NEW if shadow else OLD), 1, shadow=shadow, **values)
    await fleet.run(fleet.engine.rollouts.report(sample, decision_id, size, digest))


@pytest.mark.parametrize("first", [True, False])
async def test_halves_of_a_service_meet_in_either_order(fleet, first):
    """G2"""
    await put(fleet, **ALL)
    decide(fleet, decision_id="d")
    await report(fleet, "d", shadow=first, code="503" if first else "")
    assert (taken(fleet), await comparisons(fleet)) == (0 if first else 1, [])
    await report(fleet, "d", shadow=not first, code="" if first else "503")
    (found,) = await comparisons(fleet)
    assert (found.id, found.primary[:4], found.shadow[:4]) == (
        "d", ("d", OLD, True, ""), ("d", NEW, True, "503"),
    )  # fmt: skip
    assert (found.same_output, found.same_status, found.open, taken(fleet)) == (True, False, False, 0)
    figures = fleet.engine.rollouts.figures("chat")
    assert (figures.old.total, figures.new.total, figures.shadow.total) == (1, 0, 1)


async def test_repeated_and_unknown_halves_change_nothing(fleet):
    """G2"""
    await put(fleet, **ALL)
    decide(fleet, decision_id="d")
    for _ in range(3):
        await report(fleet, "d", shadow=True)
        await report(fleet, "nobody", shadow=True)
    assert (taken(fleet), await comparisons(fleet)) == (0, [])
    await report(fleet, "d", shadow=False)
    await report(fleet, "d", shadow=False)
    assert len(await comparisons(fleet)) == 1


async def test_a_shadow_that_nobody_reports_is_given_up_by_time_alone(fleet):
    """G2"""
    await put(fleet, **ALL, shadow_limit=1)
    decide(fleet, decision_id="d")
    await fleet.pass_time(GRACE - 1)
    assert decide(fleet).shadow == ""
    await fleet.pass_time(1)
    assert (taken(fleet), decide(fleet).shadow) == (0, NEW)
    await report(fleet, "d", shadow=True)
    assert taken(fleet) == 1
    await fleet.pass_time(GRACE)
    assert fleet.engine.sweeper.next() is None


async def test_halves_that_stay_alone_are_forgotten(fleet):
    """G2, S7: a thousand at the most"""
    await put(fleet, **ALL)
    for number in range(KEPT + 5):
        decide(fleet, decision_id=f"d-{number}")
        await fleet.engine.rollouts.pairs.add(f"d-{number}", Half(NEW, "", 1, 1, "x"), shadow=True)
    assert taken(fleet) == 0
    for number in (4, 5):
        await report(fleet, f"d-{number}", shadow=False)
    assert [each.id for each in await comparisons(fleet)] == ["d-5"]


@pytest.mark.parametrize("shadow", [True, False])
async def test_a_comparison_that_the_store_refused_is_told_again(shadow):
    """G2: and counts once"""
    store = FaultyStore()
    fleet = await Fleet(store=store).open()
    await put(fleet, **ALL)
    decide(fleet, decision_id="d")
    await report(fleet, "d", shadow=not shadow)
    store.faults.append(FULL)
    with pytest.raises(Overloaded):
        await report(fleet, "d", shadow=shadow)
    assert await comparisons(fleet) == []
    await report(fleet, "d", shadow=shadow)
    assert len(await comparisons(fleet)) == 1
    figures = fleet.engine.rollouts.figures("chat")
    assert (figures.old.total, figures.shadow.total, taken(fleet)) == (1, 1, 0)
    await fleet.check()
    await fleet.close()


async def test_causes_of_decisions_go_with_their_shadows(fleet):
    await put(fleet, **ALL, explicit="direct_llm")
    task = await submit(fleet)
    shadow = await shadow_of(fleet, task)
    assert (task.rollout.cause, shadow.rollout.cause) == (Cause.EXPLICIT_MODE, Cause.EXPLICIT_MODE)


async def test_the_denied_have_no_shadow(fleet):
    """G2"""
    await put(fleet, **ALL, deny=frozenset({"acme"}))
    task = await submit(fleet)
    assert (task.rollout.cause, task.rollout.other) == (Cause.DENY_LIST, "")
