"""Who gets which task: D3, M3, T5."""

from collections import Counter

import pytest

from fleetd.core.attendance import SetCapabilities, Unregister
from fleetd.core.interventions import Cancel, Update
from fleetd.core.ledger import Due, DueKind
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Mode, ModeSource, Priority, Spec, Status
from fleetd.core.timers import FireDue
from fleetd.core.words import Result, WordKind
from tests.unit.engine.fleet import ref


async def given(fleet, *agents):
    """Return the ids of the tasks that came to each agent, in order."""
    await fleet.settle()
    for agent in agents:
        agent.read()
    return [[offer.task.id for offer in agent.offers] for agent in agents]


@pytest.mark.parametrize(
    ("has", "needs", "serves"),
    [
        ((), (), True),
        (("code",), (), True),
        (("code",), ("code",), True),
        (("code",), ("code", "test"), False),
        (("code", "test", "x"), ("code", "test"), True),
        (("code:rust",), ("code",), True),
        (("code:rust",), ("code:rust",), True),
        (("code:rust:async",), ("code:rust",), True),
        (("code",), ("code:rust",), False),
        (("coder",), ("code",), False),
        ((), ("code",), False),
    ],
)
async def test_an_agent_serves_a_task_when_it_has_all_capabilities(fleet, has, needs, serves):
    """D3, D1: `code:rust` also satisfies `code`, not the other way round."""
    task = await fleet.submit(required_capabilities=needs)
    await fleet.agent("agent-1", *has)
    assert (await fleet.status(task.id) is Status.ASSIGNED) == serves


async def test_the_agent_with_the_lowest_share_of_its_slots_taken_is_next(fleet):
    """D3: fewest running relative to max_concurrency."""
    small, large = await fleet.agent("small", slots=1), await fleet.agent("large", slots=4)
    for _ in range(5):
        await fleet.submit()
    first, second = await given(fleet, small, large)
    assert (len(first), len(second)) == (1, 4)
    for offer in large.offers[:2]:
        await large.say(offer, WordKind.COMPLETE)
    for offer in small.offers:
        await small.say(offer, WordKind.COMPLETE)
    small.offers.clear()
    large.offers.clear()
    await fleet.submit()
    assert [len(ids) for ids in await given(fleet, small, large)] == [1, 0]


async def test_ties_are_spread(fleet):
    """D3: among equals the one that was served longest ago."""
    agents = [await fleet.agent(f"agent-{n}", slots=4) for n in range(4)]
    for _ in range(8):
        await fleet.submit()
    assert [len(ids) for ids in await given(fleet, *agents)] == [2, 2, 2, 2]


async def test_one_after_the_other_every_idle_agent_gets_its_turn(fleet):
    """D3."""
    agents = [await fleet.agent(f"agent-{n}") for n in range(3)]
    served = Counter()
    for _ in range(9):
        await fleet.submit()
        await given(fleet, *agents)
        for agent in agents:
            for offer in agent.offers:
                served[agent.session.agent_id] += 1
                await agent.say(offer, WordKind.COMPLETE)
            agent.offers.clear()
    assert set(served.values()) == {3}


async def test_priority_goes_before_age_and_age_decides_within_it(fleet):
    """D3."""
    low = await fleet.submit(priority=Priority.LOW)
    medium = [await fleet.submit() for _ in range(2)]
    urgent = await fleet.submit(priority=Priority.URGENT)
    high = await fleet.submit(priority=Priority.HIGH, required_capabilities=("code",))
    agent = await fleet.agent("agent-1", "code", slots=5)
    (ids,) = await given(fleet, agent)
    assert ids == [task.id for task in (urgent, high, *medium, low)]


async def test_tasks_of_different_lanes_go_by_age(fleet):
    """D3: across capability sets and orgs."""
    tasks = [
        await fleet.submit(required_capabilities=("code",) if n % 2 else (), org_id=f"org-{n % 3}")
        for n in range(9)
    ]
    agent = await fleet.agent("agent-1", "code", slots=9)
    assert await given(fleet, agent) == [[task.id for task in tasks]]


async def test_a_released_old_task_goes_before_newer_ones(fleet):
    """T5, D3: it comes back with its old place."""
    first, second = await fleet.submit(), await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.RELEASE)
    assert (await agent.take()).task.id == first.id
    assert await fleet.status(second.id) is Status.PENDING


