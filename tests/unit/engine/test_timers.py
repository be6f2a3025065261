"""Delays, limits to waiting, deadlines, and the window on the table of later things: T2, T3, T6, T7, D5."""

from random import Random

import pytest

from fleetd.core.event import EventType
from fleetd.core.interventions import Cancel, Retry, TimeoutRun, Update
from fleetd.core.ledger import Due, DueKind
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Order, Priority, RetryPolicy, Spec, Status
from fleetd.core.timers import EndGraces, EndOffers, FireDue
from fleetd.core.words import Result, WordKind
from fleetd.engine.due import WINDOW, DueWindow
from fleetd.engine.timers import Timers
from tests.unit.engine.fleet import ref

E = EventType


async def keep_alive(fleet, agent, milliseconds, *offers):
    """Let time pass while the agent's heartbeats list its leases."""
    while milliseconds:
        step = min(milliseconds, 10_000)
        milliseconds -= step
        await fleet.pass_time(step)
        await agent.ping(*map(ref, offers))


# delays


async def test_a_delayed_task_waits_for_its_time(fleet):
    """T3: run_at."""
    task = await fleet.submit(run_at=fleet.clock.wall() + 5_000)
    agent = await fleet.agent()
    await fleet.pass_time(4_999)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1)
    assert (await agent.take()).task.id == task.id


async def test_a_run_at_that_is_past_delays_nothing(fleet):
    """T3."""
    task = await fleet.submit(run_at=fleet.clock.wall())
    assert (await fleet.task(task.id)).run_at == 0
    agent = await fleet.agent()
    assert (await agent.take()).task.id == task.id


async def test_a_delay_survives_a_restart(fleet):
    """T3."""
    task = await fleet.submit(run_at=fleet.clock.wall() + 50_000)
    await fleet.restart()
    agent = await fleet.agent()
    await keep_alive(fleet, agent, 49_999)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1)
    assert (await agent.take()).task.id == task.id


async def test_a_delay_that_was_put_off_is_kept(fleet):
    """D14, T3: the old time does not start the task."""
    task = await fleet.submit(run_at=fleet.clock.wall() + 5_000)
    await fleet.do(Update(task.id, {"run_at": fleet.clock.wall() + 20_000}))
    agent = await fleet.agent()
    await fleet.pass_time(5_000)
    assert not (await fleet.task(task.id)).queued
    await keep_alive(fleet, agent, 14_999)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1)
    assert (await agent.take()).task.id == task.id


async def test_a_delay_that_was_put_off_in_the_transaction_in_which_it_ends_is_kept(fleet):
    """D14, T3."""
    at = fleet.clock.wall() + 5_000
    task = await fleet.submit(run_at=at)
    await fleet.together(
        Update(task.id, {"run_at": at + 5_000}), FireDue((Due(at, DueKind.START, task.seq),))
    )
    assert (await fleet.task(task.id)).run_at == at + 5_000
    await fleet.pass_time(9_999)
    assert not (await fleet.task(task.id)).queued
    await fleet.pass_time(1)
    assert (await fleet.task(task.id)).queued


async def test_a_delay_that_was_taken_back_ends_at_once(fleet):
    """D14."""
    task = await fleet.submit(run_at=fleet.clock.wall() + 5_000)
    agent = await fleet.agent()
    await fleet.do(Update(task.id, {"run_at": 0}))
    assert (await agent.take()).task.id == task.id
    await fleet.pass_time(4_000)
    await fleet.do(Cancel((task.id,)))
    await fleet.pass_time(2_000)


async def test_backoff_grows_and_has_an_upper_bound(fleet):
    """T3: initial × multiplier^(n−1), at most max_backoff; the task's own policy wins."""
    policy = RetryPolicy(initial_backoff=2_000, multiplier=3.0, max_backoff=10_000, jitter=0.0)
    task = await fleet.submit(max_attempts=5, retry=policy)
    agent = await fleet.agent()
    for wait in (2_000, 6_000, 10_000):
        await agent.say(await agent.start(), WordKind.FAIL, code="AGENT_ERROR")
        assert (await fleet.task(task.id)).run_at == fleet.clock.wall() + wait
        await fleet.pass_time(wait)
        await agent.ping()


