"""Who gets a task and when: hosts at once, agents when none has taken it in time, and always as its submitter named it. M1, M2, M3, M7."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetd.core.agent import SessionKind
from fleetd.core.deciding import DecideModes, LaneLook, Looked
from fleetd.core.event import EventType
from fleetd.core.host import HostState
from fleetd.core.hosting import NoteHost, PutHosts, RemoveHost, SetHostState
from fleetd.core.interventions import Cancel, Retry, Update
from fleetd.core.modes import Prefer
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Mode, ModeSource, Spec, Status
from fleetd.core.words import WordKind
from fleetd.engine.mode_cycle import CYCLE, LOOKED_AT
from tests.unit.engine.fleet import RULES, Fleet, ref

DECIDED = EventType.EXECUTION_MODE_DECIDED
UNDECIDED = Mode.UNDECIDED, ModeSource.NONE
PATIENCE = 30_000
CODE = {"required_capabilities": ("code",)}


async def mode(fleet, task):
    row = await fleet.task(task.id)
    return row.mode, row.mode_source


async def decisions(fleet, task):
    return [(each["execution_mode"], each["cause"]) for each in await fleet.payloads(task.id, DECIDED)]


# phase 1


async def test_a_free_host_gets_an_undecided_task_at_once(fleet):
    """M2: phase 1"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    task = await fleet.submit(**CODE)
    offer = await seat.start()
    assert (offer.task.id, offer.lease_epoch) == (task.id, 1)
    assert await mode(fleet, task) == (Mode.SSH_CLI, ModeSource.AUTO)
    assert await decisions(fleet, task) == [("SSH_CLI", "host:build-1/coder has a free slot")]
    assert [each["execution_mode"] for each in await fleet.payloads(task.id, EventType.TASK_ASSIGNED)] == [
        "SSH_CLI"
    ]


async def test_a_host_that_is_free_again_gets_the_next_task_at_once(fleet):
    """M2: at once on events, not with the cycle"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    first, second = [await fleet.submit(**CODE) for _ in range(2)]
    offer = await seat.start()
    assert await mode(fleet, second) == UNDECIDED
    await seat.say(offer, WordKind.COMPLETE)
    assert (await seat.take()).task.id == second.id
    assert (await fleet.status(first.id), await mode(fleet, second)) == (
        Status.COMPLETED,
        (Mode.SSH_CLI, ModeSource.AUTO),
    )


async def test_a_claim_decides_what_nobody_has_and_writes_no_event_beside_its_lease(fleet):
    """M3: UNDECIDED becomes PULL in the same atomic step"""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.start()
    assert await mode(fleet, task) == (Mode.PULL, ModeSource.CLAIM)
    assert await decisions(fleet, task) == []


@pytest.mark.parametrize(
    ("prefer", "first"), [(Prefer.HOST, "host:build-1/coder"), (Prefer.AGENT, "agent-1")]
)
async def test_a_host_and_an_agent_that_are_both_free_get_it_by_preference(prefer, first):
    """M2"""
    fleet = await Fleet(replace(RULES, prefer=prefer)).open()
    await fleet.host("build-1", "code")
    await fleet.seat("build-1")
    await fleet.agent("agent-1", "code")
    tasks = [await fleet.submit(**CODE) for _ in range(2)]
    assert [(await fleet.task(task.id)).agent_id for task in tasks] == [
        first,
        *({"host:build-1/coder", "agent-1"} - {first}),
    ]
    await fleet.check()
    await fleet.close()


# phase 2


async def test_what_no_host_can_take_is_left_to_agents_after_thirty_seconds(fleet):
    """M2: the first cycle after the time is over, with the cause"""
    await fleet.host("build-1", "code")
    await fleet.seat("build-1")
    task = await fleet.submit(required_capabilities=("test",))
    await fleet.pass_time(PATIENCE - 1)
    assert await mode(fleet, task) == UNDECIDED
    await fleet.pass_time(CYCLE)
    assert await mode(fleet, task) == (Mode.PULL, ModeSource.AUTO)
    assert await decisions(fleet, task) == [("PULL", "no host can take it after 30 s")]
    await fleet.pass_time(10 * CYCLE)
    assert len(await decisions(fleet, task)) == 1


async def test_what_no_host_had_room_for_is_left_to_agents_and_a_host_may_still_take_it(fleet):
    """M2: an auto PULL nobody claimed may still be taken"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    await fleet.submit(**CODE)
    running = await seat.start()
    task = await fleet.submit(**CODE)
    await fleet.pass_time(CYCLE)
    await seat.ping(ref(running))
    await fleet.pass_time(CYCLE)
    await seat.ping(ref(running))
    await fleet.pass_time(CYCLE)
    assert await decisions(fleet, task) == [("PULL", "no host had a free slot within 30 s")]
    await seat.say(running, WordKind.COMPLETE)
    assert (await seat.take()).task.id == task.id
    assert await mode(fleet, task) == (Mode.SSH_CLI, ModeSource.AUTO)
    assert [each for each, _ in await decisions(fleet, task)] == ["PULL", "SSH_CLI"]


