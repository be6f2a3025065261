"""How a task reaches whoever runs it: who may take it, what a taker makes of its mode, and who is first among hosts and agents. M1, M2, M3, M7."""

from __future__ import annotations

import pytest

from fleetd.core.lanes import GroupKey
from fleetd.core.ledger import lane_key
from fleetd.core.limits import closure
from fleetd.core.modes import Decided, HostView, Prefer, serves, taken, unmatched
from fleetd.core.slots import SlotBook
from fleetd.core.task import Mode, ModeSource, Task

UNDECIDED, SSH_CLI, PULL = Mode.UNDECIDED, Mode.SSH_CLI, Mode.PULL
NONE, EXPLICIT, CLAIM, AUTO = ModeSource.NONE, ModeSource.EXPLICIT, ModeSource.CLAIM, ModeSource.AUTO


# who may take it


@pytest.mark.parametrize(
    ("mode", "by_host", "by_agent"),
    [(UNDECIDED, True, True), (SSH_CLI, True, False), (PULL, False, True)],
)
def test_what_a_submitter_named_is_kept_to_and_all_else_is_for_both(mode, by_host, by_agent):
    """M7, M3"""
    assert (serves(mode, host=True), serves(mode, host=False)) == (by_host, by_agent)


@pytest.mark.parametrize(
    ("mode", "source", "lane"),
    [
        (UNDECIDED, NONE, UNDECIDED),
        (PULL, AUTO, UNDECIDED),
        (SSH_CLI, AUTO, UNDECIDED),
        (PULL, CLAIM, UNDECIDED),
        (PULL, EXPLICIT, PULL),
        (SSH_CLI, EXPLICIT, SSH_CLI),
    ],
)
def test_a_lane_holds_apart_only_what_a_submitter_named(mode, source, lane):
    """M7, M2: a decision of the dispatcher moves no task to another lane, so that a host that comes up still finds it"""
    task = Task(seq=1, id="t", org_id="o", mode=mode, mode_source=source, reserved_agent="a")
    assert lane_key(task, ("b", "a", "b")) == ("o", ("a", "b"), int(lane), int(task.priority), "a")


# what a taker makes of it


@pytest.mark.parametrize(
    ("mode", "source", "host", "mode_after", "source_after"),
    [
        (UNDECIDED, NONE, True, SSH_CLI, AUTO),
        (UNDECIDED, NONE, False, PULL, CLAIM),
        (PULL, AUTO, True, SSH_CLI, AUTO),
        (PULL, AUTO, False, PULL, AUTO),
        (SSH_CLI, EXPLICIT, True, SSH_CLI, EXPLICIT),
        (PULL, EXPLICIT, False, PULL, EXPLICIT),
    ],
)
def test_whoever_takes_a_task_decides_what_nobody_had_named(mode, source, host, mode_after, source_after):
    """M1, M2, M3"""
    decided = taken(mode, source, "x", host=host)
    after = (mode, source) if decided is None else decided[:2]
    assert after == (mode_after, source_after)
    assert decided is None or decided.cause.startswith("x ")


# phase 2


def view(*capabilities: str, online: bool = True) -> HostView:
    return HostView(closure(capabilities), online)


ON, OFF = view("code:rust"), view("code:rust", online=False)


@pytest.mark.parametrize(
    ("waited", "patience", "wanted", "hosts", "cause"),
    [
        (29_999, 30_000, ("code",), [], None),
        (30_000, 30_000, ("code",), [], "no host can take it after 30 s"),
        (29_999, 30_000, ("code",), [ON], None),
        (30_000, 30_000, ("code",), [ON], "no host had a free slot within 30 s"),
        (30_000, 30_000, ("code",), [OFF], None),
        (9_999_999, 30_000, ("code",), [OFF], None),
        (30_000, 30_000, ("code",), [OFF, ON], "no host had a free slot within 30 s"),
        (30_000, 30_000, ("test",), [OFF, ON], "no host can take it after 30 s"),
        (30_000, 30_000, ("code", "test"), [view("test"), ON], "no host can take it after 30 s"),
        (30_000, 30_000, ("code", "test"), [view("test", "code")], "no host had a free slot within 30 s"),
        (30_000, 30_000, ("code:rust",), [view("code", online=False)], "no host can take it after 30 s"),
        (30_000, 30_000, (), [OFF], None),
        (0, 0, ("code",), [], "no host can take it after 0 s"),
        (0, 0, ("code",), [OFF], None),
        (1_500, 1_500, (), [], "no host can take it after 1.5 s"),
    ],
)
def test_what_no_host_has_taken_in_time_is_left_to_agents_unless_its_host_is_only_offline(
    waited, patience, wanted, hosts, cause
):
    """M2: phase 2"""
    decided = unmatched(waited, patience, wanted, hosts)
    assert decided == (None if cause is None else Decided(PULL, AUTO, cause))


# who is first


