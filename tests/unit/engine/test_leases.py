"""Leases and the words about them: T2, T5, T6, T7, D4."""

from fleetd.core.attendance import LeaseRef
from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel, TimeoutRun
from fleetd.core.task import Payload, Status
from fleetd.core.words import Result, WordKind
from tests.unit.engine.fleet import ref

E = EventType


async def test_a_task_goes_its_whole_way_and_leaves_its_events(fleet):
    """T2, T5, T6, T8."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    assert offer.task.id == task.id
    assert offer.lease_epoch == 1
    await agent.say(offer, WordKind.START)
    ack = await agent.say(offer, WordKind.COMPLETE, output=Payload(b"done", "text/plain"))
    assert ack.result is Result.ACCEPTED
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.progress, row.lease_epoch) == (Status.COMPLETED, 1, 100, 1)
    expected = [E.TASK_CREATED, E.TASK_ASSIGNED, E.TASK_ACCEPTED, E.TASK_STARTED, E.TASK_COMPLETED]
    assert await fleet.events(task.id) == expected
    (run,) = await fleet.store.get_runs(task.id)
    assert run.output == Payload(b"done", "text/plain")


async def test_complete_implies_accept_and_start_when_those_were_lost(fleet):
    """T6: the missing events are written first."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    expected = [E.TASK_CREATED, E.TASK_ASSIGNED, E.TASK_ACCEPTED, E.TASK_STARTED, E.TASK_COMPLETED]
    assert await fleet.events(task.id) == expected
    assert (await fleet.task(task.id)).attempt == 1


async def test_an_offer_that_nobody_accepts_goes_back_without_burning_an_attempt(fleet):
    """T6: 5 s offer timeout."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await fleet.pass_time(4_999)
    assert await fleet.status(task.id) is Status.ASSIGNED
    await fleet.pass_time(1)
    again = await agent.take()
    assert again.lease_epoch == 2
    assert (await fleet.task(task.id)).attempt == 0
    assert E.TASK_RELEASED in await fleet.events(task.id)
    late = await agent.say(offer, WordKind.START)
    assert late.result is Result.LEASE_LOST


async def test_an_accepted_offer_waits_for_its_start_without_a_timer(fleet):
    """T6."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await agent.say(offer, WordKind.ACCEPT)
    await fleet.pass_time(9_000)
    assert await fleet.status(task.id) is Status.ASSIGNED


async def test_a_stale_epoch_changes_nothing(fleet):
    """T5: answered LEASE_LOST, nothing changes, not even the version."""
    task = await fleet.submit(max_attempts=5)
    agent = await fleet.agent()
    first = await agent.start()
    await agent.say(first, WordKind.RELEASE)
    second = await agent.start()
    assert second.lease_epoch == first.lease_epoch + 1
    before = await fleet.task(task.id)
    for kind in (
        WordKind.ACCEPT,
        WordKind.START,
        WordKind.PROGRESS,
        WordKind.CHECKPOINT,
        WordKind.COMPLETE,
        WordKind.FAIL,
        WordKind.STOPPED,
    ):
        assert (await agent.say(first, kind)).result is Result.LEASE_LOST, kind
    assert await fleet.task(task.id) == before