async def test_what_only_an_offline_host_can_take_waits_for_it(fleet):
    """M2: unless a matching host is only offline"""
    await fleet.host("build-1", "code", state=HostState.OFFLINE)
    task = await fleet.submit(**CODE)
    await fleet.pass_time(PATIENCE + CYCLE)
    assert await mode(fleet, task) == UNDECIDED
    await fleet.do(NoteHost("build-1", HostState.ONLINE))
    seat = await fleet.seat("build-1")
    assert (await seat.take()).task.id == task.id


async def test_what_waited_for_an_offline_host_is_left_to_agents_when_that_host_is_gone(fleet):
    """M2: in the next cycle"""
    await fleet.host("build-1", "code", state=HostState.OFFLINE)
    await fleet.host("build-2", "test")
    task = await fleet.submit(**CODE)
    await fleet.pass_time(PATIENCE + CYCLE)
    assert await mode(fleet, task) == UNDECIDED
    await fleet.do(RemoveHost("build-1"))
    await fleet.pass_time(CYCLE)
    assert await decisions(fleet, task) == [("PULL", "no host can take it after 30 s")]


async def test_a_stopped_host_is_not_waited_for(fleet):
    """M2, M5: it comes back only when an operator says so"""
    await fleet.host("build-1", "code")
    await fleet.do(SetHostState("build-1", HostState.STOPPED))
    task = await fleet.submit(**CODE)
    await fleet.pass_time(PATIENCE + CYCLE)
    assert await decisions(fleet, task) == [("PULL", "no host can take it after 30 s")]


async def test_with_no_patience_a_task_no_host_takes_is_left_to_agents_at_once():
    """M2: 0 = at once"""
    fleet = await Fleet(replace(RULES, undecided_for=0)).open()
    await fleet.host("build-1", "code")
    task = await fleet.submit(required_capabilities=("test",))
    await fleet.settle()
    assert await decisions(fleet, task) == [("PULL", "no host can take it after 0 s")]
    await fleet.check()
    await fleet.close()


async def test_with_no_patience_no_task_waits_for_the_cycle_whatever_comes_together():
    """M2: 0 = at once, also for what is submitted while others are being decided"""
    fleet = await Fleet(replace(RULES, undecided_for=0)).open()
    await fleet.host("build-1", "code")
    items = [
        Submission(id=f"t-{n}", org_id="default", spec=Spec("work", required_capabilities=("test",)))
        for n in range(3)
    ]
    fleet.engine.post(Submit((items[0],)))
    await fleet.engine.step()
    fleet.engine.post(Submit((items[1],)))
    await fleet.engine.step()
    fleet.engine.post(Submit((items[2],)))
    await fleet.settle()
    assert {row.id: row.mode for row in await fleet.rows()} == dict.fromkeys(("t-0", "t-1", "t-2"), Mode.PULL)
    await fleet.check()
    await fleet.close()


# back in the queue


