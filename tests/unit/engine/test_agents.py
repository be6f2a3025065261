"""The registry of agents, their health, and the orders they are under: D1, D2, D3."""

import pytest

from fleetd.core.agent import AgentOrder, AgentStatus
from fleetd.core.attendance import ConfirmOrders, OrderAgent, SetCapabilities, Unregister
from fleetd.core.event import EventType
from fleetd.core.task import Status
from fleetd.core.words import Result, WordKind
from fleetd.errors import NotFound
from tests.unit.engine.fleet import ref

E = EventType
DRAIN, UNDRAIN, STOP, START, RESTART = 5, 6, 7, 8, 9


async def fail_runs(fleet, agent, count):
    """Let the agent fail so many tasks by its own fault."""
    for _ in range(count):
        await fleet.submit(max_attempts=1)
        offer = await agent.start()
        await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR", message="broken")


async def agent_in_error(fleet):
    agent = await fleet.agent()
    await fail_runs(fleet, agent, 5)
    assert fleet.agent_status() is AgentStatus.ERROR
    return agent


# the registry


async def test_an_agent_registers_with_its_hello(fleet):
    """D1."""
    await fleet.agent("agent-1", "code:rust", slots=3)
    agent = fleet.engine.agents["agent-1"]
    assert (agent.spec.capabilities, agent.spec.max_concurrency) == (("code:rust",), 3)
    assert agent.registered_at == fleet.clock.wall()
    assert await fleet.events(agent_id="agent-1") == [E.AGENT_REGISTERED]


