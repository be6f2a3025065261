"""What operators and submitters may do to a task: D4, D5, D14, T2."""

import pytest

from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel, Retry, TimeoutRun, Update
from fleetd.core.task import Order, Priority, Status
from fleetd.core.words import Result, WordKind
from fleetd.errors import Conflict, InvalidArgument, NotFound, WrongState
from tests.unit.engine.fleet import ref

E = EventType


async def ended(fleet, word, code="", **parts):
    """Return a task that ended with this word."""
    task = await fleet.submit(max_attempts=1, **parts)
    agent = await fleet.agent()
    await agent.say(await agent.start(), word, code=code, message="because")
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.settle()
    return await fleet.task(task.id)


# cancel


async def test_many_tasks_are_cancelled_each_with_its_own_answer(fleet):
    """D4."""
    done = await ended(fleet, WordKind.COMPLETE)
    running = await fleet.submit()
    agent = await fleet.agent()
    fleet.engine.sessions.slots(agent.session, 1)
    await agent.start()
    waiting = await fleet.submit()
    answers = await fleet.do(Cancel((waiting.id, done.id, running.id, "nobody"), "not needed"))
    assert [getattr(answer, "reason", None) for answer in answers] == [
        None,
        "TASK_NOT_CANCELLABLE",
        None,
        "TASK_NOT_FOUND",
    ]
    assert answers[1].metadata == {"status": "COMPLETED"}
    assert await fleet.status(waiting.id) is Status.CANCELLED
    assert (await fleet.task(running.id)).order is Order.CANCEL


async def test_a_repeated_cancel_changes_nothing(fleet):
    """D4: the grace is not put off."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(Cancel((task.id,)))
    before = await fleet.task(task.id)
    await fleet.pass_time(9_000)
    await fleet.do(Cancel((task.id,)))
    assert await fleet.task(task.id) == before
    assert (await fleet.events(task.id)).count(E.TASK_CANCEL_REQUESTED) == 1
    for _ in range(3):
        await agent.ping(ref(offer))
        await fleet.pass_time(7_000)
    assert await fleet.status(task.id) is Status.CANCELLED


@pytest.mark.parametrize("word", [WordKind.FAIL, WordKind.RELEASE, WordKind.COMPLETE, WordKind.STOPPED])
async def test_whatever_the_agent_says_after_a_cancel_confirms_it(fleet, word):
    """D4: CANCELLED, and nobody is blamed."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(Cancel((task.id,)))
    assert (await agent.say(offer, word)).result is Result.ACCEPTED
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.CANCELLED, "CANCELLED")
    assert (await agent.say(offer, word)).result is Result.DUPLICATE
    registered = fleet.engine.agents["agent-1"]
    assert (registered.failed, registered.completed) == (0, 0)


async def test_a_cancel_replaces_a_timeout_and_nothing_replaces_a_cancel(fleet):
    """D4, D5."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(TimeoutRun(task.id, "slow"))
    await fleet.do(Cancel((task.id,)))
    await fleet.do(TimeoutRun(task.id, "slow"))
    assert (await fleet.task(task.id)).order is Order.CANCEL
    await agent.say(offer, WordKind.STOPPED)
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_a_task_that_waits_for_a_retry_is_cancelled_at_once(fleet):
    """D4, T2: and its retry does not bring it back."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.FAIL, code="AGENT_ERROR")
    await fleet.do(Cancel((task.id,)))
    await fleet.pass_time(2_000)
    assert await fleet.status(task.id) is Status.CANCELLED


# timeout


async def test_only_what_an_agent_holds_can_be_timed_out(fleet):
    """D5: PENDING and terminal tasks: FAILED_PRECONDITION."""
    done = await ended(fleet, WordKind.COMPLETE)
    with pytest.raises(WrongState):
        await fleet.do(TimeoutRun(done.id, "slow"))
    waiting = await fleet.submit()
    with pytest.raises(WrongState) as refusal:
        await fleet.do(TimeoutRun(waiting.id, "slow"))
    assert (refusal.value.reason, refusal.value.metadata) == ("TASK_NOT_RUNNING", {"status": "PENDING"})
    with pytest.raises(NotFound):
        await fleet.do(TimeoutRun("nobody", "slow"))