async def test_a_requeue_opens_what_the_dispatcher_decided_and_its_time_starts_anew(fleet):
    """M1: auto"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    task = await fleet.submit(**CODE)
    offer = await seat.start()
    await fleet.pass_time(CYCLE)
    fleet.engine.sessions.slots(seat.session, 0)
    await seat.say(offer, WordKind.RELEASE)
    assert await mode(fleet, task) == UNDECIDED
    for _ in range(2):
        await seat.ping()
        await fleet.pass_time(CYCLE)
    assert await mode(fleet, task) == UNDECIDED
    await fleet.pass_time(CYCLE)
    assert await mode(fleet, task) == (Mode.PULL, ModeSource.AUTO)


async def test_a_requeue_opens_what_a_claim_decided(fleet):
    """M1: claim; a host that is free may have it now"""
    task = await fleet.submit(**CODE)
    agent = await fleet.agent("agent-1", "code")
    offer = await agent.start()
    assert await mode(fleet, task) == (Mode.PULL, ModeSource.CLAIM)
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    await agent.say(offer, WordKind.RELEASE)
    assert (await seat.take()).task.id == task.id
    assert await mode(fleet, task) == (Mode.SSH_CLI, ModeSource.AUTO)


async def test_a_task_that_comes_back_behind_the_place_that_was_looked_at_waits_no_longer_than_others(fleet):
    """M1, M2: 30 s and at most one cycle"""
    await fleet.host("build-1", "test")
    agent = await fleet.agent("agent-1", "code")
    task = await fleet.submit(**CODE)
    for _ in range(2):
        await fleet.submit(**CODE)
    offer = await agent.start()
    for _ in range(6):
        await fleet.pass_time(CYCLE)
        await agent.ping(ref(offer))
    fleet.engine.sessions.slots(agent.session, 0)
    await agent.say(offer, WordKind.RELEASE)
    assert await mode(fleet, task) == UNDECIDED
    for _ in range(4):
        await fleet.pass_time(CYCLE)
    assert await mode(fleet, task) == (Mode.PULL, ModeSource.AUTO)


async def test_what_is_decided_behind_it_hides_no_task_that_is_still_young(fleet):
    """M1, M2: one that came back before others that have waited longer"""
    await fleet.host("build-1", "test")
    agent = await fleet.agent("agent-1", "code", slots=2)
    first, young = [await fleet.submit(**CODE) for _ in range(2)]
    leases = [await agent.start() for _ in range(2)]
    old = await fleet.submit(**CODE)
    fleet.engine.sessions.slots(agent.session, 0)
    await agent.say(leases[0], WordKind.RELEASE)
    await fleet.pass_time(CYCLE)
    await agent.say(leases[1], WordKind.RELEASE)
    await fleet.pass_time(CYCLE)
    await fleet.pass_time(CYCLE)
    decided = Mode.PULL, ModeSource.AUTO
    assert [await mode(fleet, task) for task in (first, young, old)] == [decided, UNDECIDED, decided]
    await fleet.pass_time(CYCLE)
    assert await mode(fleet, young) == decided


@pytest.mark.parametrize("word", [WordKind.RELEASE, WordKind.FAIL])
async def test_a_requeue_keeps_what_the_submitter_named(fleet, word):
    """M1, M7: explicit, after a release and after a failure"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    agent = await fleet.agent("agent-1", "code")
    pushed, pulled = [await fleet.submit(mode=mode, **CODE) for mode in (Mode.SSH_CLI, Mode.PULL)]
    await seat.say(await seat.start(), word)
    await agent.say(await agent.start(), word)
    assert await mode(fleet, pushed) == (Mode.SSH_CLI, ModeSource.EXPLICIT)
    assert await mode(fleet, pulled) == (Mode.PULL, ModeSource.EXPLICIT)
    await fleet.pass_time(1_500)
    assert ((await seat.take()).task.id, (await agent.take()).task.id) == (pushed.id, pulled.id)


async def test_a_retry_by_an_operator_opens_the_mode_too(fleet):
    """M1, T2"""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.FAIL, code="LOGIC_ERROR")
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.settle()
    await fleet.do(Retry(task.id, ""))
    assert (await fleet.status(task.id), await mode(fleet, task)) == (Status.PENDING, UNDECIDED)


# explicit modes


async def test_an_explicit_push_is_never_given_to_a_claimer_nor_changed(fleet):
    """M7, M1: without a host it waits"""
    await fleet.host("build-1", "test")
    agent = await fleet.agent("agent-1", "code")
    claiming = fleet.engine.unary.claim("agent-2", "p", ("code",), 5, 0, 60_000, "")
    task = await fleet.submit(mode=Mode.SSH_CLI, **CODE)
    assert (await fleet.run(claiming)).offers == []
    await fleet.pass_time(PATIENCE + 2 * CYCLE)
    agent.read()
    assert (agent.offers, await fleet.status(task.id)) == ([], Status.PENDING)
    assert await mode(fleet, task) == (Mode.SSH_CLI, ModeSource.EXPLICIT)
    assert await decisions(fleet, task) == []


