"""Events of a run on their way: numbered, gathered, told again after a lost stream, mended when one is refused (G6)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetd_client import telling
from fleetd_client.effects import Heard, Stop
from fleetd_client.session import Session
from fleetd_client.stubs import Acks, ClaimResponse
from tests.unit.client.conversation import (
    ack,
    beacon,
    checkpoint,
    complete,
    leases,
    new_session,
    order,
    reports_in,
    welcome,
    words_in,
)
from tests.unit.client.ledger import Ledger, events, told

A = ("task-a", 1)
B = ("task-b", 7)


def holding(*keys: tuple[str, int]) -> Session:
    """A session with these leases, their starts acknowledged."""
    session = new_session()
    session.hello(0.0)
    session.receive(welcome(), 0.0)
    session.receive(leases(*keys), 0.0)
    for report in reports_in(session.outgoing(0.0)):
        session.receive(ack(report), 0.0)
    return session


@pytest.fixture
def session() -> Session:
    return holding(A)


def say(session, *texts, key=A):
    for text in texts:
        session.say(events(key, text), 1.0)


def out(session):
    """The reports that are due."""
    return reports_in(session.outgoing(1.0))


def refusal(report, reason="FIELD_INVALID"):
    message = ack(report, "REJECTED", "no such thing")
    message.acks.acks[0].reason = reason
    return message


def test_what_is_told_between_two_flushes_travels_in_one_word_numbered_from_one(session):
    """G6."""
    say(session, "a", "b", "c")
    (word,) = out(session)
    assert told(word) == (1, ["a", "b", "c"])
    say(session, "d")
    (word,) = out(session)
    assert told(word) == (4, ["d"])


def test_each_lease_counts_for_itself():
    """G6."""
    session = holding(A, B)
    session.say(events(A, "a"), 1.0)
    session.say(events(B, "b"), 1.0)
    session.say(events(A, "c"), 1.0)
    assert [(report.task_id, *told(report)) for report in out(session)] == [
        ("task-a", 1, ["a", "c"]),
        ("task-b", 1, ["b"]),
    ]


def test_a_word_has_at_most_a_thousand_events(session):
    """G6, S7."""
    say(session, *map(str, range(2_001)))
    assert [(first, len(ids)) for first, ids in map(told, out(session))] == [
        (1, 1_000),
        (1_001, 1_000),
        (2_001, 1),
    ]


def test_a_word_has_at_most_about_a_mebibyte(session):
    """G6, S7."""
    say(session, *[str(number) + "x" * 200_000 for number in range(7)])
    words = out(session)
    assert [told(word)[0] for word in words] == [1, 3, 5, 7]
    assert all(word.ByteSize() <= 1024 * 1024 for word in words)


def test_another_word_of_the_lease_does_not_overtake_events_and_is_not_overtaken(session):
    """G6: a checkpoint stands for what was told before it."""
    say(session, "a")
    session.say(checkpoint(A, b"1"), 1.0)
    say(session, "b")
    assert words_in(session.outgoing(1.0)) == [
        ("task-a", "events"),
        ("task-a", "checkpoint"),
        ("task-a", "events"),
    ]


def test_the_last_word_waits_until_the_events_before_it_are_stored(session):
    """G6: what comes after the last word would tell nothing."""
    say(session, "a")
    session.say(complete(A), 1.0)
    (word,) = out(session)
    assert word.WhichOneof("word") == "events"
    assert session.held == [A]
    say(session, "late")
    assert out(session) == []
    session.receive(ack(word), 1.0)
    (last,) = out(session)
    assert last.WhichOneof("word") == "complete"
    session.receive(ack(last), 1.0)
    assert session.held == []


def test_a_run_without_events_under_way_ends_at_once(session):
    """G6: nobody pays for what was not used."""
    say(session, "a")
    (word,) = out(session)
    session.receive(ack(word), 1.0)
    session.say(complete(A), 1.0)
    assert words_in(session.outgoing(1.0)) == [("task-a", "complete")]


def test_a_run_whose_last_word_waits_is_neither_stopped_nor_judged_by_a_beacon(session):
    """G6, D2, D4."""
    say(session, "a")
    session.say(complete(A), 1.0)
    session.outgoing(10.0)
    assert session.receive(order("CANCEL_TASK", A), 10.0) == []
    assert session.receive(beacon(1), 10.0) == []
    assert session.held == [A]


def test_whoever_leaves_at_once_says_the_last_word_behind_the_events(session):
    """G6, D2."""
    say(session, "a")
    session.say(complete(A), 1.0)
    session.leave()
    assert words_in(session.outgoing(1.0)) == [("task-a", "events"), ("task-a", "complete")]


def test_unacknowledged_words_are_said_again_as_they_were_after_a_lost_stream(session):
    """G6, T5: exactly once, in order, with the same numbers."""
    say(session, "a", "b")
    first = out(session)
    say(session, "c")
    second = out(session)
    session.receive(ack(first[0]), 1.0)
    say(session, "d")
    session.disconnected()
    say(session, "e")
    session.hello(2.0)
    session.receive(welcome(A), 2.0)
    say(session, "f")
    again = out(session)
    assert again[0] == second[0]
    assert [told(word) for word in again] == [(3, ["c"]), (4, ["d", "e", "f"])]


def test_a_word_that_was_sent_grows_no_more_although_nothing_was_heard_of_it(session):
    """G6: its repeat would carry events under numbers that the daemon has given to nothing else yet."""
    say(session, "a")
    out(session)
    session.disconnected()
    say(session, "b")
    session.hello(2.0)
    session.receive(welcome(A), 2.0)
    assert [told(word) for word in out(session)] == [(1, ["a"]), (2, ["b"])]


def test_the_run_hears_how_many_are_stored(session):
    """G6, S7: that makes room for more."""
    say(session, "a", "b")
    (word,) = out(session)
    assert session.receive(ack(word, "DUPLICATE"), 1.0) == [Heard(A, 2)]


def test_events_of_a_lost_lease_stop_the_run(session):
    """G6, T5."""
    say(session, "a")
    (word,) = out(session)
    assert session.receive(ack(word, "LEASE_LOST"), 1.0) == [Stop(A, "lost")]
    assert session.held == []


def test_of_a_refused_word_only_the_bad_event_is_left_out(session):
    """G6: the others of its batch, and what was told after it, arrive."""
    texts = [f"{number}" for number in range(30)]
    texts[17] = "bad"
    ledger = Ledger()
    say(session, *texts[:25])
    waiting = out(session)
    say(session, *texts[25:])
    session.say(complete(A), 1.0)
    waiting += out(session)
    heard = []
    for _ in range(40):
        answers = [ledger.take(report) for report in waiting]
        for answer in answers:
            heard += session.receive(ClaimResponse(acks=Acks(acks=[answer])), 1.0)
        waiting = out(session)
    assert ledger.stored == [text for text in texts if text != "bad"]
    assert ledger.last == "complete"
    assert session.held == []
    refused = [one for one in heard if one.refused]
    assert [(one.count, [event.id for event in one.refused], one.message) for one in refused] == [
        (1, ["bad"], "field_invalid")
    ]
    assert sum(one.count for one in heard) == 30


def test_a_refused_word_is_told_again_in_halves_and_what_followed_it_behind_them(session):
    """G6."""
    say(session, "a", "b", "c")
    (word,) = out(session)
    say(session, "d")
    (behind,) = out(session)
    assert session.receive(refusal(word), 1.0) == [Heard(A, 0)]
    assert [told(one) for one in out(session)] == [(1, ["a"]), (2, ["b", "c"]), (4, ["d"])]
    # The answer to what had followed is about nothing any more.
    assert session.receive(refusal(behind, "EVENTS_MISSING"), 1.0) == []


def test_events_that_the_daemon_lacks_end_the_telling_and_the_run_hears_it(session):
    """G6: it was restored from an older state; nothing can follow what is gone."""
    say(session, "a")
    (word,) = out(session)
    session.receive(ack(word), 1.0)
    say(session, "b", "c")
    (word,) = out(session)
    say(session, "d")
    session.say(complete(A), 1.0)
    (heard,) = session.receive(refusal(word, "EVENTS_MISSING"), 1.0)
    assert (heard.count, [one.id for one in heard.refused]) == (3, ["b", "c", "d"])
    assert words_in(session.outgoing(1.0)) == [("task-a", "complete")], "the result still arrives"


MOVES = st.lists(
    st.sampled_from(["say", "say", "say", "bad", "flush", "deliver", "answer", "break", "checkpoint"]),
    max_size=60,
)


class Course:
    """One session against a ledger, over a stream that loses what is under way when it breaks."""

    def __init__(self) -> None:
        self.session = holding(A)
        self.ledger = Ledger()
        self.said: list[str] = []
        self.sent: list = []
        self.answers: list = []
        self.heard = 0

    def do(self, move: str) -> None:
        if move in {"say", "bad"}:
            text = f"{'bad' if move == 'bad' else 'good'}-{len(self.said)}"
            self.said.append(text)
            self.session.say(events(A, text), 1.0)
        elif move == "checkpoint":
            self.session.say(checkpoint(A, b"1"), 1.0)
        elif move == "flush":
            self.sent += out(self.session)
        elif move == "deliver" and self.sent:
            self.answers.append(self.ledger.take(self.sent.pop(0)))
        elif move == "answer" and self.answers:
            message = ClaimResponse(acks=Acks(acks=[self.answers.pop(0)]))
            self.heard += sum(
                one.count for one in self.session.receive(message, 1.0) if isinstance(one, Heard)
            )
        elif move == "break":
            self.sent, self.answers = [], []
            self.session.disconnected()
            self.session.hello(1.0)
            self.session.receive(welcome(A), 1.0)

    def settle(self) -> None:
        for _ in range(2_000):
            for move in ("flush", "deliver", "answer"):
                self.do(move)
            if not self.session.held:
                return
        raise AssertionError("it never ends")


@pytest.mark.parametrize("most", [telling.WORD_EVENTS, 3])
@given(before=MOVES, after=st.lists(st.sampled_from(["flush", "deliver", "answer", "break"]), max_size=20))
@settings(max_examples=150, deadline=None)
def test_every_good_event_is_stored_once_and_in_order_whatever_breaks(most, before, after):
    """G6, T5: lost words, lost answers, refusals, in any order, large words and small; and the last word comes last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telling, "WORD_EVENTS", most)
        course = Course()
        for move in before:
            course.do(move)
        course.session.say(complete(A), 1.0)
        for move in after:
            course.do(move)
        course.settle()
    assert course.ledger.stored == [text for text in course.said if not text.startswith("bad")]
    assert course.ledger.last == "complete"
    assert course.heard == len(course.said)


def test_no_message_has_more_events_than_the_daemon_takes():
    """S7: after a long absence many runs have much to tell."""
    keys = [(f"task-{number}", 1) for number in range(25)]
    session = holding(*keys)
    for key in keys:
        say(session, *map(str, range(1_000)), key=key)
    counts = [
        sum(len(report.events.events) for report in message.reports.reports)
        for message in session.outgoing(1.0)
        if message.HasField("reports")
    ]
    assert counts == [10_000, 10_000, 5_000]
