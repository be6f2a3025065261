"""Commands of one batch: each must see what the ones before did to rows, lanes and references (T2, T4, D14, M4, F5)."""

import asyncio

import pytest

from fleetd.core.agent import AgentOrder, AgentSpec
from fleetd.core.attendance import EndDrain, EndSession, Leaving, OrderAgent, Unregister
from fleetd.core.deadletters import Replay
from fleetd.core.interventions import Cancel, TimeoutRun, Update
from fleetd.core.ledger import Changes, Keys, Minute, NewTask
from fleetd.core.route import Requirements, TaskRoute
from fleetd.core.settings import Rules
from fleetd.core.task import Priority, RetryPolicy, Spec, Status, Task
from fleetd.core.words import WordKind
from fleetd.errors import Unavailable, WrongState
from fleetd.store.base import Mark, Write
from tests.unit.engine.fleet import Fleet


async def dead(fleet, agent, **parts):
    """Return a task that is a dead letter."""
    task = await fleet.submit(max_attempts=1, **parts)
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")
    assert await fleet.status(task.id) is Status.DEAD_LETTER
    return task


async def together(fleet, *commands):
    """Run commands in one batch; return their answers or errors."""
    futures = [fleet.engine.post(command) for command in commands]
    await fleet.settle()
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_two_updates_of_a_task_in_one_batch_leave_it_in_one_lane(fleet):
    """D14: the last lane counts."""
    task = await fleet.submit()
    await together(
        fleet,
        Update(task.id, {"priority": Priority.HIGH}),
        Update(task.id, {"required_capabilities": ("code",)}),
    )
    counts = {lane.key.capabilities: lane.count for lane in fleet.engine.lane_book.lanes() if lane.count}
    assert counts == {("code",): 1}
    agent = await fleet.agent("agent-1", "code")
    assert (await agent.take()).task.id == task.id


async def test_an_update_beside_the_end_of_a_reservation_leaves_the_task_in_one_lane(fleet):
    """M4, D14: the task is free for everybody, and memory knows where it waits."""
    await fleet.agent("agent-1", slots=0)
    task = await fleet.submit(agent_id="agent-1")
    fleet.clock.advance(fleet.rules.reservation)
    await together(fleet, Update(task.id, {"priority": Priority.LOW}))
    waiting = [(lane.key.agent, lane.count) for lane in fleet.engine.lane_book.lanes() if lane.count]
    assert waiting == [("", 1)]
    other = await fleet.agent("agent-2")
    assert (await other.take()).task.id == task.id


async def test_an_update_beside_the_end_of_a_delay_takes_the_task_to_its_new_lane(fleet):
    """D14, T3."""
    task = await fleet.submit(run_at=fleet.clock.wall() + 5_000)
    fleet.clock.advance(5_000)
    await together(fleet, Update(task.id, {"required_capabilities": ("code",)}))
    waiting = [(lane.key.capabilities, lane.count) for lane in fleet.engine.lane_book.lanes() if lane.count]
    assert waiting == [(("code",), 1)]


async def test_of_two_dead_letters_with_one_reference_only_one_is_replayed(fleet):
    """F5, T3: external_ref is unique among tasks that are not terminal."""
    agent = await fleet.agent()
    first = await dead(fleet, agent, external_ref="issue-1")
    second = await dead(fleet, agent, external_ref="issue-1")
    agent.fleet.engine.sessions.slots(agent.session, 0)
    ((taken, refused),) = await together(fleet, Replay((first.id, second.id), "again"))
    assert taken.status is Status.PENDING
    assert isinstance(refused, WrongState)
    assert refused.reason == "EXTERNAL_REF_IN_USE"