async def test_an_explicit_pull_is_never_pushed_to_a_host(fleet):
    """M7: not even by a host that is idle for long"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    task = await fleet.submit(mode=Mode.PULL, **CODE)
    for _ in range(5):
        await fleet.pass_time(CYCLE)
        await seat.ping()
    assert seat.offers == []
    agent = await fleet.agent("agent-1", "code")
    assert (await agent.take()).task.id == task.id
    assert await mode(fleet, task) == (Mode.PULL, ModeSource.EXPLICIT)
    assert await decisions(fleet, task) == []


async def test_in_a_mixed_run_each_task_runs_once_and_where_it_was_meant_to(fleet):
    """M7"""
    await fleet.host("build-1", "code", slots=3)
    takers = [await fleet.seat("build-1"), await fleet.agent("agent-1", "code", slots=2)]
    meant = {
        (await fleet.submit(mode=mode, **CODE)).id: mode
        for mode in [Mode.SSH_CLI, Mode.UNDECIDED, Mode.PULL, Mode.UNDECIDED] * 15
    }
    ran = []
    while any(taker.offers or taker.read() or taker.offers for taker in takers):
        for taker in takers:
            for offer in [taker.offers.pop() for _ in list(taker.offers)]:
                ran.append((offer.task.id, taker.session.kind is SessionKind.HOST))
                await taker.say(offer, WordKind.COMPLETE)
    assert sorted(task_id for task_id, _ in ran) == sorted(meant)
    assert {host for task_id, host in ran if meant[task_id] is Mode.SSH_CLI} == {True}
    assert {host for task_id, host in ran if meant[task_id] is Mode.PULL} == {False}
    assert {row.lease_epoch for row in await fleet.rows()} == {1}


# size


async def test_a_backlog_is_decided_in_transactions_of_bounded_size(fleet):
    """M2, S7: 5,000 tasks with one cycle, never more than LOOKED_AT in a transaction"""
    await fleet.host("build-1", "test")
    spec = Spec("work", required_capabilities=("code",))
    for first in range(0, 5_000, 1_000):
        items = [Submission(id=f"t-{first + n}", org_id="default", spec=spec) for n in range(1_000)]
        await fleet.do(Submit(tuple(items)))
    await fleet.pass_time(PATIENCE - 1)
    sizes = []
    publish = fleet.engine.feed.publish
    fleet.engine.feed.publish = lambda events: (sizes.append(len(events)), publish(events))
    await fleet.pass_time(CYCLE)
    assert sizes == [LOOKED_AT] * 5
    assert {(row.mode, row.mode_source) for row in await fleet.rows()} == {(Mode.PULL, ModeSource.AUTO)}
    before = fleet.engine.batch
    await fleet.pass_time(CYCLE)
    assert fleet.engine.batch - before <= 1


async def test_a_look_ends_where_its_reading_did_whatever_else_was_read(fleet):
    """M2: another command's task stands far beyond, and one before it has left"""
    await fleet.host("build-1", "test")
    tasks = [await fleet.submit(**CODE) for _ in range(5)]
    await fleet.pass_time(PATIENCE - 1)
    lane = (await fleet.task(tasks[0].id)).lane
    fleet.clock.advance(1)
    cancel = Cancel((tasks[0].id,))
    again = Update(tasks[4].id, {"labels": {"a": "b"}})
    *_, looked = await fleet.together(cancel, again, DecideModes((LaneLook(lane, ("code",), 0, 2),)))
    places = [(await fleet.task(task.id)).place for task in tasks]
    assert looked == {lane: Looked(places[1], end=False)}
    modes = [(await fleet.task(task.id)).mode for task in tasks[1:]]
    assert modes[0] is Mode.PULL


async def test_of_many_lanes_none_is_forgotten():
    """M2, S7: more lanes than are looked at in one transaction"""
    fleet = await Fleet().open()
    await fleet.host("build-1", "test")
    count = LOOKED_AT + 50
    for first in range(0, count, 500):
        items = [
            Submission(id=f"t-{n}", org_id=f"org-{n}", spec=Spec("work"))
            for n in range(first, min(count, first + 500))
        ]
        await fleet.do(Submit(tuple(items)))
    await fleet.do(PutHosts((), only="file"))
    await fleet.host("build-1", "test", state=HostState.STOPPED)
    for _ in range(4):
        await fleet.pass_time(CYCLE)
    assert {row.mode for row in await fleet.rows()} == {Mode.PULL}
    await fleet.close()