async def test_a_retry_keeps_its_place(fleet):
    """D3: after its backoff it goes before what was submitted later."""
    first = await fleet.submit()
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.FAIL, code="AGENT_ERROR")
    second, third = await fleet.submit(), await fleet.submit()
    offer = await agent.start()
    assert offer.task.id == second.id
    await fleet.pass_time(1_000)
    await agent.say(offer, WordKind.COMPLETE)
    assert (await agent.take()).task.id == first.id
    assert await fleet.status(third.id) is Status.PENDING


async def test_a_task_nobody_can_serve_waits_for_an_able_agent(fleet):
    """D3: it blocks nobody else and is never lost for want of an agent."""
    rare = await fleet.submit(required_capabilities=("rare",), priority=Priority.URGENT)
    plain = await fleet.submit()
    agent = await fleet.agent()
    assert (await agent.take()).task.id == plain.id
    await fleet.pass_time(3_600_000)
    assert await fleet.status(rare.id) is Status.PENDING
    able = await fleet.agent("agent-2", "rare")
    assert (await able.take()).task.id == rare.id


async def test_the_slots_an_agent_names_are_its_ceiling(fleet):
    """D3: absolute; lowering it takes nothing away, raising it takes effect at once."""
    tasks = [await fleet.submit() for _ in range(4)]
    agent = await fleet.agent(slots=2)
    offers = [await agent.start(), await agent.start()]
    fleet.engine.sessions.slots(agent.session, 1)
    await agent.say(offers[0], WordKind.COMPLETE)
    assert await given(fleet, agent) == [[]]
    assert await fleet.status(tasks[1].id) is Status.RUNNING
    fleet.engine.sessions.slots(agent.session, 3)
    assert await given(fleet, agent) == [[tasks[2].id, tasks[3].id]]


async def test_an_agent_that_wants_nothing_gets_nothing(fleet):
    """D3."""
    agent = await fleet.agent(slots=1)
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.settle()
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING


# reservations


async def test_a_task_submitted_to_an_agent_goes_to_that_agent(fleet):
    """T3, M4: submit and assign."""
    first, second = await fleet.agent("agent-1"), await fleet.agent("agent-2")
    task = await fleet.submit(agent_id="agent-2")
    assert await given(fleet, first, second) == [[], [task.id]]


async def test_a_reservation_is_free_again_after_a_minute(fleet):
    """M4: 60 s, then anybody may take it."""
    busy = await fleet.agent("busy", slots=0)
    task = await fleet.submit(agent_id="busy")
    free = await fleet.agent("free")
    for _ in range(5):
        await fleet.pass_time(10_000)
        await free.ping()
        await busy.ping()
    await fleet.pass_time(9_999)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1)
    assert (await free.take()).task.id == task.id


async def test_a_reserved_task_that_comes_back_is_reserved_for_another_full_minute(fleet):
    """M4, T5: the end of the first reservation does not end the second."""
    mine = await fleet.agent("mine")
    task = await fleet.submit(agent_id="mine")
    offer = await mine.start()
    for _ in range(3):
        await fleet.pass_time(10_000)
        await mine.ping(ref(offer))
    fleet.engine.sessions.slots(mine.session, 0)
    await mine.say(offer, WordKind.RELEASE)
    other = await fleet.agent("other")
    for _ in range(5):
        await fleet.pass_time(10_000)
        await other.ping()
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(10_000)
    assert (await other.take()).task.id == task.id


async def test_a_reservation_of_an_agent_that_cannot_do_it_any_more_waits_and_is_freed(fleet):
    """M4, D3."""
    poor = await fleet.agent("poor", "code", slots=0)
    task = await fleet.submit(agent_id="poor", required_capabilities=("code",))
    await fleet.do(SetCapabilities("poor", ()))
    fleet.engine.sessions.slots(poor.session, 1)
    assert await fleet.status(task.id) is Status.PENDING
    rich = await fleet.agent("rich", "code")
    await fleet.do(Unregister("poor"))
    for _ in range(6):
        await fleet.pass_time(10_000)
        await rich.ping()
    assert (await rich.take()).task.id == task.id


# modes


