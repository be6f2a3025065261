"""The table of legal moves, and that no command makes any other one: T2."""

import copy
import itertools

import pytest

from fleetd.core import attendance as att
from fleetd.core.agent import Agent, AgentOrder, AgentSpec, SessionKind
from fleetd.core.hostbook import HostBook
from fleetd.core.interventions import Cancel, Retry, TimeoutRun, Update
from fleetd.core.ledger import Due, DueKind, Ledger
from fleetd.core.limits import Gates
from fleetd.core.rolloutbook import RolloutBook
from fleetd.core.routebook import RouteBook
from fleetd.core.settings import RouterRules, Rules
from fleetd.core.task import LIVE, MOVES, TERMINAL, WAITING, Order, Priority, Spec, Status, Task
from fleetd.core.task_event import Told
from fleetd.core.timers import EndGraces, EndOffers, FireDue
from fleetd.core.words import Ack, Result, Say, Word, WordKind
from fleetd.engine.half_open import Probes
from fleetd.engine.shadow_places import ShadowPlaces
from fleetd.engine.trials import TrialTraffic
from fleetd.errors import FleetError, WrongState

S = Status
NOW = 1_700_000_000_000
EPOCH = 7
SESSION = 3

LEGAL = """
    PENDING ASSIGNED, ASSIGNED RUNNING, RUNNING COMPLETED, ASSIGNED FAILED, RUNNING FAILED, ASSIGNED PENDING, RUNNING PENDING,
    PENDING DEAD_LETTER, BLOCKED DEAD_LETTER, ASSIGNED DEAD_LETTER, RUNNING DEAD_LETTER, PENDING BLOCKED, BLOCKED PENDING,
    PENDING CANCELLED, BLOCKED CANCELLED, ASSIGNED CANCELLED, RUNNING CANCELLED, FAILED PENDING, DEAD_LETTER PENDING,
    DEAD_LETTER DISCARDED
"""


def a_task(status, order=Order.NONE, **parts):
    live = status in LIVE
    return Task(
        seq=1,
        id="task",
        status=status,
        lane=1,
        queued=status is S.PENDING,
        lease_epoch=EPOCH,
        agent_id="agent",
        session_epoch=SESSION,
        accepted=status is S.RUNNING,
        order=order if live else Order.NONE,
        order_at=NOW - 1 if live and order else 0,
        attempt=1,
        due=DueKind.START | DueKind.START_BY | DueKind.DEADLINE | DueKind.RESERVATION,
        deadline=NOW + 1_000_000,
        reserved_agent="agent",
        **parts,
    )


def an_agent():
    return Agent(
        spec=AgentSpec("agent"),
        session_open=True,
        session_epoch=SESSION,
        session_kind=SessionKind.STREAM,
        incarnation="one",
        order=AgentOrder.DRAIN,
        order_id="o",
        order_deadline=5,
    )


def a_ledger(task):
    ledger = Ledger(
        NOW,
        Rules(),
        {"agent": an_agent()},
        Gates(),
        RouteBook(RouterRules(), Probes()),
        HostBook(),
        RolloutBook(ShadowPlaces(), TrialTraffic()),
        lambda: 0.5,
    )
    ledger.adopt(task)
    ledger.specs[task.seq] = Spec("work")
    return ledger


def words():
    for kind in WordKind:
        word = Word("task", EPOCH, kind, step_id="s", data=b"d", first=1, events=(Told(b"e"),))
        yield f"{kind.name}", Say("agent", SESSION, (word,))
        yield f"stale {kind.name}", Say("agent", SESSION, (Word("task", EPOCH - 1, kind),))
        yield f"future {kind.name}", Say("agent", SESSION, (Word("task", EPOCH + 1, kind),))
        yield f"older session's {kind.name}", Say("agent", SESSION - 1, (Word("task", EPOCH, kind),))
        yield f"stranger's {kind.name}", Say("stranger", SESSION, (Word("task", EPOCH, kind),))
        yield (
            f"bad {kind.name}",
            Say("agent", SESSION, (Word("task", EPOCH, kind, refusal="output: too large"),)),
        )
    for code in ("LOGIC_ERROR", "AGENT_ERROR"):
        yield f"FAIL {code}", Say("agent", SESSION, (Word("task", EPOCH, WordKind.FAIL, code=code),))


def commands():
    yield from words()
    yield "cancel", Cancel(("task",))
    yield "timeout", TimeoutRun("task", "slow")
    yield "timeout of an older lease", TimeoutRun("task", "slow", EPOCH - 1)
    yield "retry", Retry("task", "again")
    yield "update of the title", Update("task", {"title": "new"})
    yield "update of the labels", Update("task", {"labels": {"a": "b"}})
    yield "update of the priority", Update("task", {"priority": Priority.LOW})
    yield "update of a version", Update("task", {"title": "new"}, 99)
    for kind in (DueKind.START, DueKind.START_BY, DueKind.DEADLINE, DueKind.RESERVATION):
        yield f"due {kind}", FireDue((Due(0, kind, 1),))
    yield "offers", EndOffers((("task", EPOCH),))
    yield "older offers", EndOffers((("task", EPOCH - 1),))
    yield "graces", EndGraces((("task", EPOCH),))
    yield "older graces", EndGraces((("task", EPOCH - 1),))
    for why in att.Leaving:
        yield f"end of the session by {why}", att.EndSession("agent", SESSION, why)
        yield f"end of an older session by {why}", att.EndSession("agent", SESSION - 1, why)
    yield "unregister", att.Unregister("agent")
    for order in list(AgentOrder)[1:]:
        yield f"agent order {order.name}", att.OrderAgent("agent", order, "id")
    yield "end of a drain", att.EndDrain("agent", 5)
    yield "end of another drain", att.EndDrain("agent", 6)
    yield "repair", att.Repair("agent", SESSION, (att.LeaseRef("task", EPOCH),))
    yield "repair of an older lease", att.Repair("agent", SESSION, (att.LeaseRef("task", EPOCH - 1),))
    spec, lease = AgentSpec("agent"), att.LeaseRef("task", EPOCH)
    for incarnation, held in itertools.product(("one", "two"), ((), (lease,), None)):
        name = f"hello of {incarnation} with {held}"
        yield name, att.Attach(spec, incarnation, SessionKind.STREAM, held)