# limits to waiting


async def test_a_task_that_does_not_start_in_time_goes_to_the_dead_letters(fleet):
    """T3: schedule_to_start, TASK_TIMEOUT."""
    task = await fleet.submit(schedule_to_start=5_000)
    await fleet.pass_time(4_999)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(1)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.DEAD_LETTER, "TASK_TIMEOUT")
    agent = await fleet.agent()
    agent.read()
    assert not agent.offers


async def test_a_task_that_started_in_time_may_take_longer(fleet):
    """T3: also when it comes back to the queue."""
    task = await fleet.submit(schedule_to_start=5_000)
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.engine.sessions.slots(agent.session, 0)
    await agent.say(offer, WordKind.RELEASE)
    await fleet.pass_time(6_000)
    assert await fleet.status(task.id) is Status.PENDING


async def test_an_offer_is_no_start(fleet):
    """T3, T6: it may still come back unaccepted; then the time is up."""
    task = await fleet.submit(schedule_to_start=3_000)
    agent = await fleet.agent()
    await fleet.pass_time(3_000)
    assert await fleet.status(task.id) is Status.ASSIGNED
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.pass_time(2_000)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.pass_time(3_000)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.DEAD_LETTER, "TASK_TIMEOUT")


async def test_a_waiting_task_dies_at_its_deadline(fleet):
    """T3: no wait outlives it."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 5_000)
    await fleet.pass_time(5_000)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code) == (Status.DEAD_LETTER, "TASK_TIMEOUT")
    (payload,) = await fleet.payloads(task.id, E.TASK_DEAD_LETTERED)
    assert payload["reason"] == "TASK_TIMEOUT"


async def test_a_deadline_that_ends_the_wait_for_a_retry_says_so(fleet):
    """T3: code and message belong together."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 5_000, retry=RetryPolicy(4_000, 1.0, 4_000, 0.0))
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.engine.sessions.slots(agent.session, 0)
    await agent.say(offer, WordKind.FAIL, code="AGENT_ERROR", message="boom")
    await fleet.pass_time(5_000)
    row = await fleet.task(task.id)
    assert (row.status, row.error_code, row.error_message) == (
        Status.DEAD_LETTER,
        "TASK_TIMEOUT",
        "the deadline has passed",
    )


async def test_a_running_task_is_ordered_to_stop_at_its_deadline(fleet):
    """T3, T7: then it goes to the dead letters, no attempt outlives the deadline."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 5_000)
    agent = await fleet.agent()
    offer = await agent.start()
    await fleet.pass_time(5_000)
    agent.read()
    assert [order.kind for order in agent.orders] == [int(Order.TIMEOUT)]
    assert await fleet.status(task.id) is Status.RUNNING
    await agent.say(offer, WordKind.STOPPED)
    row = await fleet.task(task.id)
    assert (row.status, row.attempt) == (Status.DEAD_LETTER, 1)
    (payload,) = await fleet.payloads(task.id, E.TASK_DEAD_LETTERED)
    assert payload["reason"] == "TASK_TIMEOUT"


async def test_no_retry_is_planned_beyond_the_deadline(fleet):
    """T3."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 900)
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.FAIL, code="AGENT_ERROR", message="boom")
    assert await fleet.status(task.id) is Status.DEAD_LETTER
    (payload,) = await fleet.payloads(task.id, E.TASK_DEAD_LETTERED)
    assert (payload["reason"], payload["code"]) == ("TASK_TIMEOUT", "AGENT_ERROR")