async def test_the_cycle_costs_nothing_while_there_are_no_hosts(fleet):
    """M2: no timer, no event, no transaction"""
    task = await fleet.submit()
    before = fleet.engine.batch
    await fleet.pass_time(10 * CYCLE)
    assert (fleet.engine.batch, fleet.engine.sweeper.timers.at(("modes", ""))) == (before, None)
    assert (await mode(fleet, task), await decisions(fleet, task)) == (UNDECIDED, [])


async def test_the_cycle_begins_with_the_first_host_and_ends_with_the_last(fleet):
    """M2"""
    await fleet.host()
    assert fleet.engine.sweeper.timers.at(("modes", "")) == fleet.clock.now() + CYCLE
    await fleet.do(RemoveHost("build-1"))
    await fleet.pass_time(CYCLE)
    before = fleet.engine.batch
    await fleet.pass_time(10 * CYCLE)
    assert (fleet.engine.batch, fleet.engine.sweeper.timers.at(("modes", ""))) == (before, None)


# restart


async def test_a_restart_keeps_modes_hosts_and_how_they_are(fleet):
    """M1, M5: also the patience that has passed already"""
    await fleet.host("build-1", "code", state=HostState.OFFLINE)
    await fleet.host("build-2", "docs")
    await fleet.do(SetHostState("build-2", HostState.STOPPED, "being moved"))
    tasks = {
        "explicit": await fleet.submit(mode=Mode.SSH_CLI, **CODE),
        "waits": await fleet.submit(**CODE),
        "auto": await fleet.submit(required_capabilities=("test",)),
    }
    await fleet.pass_time(PATIENCE)
    await fleet.pass_time(CYCLE)
    hosts = dict(fleet.engine.hosts.present)
    late = await fleet.submit(required_capabilities=("test",))
    await fleet.pass_time(2 * CYCLE)
    await fleet.restart()
    assert fleet.engine.hosts.present == hosts
    assert hosts["build-1"].status.state is HostState.OFFLINE
    assert (hosts["build-2"].status.held, hosts["build-2"].status.reason) == (True, "being moved")
    assert await mode(fleet, tasks["explicit"]) == (Mode.SSH_CLI, ModeSource.EXPLICIT)
    assert await mode(fleet, tasks["waits"]) == await mode(fleet, late) == UNDECIDED
    assert await mode(fleet, tasks["auto"]) == (Mode.PULL, ModeSource.AUTO)
    await fleet.pass_time(CYCLE)
    assert await mode(fleet, late) == (Mode.PULL, ModeSource.AUTO)
    await fleet.do(NoteHost("build-1", HostState.ONLINE))
    seat = await fleet.seat("build-1")
    assert (await seat.take()).task.id == tasks["explicit"].id


# time


async def test_a_run_on_a_host_may_take_an_hour_where_nothing_is_said(fleet):
    """T3: 300 s on an agent, 3600 s on a host; T7"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    agent = await fleet.agent("agent-1", "test")
    await fleet.submit(**CODE)
    await fleet.submit(required_capabilities=("test",))
    pushed, pulled = await seat.start(), await agent.start()
    assert (pushed.timeout, pulled.timeout) == (3_600_000, 300_000)
    for _ in range(30):
        await fleet.pass_time(CYCLE)
        await seat.ping(ref(pushed))
        await agent.ping(ref(pulled))
    assert (await fleet.task(pushed.task.id)).order == 0
    assert (await fleet.task(pulled.task.id)).order != 0


async def test_the_hour_of_a_run_on_a_host_goes_on_over_a_restart(fleet):
    """T3, T7"""
    await fleet.host("build-1", "code")
    seat = await fleet.seat("build-1")
    await fleet.submit(**CODE)
    offer = await seat.start()
    await fleet.restart()
    seat = await fleet.seat("build-1", held=(ref(offer),))
    for _ in range(40):
        await fleet.pass_time(CYCLE)
        await seat.ping(ref(offer))
    assert (await fleet.task(offer.task.id)).order == 0


async def test_what_a_host_can_do_is_what_its_definition_says_also_after_a_restart(fleet):
    """M5, D1: its session resumes and must not bring back what the file said before"""
    await fleet.host("build-1", "code")
    await fleet.seat("build-1")
    await fleet.host("build-1", "test", slots=2)
    await fleet.restart()
    seat = await fleet.seat("build-1")
    task = await fleet.submit(required_capabilities=("test",))
    assert (await seat.take()).task.id == task.id
    assert fleet.engine.agents["host:build-1/coder"].spec.max_concurrency == 2