async def test_an_automatic_replay_whose_reference_is_taken_leaves_the_dead_letter_alone():
    """F5: the refusal of one entry takes nothing from the others."""
    fleet = await Fleet(Rules(retry=RetryPolicy(jitter=0.0), auto_replay=True)).open()
    agent = await fleet.agent()
    taken = await dead(fleet, agent, external_ref="issue-1")
    free = await dead(fleet, agent)
    agent.fleet.engine.sessions.slots(agent.session, 0)
    holder = await fleet.submit(external_ref="issue-1", run_at=fleet.clock.wall() + 3_600_000)
    await fleet.pass_time(fleet.rules.auto_replay_after)
    assert await fleet.status(taken.id) is Status.DEAD_LETTER
    assert await fleet.status(free.id) is Status.PENDING
    assert await fleet.status(holder.id) is Status.PENDING
    assert not fleet.log.errors
    await fleet.close()


async def test_an_accepted_lease_that_never_starts_goes_back_after_a_run_timeout(fleet):
    """T6, T7: its agent lives and lists it, and no attempt is burnt."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await agent.say(offer, WordKind.ACCEPT)
    waited = 0
    while waited < fleet.rules.default_timeout:
        assert await fleet.status(task.id) is Status.ASSIGNED
        await agent.ping((offer.task.id, offer.lease_epoch))
        await fleet.pass_time(10_000)
        waited += 10_000
    assert (await agent.take()).lease_epoch == 2
    assert (await fleet.task(task.id)).attempt == 0


async def test_a_claim_whose_answer_was_lost_does_not_keep_its_task_for_ever(fleet):
    """M3, T6: the agent lives on and knows nothing of the lease, also over a restart of the daemon."""
    task = await fleet.submit(timeout=5_000)
    claim = fleet.engine.unary.claim("worker", "process-1", (), 1, 0, 60_000, "")
    assert (await fleet.run(claim)).offers[0].task.id == task.id
    await fleet.pass_time(30_000)
    await fleet.restart()
    for _ in range(3):
        assert await fleet.status(task.id) is Status.ASSIGNED
        await fleet.run(fleet.engine.unary.heartbeat("worker", "process-1", [], []))
        await fleet.pass_time(20_000)
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_claim_renews_the_session_that_was_registered_again_meanwhile(fleet):
    """M3, D2."""
    await fleet.run(fleet.engine.unary.claim("worker", "process-1", (), 1, 0, 60_000, ""))
    session = fleet.engine.sessions.get("worker")
    waiting = asyncio.ensure_future(
        fleet.engine.unary.claim("worker", "process-1", (), 1, 60_000, 60_000, "")
    )
    await fleet.settle()
    await fleet.run(fleet.engine.unary.register(fleet.engine.agents["worker"].spec, "process-1", 60_000))
    again = fleet.engine.sessions.get("worker")
    assert again is not session
    fleet.clock.advance(30_000)
    await fleet.submit()
    await fleet.run(waiting)
    assert again.expires_at == fleet.clock.now() + 60_000


async def test_a_timeout_beside_a_cancel_in_one_batch_ends_as_cancelled(fleet):
    """D4, D5: nothing replaces a cancel."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await together(fleet, Cancel((task.id,)), TimeoutRun(task.id, "too long"))
    await agent.say(offer, WordKind.STOPPED)
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_a_heartbeat_whose_session_ends_in_the_same_batch_is_refused_plainly(fleet):
    """D1, D2: the agent was forgotten beside its return; no internal error."""
    await fleet.run(fleet.engine.unary.register(AgentSpec("worker"), "process-1", 15_000))
    await fleet.pass_time(15_000)
    assert fleet.engine.sessions.get("worker") is None
    beat = asyncio.ensure_future(fleet.engine.unary.heartbeat("worker", "process-1", [], []))
    await asyncio.sleep(0)
    await together(fleet, Unregister("worker"))
    with pytest.raises(Unavailable, match="ended just now"):
        await beat