async def test_a_finished_task_has_nothing_left_to_do_later(fleet):
    """T3: its deadline does not touch it."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 5_000, schedule_to_start=4_000)
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.COMPLETE)
    assert await fleet.store.due(10) == []
    before = await fleet.task(task.id)
    await fleet.pass_time(6_000)
    assert await fleet.task(task.id) == before


# orders and the timers of leases


async def test_a_start_that_crosses_a_cancel_does_not_end_its_grace(fleet):
    """T7, T6, D4: the lease ends stop_grace after the order although the agent began to run."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await fleet.do(Cancel((task.id,)))
    assert (await agent.say(offer, WordKind.START)).result is Result.ACCEPTED
    assert await fleet.status(task.id) is Status.RUNNING
    await keep_alive(fleet, agent, 30_000, offer)
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_an_accept_that_crosses_a_cancel_does_not_end_its_grace(fleet):
    """T7, T6, D4."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.take()
    await fleet.do(Cancel((task.id,)))
    await agent.say(offer, WordKind.ACCEPT)
    await keep_alive(fleet, agent, 30_000, offer)
    assert await fleet.status(task.id) is Status.CANCELLED


async def test_timers_of_an_older_lease_change_nothing(fleet):
    """T5, T7: a task that moved on meanwhile keeps its own time."""
    task = await fleet.submit(timeout=60_000)
    agent = await fleet.agent()
    offer = await agent.start()
    stale = TimeoutRun(task.id, "run timeout", offer.lease_epoch)
    fleet.engine.post(agent.saying(offer, WordKind.RELEASE))
    fleet.engine.sweeper._post_leases(stale, [(task.id, offer.lease_epoch)])
    again = await agent.start()
    assert again.lease_epoch == 2
    await fleet.together(EndOffers(((task.id, 1),)), EndGraces(((task.id, 1), (task.id, 2), ("nobody", 1))))
    await keep_alive(fleet, agent, 59_999, again)
    assert E.TASK_TIMEOUT not in await fleet.events(task.id)
    await fleet.pass_time(1)
    assert E.TASK_TIMEOUT in await fleet.events(task.id)


async def test_an_offer_that_follows_a_run_that_ended_in_its_last_moment_has_its_full_time(fleet):
    """T6, T7: the run timeout meets the word that ends the run in one transaction."""
    task = await fleet.submit(timeout=5_000)
    agent = await fleet.agent()
    offer = await agent.start()
    fleet.clock.advance(5_000)
    fleet.engine.post(agent.saying(offer, WordKind.RELEASE))
    await fleet.settle()
    assert (await fleet.task(task.id)).lease_epoch == 2
    await fleet.pass_time(4_999)
    assert (await fleet.task(task.id)).lease_epoch == 2
    await fleet.pass_time(1)
    assert (await fleet.task(task.id)).lease_epoch == 3


async def test_the_default_run_timeout_is_five_minutes(fleet):
    """T3, T7."""
    task = await fleet.submit()
    agent = await fleet.agent()
    offer = await agent.start()
    assert offer.timeout == 300_000
    await keep_alive(fleet, agent, 299_999, offer)
    assert E.TASK_TIMEOUT not in await fleet.events(task.id)
    await fleet.pass_time(1)
    assert E.TASK_TIMEOUT in await fleet.events(task.id)


# the window


async def test_more_delayed_tasks_than_the_window_holds_all_start_in_time(fleet):
    """T3: also with identical times at the edge of the window."""
    wall = fleet.clock.wall()
    for block in range(4):
        items = tuple(
            Submission(
                id=f"d-{block}-{n}", org_id="o", spec=Spec("w"), run_at=wall + 1_000 + 1_000 * (n // 400)
            )
            for n in range(800)
        )
        await fleet.do(Submit(items))
    await fleet.pass_time(1_000)
    assert sum(task.queued for task in await fleet.rows()) == 1_600
    await fleet.pass_time(1_000)
    assert sum(task.queued for task in await fleet.rows()) == 3_200
    assert await fleet.store.due(1) == []


async def test_a_restart_with_more_late_tasks_than_the_window_loses_none_and_holds_deadlines_back(fleet):
    """T3, T7, D5: the table is read window by window; no deadline fires before the TTL has passed."""
    wall = fleet.clock.wall()
    starts = tuple(
        Submission(id=f"s-{n}", org_id="o", spec=Spec("w"), run_at=wall + 1_000) for n in range(1_000)
    )
    more = tuple(Submission(id=f"t-{n}", org_id="o", spec=Spec("w"), run_at=wall + 1_000) for n in range(500))
    await fleet.do(Submit(starts))
    await fleet.do(Submit(more))
    dying = await fleet.submit(deadline=wall + 2_000, priority=Priority.URGENT)
    agent = await fleet.agent()
    offer = await agent.start()
    assert offer.task.id == dying.id
    fleet.clock.advance(3_000)
    await fleet.restart()
    await fleet.settle()
    assert sum(task.queued for task in await fleet.rows()) == 1_500
    assert E.TASK_TIMEOUT not in await fleet.events(dying.id)
    back = await fleet.agent(held=(ref(offer),))
    await keep_alive(fleet, back, 30_000, offer)
    assert E.TASK_TIMEOUT in await fleet.events(dying.id)


def due(at, seq=1, kind=DueKind.START):
    return Due(at, kind, seq)


def test_the_window_gives_entries_in_order_of_time_and_once():
    """T3."""
    window = DueWindow()
    assert window.dry
    window.refill([due(10, 1), due(20, 2)], now=0, wall=0)
    window.add([due(15, 3), due(10, 1)], now=0, wall=0)
    assert window.next() == 10
    assert window.pop(9) == ()
    assert window.pop(15) == (due(10, 1), due(15, 3))
    assert window.pop(100) == (due(20, 2),)
    assert window.next() is None
    assert not window.dry


def test_an_entry_that_was_replaced_is_not_given():
    """T3, D14: earlier or later, inside the window or beyond it."""
    window = DueWindow()
    window.refill([due(10)], now=0, wall=0)
    window.add([due(30)], now=0, wall=0)
    assert window.pop(29) == ()
    window.add([due(20)], now=0, wall=0)
    assert window.pop(29) == (due(20),)
    assert window.pop(100) == ()
    window = DueWindow()
    window.refill([due(n, n) for n in range(1, WINDOW + 1)], now=0, wall=0)
    window.add([due(WINDOW + 500, 7)], now=0, wall=0)
    assert due(7, 7) not in window.pop(WINDOW)
    assert window.dry


def test_what_lies_beyond_the_window_stays_in_the_table():
    """T3: identical times at the edge are read when the window runs dry."""
    window = DueWindow()
    window.refill([due(5, n) for n in range(WINDOW)], now=0, wall=0)
    window.add([due(5, WINDOW + 1), due(6, WINDOW + 2)], now=0, wall=0)
    assert len(window) == WINDOW
    assert len(window.pop(5)) == WINDOW
    assert window.dry


def test_a_full_window_gives_up_its_latest_entries():
    """S7: memory is bounded, and nothing that was given up comes too early or twice."""
    window = DueWindow()
    window.refill([], now=0, wall=0)
    window.add([due(10_000 - n, n) for n in range(4 * WINDOW + 1)], now=0, wall=0)
    assert len(window) == 2 * WINDOW
    assert window.next() == 10_000 - 4 * WINDOW
    got = [entry for _ in range(2) for entry in window.pop(20_000)]
    assert [entry.at for entry in got] == list(range(6_000, 8_000))
    assert window.dry


def test_a_jump_of_the_wall_clock_moves_no_entry():
    """T7."""
    window = DueWindow()
    window.refill([due(1_000)], now=50, wall=900)
    assert window.next() == 150
    window.add([due(2_000, 2)], now=60, wall=1_990)
    assert window.pop(70) == (due(2_000, 2),)
    assert window.next() == 150


def test_entries_that_could_not_be_fired_are_given_again():
    """S7: unless a newer one has taken their place."""
    window = DueWindow()
    window.refill([due(10, 1), due(10, 2)], now=0, wall=0)
    entries = window.pop(10)
    window.add([due(40, 2)], now=10, wall=10)
    window.postpone(entries, 20)
    assert window.pop(19) == ()
    assert window.pop(20) == (due(10, 1),)
    assert window.pop(40) == (due(40, 2),)


def test_deadlines_are_held_back_whenever_they_are_read():
    """T7, D5: those of later windows, too."""
    window = DueWindow()
    window.refill([due(n, n) for n in range(WINDOW)], now=5_000, wall=5_000)
    window.hold_back(9_000)
    assert len(window.pop(5_000)) == WINDOW
    window.refill([due(1_500, 1, DueKind.DEADLINE)], now=5_000, wall=5_000)
    assert window.pop(8_999) == ()
    assert len(window.pop(9_000)) == 1


@pytest.mark.parametrize("cancelled", [True, False])
def test_timers_do_not_keep_what_was_replaced_or_cancelled(cancelled):
    """S7: the heap is compacted."""
    timers = Timers()
    for n in range(10_000):
        timers.set("a", 100_000 - n)
        if cancelled:
            timers.cancel("a")
    assert len(timers._heap) <= 70
    assert timers.next() == (None if cancelled else 90_001)
    assert len(timers) == (0 if cancelled else 1)


def test_timers_are_given_earliest_first_and_at_most_so_many():
    """S7."""
    timers = Timers()
    for key, at in (("late", 9), ("first", 1), ("second", 2), ("third", 3)):
        timers.set(key, at)
    timers.set("second", 4)
    assert timers.at("second") == 4
    assert timers.pop(5, 2) == ["first", "third"]
    assert timers.pop(5, 9) == ["second"]
    assert timers.pop(5, 9) == []


def test_timers_follow_every_change_of_their_times():
    """S7: compared with a plain table, whatever is set, put off, brought forward, cancelled or taken."""
    draw, timers, table, now = Random(7), Timers(), {}, 0
    for _ in range(20_000):
        key, at = draw.randrange(40), now + draw.randrange(60)
        if draw.random() < 0.2:
            timers.cancel(key)
            table.pop(key, None)
        else:
            timers.set(key, at)
            table[key] = at
        assert timers.at(key) == table.get(key)
        assert timers.next() == min(table.values(), default=None)
        if draw.random() < 0.2:
            now += draw.randrange(9)
            taken = timers.pop(now, 3)
            times = [table.pop(key) for key in taken]
            assert times == sorted(times)
            assert all(at <= now for at in times)
            assert len(taken) == 3 or all(at > now for at in table.values())


async def test_a_retried_task_keeps_its_deadline(fleet):
    """T2, T3."""
    task = await fleet.submit(deadline=fleet.clock.wall() + 60_000)
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.FAIL, code="LOGIC_ERROR")
    fleet.engine.sessions.slots(agent.session, 0)
    await fleet.do(Retry(task.id, "again"))
    await keep_alive(fleet, agent, 60_000)
    assert await fleet.status(task.id) is Status.DEAD_LETTER


def test_what_the_window_gave_up_is_not_overtaken_after_the_wall_clock_was_set_back():
    """T3: an entry left to the table is read when the window runs dry; nothing later may keep it from that."""
    window = DueWindow()
    window.refill([], now=0, wall=1_000_000)
    # Due in 10 s by the clock as it was. Then it is set back: what is written next is due in 20 s, and more than fits.
    window.add([due(1_010_000, n) for n in range(2 * WINDOW)], now=0, wall=1_000_000)
    window.add([due(520_000, 10_000 + n) for n in range(2 * WINDOW + 1)], now=0, wall=500_000)
    window.add([due(600_000, 1)], now=0, wall=500_000)
    assert len(window.pop(20_000)) + len(window.pop(20_000)) == 2 * WINDOW - 1
    assert window.dry


def test_what_is_due_soon_is_in_the_window_when_the_wall_clock_was_set_forward():
    """T3: the table is read again only when the window ran dry, which may be long after."""
    window = DueWindow()
    window.refill([due(n * 1_000, n) for n in range(1, WINDOW + 1)], now=0, wall=0)
    # One hour forward: what is due in a second lies far beyond the last entry that was read.
    window.add([due(3_601_000, 5_000)], now=0, wall=3_600_000)
    assert due(3_601_000, 5_000) in window.pop(1_000)