async def test_a_timeout_burns_an_attempt_and_is_told_apart_in_the_events(fleet):
    """D5, T7, F4: RUN_TIMEOUT, then a retry with backoff."""
    task = await fleet.submit(max_attempts=2)
    agent = await fleet.agent()
    await fleet.settle()
    offer = await agent.start()
    await fleet.do(TimeoutRun(task.id, "slow"))
    await fleet.do(TimeoutRun(task.id, "slow"))
    assert (await fleet.events(task.id)).count(E.TASK_TIMEOUT) == 1
    await agent.say(offer, WordKind.STOPPED)
    row = await fleet.task(task.id)
    assert (row.status, row.attempt, row.error_code) == (Status.PENDING, 1, "RUN_TIMEOUT")
    assert row.run_at == fleet.clock.wall() + 1_000
    assert fleet.engine.agents["agent-1"].failed == 1
    await fleet.pass_time(1_000)
    again = await agent.start()
    await fleet.do(TimeoutRun(task.id, "slow"))
    await agent.say(again, WordKind.STOPPED)
    assert await fleet.status(task.id) is Status.DEAD_LETTER


@pytest.mark.parametrize("word", [WordKind.FAIL, WordKind.RELEASE])
async def test_a_timed_out_run_that_fails_or_comes_back_counts_as_timed_out(fleet, word):
    """D5, T7."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.do(TimeoutRun(task.id, "slow"))
    await agent.say(offer, word, code="LOGIC_ERROR")
    row = await fleet.task(task.id)
    assert (row.status, row.error_code, row.attempt) == (Status.PENDING, "RUN_TIMEOUT", 1)


# retry


@pytest.mark.parametrize(("code", "status"), [("LOGIC_ERROR", Status.FAILED), ("X", Status.DEAD_LETTER)])
async def test_a_retry_begins_anew_but_the_fence_goes_on(fleet, code, status):
    """T2, T5: attempt and losses restart at 0, lease_epoch does not; the old result stays in the history."""
    task = await ended(fleet, WordKind.FAIL, code)
    assert task.status is status
    retried = await fleet.do(Retry(task.id, "mended"))
    row = await fleet.task(task.id)
    assert row == retried
    assert (row.status, row.attempt, row.losses, row.lease_epoch) == (Status.PENDING, 0, 0, 1)
    assert (row.error_code, row.error_message, row.finished_at) == ("", "", 0)
    assert E.TASK_REPLAYED in await fleet.events(task.id)
    assert [edge.kind for _, edge in await fleet.store.lineage(task.id)] == ["retry_of"]
    agent = await fleet.agent()
    fleet.engine.sessions.slots(agent.session, 1)
    offer = await agent.start()
    assert offer.lease_epoch == 2
    await agent.say(offer, WordKind.COMPLETE)
    assert [run.lease_epoch for run in await fleet.store.get_runs(task.id)] == [1, 2]


@pytest.mark.parametrize("word", [WordKind.COMPLETE, WordKind.RELEASE])
async def test_only_failed_tasks_and_dead_letters_can_be_retried(fleet, word):
    """T2."""
    task = await ended(fleet, word)
    with pytest.raises(WrongState) as refusal:
        await fleet.do(Retry(task.id, "again"))
    assert refusal.value.reason == "TASK_NOT_RETRYABLE"
    assert await fleet.task(task.id) == task


async def test_a_task_whose_deadline_has_passed_cannot_be_retried(fleet):
    """T3, T2: no attempt outlives it."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 1_000)
    await fleet.pass_time(1_000)
    with pytest.raises(WrongState):
        await fleet.do(Retry(task.id, "again"))
    with pytest.raises(NotFound):
        await fleet.do(Retry("nobody", "again"))