def book(prefer: Prefer = Prefer.HOST, **seats: tuple[int, int]) -> SlotBook:
    """Return a book of seats by name, (ceiling, held) each; names that begin with h are hosts."""
    made = SlotBook(prefer)
    for name, (ceiling, held) in seats.items():
        made.place(name, ("code",), ceiling, held, host=name.startswith("h"))
    return made


def best(seats: SlotBook, *wanted: str, mode: Mode = UNDECIDED, agent: str = "") -> str:
    seat = seats.best(GroupKey(wanted, int(mode), agent))
    return "" if seat is None else seat.agent_id


@pytest.mark.parametrize(
    ("seats", "host", "agent", "least_loaded"),
    [
        ({"h1": (1, 0), "a1": (1, 0)}, "h1", "a1", "a1"),
        ({"a1": (1, 0), "h1": (1, 0)}, "h1", "a1", "a1"),
        ({"h1": (2, 1), "a1": (2, 0)}, "h1", "a1", "a1"),
        ({"h1": (2, 0), "a1": (2, 1)}, "h1", "a1", "h1"),
        ({"h1": (1, 1), "a1": (2, 1)}, "a1", "a1", "a1"),
        ({"h1": (2, 1), "a1": (1, 1)}, "h1", "h1", "h1"),
        ({"h1": (1, 1), "a1": (1, 1)}, "", "", ""),
        ({"h1": (4, 1), "h2": (2, 1), "a1": (4, 2), "a2": (5, 1)}, "h1", "a2", "a2"),
        ({"h1": (0, 0), "a1": (4, 3)}, "a1", "a1", "a1"),
    ],
)
def test_where_a_host_and_an_agent_could_take_it_the_preference_decides_then_the_load(
    seats, host, agent, least_loaded
):
    """M2: prefer = host (default) | agent | least_loaded; M5: the least loaded host first"""
    assert best(book(**seats), "code") == host
    assert best(book(Prefer.HOST, **seats), "code") == host
    assert best(book(Prefer.AGENT, **seats), "code") == agent
    assert best(book(Prefer.LEAST_LOADED, **seats), "code") == least_loaded


@pytest.mark.parametrize("order", [("a1", "h1", "a2"), ("h1", "a1", "a2"), ("a2", "a1", "h1")])
def test_the_preference_holds_between_agents_of_other_capabilities_too(order):
    """M2: each set of capabilities has a heap of its own"""
    made, able = SlotBook(), {"a1": ("code",), "h1": ("code", "x"), "a2": ("code", "y")}
    for name in order:
        made.place(name, able[name], 1, 0, host=name.startswith("h"))
    assert best(made, "code") == "h1"
    made.take("h1")
    assert best(made, "code") == "a1"


@pytest.mark.parametrize("prefer", Prefer)
def test_no_preference_gives_a_task_to_whom_its_submitter_did_not_want(prefer):
    """M7: not even while the others have no free slot"""
    both = book(prefer, h1=(1, 0), a1=(1, 0))
    assert best(both, "code", mode=SSH_CLI) == "h1"
    assert best(both, "code", mode=PULL) == "a1"
    both.take("h1")
    both.take("a1")
    assert best(both, "code", mode=SSH_CLI) == best(both, "code", mode=PULL) == ""
    assert best(book(prefer, a1=(1, 0)), "code", mode=SSH_CLI) == ""
    assert best(book(prefer, h1=(1, 0)), "code", mode=PULL) == ""


def test_a_reservation_gives_no_task_to_whom_its_submitter_did_not_want():
    """M7, M4"""
    both = book(h1=(1, 0), a1=(1, 0))
    assert best(both, "code", mode=SSH_CLI, agent="h1") == best(both, "code", agent="h1") == "h1"
    assert best(both, "code", mode=SSH_CLI, agent="a1") == best(both, "code", mode=PULL, agent="h1") == ""
    assert best(both, "test", agent="h1") == ""


def test_those_who_are_able_are_those_the_mode_lets_take_it():
    """D9, M7"""
    both = book(h1=(1, 1), a1=(1, 0))
    assert both.able(GroupKey(("code",), int(UNDECIDED), "")) == ["h1", "a1"]
    assert both.able(GroupKey(("code",), int(SSH_CLI), "")) == ["h1"]
    assert both.able(GroupKey(("code",), int(PULL), "")) == ["a1"]


def test_hosts_and_agents_of_the_same_capabilities_share_no_slots():
    """M5, T5: a rollback and a change of sides put nobody among the others"""
    both = book(h1=(1, 0), a1=(1, 0))
    both.take("h1")
    both.take("a1")
    both.rollback()
    assert both.free == 2
    assert (best(both, "code", mode=SSH_CLI), best(both, "code", mode=PULL)) == ("h1", "a1")
    both.place("h1", ("code",), 1, 0, host=False)
    assert best(both, "code", mode=SSH_CLI) == ""
