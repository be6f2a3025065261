"""Lanes: which task next, and what a transaction that is taken back leaves behind. D3."""

import pytest

from fleetd.core.lanes import GroupKey, LaneBook, LaneKey
from fleetd.core.limits import Gates, closure
from fleetd.core.task import Mode


def key(*capabilities, org="o", priority=2, agent="", mode=Mode.PULL):
    return LaneKey(org, capabilities, int(mode), priority, agent)


@pytest.fixture
def book():
    book = LaneBook(Gates(), 600_000)
    book.learn(1, key())
    book.learn(2, key(priority=3))
    book.learn(3, key("code"))
    book.commit()
    return book


def tops(book):
    """Return the best lane of each group that has work."""
    return [group.top().id for group in book.ready()]


def counts(book):
    return {lane.id: (lane.count, lane.head_seq) for lane in book.lanes() if lane.count}


@pytest.mark.parametrize(
    ("has", "closed"),
    [
        ((), set()),
        (("code",), {"code"}),
        (("code:rust:async", "x"), {"code", "code:rust", "code:rust:async", "x"}),
    ],
)
def test_a_capability_brings_its_prefixes(has, closed):
    """D1, D3."""
    assert closure(has) == closed


def test_a_lane_is_found_by_its_key(book):
    """D3: interned."""
    assert book.find(key("code")) == 3
    assert book.find(key("test")) == 0
    assert book.lane(2).key == key(priority=3)


def test_higher_priority_comes_first_and_age_decides_within_it(book):
    """D3."""
    book.learn(4, key(org="p"))
    book.enter(4, 5, 0)
    book.enter(1, 7, 0)
    assert tops(book) == [4]
    book.enter(2, 9, 0)
    assert tops(book) == [2]
    book.advance(2, 0, 0, 0)
    assert tops(book) == [4]
    book.advance(4, 0, 0, 0)
    assert tops(book) == [1]


def test_groups_are_what_the_same_agents_may_serve(book):
    """D3, M7: capabilities, mode class and reservation set groups apart; org and priority do not."""
    book.learn(5, key(agent="a"))
    book.learn(6, key(mode=Mode.SSH_CLI))
    for lane in (1, 2, 3, 5, 6):
        book.enter(lane, lane, 0)
    assert [group.key for group in book.ready()] == [
        GroupKey((), 3, ""),
        GroupKey(("code",), 3, ""),
        GroupKey((), 3, "a"),
        GroupKey((), 2, ""),
    ]


def test_an_older_task_that_comes_back_becomes_the_head(book):
    """D3, T5."""
    book.enter(1, 10, 100)
    book.enter(1, 4, 40)
    assert counts(book) == {1: (2, 4)}
    assert book.lane(1).head_at == 40


def test_a_lane_that_is_left_empty_is_not_ready(book):
    """D3: and is again with the next task."""
    book.enter(1, 10, 0)
    book.leave(1)
    assert tops(book) == []
    book.enter(1, 12, 0)
    assert counts(book) == {1: (1, 12)}
    assert tops(book) == [1]


def test_stale_entries_of_the_heap_are_skipped(book):
    """D3: a lane that advanced stands where its new head belongs."""
    book.learn(4, key(org="p"))
    book.enter(1, 1, 0)
    book.enter(4, 2, 0)
    book.advance(1, 1, 8, 0)
    assert tops(book) == [4]
    book.advance(4, 1, 9, 0)
    assert tops(book) == [1]


def test_a_rollback_brings_everything_back(book):
    """T5: entered, left, claimed, and lanes learned meanwhile."""
    book.enter(1, 1, 10)
    book.enter(3, 2, 20)
    book.commit()
    before = counts(book)
    book.enter(1, 0, 5)
    book.leave(3)
    book.enter(2, 4, 0)
    book.learn(9, key("new"))
    book.enter(9, 5, 0)
    assert sorted(tops(book)) == [2, 9]
    book.advance(1, 0, 0, 0)
    book.rollback()
    assert counts(book) == before
    assert book.find(key("new")) == 0
    assert 9 not in {lane.id for lane in book.lanes()}
    assert sorted(tops(book)) == [1, 3]
    book.learn(9, key("new"))
    book.enter(9, 5, 0)
    assert sorted(tops(book)) == [1, 3, 9]


def test_a_rollback_after_a_commit_changes_nothing(book):
    """T5."""
    book.enter(1, 1, 10)
    book.commit()
    book.rollback()
    assert counts(book) == {1: (1, 1)}


def test_the_list_of_lanes_does_not_change_under_its_reader(book):
    """D7: queues are read while a transaction learns of lanes on the store's thread."""
    seen = []
    for lane in book.lanes():
        book.learn(100 + lane.id, key(f"c{lane.id}"))
        seen.append(lane.id)
    assert seen == [1, 2, 3]
