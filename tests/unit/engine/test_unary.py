"""Agents without a stream: M3, T5, S1, D1, D2, D3."""

import asyncio

import pytest

from fleetd.core.agent import AgentOrder, AgentSpec, AgentStatus
from fleetd.core.attendance import LeaseRef, SetCapabilities
from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Payload, Spec, Status
from fleetd.core.words import Result, Word, WordKind
from fleetd.errors import NotFound, WrongState
from tests.unit.engine.fleet import ref

E = EventType
HOUR = 3_600_000


class Caller:
    """An agent that calls."""

    def __init__(self, fleet, agent_id="caller", incarnation="process-1"):
        self.fleet = fleet
        self.agent_id = agent_id
        self.incarnation = incarnation

    async def claim(self, most=1, *, capabilities=None, wait=0, lease=60_000, request=""):
        return await self.fleet.run(self.claiming(most, capabilities, wait, lease, request))

    def claiming(self, most=1, capabilities=None, wait=0, lease=60_000, request=""):
        return self.fleet.engine.unary.claim(
            self.agent_id, self.incarnation, capabilities, most, wait, lease, request
        )

    async def waiting(self, most=1, request=""):
        """Begin a claim that waits; return it once it stands in the queue."""
        call = asyncio.ensure_future(self.claiming(most, None, HOUR, 60_000, request))
        for _ in range(5):
            await asyncio.sleep(0)
            await self.fleet.settle()
        assert not call.done()
        return call

    async def say(self, offer, kind, **parts):
        word = Word(offer.task.id, offer.lease_epoch, kind, **parts)
        answer = await self.fleet.run(
            self.fleet.engine.unary.report(self.agent_id, self.incarnation, (word,))
        )
        return answer.acks[0]

    async def heartbeat(self, *held, confirmed=()):
        beat = self.fleet.engine.unary.heartbeat(self.agent_id, self.incarnation, list(held), list(confirmed))
        return await self.fleet.run(beat)


@pytest.fixture
def caller(fleet):
    return Caller(fleet)


async def test_an_agent_registers_by_claiming_and_an_empty_queue_is_an_empty_list(fleet, caller):
    """M3, D1: not an error."""
    answer = await caller.claim(capabilities=("code",))
    assert (answer.offers, answer.leases, answer.orders) == ([], [], [])
    assert (answer.lease_ttl, answer.heartbeat_interval) == (60_000, 20_000)
    assert fleet.engine.agents["caller"].spec.capabilities == ("code",)
    assert fleet.engine.agents["caller"].status(0) is AgentStatus.IDLE


async def test_a_claimed_lease_is_accepted_already(fleet, caller):
    """M3, T6: no offer timeout."""
    task = await fleet.submit()
    answer = await caller.claim()
    (offer,) = answer.offers
    assert answer.leases == [ref(offer)]
    row = await fleet.task(task.id)
    assert (row.status, row.accepted, row.lease_epoch) == (Status.ASSIGNED, True, 1)
    await fleet.pass_time(10_000)
    assert (await caller.say(offer, WordKind.START)).result is Result.ACCEPTED
    ack = await caller.say(offer, WordKind.COMPLETE, output=Payload(b"1", "text/plain"))
    assert ack.result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_a_claim_takes_at_most_what_it_asks_for(fleet, caller):
    """M3."""
    tasks = [await fleet.submit() for _ in range(5)]
    answer = await caller.claim(3)
    assert [offer.task.id for offer in answer.offers] == [task.id for task in tasks[:3]]
    assert await fleet.status(tasks[3].id) is Status.PENDING
    await caller.say(answer.offers[0], WordKind.COMPLETE)
    assert await fleet.status(tasks[3].id) is Status.PENDING
    assert len((await caller.claim(9)).offers) == 2


async def test_a_waiting_claim_is_answered_when_work_arrives(fleet, caller):
    """M3: at once, in the queue of the streams."""
    call = await caller.waiting()
    task = await fleet.submit()
    answer = await fleet.run(call)
    assert [offer.task.id for offer in answer.offers] == [task.id]


async def test_a_waiting_claim_is_answered_empty_when_its_time_is_over(fleet, caller):
    """M3."""
    assert (await caller.claim(wait=1)).offers == []
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING


async def test_two_claims_of_one_agent_share_the_work(fleet, caller):
    """M3, T5: each lease goes to one of them."""
    first, second = await caller.waiting(), await caller.waiting()
    tasks = [await fleet.submit(), await fleet.submit()]
    answers = [await fleet.run(first), await fleet.run(second)]
    assert [[offer.task.id for offer in answer.offers] for answer in answers] == [[t.id] for t in tasks]


async def test_streams_and_claims_stand_in_one_queue(fleet, caller):
    """M3, T5, D3: nobody gets what another one has."""
    stream = await fleet.agent("stream", slots=2)
    call = await caller.waiting(2)
    tasks = [await fleet.submit() for _ in range(4)]
    stream.read()
    got = [offer.task.id for offer in (*stream.offers, *(await fleet.run(call)).offers)]
    assert len(got) == len(set(got)) == 3
    rest = await caller.claim(2)
    assert {*got, *(offer.task.id for offer in rest.offers)} == {task.id for task in tasks}