async def test_a_retry_does_not_take_an_external_ref_that_another_task_has_now(fleet):
    """T3, T2: unique among non-terminal tasks."""
    task = await ended(fleet, WordKind.FAIL, "LOGIC_ERROR", external_ref="issue-1")
    other = await fleet.submit(external_ref="issue-1")
    with pytest.raises(WrongState) as refusal:
        await fleet.do(Retry(task.id, "again"))
    assert refusal.value.reason == "EXTERNAL_REF_IN_USE"
    await fleet.do(Cancel((other.id,)))
    await fleet.do(Retry(task.id, "again"))
    assert await fleet.status(task.id) is Status.PENDING


async def test_a_retry_and_a_submit_of_one_external_ref_meet_in_one_transaction(fleet):
    """T3: exactly one of them has it."""
    task = await ended(fleet, WordKind.FAIL, "LOGIC_ERROR", external_ref="issue-1")
    retried, submitted = await fleet.runs(
        fleet.engine.execute(Retry(task.id, "again")), fleet.submit(external_ref="issue-1")
    )
    assert retried.id == task.id
    assert submitted.reason == "EXTERNAL_REF_IN_USE"


async def test_a_retried_reservation_is_free_after_a_minute(fleet):
    """M4, T2: it does not wait for its agent for ever."""
    agent = await fleet.agent()
    task = await fleet.submit(agent_id="agent-1")
    await agent.say(await agent.start(), WordKind.FAIL, code="LOGIC_ERROR")
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.do(Retry(task.id, "again"))
    other = await fleet.agent("agent-2")
    for _ in range(6):
        assert await fleet.status(task.id) is Status.PENDING
        await fleet.pass_time(10_000)
        await other.ping()
    assert (await other.take()).task.id == task.id


# update


async def test_a_waiting_task_takes_every_change(fleet):
    """D14."""
    task = await fleet.submit()
    changes = {
        "title": "new",
        "description": "longer",
        "priority": Priority.HIGH,
        "tags": ("a",),
        "required_capabilities": ("code",),
        "estimated_duration": 5_000,
        "labels": {"k": "v"},
        "metadata": {"m": "w"},
    }
    updated = await fleet.do(Update(task.id, changes, task.version))
    (row,) = (await fleet.store.get_tasks([task.id])).values()
    assert row.spec == updated.spec
    assert {name: getattr(row.spec, name) for name in changes if name != "priority"} == {
        name: value for name, value in changes.items() if name != "priority"
    }
    assert (row.task.priority, row.task.version) == (Priority.HIGH, task.version + 1)
    assert await fleet.payloads(task.id, E.TASK_UPDATED) == [{"fields": sorted(changes)}]


async def test_an_update_of_an_older_version_is_refused_whole(fleet):
    """D14: ABORTED."""
    task = await fleet.submit()
    await fleet.do(Update(task.id, {"title": "one"}, task.version))
    with pytest.raises(Conflict) as refusal:
        await fleet.do(Update(task.id, {"title": "two"}, task.version))
    assert refusal.value.metadata == {"version": str(task.version + 1)}
    (row,) = (await fleet.store.get_tasks([task.id])).values()
    assert row.spec.title == "one"


async def test_of_two_updates_of_one_version_in_one_transaction_one_wins(fleet):
    """D14."""
    task = await fleet.submit()
    first, second = await fleet.together(
        Update(task.id, {"title": "one"}, task.version), Update(task.id, {"title": "two"}, task.version)
    )
    assert first.spec.title == "one"
    assert isinstance(second, Conflict)


