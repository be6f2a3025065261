"""The agent's side of the protocol, with the daemon's messages and the clock given by hand."""

from __future__ import annotations

import pytest

from fleetd_client.session import Begin, Session, Stop, Told
from tests.unit.client.conversation import (
    INTERVAL,
    TTL,
    ack,
    beacon,
    checkpoint,
    complete,
    end,
    fail,
    instance_failed,
    leases,
    new_session,
    order,
    progress,
    reports_in,
    welcome,
    words_in,
)

A = ("task-a", 1)
B = ("task-b", 7)


@pytest.fixture
def session() -> Session:
    """A session that was welcomed at 0 s."""
    fresh = new_session()
    fresh.hello(0.0)
    assert fresh.outgoing(0.0) == [], "nothing is said before the welcome"
    assert fresh.receive(welcome(), 0.0) == []
    return fresh


def holding(session: Session, *keys: tuple[str, int], exclusive: bool = False) -> Session:
    """The session with these leases, their starts sent and acknowledged."""
    session.receive(leases(*keys, exclusive=exclusive), 0.0)
    for report in reports_in(session.outgoing(0.0)):
        session.receive(ack(report), 0.0)
    return session


def test_a_lease_begins_at_once_and_its_start_is_said_in_the_same_breath(session):
    """T6: start implies accept; nobody waits for an answer."""
    effects = session.receive(leases(A, B), 0.0)
    assert [effect.lease.task_id for effect in effects if isinstance(effect, Begin)] == ["task-a", "task-b"]
    sent = session.outgoing(0.0)
    assert len(sent) == 1, "both starts travel in one message"
    assert words_in(sent) == [("task-a", "start"), ("task-b", "start")]


def test_a_lease_that_arrives_twice_runs_once(session):
    """T5."""
    session.receive(leases(A), 0.0)
    assert session.receive(leases(A), 0.0) == []
    assert words_in(session.outgoing(0.0)) == [("task-a", "start")]