async def test_an_agent_that_is_unregistered_is_forgotten_and_its_runs_go_back(fleet):
    """D1, T5: unburnt."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    assert await fleet.do(Unregister("agent-1")) == 1
    agent.read()
    assert (agent.end.reason, agent.end.reconnect_after) == ("UNREGISTERED", None)
    row = await fleet.task(task.id)
    assert (row.status, row.attempt) == (Status.PENDING, 0)
    assert "agent-1" not in fleet.engine.agents
    await fleet.restart()
    assert "agent-1" not in fleet.engine.agents
    assert E.AGENT_UNREGISTERED in await fleet.events(agent_id="agent-1")


async def test_unknown_agents_are_not_found(fleet):
    """D1, S3."""
    for command in (Unregister("x"), SetCapabilities("x", ()), OrderAgent("x", AgentOrder.DRAIN, "o")):
        with pytest.raises(NotFound) as refusal:
            await fleet.do(command)
        assert refusal.value.metadata == {"agent_id": "x"}


async def test_status_says_what_the_agent_does(fleet):
    """D1: IDLE, RUNNING; STOPPED once nothing runs any more."""
    agent = await fleet.agent()
    assert fleet.agent_status() is AgentStatus.IDLE
    await fleet.submit()
    offer = await agent.start()
    assert fleet.agent_status() is AgentStatus.RUNNING
    await fleet.order(AgentOrder.STOP)
    assert fleet.agent_status() is AgentStatus.RUNNING
    await agent.say(offer, WordKind.COMPLETE)
    assert fleet.agent_status() is AgentStatus.STOPPED


async def test_the_registry_and_its_counters_survive_a_restart(fleet):
    """D1, D7."""
    agent = await fleet.agent("agent-1", "code", slots=2)
    await fleet.submit()
    offer = await agent.start()
    await fleet.pass_time(1_500)
    await agent.say(offer, WordKind.COMPLETE)
    await fail_runs(fleet, agent, 1)
    await fleet.order(AgentOrder.DRAIN)
    before = fleet.engine.agents["agent-1"].copy()
    await fleet.restart()
    after = fleet.engine.agents["agent-1"]
    assert after == before
    assert (after.completed, after.failed, after.run_ms, after.draining) == (1, 1, 1_500, True)


async def test_a_change_of_capabilities_takes_effect_for_waiting_tasks(fleet):
    """D1, D3: while connected, in both directions."""
    task = await fleet.submit(required_capabilities=("code", "test"))
    agent = await fleet.agent("agent-1", "code")
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.do(SetCapabilities("agent-1", ("code", "test")))
    offer = await agent.take()
    assert offer.task.id == task.id
    await fleet.do(SetCapabilities("agent-1", ()))
    await agent.say(offer, WordKind.COMPLETE)
    other = await fleet.submit(required_capabilities=("code",))
    assert await fleet.status(other.id) is Status.PENDING
    assert E.AGENT_STATUS in await fleet.events(agent_id="agent-1")


async def test_capabilities_changed_by_an_operator_survive_a_resume(fleet):
    """D1."""
    agent = await fleet.agent("agent-1", "code")
    await fleet.do(SetCapabilities("agent-1", ("test",)))
    await fleet.detach(agent)
    await fleet.agent("agent-1", "code")
    assert fleet.engine.agents["agent-1"].spec.capabilities == ("test",)


# health


async def test_five_failures_in_a_row_put_an_agent_in_error(fleet):
    """D2: it gets no work."""
    agent = await fleet.agent()
    await fail_runs(fleet, agent, 4)
    assert fleet.agent_status() is AgentStatus.IDLE
    await fail_runs(fleet, agent, 1)
    assert fleet.agent_status() is AgentStatus.ERROR
    assert "AGENT_ERROR" in fleet.engine.agents["agent-1"].status_reason
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_success_in_between_begins_the_count_anew(fleet):
    """D2: in a row."""
    agent = await fleet.agent()
    await fail_runs(fleet, agent, 4)
    await fleet.submit()
    await agent.say(await agent.start(), WordKind.COMPLETE)
    await fail_runs(fleet, agent, 4)
    assert fleet.agent_status() is AgentStatus.IDLE


async def test_failures_that_are_not_the_agents_own_do_not_count(fleet):
    """D2, F4: LOGIC_ERROR blames nobody."""
    agent = await fleet.agent()
    for _ in range(6):
        await fleet.submit()
        await agent.say(await agent.start(), WordKind.FAIL, code="LOGIC_ERROR")
    assert fleet.agent_status() is AgentStatus.IDLE
    assert fleet.engine.agents["agent-1"].failed == 0


async def test_an_agent_in_error_gets_one_task_on_trial_after_a_minute(fleet):
    """D2: one, whatever its slots; success ends ERROR."""
    agent = await fleet.agent(slots=4)
    await fail_runs(fleet, agent, 5)
    tasks = [await fleet.submit() for _ in range(3)]
    for _ in range(5):
        await fleet.pass_time(10_000)
        await agent.ping()
    await fleet.pass_time(9_999)
    assert [await fleet.status(task.id) for task in tasks] == [Status.PENDING] * 3
    await fleet.pass_time(1)
    offer = await agent.start()
    assert [(await fleet.status(task.id)).name for task in tasks] == ["RUNNING", "PENDING", "PENDING"]
    await agent.say(offer, WordKind.COMPLETE)
    assert fleet.agent_status() is AgentStatus.RUNNING
    assert await fleet.status(tasks[2].id) is Status.ASSIGNED


async def test_a_failed_trial_renews_the_error(fleet):
    """D2: and the minute begins anew."""
    agent = await agent_in_error(fleet)
    first, second = await fleet.submit(max_attempts=1), await fleet.submit()
    for _ in range(6):
        await fleet.pass_time(10_000)
        await agent.ping()
    offer = await agent.start()
    assert offer.task.id == first.id
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")
    assert fleet.agent_status() is AgentStatus.ERROR
    for _ in range(5):
        await fleet.pass_time(10_000)
        await agent.ping()
    assert await fleet.status(second.id) is Status.PENDING
    await fleet.pass_time(10_000)
    assert (await agent.take()).task.id == second.id


@pytest.mark.parametrize("jump", [3_600_000, -3_600_000])
async def test_a_jump_of_the_wall_clock_neither_hastens_nor_hinders_the_trial(fleet, jump):
    """D2, T7."""
    agent = await agent_in_error(fleet)
    task = await fleet.submit()
    fleet.clock.jump_wall(jump)
    for _ in range(5):
        await fleet.pass_time(10_000)
        await agent.ping()
    agent = await fleet.agent()
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(10_000)
    assert (await agent.take()).task.id == task.id


async def test_a_reconnect_does_not_put_the_trial_off(fleet):
    """D2."""
    await agent_in_error(fleet)
    task = await fleet.submit()
    for _ in range(6):
        await fleet.pass_time(10_000)
        agent = await fleet.agent()
    assert (await agent.take()).task.id == task.id


async def test_the_trial_of_an_agent_in_error_survives_a_restart_of_the_daemon(fleet):
    """D2."""
    await agent_in_error(fleet)
    task = await fleet.submit()
    await fleet.pass_time(25_000)
    await fleet.restart()
    await fleet.pass_time(10_000)
    agent = await fleet.agent()
    await fleet.pass_time(24_999)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1)
    assert (await agent.take()).task.id == task.id


async def test_a_new_process_and_a_start_order_clear_the_error(fleet):
    """D2: restart or re-registration."""
    await agent_in_error(fleet)
    await fleet.agent(incarnation="process-2")
    assert fleet.agent_status() is AgentStatus.IDLE
    agent = await fleet.agent(incarnation="process-2")
    await fail_runs(fleet, agent, 5)
    await fleet.order(AgentOrder.START)
    assert fleet.agent_status() is AgentStatus.IDLE
    await fleet.submit()
    await agent.take()


# orders


async def test_an_order_is_repeated_until_it_is_confirmed(fleet):
    """D2."""
    agent = await fleet.agent()
    order_id = await fleet.order(AgentOrder.DRAIN)
    agent.read()
    await agent.ping()
    await agent.ping()
    assert [(order.kind, order.order_id) for order in agent.orders] == [(DRAIN, order_id)] * 3
    await agent.ping(confirmed=[order_id])
    agent.orders.clear()
    await agent.ping()
    assert agent.orders == []
    assert fleet.engine.agents["agent-1"].draining


async def test_an_order_reaches_an_agent_that_was_away(fleet):
    """D2: also after a restart of the daemon."""
    agent = await fleet.agent()
    await fleet.detach(agent)
    await fleet.order(AgentOrder.STOP)
    await fleet.restart()
    back = await fleet.agent()
    back.read()
    assert [order.kind for order in back.orders] == [STOP]


async def test_a_confirmation_of_another_order_changes_nothing(fleet):
    """D2."""
    await fleet.agent()
    await fleet.order(AgentOrder.DRAIN)
    await fleet.do(ConfirmOrders("agent-1", ("other",)))
    assert fleet.engine.agents["agent-1"].order is AgentOrder.DRAIN


@pytest.mark.parametrize("order", [AgentOrder.DRAIN, AgentOrder.STOP, AgentOrder.RESTART])
async def test_unaccepted_offers_return_at_once_and_running_work_goes_on(fleet, order):
    """D2, T6: and no new work comes."""
    running, offered = await fleet.submit(), await fleet.submit()
    agent = await fleet.agent(slots=2)
    offer = await agent.start()
    lost_offer = await agent.take()
    await fleet.order(order)
    assert await fleet.status(running.id) is Status.RUNNING
    row = await fleet.task(offered.id)
    assert (row.status, row.attempt) == (Status.PENDING, 0)
    agent.read()
    assert {o.kind for o in agent.orders} == {int(order), 4}
    assert (await agent.say(lost_offer, WordKind.START)).result is Result.LEASE_LOST
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    assert await fleet.status(offered.id) is Status.PENDING


async def test_a_drained_agent_works_again_when_it_is_undrained(fleet):
    """D2."""
    agent = await fleet.agent()
    await fleet.order(AgentOrder.DRAIN)
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.order(AgentOrder.UNDRAIN)
    assert (await agent.take()).task.id == task.id


async def test_a_stopped_agent_stays_stopped_until_it_is_started(fleet):
    """D2: a new process does not change that."""
    await fleet.agent()
    await fleet.order(AgentOrder.STOP)
    agent = await fleet.agent(incarnation="process-2")
    assert fleet.agent_status() is AgentStatus.STOPPED
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.order(AgentOrder.START)
    assert (await agent.take()).task.id == task.id


async def test_a_restart_stays_in_force_until_the_new_process_is_there(fleet):
    """D2: also after it was confirmed."""
    agent = await fleet.agent()
    order_id = await fleet.order(AgentOrder.RESTART)
    await agent.ping(confirmed=[order_id])
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.agent()
    assert await fleet.status(task.id) is Status.PENDING
    new = await fleet.agent(incarnation="process-2")
    assert (await new.take()).task.id == task.id
    new.read()
    assert new.orders == []


@pytest.mark.parametrize("jump", [0, 3_600_000, -3_600_000])
async def test_what_still_runs_at_the_deadline_of_a_drain_is_handed_back(fleet, jump):
    """D2, T5: ordered back with RELEASE, unburnt; a jump of the wall clock changes nothing."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.order(AgentOrder.DRAIN, after=20_000)
    fleet.clock.jump_wall(jump)
    await fleet.pass_time(10_000)
    await agent.ping(ref(offer))
    await fleet.pass_time(9_999)
    assert {order.kind for order in agent.orders} == {DRAIN}
    await fleet.pass_time(1)
    await agent.ping(ref(offer))
    assert (agent.orders[-2].kind, agent.orders[-2].task_id) == (3, task.id)
    assert (await agent.say(offer, WordKind.STOPPED)).result is Result.ACCEPTED
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.losses) == (Status.PENDING, 0, 0)