async def test_older_work_is_claimed_first(fleet, caller):
    """M3, D3."""
    old, new = await fleet.submit(), await fleet.submit()
    assert [(await caller.claim()).offers[0].task.id for _ in range(2)] == [old.id, new.id]


async def test_max_concurrency_bounds_what_claims_hold(fleet, caller):
    """M3, D3, D1."""
    spec = AgentSpec("caller", max_concurrency=2)
    agent = await fleet.run(fleet.engine.unary.register(spec, "process-1", 60_000))
    assert agent.spec.max_concurrency == 2
    for _ in range(4):
        await fleet.submit()
    answer = await caller.claim(5)
    assert len(answer.offers) == 2
    assert (await caller.claim(5)).offers == []
    await caller.say(answer.offers[0], WordKind.COMPLETE)
    assert len((await caller.claim(5)).offers) == 1


async def test_a_repeated_request_returns_the_same_leases(fleet, caller):
    """M3, T5: those that still stand; a new request gets new ones."""
    for _ in range(4):
        await fleet.submit()
    first = await caller.claim(2, request="r-1")
    again = await caller.claim(2, request="r-1")
    assert list(map(ref, again.offers)) == list(map(ref, first.offers))
    await caller.say(first.offers[0], WordKind.COMPLETE)
    again = await caller.claim(2, request="r-1")
    assert list(map(ref, again.offers)) == [ref(first.offers[1])]
    other = await caller.claim(2, request="r-2")
    assert {offer.task.id for offer in other.offers}.isdisjoint(offer.task.id for offer in first.offers)


async def test_a_repeated_request_does_not_return_a_later_lease_of_the_same_task(fleet, caller):
    """M3, T5."""
    await fleet.submit()
    first = await caller.claim(request="r-1")
    await caller.say(first.offers[0], WordKind.RELEASE)
    second = await caller.claim(request="r-2")
    assert second.offers[0].lease_epoch == 2
    assert (await caller.claim(request="r-1")).offers == []


async def test_what_a_repeat_needs_is_forgotten_with_the_lease(fleet, caller):
    """S7: inputs are not kept for requests that are over."""
    await fleet.submit(input=Payload(b"large", "x/y"))
    (offer,) = (await caller.claim(request="r-1")).offers
    session = fleet.engine.sessions.get("caller")
    assert list(session.offers) == [offer.task.id]
    await caller.say(offer, WordKind.COMPLETE)
    assert session.offers == {}


@pytest.mark.parametrize("how", ["claim", "heartbeat", "report"])
async def test_every_call_renews_the_leases(fleet, caller, how):
    """M3, S1: claim, report and heartbeat."""
    task = await fleet.submit()
    (offer,) = (await caller.claim()).offers
    await caller.say(offer, WordKind.START)
    for percent in range(4):
        await fleet.pass_time(59_000)
        if how == "claim":
            await caller.claim(0)
        elif how == "heartbeat":
            await caller.heartbeat(ref(offer))
        else:
            await caller.say(offer, WordKind.PROGRESS, percent=percent)
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(60_000)
    row = await fleet.task(task.id)
    assert (row.status, row.losses, row.error_code) == (Status.PENDING, 1, "AGENT_LOST")


async def test_a_lease_lasts_as_long_as_the_claim_asked_for(fleet, caller):
    """M3: up to an hour."""
    task = await fleet.submit(timeout=2 * HOUR)
    (offer,) = (await caller.claim(lease=HOUR)).offers
    await caller.say(offer, WordKind.START)
    await fleet.pass_time(HOUR - 1)
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(1)
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_waiting_claim_keeps_its_agent_alive(fleet, caller):
    """M3, D2: who waits is not lost."""
    call = await caller.waiting()
    await fleet.pass_time(60_000)
    await fleet.pass_time(60_000)
    task = await fleet.submit()
    assert [offer.task.id for offer in (await fleet.run(call)).offers] == [task.id]


async def test_words_after_the_lease_is_over_are_answered_lease_lost(fleet, caller):
    """T5, M3."""
    await fleet.submit()
    (offer,) = (await caller.claim()).offers
    await caller.say(offer, WordKind.START)
    await fleet.pass_time(60_000)
    assert (await caller.say(offer, WordKind.COMPLETE)).result is Result.LEASE_LOST


async def test_a_lost_caller_that_claims_again_has_a_new_session(fleet, caller):
    """D1, M3."""
    await caller.claim()
    await fleet.pass_time(60_000)
    assert fleet.engine.sessions.get("caller") is None
    task = await fleet.submit()
    (offer,) = (await caller.claim()).offers
    assert offer.task.id == task.id
    assert fleet.engine.sessions.get("caller").epoch == 2


async def test_a_heartbeat_of_a_lost_caller_opens_a_session_and_drops_its_leases(fleet, caller):
    """D2, M3."""
    await fleet.submit()
    (offer,) = (await caller.claim()).offers
    await fleet.pass_time(60_000)
    answer = await caller.heartbeat(ref(offer))
    assert answer.leases == []
    assert [(order.kind, order.task_id) for order in answer.orders] == [(4, offer.task.id)]
    assert (await caller.heartbeat()).orders == []


