"""Slots: which agent next, and what a transaction that is taken back leaves behind. D3."""

import pytest

from fleetd.core.lanes import GroupKey
from fleetd.core.slots import SlotBook
from fleetd.core.task import Mode


def group(*capabilities, agent="", mode=Mode.PULL):
    return GroupKey(capabilities, int(mode), agent)


@pytest.fixture
def book():
    book = SlotBook()
    book.place("a", (), 2, 0)
    book.place("b", ("code:rust",), 4, 0)
    return book


def serve(book, wanted, times):
    """Give so many leases and return who got them."""
    served = []
    for _ in range(times):
        seat = book.best(wanted)
        if seat is None:
            served.append("")
        else:
            book.take(seat.agent_id)
            served.append(seat.agent_id)
    return "".join(served)


def test_slots_are_given_by_water_filling(book):
    """D3: lowest held/ceiling first."""
    assert serve(book, group(), 6) == "ab" + "b" + "ab" + "b"
    assert book.free == 0
    assert book.best(group()) is None


def test_among_equals_the_one_served_longest_ago_is_next():
    """D3."""
    book = SlotBook()
    for name in "cab":
        book.place(name, (), 1, 0)
    assert serve(book, group(), 3) == "abc"
    for name in "bca":
        book.give_back(name)
    assert serve(book, group(), 3) == "abc"


def test_only_agents_that_are_able_are_asked(book):
    """D3, D1: prefixes included; a host's task goes to none."""
    assert book.best(group("code")).agent_id == "b"
    assert book.best(group("code", "test")) is None
    assert book.best(group(mode=Mode.SSH_CLI)) is None
    assert sorted(book.able(group())) == ["a", "b"]
    assert book.able(group("code")) == ["b"]


def test_a_reserved_task_asks_its_agent_only(book):
    """M4."""
    assert book.best(group(agent="b")).agent_id == "b"
    assert book.best(group("code", agent="a")) is None
    assert book.best(group(agent="nobody")) is None
    assert book.able(group(agent="a")) == ["a"]
    assert book.able(group(agent="nobody")) == []
    serve(book, group(agent="a"), 2)
    assert book.best(group(agent="a")) is None


def test_an_agent_that_holds_more_than_its_ceiling_has_no_free_slot():
    """D3, S7: it is lowered, nothing is taken away."""
    book = SlotBook()
    book.place("a", (), 1, 3)
    assert (book.free, book.best(group())) == (0, None)
    book.give_back("a")
    book.give_back("a")
    assert book.free == 0
    book.give_back("a")
    assert book.free == 1


def test_a_counted_seat_is_used_up_by_what_it_was_given():
    """M3: a lease that ends frees no slot for a call that asked for one."""
    book = SlotBook()
    book.place("a", (), 2, 1, counted=True)
    assert serve(book, group(), 2) == "a"
    book.give_back("a")
    assert (book.free, book.seat("a").held, book.seat("a").ceiling) == (0, 1, 1)


def test_a_change_of_capabilities_moves_the_seat(book):
    """D1: entries of the old set are skipped."""
    book.place("a", ("code",), 2, 0)
    assert {book.best(group("code")).agent_id} == {"a"}
    book.place("a", ("test",), 2, 0)
    assert book.best(group("code")).agent_id == "b"
    assert book.best(group("test")).agent_id == "a"
    book.remove("a")
    assert book.best(group("test")) is None
    assert (book.free, book.seat("a")) == (4, None)


def test_a_rollback_brings_everything_back(book):
    """T5."""
    serve(book, group(), 3)
    book.commit()
    before = {name: (book.seat(name).ceiling, book.seat(name).held) for name in "ab"}
    serve(book, group(), 3)
    book.give_back("a")
    book.close("b")
    assert book.free == 1
    book.rollback()
    assert {name: (book.seat(name).ceiling, book.seat(name).held) for name in "ab"} == before
    assert book.free == 3
    assert len(serve(book, group(), 3)) == 3


def test_a_closed_seat_gets_nothing_until_it_is_placed_anew(book):
    """D2."""
    book.close("b")
    book.commit()
    assert (book.best(group("code")), book.free) == (None, 2)
    book.give_back("b")
    assert book.best(group("code")) is None
    book.place("b", ("code",), 4, 0)
    assert book.best(group("code")).agent_id == "b"


def test_strangers_are_ignored(book):
    """D1: a lease of an agent that is gone ends without a seat."""
    book.take("nobody")
    book.give_back("nobody")
    book.close("nobody")
    book.remove("nobody")
    book.rollback()
    assert book.free == 6


def test_a_busy_fleet_does_not_collect_stale_entries(book):
    """S7: the heap is rebuilt."""
    for _ in range(5_000):
        book.take("b")
        book.give_back("b")
    assert all(len(pool.heap) <= 64 + 8 * 2 for pool in book._pools.values())
    assert serve(book, group("code"), 4) == "bbbb"
