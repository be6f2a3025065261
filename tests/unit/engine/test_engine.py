"""The one writer: batches, limits, and what happens when a transaction cannot be written. Design rule 2; T4, T8, D6, S7."""

import asyncio

import pytest

from fleetd.clock import ManualClock
from fleetd.core.event import EventFilter, EventType
from fleetd.core.interventions import Cancel
from fleetd.core.ledger import Keys
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Payload, Spec, Status, TaskFilter
from fleetd.core.words import Result, WordKind
from fleetd.engine.engine import Engine, EngineStopped
from fleetd.engine.engine_options import EngineOptions
from fleetd.errors import Internal, Overloaded, Unavailable
from fleetd.store.sqlite import SqliteStore
from tests.unit.engine.faults import FULL, UNCLEAR_NOT_WRITTEN, UNCLEAR_WRITTEN, FaultyStore
from tests.unit.engine.fleet import RULES, Fleet, QuietLog

E = EventType


class Defect:
    """A command with a defect: it changes the ledger, then fails."""

    def __init__(self, task_id=""):
        self.task_id = task_id

    def keys(self):
        return Keys(task_ids=(self.task_id,)) if self.task_id else Keys()

    def more(self, ledger):
        return None

    def apply(self, ledger):
        if self.task_id:
            Cancel((self.task_id,)).apply(ledger)
        raise ZeroDivisionError("secret detail")


def submit(number, **parts):
    return Submit((Submission(id=f"s-{number}", org_id="default", spec=Spec("work"), **parts),))


@pytest.fixture
async def faulty():
    """A fleet whose store fails as told by `fleet.store.faults`."""
    fleet = await Fleet(store=FaultyStore()).open()
    yield fleet
    await fleet.check()
    await fleet.close()


# batches


async def test_commands_that_wait_together_share_one_transaction(fleet):
    """S7: natural group commit."""
    before = fleet.engine.batch
    answers = await fleet.together(*(submit(n) for n in range(100)))
    assert len(answers) == 100
    assert fleet.engine.batch == before + 1


async def test_a_batch_is_bounded_in_commands_and_bytes():
    """S7."""
    fleet = await Fleet(options=EngineOptions(batch_limit=10, batch_bytes=1_000)).open()
    await fleet.together(*(submit(n) for n in range(25)))
    assert fleet.engine.batch == 3
    large = Payload(b"x" * 600, "text/plain")
    await fleet.together(*(submit(100 + n, input=large) for n in range(4)))
    assert fleet.engine.batch == 5
    await fleet.check()
    await fleet.close()


async def test_a_full_queue_is_answered_overloaded():
    """S7: nothing was taken, and the engine's own work is never refused."""
    fleet = await Fleet(options=EngineOptions(queue_limit=2)).open()
    futures = [fleet.engine.post(submit(n)) for n in range(2)]
    with pytest.raises(Overloaded) as refusal:
        fleet.engine.post(submit(3))
    assert (refusal.value.reason, refusal.value.retry_after) == ("QUEUE_FULL", 500)
    own = fleet.engine.post_internal(Cancel(("s-0",)))
    await fleet.settle()
    assert all(future.done() for future in (*futures, own))
    assert {row.id for row in await fleet.rows()} == {"s-0", "s-1"}
    await fleet.close()


async def test_words_that_meet_a_full_queue_end_the_stream_for_a_moment():
    """S7, T5: the agent keeps its words and says them again."""
    fleet = await Fleet(options=EngineOptions(queue_limit=1)).open()
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.engine.post(submit(1))
    fleet.engine.sessions.post_words(agent.session, agent.saying(offer, WordKind.COMPLETE).words)
    agent.read()
    assert (agent.end.reason, agent.end.reconnect_after) == ("QUEUE_FULL", 500)
    await fleet.settle()
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.close()


async def test_no_command_is_taken_before_the_start_and_after_the_stop(fleet):
    """S7: UNAVAILABLE."""
    engine = Engine(fleet.store, fleet.clock, RULES, fleet.log)
    with pytest.raises(Unavailable) as refusal:
        engine.post(submit(1))
    assert refusal.value.reason == "STARTING"
    await fleet.engine.stop()
    with pytest.raises(Unavailable) as refusal:
        fleet.engine.post(submit(1))
    assert refusal.value.reason == "STOPPED"