async def test_a_caller_that_goes_away_hands_back_what_it_was_given(fleet, caller):
    """M3, T5: unburnt."""
    call = await caller.waiting()
    fleet.engine.post(Submit((Submission(id="t", org_id="o", spec=Spec("work")),)))
    await fleet.engine.step()
    assert list(fleet.engine.sessions.get("caller").held) == ["t"]
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await fleet.settle()
    row = await fleet.task("t")
    assert (row.status, row.attempt) == (Status.PENDING, 0)
    assert fleet.engine.sessions.get("caller").demands == []
    assert [offer.task.id for offer in (await caller.claim()).offers] == ["t"]


async def test_a_caller_that_goes_away_in_the_last_moment_hands_back_too(fleet, caller):
    """M3, T5: after its wait, before its answer."""
    await fleet.submit()
    call = asyncio.ensure_future(caller.claiming())
    while not (fleet.engine.sessions.get("caller") and fleet.engine.sessions.get("caller").held):
        await fleet.engine.step()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await fleet.settle()
    assert fleet.engine.sessions.get("caller").held == {}
    assert len((await caller.claim()).offers) == 1


async def test_a_caller_that_goes_away_waiting_gets_no_work(fleet, caller):
    """M3."""
    call = await caller.waiting()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await fleet.settle()
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING


async def test_another_process_of_the_caller_takes_over(fleet, caller):
    """D1, T5: the waiting claim of the old one ends empty, its runs go back, its words are refused."""
    task = await fleet.submit()
    (offer,) = (await caller.claim()).offers
    await caller.say(offer, WordKind.START)
    call = await caller.waiting()
    new = Caller(fleet, incarnation="process-2")
    (again,) = (await new.claim()).offers
    assert (again.task.id, again.lease_epoch) == (task.id, 2)
    assert (await fleet.run(call)).offers == []
    for late in (caller.say(offer, WordKind.COMPLETE), caller.claim(), caller.heartbeat()):
        with pytest.raises(WrongState) as refusal:
            await late
        assert refusal.value.reason == "SESSION_REPLACED"


async def test_an_unknown_caller_is_told_so(fleet, caller):
    """D1, S3: reports and heartbeats do not register."""
    for late in (caller.heartbeat(), caller.say(Stray(), WordKind.START)):
        with pytest.raises(NotFound):
            await late


async def test_answers_carry_the_orders_until_they_are_confirmed(fleet, caller):
    """D2, D4, S1."""
    task = await fleet.submit()
    (offer,) = (await caller.claim()).offers
    await fleet.do(Cancel((task.id,)))
    await fleet.do(SetCapabilities("caller", ("code",)))
    order_id = await fleet.order(AgentOrder.DRAIN, "caller")
    for _ in range(2):
        orders = (await caller.heartbeat(ref(offer))).orders
        assert [(order.kind, order.task_id) for order in orders] == [(1, task.id), (5, "")]
    await caller.say(offer, WordKind.STOPPED)
    await caller.heartbeat(confirmed=[order_id])
    assert (await caller.heartbeat()).orders == []
    assert await fleet.status(task.id) is Status.CANCELLED
    await fleet.submit(required_capabilities=("code",))
    assert (await caller.claim()).offers == []


async def test_heartbeats_repair_differences_but_never_what_is_on_its_way(fleet, caller):
    """T5, M3: a lease the caller does not list is released once it must know of it."""
    await fleet.submit()
    kept = (await caller.claim()).offers[0]
    await fleet.pass_time(20_000)
    await fleet.submit()
    lost = (await caller.claim()).offers[0]
    await caller.heartbeat(ref(kept))
    assert await fleet.status(lost.task.id) is Status.ASSIGNED
    await fleet.pass_time(20_000)
    await caller.heartbeat(ref(kept))
    await fleet.settle()
    assert await fleet.status(lost.task.id) is Status.PENDING
    assert await fleet.status(kept.task.id) is Status.ASSIGNED


async def test_leases_of_callers_survive_a_restart_of_the_daemon(fleet, caller):
    """M3, T5: for a full lease_duration."""
    task = await fleet.submit()
    (offer,) = (await caller.claim()).offers
    await caller.say(offer, WordKind.START)
    await fleet.restart()
    await fleet.pass_time(59_000)
    assert (await caller.heartbeat(ref(offer))).leases == [LeaseRef(task.id, 1)]
    assert (await caller.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


async def test_a_claim_during_the_drain_of_the_daemon_gets_nothing_and_returns(fleet, caller):
    """D2: also one that waits already."""
    call = await caller.waiting()
    fleet.engine.drain()
    assert (await fleet.run(call)).offers == []
    await fleet.submit()
    assert (await caller.claim(wait=HOUR)).offers == []


class Stray:
    """A lease nobody gave."""

    lease_epoch = 1

    class task:  # noqa: N801
        id = "task-9999"