COMMANDS = dict(commands())
NOT_COUNTING = {"stale", "future", "older", "stranger's", "bad"}
CASES = [(status, Order.NONE) for status in S] + [(s, o) for s in LIVE for o in Order if o]


def carried_out(command, ledger):
    """Apply a command; return (the error that refused it or None, its answer)."""
    try:
        answer = command.apply(ledger)
    except FleetError as error:
        return error, None
    if isinstance(answer, list) and answer and isinstance(answer[0], FleetError):
        return answer[0], None
    return None, answer


def said(answer):
    """Return what became of a word, 0 when the answer is to something else."""
    return answer[0].result if isinstance(answer, list) and isinstance(answer[0], Ack) else 0


def test_the_table_holds_exactly_the_legal_moves():
    """T2."""
    legal = {tuple(S[name] for name in pair.split()) for pair in LEGAL.split(",")}
    assert {(old, new) for old, news in MOVES.items() for new in news} == legal
    assert set(MOVES) == set(S)
    assert {status for status in S if not MOVES[status]} == {S.COMPLETED, S.CANCELLED, S.DISCARDED}
    assert set(S) == LIVE | WAITING | TERMINAL


@pytest.mark.parametrize(("old", "new"), list(itertools.product(S, S)))
def test_every_pair_of_statuses_is_a_legal_move_or_refused(old, new):
    """T2: FAILED_PRECONDITION, and nothing changes."""
    task = a_task(old)
    ledger = a_ledger(task)
    before = copy.copy(task)
    if new in MOVES[old]:
        ledger.move(task, new)
        assert (task.status, task.version) == (new, before.version + 1)
        assert ledger.counts == {old: -1, new: 1}
        assert (task.finished_at > 0) == (new in TERMINAL)
        assert not (new in TERMINAL and task.due)
    else:
        with pytest.raises(WrongState):
            ledger.move(task, new)
        assert task == before
        assert ledger.counts == {}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("status", "order"), CASES)
def test_every_command_on_every_status_moves_legally_or_changes_nothing(name, status, order):
    """T2, T5, D4, D5."""
    task = a_task(status, order)
    ledger = a_ledger(task)
    before = copy.copy(task)
    refusal, answer = carried_out(COMMANDS[name], ledger)
    if refusal is not None:
        assert refusal.reason != "ILLEGAL_MOVE"
        assert not ledger.effects
    if refusal is not None or name.split()[0] in NOT_COUNTING or (answer and said(answer) > Result.ACCEPTED):
        assert task == before
        assert not ledger.changes.tasks
        assert not ledger.changes.events
        return
    assert task.lease_epoch == EPOCH
    if status in (S.COMPLETED, S.CANCELLED, S.DISCARDED):
        assert task.status is status
    elif status in (S.FAILED, S.DEAD_LETTER):
        assert task.status is (S.PENDING if name == "retry" else status)
    elif status in WAITING:
        assert task.status in (status, S.CANCELLED, S.DEAD_LETTER)
    if order is Order.CANCEL:
        assert task.status in (*LIVE, S.CANCELLED)
    if task.status is not before.status:
        assert task.version > before.version
        assert ledger.changes.events
        assert ledger.counts[task.status] == 1
    assert sum(ledger.counts.values()) == 0
    assert not (task.status in TERMINAL and task.queued)
    if status in LIVE and task.status not in LIVE:
        assert len(ledger.changes.runs) == 1
        assert (task.order, task.accepted, task.ending > 0) == (Order.NONE, False, True)


@pytest.mark.parametrize("kind", WordKind)
@pytest.mark.parametrize("status", S)
def test_a_word_counts_on_a_live_lease_only(status, kind):
    """T5: otherwise it is LEASE_LOST and nothing changes."""
    task = a_task(status)
    ledger = a_ledger(task)
    before = copy.copy(task)
    (ack,) = COMMANDS[kind.name].apply(ledger)
    if status in LIVE and kind is WordKind.INSTANCE_FAILED:
        assert ack.result is Result.REJECTED  # the task has no route (R13)
    elif status in LIVE:
        assert ack.result in (Result.ACCEPTED, Result.DUPLICATE)
    else:
        assert ack.result is Result.LEASE_LOST
        assert ack.reason == "LEASE_LOST"
        assert status.name in ack.message
    if ack.result is not Result.ACCEPTED:
        assert task == before
        assert not ledger.changes.events


def test_every_move_of_a_task_writes_an_event():
    """T8: for every command that moves one."""
    moved = 0
    for (status, order), (name, command) in itertools.product(CASES, COMMANDS.items()):
        task = a_task(status, order)
        ledger = a_ledger(task)
        carried_out(command, ledger)
        if task.status is not status:
            moved += 1
            kinds = [event.type for event in ledger.changes.events if event.task_id == "task"]
            assert kinds, (name, status)
            assert [e.task_seq for e in ledger.changes.events if e.task_id] == list(range(1, len(kinds) + 1))
    assert moved > 100