async def test_a_run_that_is_not_handed_back_in_time_ends_with_its_grace(fleet):
    """T7, D2: stop_grace after the order, whatever the heartbeats say."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.order(AgentOrder.STOP, after=1_000)
    await fleet.pass_time(1_000)
    for _ in range(3):
        await agent.ping(ref(offer))
        await fleet.pass_time(9_999)
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(3)
    row = await fleet.task(task.id)
    assert (row.status, row.attempt) == (Status.PENDING, 0)
    assert fleet.agent_status() is AgentStatus.STOPPED


async def test_the_deadline_of_a_drain_that_was_taken_back_does_nothing(fleet):
    """D2."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.order(AgentOrder.DRAIN, after=5_000)
    await fleet.order(AgentOrder.UNDRAIN)
    await fleet.pass_time(10_000)
    await agent.ping(ref(offer))
    assert 3 not in {order.kind for order in agent.orders}
    assert await fleet.status(task.id) is Status.RUNNING


async def test_the_deadline_of_a_drain_survives_a_restart_of_the_daemon(fleet):
    """D2."""
    await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.order(AgentOrder.DRAIN, after=60_000)
    await fleet.restart()
    back = await fleet.agent(held=(ref(offer),))
    for _ in range(6):
        await fleet.pass_time(10_000)
        await back.ping(ref(offer))
    assert 3 in {order.kind for order in back.orders}