async def test_a_repeat_of_an_accepted_word_is_a_duplicate_and_changes_nothing(fleet):
    """T5: also after the task moved on to another lease."""
    task = await fleet.submit(max_attempts=5)
    agent = await fleet.agent()
    offer = await agent.start()
    assert (await agent.say(offer, WordKind.START)).result is Result.DUPLICATE
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR", message="first")
    before = await fleet.task(task.id)
    assert (await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")).result is Result.DUPLICATE
    assert await fleet.task(task.id) == before
    await fleet.pass_time(1_000)
    second = await agent.start()
    assert second.lease_epoch == 2
    assert (await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR")).result is Result.DUPLICATE
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.LEASE_LOST
    assert await fleet.status(task.id) is Status.RUNNING


async def test_a_lost_acknowledgement_of_a_result_is_answered_as_duplicate_after_a_reconnect(fleet):
    """T5: the lost-ack case of the session rules."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.COMPLETE, output=Payload(b"1", "text/plain"))
    fleet.engine.sessions.detach(agent.session)
    back = await fleet.agent(held=(ref(offer),))
    assert back.session.adopted == []
    repeat = await back.say(offer, WordKind.COMPLETE, output=Payload(b"2", "text/plain"))
    assert repeat.result is Result.DUPLICATE
    (run,) = await fleet.store.get_runs(task.id)
    assert run.output.data == b"1"


async def test_a_word_counts_only_from_the_session_that_holds_the_lease(fleet):
    """T5."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    other = await fleet.agent("agent-2")
    assert (await other.say(offer, WordKind.COMPLETE)).result is Result.LEASE_LOST
    assert (await other.say(LeaseRef(task.id, 99), WordKind.COMPLETE)).result is Result.LEASE_LOST
    assert await fleet.status(task.id) is Status.RUNNING


async def test_a_failed_run_is_retried_with_backoff_and_ends_in_the_dead_letters(fleet):
    """T3: 1 s, 2 s; attempts exhausted: DEAD_LETTER."""
    task = await fleet.submit(max_attempts=3)
    agent = await fleet.agent()
    for wait in (1_000, 2_000):
        offer = await agent.start()
        await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR", message="boom")
        assert await fleet.status(task.id) is Status.PENDING
        await fleet.pass_time(wait - 1)
        agent.read()
        assert not agent.offers
        await fleet.pass_time(1)
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR", message="boom")
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.error_code) == (Status.DEAD_LETTER, 3, "AGENT_ERROR")
    assert len(await fleet.store.get_runs(task.id)) == 3


async def test_an_error_no_retry_can_mend_fails_at_once(fleet):
    """T2: ASSIGNED or RUNNING to FAILED only for such an error."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.FAIL, code="LOGIC_ERROR", message="cannot")
    row = await fleet.task(task.id)
    assert (row.status, row.error_code, row.error_message) == (Status.FAILED, "LOGIC_ERROR", "cannot")


async def test_a_released_run_keeps_its_checkpoint_and_gives_its_attempt_back(fleet):
    """T5, T3: the next run receives the checkpoint and its steps."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.CHECKPOINT, data=b"one", step_id="s1")
    await agent.say(offer, WordKind.CHECKPOINT, data=b"two", step_id="s2")
    await agent.say(offer, WordKind.RELEASE, message="shutting down")
    assert (await fleet.task(task.id)).attempt == 0
    again = await agent.take()
    assert again.checkpoint.data == b"two"
    assert again.checkpoint.completed_steps == ("s1", "s2")


async def test_progress_is_kept_always_and_written_as_an_event_at_most_once_a_second(fleet):
    """T8."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    for percent in (10, 20, 30):
        await agent.say(offer, WordKind.PROGRESS, percent=percent, message=f"at {percent}")
    assert (await fleet.task(task.id)).progress == 30
    assert (await fleet.events(task.id)).count(E.TASK_PROGRESS) == 1
    await fleet.pass_time(1_000)
    await agent.say(offer, WordKind.PROGRESS, percent=40)
    assert (await fleet.events(task.id)).count(E.TASK_PROGRESS) == 2


async def test_a_cancel_of_a_running_task_waits_for_the_agent_and_is_repeated(fleet):
    """D4: a complete after the request counts as the confirmation, its output is dropped."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(Cancel((task.id,), "not needed"))
    agent.read()
    assert await fleet.status(task.id) is Status.RUNNING
    await agent.ping(ref(offer))
    await agent.ping(ref(offer))
    assert [order.kind for order in agent.orders] == [1, 1, 1]
    assert len({order.order_id for order in agent.orders}) == 1
    ack = await agent.say(offer, WordKind.COMPLETE, output=Payload(b"late", "text/plain"))
    assert ack.result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.CANCELLED
    (run,) = await fleet.store.get_runs(task.id)
    assert run.output is None
    await agent.ping()
    assert len(agent.orders) == 3


async def test_a_cancel_that_the_agent_confirms_ends_the_task(fleet):
    """D4, T2."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(Cancel((task.id,)))
    assert (await agent.say(offer, WordKind.STOPPED)).result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_a_cancel_nobody_confirms_ends_with_stop_grace_whatever_the_heartbeats_say(fleet):
    """T7: stop_grace 30 s after the order."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(Cancel((task.id,)))
    for _ in range(3):
        await fleet.pass_time(9_000)
        await agent.ping(ref(offer))
    assert await fleet.status(task.id) is Status.RUNNING
    await fleet.pass_time(3_000)
    assert await fleet.status(task.id) is Status.CANCELLED
    agent.read()
    assert agent.orders[-1].kind == 4
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.LEASE_LOST


async def test_a_waiting_task_is_cancelled_at_once(fleet):
    """T2, D4."""
    task = await fleet.submit()
    await fleet.do(Cancel((task.id,)))
    assert await fleet.status(task.id) is Status.CANCELLED
    agent = await fleet.agent()
    agent.read()
    assert not agent.offers


async def test_a_hung_handler_is_told_apart_from_a_lost_agent(fleet):
    """T7: heartbeats go on, the run timeout orders the stop, the grace ends the lease."""
    task = await fleet.submit(timeout=60_000)
    agent = await fleet.agent()
    offer = await agent.start()
    for _ in range(6):
        await fleet.pass_time(10_000)
        await agent.ping(ref(offer))
    events = await fleet.events(task.id)
    assert E.TASK_TIMEOUT in events
    assert E.TASK_LEASE_EXPIRED not in events
    assert await fleet.status(task.id) is Status.RUNNING
    for _ in range(3):
        await fleet.pass_time(10_000)
        await agent.ping(ref(offer))
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.losses, row.error_code) == (Status.PENDING, 1, 0, "RUN_TIMEOUT")


async def test_a_timed_out_run_that_the_agent_stops_is_retried(fleet):
    """T7, D5."""
    task = await fleet.submit(timeout=1_000)
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.pass_time(1_000)
    await agent.say(offer, WordKind.STOPPED)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.PENDING, "RUN_TIMEOUT")
    assert E.TASK_RETRY_SCHEDULED in await fleet.events(task.id)


async def test_an_operators_timeout_acts_like_the_run_timeout(fleet):
    """D5."""
    task = await fleet.submit(max_attempts=1)
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(TimeoutRun(task.id, "operator"))
    await agent.say(offer, WordKind.STOPPED)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.DEAD_LETTER, "RUN_TIMEOUT")


async def test_a_result_that_arrives_after_a_timeout_order_counts(fleet):
    """T7, D6: the lease still stands, and finished work is not done again (docs/decisions)."""
    task = await fleet.submit(timeout=1_000)
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.pass_time(1_000)
    assert (await agent.say(offer, WordKind.COMPLETE)).result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_a_bad_word_is_rejected_and_the_lease_stands(fleet):
    """T5, S7."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    ack = await agent.say(offer, WordKind.COMPLETE, refusal="output: 2 bytes too many")
    assert (ack.result, ack.message) == (Result.REJECTED, "output: 2 bytes too many")
    assert await fleet.status(task.id) is Status.RUNNING