async def test_a_claim_beside_a_takeover_gets_nothing_of_the_new_process(fleet):
    """D1: the process that was replaced in the same batch is told so."""
    claim = asyncio.ensure_future(fleet.engine.unary.claim("worker", "process-1", (), 1, 0, 60_000, ""))
    await asyncio.sleep(0)
    takeover = asyncio.ensure_future(fleet.engine.unary.register(AgentSpec("worker"), "process-2", 60_000))
    await asyncio.sleep(0)
    await fleet.submit()
    await takeover
    with pytest.raises(WrongState, match="another process"):
        await claim


async def test_an_agent_that_came_back_before_its_end_was_carried_out_is_not_lost(fleet):
    """D2: with a full queue, hello and end are batches apart."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    end = agent.session.ending = EndSession("agent-1", 1, Leaving.LOST)
    again = await fleet.agent(held=((offer.task.id, offer.lease_epoch),))
    assert await fleet.do(end) == 0
    assert fleet.engine.sessions.get("agent-1") is again.session
    assert await fleet.status(task.id) is Status.RUNNING


async def test_an_agent_that_is_heard_before_its_end_was_carried_out_is_not_lost(fleet):
    """D2: the heartbeat was answered, while the end waited behind a slow transaction; silence from then on counts anew."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.clock.advance(agent.session.lease_ttl)
    fleet.engine.sessions.expire("agent-1")
    await agent.ping((offer.task.id, offer.lease_epoch))
    assert fleet.engine.sessions.get("agent-1") is agent.session
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(agent.session.lease_ttl - 1)
    assert fleet.engine.sessions.get("agent-1") is agent.session
    await fleet.pass_time(1)
    assert fleet.engine.sessions.get("agent-1") is None


async def test_the_end_of_an_agent_that_was_unregistered_does_not_reach_its_next_registration(fleet):
    """D1, D2: the numbers of its sessions begin anew."""
    agent = await fleet.agent()
    end = agent.session.ending = EndSession("agent-1", 1, Leaving.LOST)
    await fleet.do(Unregister("agent-1"))
    again = await fleet.agent()
    assert again.session.epoch == 1
    assert await fleet.do(end) == 0
    assert fleet.engine.sessions.get("agent-1") is again.session


async def test_an_order_about_a_lease_that_ended_in_the_same_batch_is_not_sent(fleet):
    """D2, T7: the drain deadline beside the loss of the agent."""
    await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    deadline = fleet.clock.wall() + 5_000
    await fleet.do(OrderAgent("agent-1", AgentOrder.DRAIN, "drain-1", deadline=deadline))
    await together(fleet, EndDrain("agent-1", deadline), EndSession("agent-1", 1, Leaving.LOST))
    agent.read()
    assert [order.order_id for order in agent.orders if order.task_id] == []


class Reads:
    """A command that reads what it names, changes nothing, and answers with the seqs of the tasks it found."""

    def __init__(self, **wanted):
        self.wanted = Keys(**wanted)

    def keys(self):
        return self.wanted

    def more(self, ledger):
        return None

    def apply(self, ledger):
        return [seq for seq in (1, 2, 3, 4) if ledger.task_by_seq(seq) is not None]


async def test_blocked_tasks_are_loaded_for_every_command_of_a_batch(fleet):
    """R6: two commands look at two groups, and each finds its own"""
    blocked = [
        Task(
            seq=seq,
            id=f"t-{seq}",
            place=seq,
            status=Status.BLOCKED,
            blocked=group,
            route=TaskRoute(Requirements()),
        )
        for seq, group in enumerate((7, 7, -8, 9), 1)
    ]

    def script():
        yield Write(Changes(new_tasks=[NewTask(task, Spec(""), None) for task in blocked]))
        yield Mark(0, 0, Minute(), {Status.BLOCKED: len(blocked)})

    await fleet.store.transact(script)
    await fleet.restart()

    answers = await together(fleet, Reads(blocked=((7, 1),)), Reads(blocked=((-8, 5), (7, 1))))

    assert answers == [[1, 3], [1, 3]]