def test_a_lease_is_held_until_its_last_word_is_acknowledged(session):
    """T5, D2."""
    holding(session, A)
    session.say(complete(A), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    assert session.held == [A]
    session.receive(ack(word), 1.0)
    assert session.held == []


def test_a_duplicate_answer_ends_the_lease_as_an_accepted_one_does(session):
    """T5."""
    holding(session, A)
    session.say(complete(A), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    session.receive(ack(word, "DUPLICATE"), 1.0)
    assert session.held == []


def test_a_result_is_kept_over_a_lost_connection_and_said_again(session):
    """T5: the acknowledgement may be what was lost."""
    holding(session, A)
    session.say(complete(A), 1.0)
    session.outgoing(1.0)
    session.disconnected()
    hello = session.hello(2.0).hello
    assert [(ref.task_id, ref.lease_epoch) for ref in hello.held] == [A]
    assert session.receive(welcome(A), 2.0) == []
    assert words_in(session.outgoing(2.0)) == [("task-a", "complete")]


def test_a_word_said_while_disconnected_travels_after_the_welcome(session):
    """T5."""
    holding(session, A)
    session.disconnected()
    session.say(checkpoint(A, b"1", "s1"), 1.0)
    session.say(complete(A), 1.0)
    assert session.outgoing(1.0) == []
    session.hello(2.0)
    session.receive(welcome(A), 2.0)
    assert words_in(session.outgoing(2.0)) == [("task-a", "checkpoint"), ("task-a", "complete")]


def test_a_lease_that_is_not_adopted_stops_and_its_words_are_dropped(session):
    """T5, D1: listed in hello, missing in welcome means lost."""
    holding(session, A, B)
    session.disconnected()
    session.say(complete(B), 1.0)
    session.hello(2.0)
    assert session.receive(welcome(), 2.0) == [Stop(A, "lost")]
    assert session.held == []
    session.say(complete(A), 2.0)
    assert session.outgoing(2.0) == []


def test_lease_lost_stops_the_run(session):
    """T5: a stale epoch is answered LEASE_LOST, so that the agent stops."""
    holding(session, A)
    session.say(checkpoint(A, b"1"), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    assert session.receive(ack(word, "LEASE_LOST"), 1.0) == [Stop(A, "lost")]
    assert session.held == []


def test_a_lost_answer_for_progress_stops_the_run_although_progress_is_not_kept(session):
    """T5."""
    holding(session, A)
    session.say(progress(A, 10), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    assert session.receive(ack(word, "LEASE_LOST"), 1.0) == [Stop(A, "lost")]


def test_a_rejected_result_becomes_a_failure_that_says_why(session):
    """T5, S3: the lease stands, so the agent must end it otherwise."""
    holding(session, A)
    session.say(complete(A), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    session.receive(ack(word, "REJECTED", "output: at most 1 MiB"), 1.0)
    (failure,) = reports_in(session.outgoing(1.0))
    assert failure.fail.code == "AGENT_ERROR"
    assert "output: at most 1 MiB" in failure.fail.message
    session.receive(ack(failure), 1.0)
    assert session.held == []


def test_a_rejected_failure_is_said_plainly_then_the_lease_is_given_back(session):
    """T5."""
    holding(session, A)
    session.say(fail(A, "LOGIC_ERROR", "output"), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    session.receive(ack(word, "REJECTED"), 1.0)
    (plain,) = reports_in(session.outgoing(1.0))
    assert plain.fail.code == "LOGIC_ERROR"
    assert not plain.fail.HasField("output")
    session.receive(ack(plain, "REJECTED"), 1.0)
    (release,) = reports_in(session.outgoing(1.0))
    assert release.WhichOneof("word") == "release"
    session.receive(ack(release), 1.0)
    assert session.held == []


def test_only_the_first_last_word_counts(session):
    """T5, D6."""
    holding(session, A)
    session.say(complete(A), 1.0)
    session.say(fail(A), 1.0)
    assert words_in(session.outgoing(1.0)) == [("task-a", "complete")]


def test_a_ping_lists_every_held_lease_and_goes_out_each_interval(session):
    """D2."""
    holding(session, A, B)
    session.say(complete(B), 1.0)
    session.outgoing(1.0)
    assert session.wake_at() == INTERVAL
    (message,) = session.outgoing(INTERVAL)
    assert [ref.task_id for ref in message.ping.held] == ["task-a", "task-b"]
    assert session.wake_at() == 2 * INTERVAL


def test_the_daemon_may_change_the_interval_with_a_beacon(session):
    """D2: the server chooses."""
    session.outgoing(INTERVAL)
    slower = beacon(1)
    slower.beacon.heartbeat_interval.seconds = 60
    session.receive(slower, INTERVAL)
    session.outgoing(2 * INTERVAL)
    assert session.wake_at() == 2 * INTERVAL + 60


def test_a_lease_missing_in_the_beacon_is_lost(session):
    """D2, T5: level-triggered repair."""
    holding(session, A, B)
    session.outgoing(INTERVAL)
    assert session.receive(beacon(1, B), INTERVAL) == [Stop(A, "lost")]
    assert session.held == [B]


def test_a_lease_that_came_after_the_ping_is_not_judged_by_its_beacon(session):
    """D2."""
    session.outgoing(INTERVAL)
    session.receive(leases(A), INTERVAL)
    assert session.receive(beacon(1), INTERVAL) == []
    session.outgoing(2 * INTERVAL)
    assert session.receive(beacon(2), 2 * INTERVAL) == [Stop(A, "lost")]


def test_a_lease_whose_last_word_is_out_is_not_judged_by_a_beacon(session):
    """D2: the daemon may have taken the word already; its acknowledgement decides."""
    holding(session, A)
    session.say(complete(A), 1.0)
    session.outgoing(INTERVAL)
    assert session.receive(beacon(1), INTERVAL) == []
    assert session.held == [A]


def test_a_lease_the_agent_does_not_know_is_left_to_the_daemon(session):
    """D2."""
    session.outgoing(INTERVAL)
    assert session.receive(beacon(1, A), INTERVAL) == []
    assert session.held == []


@pytest.mark.parametrize(
    ("kind", "why"), [("CANCEL_TASK", "cancel"), ("TIMEOUT_TASK", "timeout"), ("RELEASE_TASK", "release")]
)
def test_an_order_stops_the_run_once_however_often_it_is_repeated(session, kind, why):
    """D4, D5, T7."""
    holding(session, A)
    assert session.receive(order(kind, A), 1.0) == [Stop(A, why)]
    assert session.receive(order(kind, A), 2.0) == []
    assert session.held == [A], "the lease stands until the agent confirms"


def test_an_order_about_a_lease_that_is_not_held_is_confirmed_at_once(session):
    """D4: or it would be repeated until the grace is over."""
    assert session.receive(order("CANCEL_TASK", A), 1.0) == []
    assert words_in(session.outgoing(1.0)) == [("task-a", "stopped")]


def test_an_order_that_crosses_the_result_is_answered_by_the_result(session):
    """D4: from the request on a complete counts as the confirmation."""
    holding(session, A)
    session.say(complete(A), 1.0)
    assert session.receive(order("CANCEL_TASK", A), 1.0) == []
    assert words_in(session.outgoing(1.0)) == [("task-a", "complete")]


def test_a_dropped_task_stops_and_nothing_is_said(session):
    """T7."""
    holding(session, A)
    assert session.receive(order("DROP_TASK", A), 1.0) == [Stop(A, "lost")]
    session.say(complete(A), 1.0)
    assert session.outgoing(1.0) == []


@pytest.mark.parametrize("kind", ["DRAIN", "STOP", "START", "UNDRAIN"])
def test_an_order_to_the_agent_is_confirmed_by_a_ping_at_once(session, kind):
    """D2."""
    session.receive(order(kind), 1.0)
    assert session.wake_at() <= 1.0
    (message,) = session.outgoing(1.0)
    assert list(message.ping.confirmed_orders) == ["o-1"]
    assert not session.done


def test_an_order_repeated_in_the_answer_to_its_confirmation_does_not_start_a_storm_of_pings(session):
    """D2, S7."""
    session.receive(order("DRAIN"), 1.0)
    session.outgoing(1.0)
    session.receive(order("DRAIN"), 1.0)
    assert session.outgoing(1.0) == []
    (message,) = session.outgoing(1.0 + INTERVAL)
    assert list(message.ping.confirmed_orders) == ["o-1"]


def test_a_restart_takes_no_more_work_and_is_done_when_nothing_is_held(session):
    """D2."""
    holding(session, A)
    session.receive(order("RESTART"), 1.0)
    slots, ping = session.outgoing(1.0)
    assert slots.WhichOneof("kind") == "slots"
    assert slots.slots.ceiling == 0
    assert list(ping.ping.confirmed_orders) == ["o-1"]
    assert not session.done
    session.say(complete(A), 2.0)
    (word,) = reports_in(session.outgoing(2.0))
    session.receive(ack(word), 2.0)
    assert session.done
    assert session.ending == "restart"


@pytest.mark.parametrize("first", ["finished", "restart"])
def test_an_agent_told_on_the_spot_to_end_does_not_come_back_for_a_restart(session, first):
    """D2: a signal wins over an operator's order, whichever came first."""
    session.drain(first)
    session.drain("restart" if first == "finished" else "finished")
    assert session.ending == "finished"


def test_a_lease_that_crosses_the_drain_is_given_back_unburnt(session):
    """T6, T2: release."""
    session.drain("finished")
    assert session.receive(leases(A), 1.0) == []
    messages = session.outgoing(1.0)
    assert words_in(messages) == [("task-a", "release")]
    session.receive(ack(reports_in(messages)[0]), 1.0)
    assert session.done


def test_a_draining_agent_says_so_again_on_every_connection(session):
    """D2: a hello brings the ceiling back to max_concurrency."""
    holding(session, A)
    session.drain("finished")
    session.outgoing(1.0)
    session.disconnected()
    session.hello(2.0)
    session.receive(welcome(A), 2.0)
    assert session.outgoing(2.0)[0].slots.ceiling == 0


def test_leaving_stops_what_runs_and_waits_for_nobody(session):
    """D2."""
    holding(session, A, B)
    session.say(complete(B), 1.0)
    assert session.leave() == [Stop(A, "release")]
    assert session.done
    assert words_in(session.outgoing(1.0)) == [("task-b", "complete")], "results go out before the goodbye"


def test_certainty_counts_from_the_sending_of_the_last_acknowledged_ping(session):
    """D2: self-fencing."""
    assert session.certain_until == TTL, "the welcome acknowledges the hello"
    session.outgoing(INTERVAL)
    assert session.certain_until == TTL
    session.receive(beacon(1), INTERVAL + 5)
    assert session.certain_until == INTERVAL + TTL


def test_an_old_beacon_does_not_shorten_certainty(session):
    """D2."""
    session.outgoing(INTERVAL)
    session.outgoing(2 * INTERVAL)
    session.receive(beacon(2), 2 * INTERVAL)
    session.receive(beacon(1), 2 * INTERVAL)
    assert session.certain_until == 2 * INTERVAL + TTL


def test_past_the_lease_time_exclusive_runs_stop_and_others_work_on(session):
    """D2: self-fencing, also without a connection."""
    holding(session, A, exclusive=True)
    holding(session, B)
    session.disconnected()
    assert session.wake_at() == TTL
    assert session.tick(TTL - 0.001) == []
    assert session.tick(TTL) == [Stop(A, "uncertain")]
    assert session.tick(TTL + 1) == []
    assert session.wake_at() == float("inf")


def test_progress_is_coalesced_to_the_latest_and_two_a_second(session):
    """T3."""
    holding(session, A)
    session.say(progress(A, 1), 1.0)
    session.say(progress(A, 2), 1.0)
    assert [report.progress.percent for report in reports_in(session.outgoing(1.0))] == [2]
    session.say(progress(A, 3), 1.1)
    session.say(progress(A, 4), 1.2)
    assert session.outgoing(1.2) == []
    assert session.wake_at() == 1.5
    assert [report.progress.percent for report in reports_in(session.outgoing(1.5))] == [4]
    assert session.wake_at() == INTERVAL


def test_progress_that_a_result_overtook_is_not_said(session):
    """T3."""
    holding(session, A)
    session.say(progress(A, 99), 1.0)
    session.say(complete(A), 1.0)
    assert words_in(session.outgoing(1.0)) == [("task-a", "complete")]


def test_reports_are_split_by_number_and_by_size(session):
    """S7: at most 1,000 items and 3 MiB a message."""
    keys = [(f"task-{number}", 1) for number in range(1_500)]
    session.receive(leases(*keys), 0.0)
    starts = session.outgoing(0.0)
    assert [len(message.reports.reports) for message in starts] == [1_000, 500]
    for key in keys[:7]:
        session.say(checkpoint(key, bytes(1024 * 1024)), 1.0)
    sizes = [message.ByteSize() for message in session.outgoing(1.0)]
    assert len(sizes) == 4
    assert max(sizes) <= 3 * 1024 * 1024


def test_without_a_connection_the_newest_checkpoint_of_a_step_replaces_the_older(session):
    """T3, S7: a long absence must not fill the memory; no step is forgotten."""
    holding(session, A)
    session.disconnected()
    session.say(checkpoint(A, b"1"), 1.0)
    session.say(checkpoint(A, b"2"), 1.0)
    session.say(checkpoint(A, b"3", "one"), 1.0)
    session.say(checkpoint(A, b"4", "two"), 1.0)
    session.say(checkpoint(A, b"5", "two"), 1.0)
    session.hello(2.0)
    session.receive(welcome(A), 2.0)
    said = [report.checkpoint for report in reports_in(session.outgoing(2.0))]
    assert [(word.data, word.step_id) for word in said] == [(b"3", "one"), (b"5", "two")]


def test_a_replaced_session_loses_every_lease(session):
    """D1: it does not fight back."""
    holding(session, A)
    assert session.receive(end("SESSION_REPLACED"), 1.0) == [Stop(A, "lost")]
    assert session.held == []


def test_any_other_end_keeps_the_leases_for_the_next_connection(session):
    """D1: the same process resumes."""
    holding(session, A)
    assert session.receive(end("DRAINING"), 1.0) == []
    session.disconnected()
    assert session.held == [A]


def test_the_answer_to_a_failed_instance_goes_to_its_run_and_the_lease_stays(session):
    """R11: on the same lease, with the word it answers."""
    holding(session, A)
    said = instance_failed(A, "TIMEOUT")
    session.say(said, 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    assert word.instance_failed.code == "TIMEOUT"
    answer = ack(word)
    answer.acks.acks[0].next.code = "TIMEOUT"
    (effect,) = session.receive(answer, 1.0)
    assert isinstance(effect, Told)
    assert (effect.key, effect.ack.next.code) == (A, "TIMEOUT")
    assert effect.report is said
    assert session.held == [A]


def test_a_failed_instance_is_said_again_on_the_next_connection(session):
    """R11: whoever waits for the answer must not wait for ever."""
    holding(session, A)
    session.say(instance_failed(A, "TIMEOUT"), 1.0)
    session.outgoing(1.0)
    session.disconnected()
    session.hello(2.0)
    session.receive(welcome(A), 2.0)
    assert ("task-a", "instance_failed") in words_in(session.outgoing(2.0))


def test_a_failed_instance_of_a_lost_lease_stops_the_run(session):
    """R11, T5."""
    holding(session, A)
    session.say(instance_failed(A, "TIMEOUT"), 1.0)
    (word,) = reports_in(session.outgoing(1.0))
    assert session.receive(ack(word, "LEASE_LOST"), 1.0) == [Stop(A, "lost")]