async def test_what_runs_or_is_over_takes_labels_and_metadata_only(fleet):
    """D14."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    for _ in range(2):
        with pytest.raises(WrongState) as refusal:
            await fleet.do(Update(task.id, {"title": "new", "priority": Priority.LOW, "labels": {}}))
        assert refusal.value.reason == "TASK_NOT_UPDATABLE"
        assert "priority, title" in refusal.value.message
        await fleet.do(Update(task.id, {"labels": {"k": "v"}, "metadata": {"m": "w"}}))
        if (await fleet.task(task.id)).status is Status.RUNNING:
            await agent.say(offer, WordKind.COMPLETE)
    (row,) = (await fleet.store.get_tasks([task.id])).values()
    assert (row.spec.labels, row.spec.metadata, row.spec.title) == ({"k": "v"}, {"m": "w"}, "work")
    with pytest.raises(NotFound):
        await fleet.do(Update("nobody", {"labels": {}}))


async def test_a_change_of_priority_moves_the_task_in_the_queue(fleet):
    """D14, D3."""
    tasks = [await fleet.submit() for _ in range(3)]
    await fleet.do(Update(tasks[2].id, {"priority": Priority.URGENT}))
    await fleet.do(Update(tasks[0].id, {"priority": Priority.LOW}))
    agent = await fleet.agent(slots=3)
    await fleet.settle()
    agent.read()
    assert [offer.task.id for offer in agent.offers] == [tasks[2].id, tasks[1].id, tasks[0].id]


async def test_a_change_of_capabilities_reaches_waiting_agents_at_once(fleet):
    """D14, D3."""
    task = await fleet.submit(required_capabilities=("rare",))
    agent = await fleet.agent("agent-1", "code")
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.do(Update(task.id, {"required_capabilities": ("code",)}))
    assert (await agent.take()).task.id == task.id


async def test_a_change_during_the_wait_for_a_retry_keeps_the_wait(fleet):
    """D14, T3."""
    task = await fleet.submit()
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.FAIL, code="AGENT_ERROR")
    await fleet.do(Update(task.id, {"priority": Priority.HIGH}))
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1_000)
    offer = await agent.take()
    assert (offer.task.id, offer.task.priority) == (task.id, Priority.HIGH)


async def test_run_at_must_be_before_the_deadline(fleet):
    """D14, T3."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 5_000)
    with pytest.raises(InvalidArgument) as refusal:
        await fleet.do(Update(task.id, {"run_at": fleet.clock.wall() + 5_000}))
    assert refusal.value.fields == (("changes.run_at", "must be before deadline"),)
    assert await fleet.task(task.id) == task


async def test_a_queued_task_can_be_put_off(fleet):
    """D14: and a reservation waits with it."""
    agent = await fleet.agent(slots=1)
    fleet.engine.sessions.slots(agent.session, 0)
    task = await fleet.submit(agent_id="agent-1")
    await fleet.do(Update(task.id, {"run_at": fleet.clock.wall() + 90_000}))
    other = await fleet.agent("agent-2")
    for _ in range(9):
        await fleet.pass_time(10_000)
        await other.ping()
        await agent.ping()
    row = await fleet.task(task.id)
    assert (row.status, row.queued, row.reserved_agent) == (Status.PENDING, True, "agent-1")
    fleet.engine.sessions.slots(agent.session, 1)
    assert (await agent.take()).task.id == task.id


# words beside commands


async def test_a_repeated_progress_or_checkpoint_changes_nothing(fleet):
    """T5: a repeat of an accepted word is a duplicate."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    said = [
        (WordKind.PROGRESS, {"percent": 10, "message": "m"}),
        (WordKind.CHECKPOINT, {"data": b"1", "step_id": "s"}),
    ]
    for kind, parts in said:
        assert (await agent.say(offer, kind, **parts)).result is Result.ACCEPTED
    before, events = await fleet.task(task.id), await fleet.events(task.id)
    await fleet.pass_time(2_000)
    for kind, parts in said:
        assert (await agent.say(offer, kind, **parts)).result is Result.DUPLICATE
    assert await fleet.task(task.id) == before
    assert await fleet.events(task.id) == events


async def test_progress_is_written_although_the_wall_clock_was_set_back(fleet):
    """T8, T7."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    await agent.say(offer, WordKind.PROGRESS, percent=10)
    fleet.clock.jump_wall(-3_600_000)
    await agent.say(offer, WordKind.PROGRESS, percent=20)
    assert (await fleet.events(task.id)).count(E.TASK_PROGRESS) == 2