async def test_a_claim_decides_the_mode_and_a_requeue_opens_it_again(fleet):
    """M3, M1: UNDECIDED becomes PULL in the same step; an explicit mode stays."""
    free, pull = await fleet.submit(), await fleet.submit(mode=Mode.PULL)
    agent = await fleet.agent(slots=2)
    offers = [await agent.start(), await agent.start()]
    rows = [await fleet.task(task.id) for task in (free, pull)]
    assert [(row.mode, row.mode_source) for row in rows] == [
        (Mode.PULL, ModeSource.CLAIM),
        (Mode.PULL, ModeSource.EXPLICIT),
    ]
    fleet.engine.sessions.slots(agent.session, 0)
    for offer in offers:
        await agent.say(offer, WordKind.RELEASE)
    rows = [await fleet.task(task.id) for task in (free, pull)]
    assert [row.mode for row in rows] == [Mode.UNDECIDED, Mode.PULL]


async def test_a_task_for_hosts_is_never_given_to_an_agent(fleet):
    """M7: explicit SSH_CLI waits for a host."""
    task = await fleet.submit(mode=Mode.SSH_CLI)
    await fleet.agent()
    assert await fleet.status(task.id) is Status.PENDING


# many


async def test_a_thousand_tasks_and_fifty_agents_run_each_exactly_once(fleet):
    """T5, D3, D6: nobody holds more than its slots."""
    items = tuple(Submission(id=f"many-{n:04}", org_id="default", spec=Spec("work")) for n in range(1_000))
    await fleet.do(Submit(items))
    agents = [await fleet.agent(f"agent-{n:02}", slots=3) for n in range(50)]
    done = Counter()
    while sum(done.values()) < 1_000:
        await fleet.settle()
        for agent in agents:
            agent.read()
            assert len(agent.offers) <= 3
            offers, agent.offers = agent.offers, []
            for offer in offers:
                assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
                done[offer.task.id] += 1
    assert set(done.values()) == {1}
    assert {row.lease_epoch for row in await fleet.rows()} == {1}
    assert sum(agent.completed for agent in fleet.engine.agents.values()) == 1_000


async def test_more_than_one_transaction_of_claims_serves_everybody(fleet):
    """D3: a transaction gives a bounded number of leases; the rest follows by itself."""
    items = tuple(Submission(id=f"many-{n:04}", org_id="default", spec=Spec("work")) for n in range(1_000))
    await fleet.do(Submit(items))
    await fleet.do(Submit(tuple(Submission(id=f"more-{n}", org_id="o", spec=Spec("w")) for n in range(500))))
    agent = await fleet.agent(slots=2_000)
    (ids,) = await given(fleet, agent)
    assert len(ids) == len(set(ids)) == 1_500


# bookkeeping


async def test_a_head_that_was_cancelled_does_not_stop_its_lane(fleet):
    """D3, D4."""
    tasks = [await fleet.submit() for _ in range(4)]
    await fleet.do(Cancel((tasks[0].id, tasks[2].id)))
    agent = await fleet.agent(slots=4)
    assert await given(fleet, agent) == [[tasks[1].id, tasks[3].id]]


async def test_a_task_that_comes_back_and_moves_in_one_transaction_is_counted_once(fleet):
    """D3, D14: neither its old lane nor its new one loses count."""
    task, other = await fleet.submit(), await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.settle()
    saying = agent.saying(offer, WordKind.RELEASE)
    await fleet.together(saying, Update(task.id, {"priority": Priority.HIGH}))
    await fleet.check()
    fleet.engine.sessions.slots(agent.session, 2)
    assert await given(fleet, agent) == [[task.id, other.id]]


async def test_a_task_that_moves_twice_in_one_transaction_is_counted_in_its_last_lane(fleet):
    """D3, D14."""
    task = await fleet.submit()
    await fleet.together(*(Update(task.id, {"priority": priority}) for priority in Priority))
    await fleet.check()
    agent = await fleet.agent()
    assert (await agent.take()).task.priority is Priority.URGENT


async def test_a_delay_that_ends_while_the_task_changes_lanes_is_counted_in_the_new_lane(fleet):
    """D3, D14, T3: in either order."""
    at = fleet.clock.wall() + 1_000
    tasks = [await fleet.submit(run_at=at) for _ in range(2)]
    start = FireDue(tuple(Due(at, DueKind.START, task.seq) for task in tasks))
    changes = [Update(task.id, {"priority": Priority.HIGH}) for task in tasks]
    await fleet.together(changes[0], start, changes[1])
    await fleet.check()
    agent = await fleet.agent(slots=2)
    assert await given(fleet, agent) == [[task.id for task in tasks]]