async def test_a_caller_that_goes_away_does_not_cancel_its_command(fleet):
    """T4: what was queued is done."""
    caller = asyncio.ensure_future(fleet.engine.execute(submit(1)))
    await asyncio.sleep(0)
    caller.cancel()
    await fleet.settle()
    assert caller.cancelled()
    assert await fleet.status("s-1") is Status.PENDING


async def test_commands_of_one_transaction_see_each_other(fleet):
    """T2, T5: two words and a cancel about one task."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    (started,), (cancelled,), (completed,) = await fleet.together(
        agent.saying(offer, WordKind.START), Cancel((task.id,)), agent.saying(offer, WordKind.COMPLETE)
    )
    assert (started.result, completed.result) == (Result.ACCEPTED, Result.ACCEPTED)
    assert cancelled.id == task.id
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_a_write_can_be_probed(fleet):
    """D7."""
    before = fleet.engine.batch
    assert await fleet.run(fleet.engine.probe_write()) == 0
    assert fleet.engine.batch == before + 1


# defects


async def test_only_the_culprit_gets_the_internal_error(fleet):
    """S3: the others are committed, and nothing internal leaks."""
    task = await fleet.submit()
    first, culprit, last = await fleet.together(submit(1), Defect(task.id), submit(2))
    assert isinstance(culprit, Internal)
    assert "secret" not in culprit.message
    assert [first[0].task.id, last[0].task.id] == ["s-1", "s-2"]
    assert {row.id for row in await fleet.rows()} == {task.id, "s-1", "s-2"}
    assert await fleet.status(task.id) is Status.PENDING
    ((event, fields),) = fleet.log.errors
    assert (event, fields["command"], fields["incident"]) == (
        "command_failed",
        "Defect",
        culprit.metadata["incident"],
    )
    fleet.log.errors.clear()


async def test_a_transaction_that_fails_leaves_memory_as_it_was(fleet):
    """T5: lanes, slots and figures; the waiting task is claimed as if nothing had been."""
    tasks = [await fleet.submit() for _ in range(3)]
    agent = await fleet.agent(slots=2)
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.settle()
    agent.read()
    await fleet.check()
    await fleet.together(Defect(tasks[2].id))
    await fleet.check()
    fleet.log.errors.clear()


# a store without room


async def test_a_full_store_refuses_and_work_resumes_when_there_is_room(faulty):
    """S7: reason STORE_FULL; nothing acknowledged is lost."""
    before = await faulty.submit()
    faulty.store.faults.append(FULL)
    with pytest.raises(Overloaded) as refusal:
        await faulty.submit()
    assert (refusal.value.reason, refusal.value.retry_after) == ("STORE_FULL", 1_000)
    await faulty.check()
    after = await faulty.submit()
    assert {row.id for row in await faulty.rows()} == {before.id, after.id}


async def test_a_full_store_leaves_lanes_and_slots_as_they_were(faulty):
    """S7, T5: a batch that claimed work and made a new lane is taken back whole."""
    agent = await faulty.agent("agent-1", "code", slots=3)
    await faulty.submit()
    faulty.store.faults.append(FULL)
    with pytest.raises(Overloaded):
        await faulty.submit(required_capabilities=("code",))
    await faulty.check()
    agent.read()
    assert len(agent.offers) == 1
    task = await faulty.submit(required_capabilities=("code",))
    assert [(await agent.take()).task.id for _ in range(2)][1] == task.id


async def test_waiting_work_is_given_again_when_the_store_has_room(faulty):
    """S7: although nobody says anything meanwhile."""
    agent = await faulty.agent()
    faulty.engine.sessions.slots(agent.session, 0)
    task = await faulty.submit()
    faulty.store.faults += [FULL, FULL]
    faulty.engine.sessions.slots(agent.session, 1)
    await faulty.settle()
    assert await faulty.status(task.id) is Status.PENDING
    await faulty.pass_time(1_000)
    assert await faulty.status(task.id) is Status.PENDING
    await faulty.pass_time(1_000)
    assert (await agent.take()).task.id == task.id


async def test_words_that_could_not_be_written_are_said_again(faulty):
    """S7, T5: not acknowledged, the stream ends, the lease stands and the result counts later."""
    task = await faulty.submit()
    agent = await faulty.agent()
    offer = await agent.start()
    faulty.store.faults.append(FULL)
    word = agent.saying(offer, WordKind.COMPLETE, output=Payload(b"1", "text/plain"))
    faulty.engine.sessions.post_words(agent.session, word.words)
    await faulty.settle()
    agent.read()
    assert agent.acks == []
    assert (agent.end.reason, agent.end.reconnect_after) == ("STORE_FULL", 1_000)
    assert await faulty.status(task.id) is Status.RUNNING
    assert agent.session.in_flight == 0
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED


@pytest.mark.parametrize("times", [1, 3])
async def test_timers_that_could_not_be_written_try_again_every_second(faulty, times):
    """S7, T6, T7, D2: offers, graces, run timeouts, sessions, delays and drains."""
    cases = {
        "offer": faulty.submit(required_capabilities=("a",)),
        "run": faulty.submit(required_capabilities=("b",), timeout=5_000),
        "grace": faulty.submit(required_capabilities=("c",)),
        "delay": faulty.submit(run_at=faulty.clock.wall() + 5_000),
    }
    tasks = {name: (await case).id for name, case in cases.items()}
    await faulty.agent("agent-a", "a")
    await (await faulty.agent("agent-b", "b")).start()
    await (await faulty.agent("agent-c", "c")).start()
    await faulty.do(Cancel((tasks["grace"],)))
    for session in faulty.engine.sessions.all():
        faulty.engine.sessions.slots(session, 0)
    await faulty.settle()
    faulty.store.faults += [FULL] * times
    await faulty.pass_time(5_000)
    for _ in range(times):
        assert await faulty.status(tasks["offer"]) is Status.ASSIGNED
        assert E.TASK_TIMEOUT not in await faulty.events(tasks["run"])
        assert not (await faulty.task(tasks["delay"])).queued
        await faulty.pass_time(1_000)
    assert await faulty.status(tasks["offer"]) is Status.PENDING
    assert E.TASK_TIMEOUT in await faulty.events(tasks["run"])
    assert (await faulty.task(tasks["delay"])).queued
    faulty.store.faults += [FULL] * times
    await faulty.pass_time(30_000 - 5_000 - times * 1_000)
    for _ in range(times):
        assert await faulty.status(tasks["grace"]) is Status.RUNNING
        assert len(list(faulty.engine.sessions.all())) == 3
        await faulty.pass_time(1_000)
    assert await faulty.status(tasks["grace"]) is Status.CANCELLED
    assert list(faulty.engine.sessions.all()) == []


async def test_a_file_that_may_not_grow_is_a_full_store(tmp_path):
    """S7: the real thing; what was acknowledged is there after a restart."""
    store = SqliteStore(tmp_path / "fleet.db", inline=True, max_page_count=120)
    fleet = await Fleet(store=store).open()
    taken: list[str] = []

    async def fill():
        while len(taken) < 1_000:
            taken.append((await fleet.submit(input=Payload(bytes(20_000), "x/y"))).id)

    with pytest.raises(Overloaded) as refusal:
        await fill()
    assert refusal.value.reason == "STORE_FULL"
    await fleet.check()
    await fleet.restart()
    assert sorted(row.id for row in await fleet.rows()) == taken
    await fleet.check()
    await fleet.close()


# a commit of which nobody knows


async def test_an_unclear_commit_that_was_written_counts(faulty):
    """T4, T5: its effects are let out once."""
    agent = await faulty.agent()
    faulty.store.faults.append(UNCLEAR_WRITTEN)
    task = await faulty.submit()
    offer = await agent.take()
    assert (offer.task.id, offer.lease_epoch) == (task.id, 1)
    assert agent.offers == []


async def test_an_unclear_commit_that_was_not_written_is_run_again(faulty):
    """T4, T5: once, with memory as it was."""
    agent = await faulty.agent()
    faulty.store.faults += [UNCLEAR_NOT_WRITTEN, UNCLEAR_NOT_WRITTEN]
    task = await faulty.submit()
    offer = await agent.take()
    assert (offer.task.id, offer.lease_epoch) == (task.id, 1)
    assert agent.offers == []
    assert await faulty.events(task.id) == [E.TASK_CREATED, E.TASK_ASSIGNED]


async def test_an_unclear_commit_that_meets_a_full_store_is_refused(faulty):
    """S7."""
    faulty.store.faults += [UNCLEAR_NOT_WRITTEN, FULL]
    with pytest.raises(Overloaded):
        await faulty.submit()
    assert await faulty.rows() == []


@pytest.mark.parametrize("faults", [[UNCLEAR_WRITTEN], [UNCLEAR_NOT_WRITTEN] * 3])
async def test_an_engine_that_cannot_know_stops(faults):
    """S7: everybody who waits is answered UNAVAILABLE, and the error is handed to the daemon."""
    store = FaultyStore()
    await store.open()
    engine = Engine(store, ManualClock(), RULES, QuietLog())
    await engine.recover()
    failure = engine.start()
    store.faults += faults
    store.readable = faults != [UNCLEAR_WRITTEN]
    callers = [asyncio.ensure_future(engine.execute(submit(n))) for n in range(3)]
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    assert isinstance(await failure, EngineStopped)
    with pytest.raises(Unavailable):
        engine.post(submit(9))
    await engine.stop()
    await store.close()


async def test_an_engine_that_stops_in_the_middle_of_a_divided_batch_answers_everybody():
    """S7, S3: nobody waits for ever."""
    fleet = await Fleet(store=FaultyStore()).open()
    futures = [fleet.engine.post(command) for command in (submit(1), Defect(), submit(2))]
    fleet.store.faults += ["", UNCLEAR_WRITTEN]
    fleet.store.readable = False
    with pytest.raises(EngineStopped):
        await fleet.settle()
    assert [type(future.exception()) for future in futures] == [Unavailable] * 3
    await fleet.close()


# effects


async def test_nothing_is_let_out_before_it_is_durable(faulty):
    """T8: no event, no lease, no answer, no figure of a transaction that was not written."""
    agent = await faulty.agent()
    subscription = faulty.engine.feed.subscribe(EventFilter())
    faulty.store.faults.append(FULL)
    with pytest.raises(Overloaded):
        await faulty.submit()
    agent.read()
    assert (agent.offers, subscription.take()) == ([], ([], False))
    assert sum(faulty.engine.counts.values()) == 0
    task = await faulty.submit()
    events, _ = subscription.take()
    assert [event.type for event in events] == [E.TASK_CREATED, E.TASK_ASSIGNED]
    stored = await faulty.store.list_events(EventFilter(task_id=task.id), 0, 10, 10)
    assert stored.events == events


async def test_figures_count_what_happened(fleet):
    """D7: in all and over the last hour."""
    agent = await fleet.agent()
    await fleet.submit()
    offer = await agent.take()
    await fleet.pass_time(2_000)
    await agent.say(offer, WordKind.START)
    await fleet.pass_time(3_000)
    await agent.say(offer, WordKind.COMPLETE)
    await fleet.submit(max_attempts=1)
    await agent.say(await agent.start(), WordKind.FAIL, code="X")
    await fleet.submit()
    await agent.say(await agent.start(), WordKind.FAIL, code="LOGIC_ERROR")
    fleet.engine.sessions.slots(agent.session, 0)
    waiting = await fleet.submit()
    await fleet.pass_time(1_000)
    assert fleet.engine.oldest_wait() == 1_000
    await fleet.do(Cancel((waiting.id,)))
    totals = fleet.engine.totals
    assert (totals.submitted, totals.started, totals.completed) == (4, 3, 1)
    assert (totals.failed, totals.dead_letter, totals.cancelled) == (1, 1, 1)
    assert (totals.wait_ms, totals.run_ms) == (2_000, 3_000)
    assert fleet.engine.last_hour() == totals
    assert fleet.engine.oldest_wait() == 0
    await fleet.detach(agent)
    await fleet.pass_time(3_600_000)
    assert fleet.engine.last_hour().submitted == 0
    assert fleet.engine.totals.submitted == 4


# the loop


async def test_the_engine_runs_by_itself_on_a_file(tmp_path):
    """S7, T4: commands of many callers, on the store's own thread, and an orderly stop."""
    store = SqliteStore(tmp_path / "fleet.db")
    await store.open()
    engine = Engine(store, ManualClock(), RULES, QuietLog())
    await engine.recover()
    failure = engine.start()
    await asyncio.gather(*(engine.execute(submit(n)) for n in range(300)))
    assert engine.batch < 300
    last = engine.post(submit(1_000))
    await engine.stop()
    assert last.done()
    assert not failure.done()
    page = await store.list_tasks(TaskFilter(), 0, 1_000, 1_000)
    assert len(page.rows) == 301
    await store.close()
