"""One batch as one script: what commands read, what they change, and who gets work in the same transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from fleetd.core.effect import AgentChanged, LeaseEnded, RuleChanged, SessionEnded
from fleetd.core.ledger import Changes, Keys, Ledger
from fleetd.core.submission import Submit
from fleetd.core.task import Status
from fleetd.core.words import Say, Word
from fleetd.engine.dispatch import Claimed, dispatch
from fleetd.engine.figures import MINUTE
from fleetd.errors import FleetError
from fleetd.store.base import Intern, Load, Loaded, Mark, Script, Write

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine


class Command(Protocol):
    """What the engine runs: it names the rows it reads, then changes the ledger, or raises having changed nothing."""

    def keys(self) -> Keys: ...

    def more(self, ledger: Ledger) -> Keys | None: ...

    def apply(self, ledger: Ledger) -> Any: ...


class Outcome(NamedTuple):
    """What a transaction did: an answer or a refusal for each command, the leases given, what was written, and whether there may be more to give."""

    ledger: Ledger
    answers: list[Any]
    claimed: list[Claimed]
    written: Changes
    more: bool


def transaction(engine: Engine, ledger: Ledger, commands: Sequence[Command], number: int) -> Script[Outcome]:
    """Run commands on a ledger, give waiting tasks to free agents, and write what came of both: a new task that is claimed at once is written once."""
    answers: list[Any] = []
    if commands:
        yield from _load(ledger, _union([command.keys() for command in commands]))
        asked = [keys for keys in (command.more(ledger) for command in commands) if keys is not None]
        if asked:
            yield from _load(ledger, _union(asked))
        for command in commands:
            try:
                answers.append(command.apply(ledger))
            except FleetError as error:
                answers.append(error)
        yield from _settle(engine, ledger)
    claimed: list[Claimed] = []
    more = False
    if engine.can_dispatch():
        claimed, more = yield from dispatch(
            ledger, engine.lane_book, engine.slot_book, engine.sessions.by_agent
        )
        _count_waiting(engine, ledger)
    changes = ledger.take_changes()
    if commands or changes.tasks:
        yield Write(changes)
    yield Mark(number, ledger.now // MINUTE, ledger.figures, ledger.counts)
    return Outcome(ledger, answers, claimed, changes, more)


def _settle(engine: Engine, ledger: Ledger) -> Script[None]:
    """Carry what the commands changed over to lanes and slots."""
    homeless, ledger.homeless = ledger.homeless, {}
    if homeless:
        keys = dict.fromkeys(key for _, key in homeless.values() if not engine.lane_book.find(key))
        if keys:
            ids: list[int] = yield Intern(list(keys))
            for lane_id, key in zip(ids, keys, strict=True):
                engine.lane_book.learn(lane_id, key)
        for task, key in homeless.values():
            task.lane = engine.lane_book.find(key)
            if task.status is Status.PENDING and not task.queued and not task.run_at:
                ledger.enter_lane(task)
    for task in ledger.entered.values():
        engine.lane_book.enter(task.lane, task.place, task.queued_at)
    _count_waiting(engine, ledger)
    for lane in ledger.left:
        engine.lane_book.leave(lane)
    for effect in ledger.effects:
        if isinstance(effect, LeaseEnded):
            engine.slot_book.give_back(effect.agent_id)
            gates = engine.lane_book.lane(effect.lane).gates
            engine.gates.leave(gates)
            for gate in gates:
                engine.lane_book.reopen(gate)
        elif isinstance(effect, RuleChanged):
            engine.lane_book.reopen(engine.gates.set_rule(effect.key, effect.rule))
        elif isinstance(effect, (AgentChanged, SessionEnded)):
            engine.slot_book.close(effect.agent_id)
    for agent_id in ledger.greeted:
        # A lease given now would go to the session as it was before the hello.
        engine.slot_book.close(agent_id)


def _count_waiting(engine: Engine, ledger: Ledger) -> None:
    for org_id, change in ledger.waiting.items():
        engine.gates.wait(org_id, change)
    ledger.waiting.clear()


T = TypeVar("T")


def _union(keys: Sequence[Keys]) -> Keys:
    """Return everything that any of them names, each once, in order."""
    if len(keys) == 1:
        return keys[0]

    def merge(parts: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
        return tuple(dict.fromkeys(key for part in parts for key in part))

    return Keys(
        task_ids=merge(one.task_ids for one in keys),
        task_seqs=merge(one.task_seqs for one in keys),
        idempotency=merge(one.idempotency for one in keys),
        external_refs=merge(one.external_refs for one in keys),
        held_by=merge(one.held_by for one in keys),
        runs=merge(one.runs for one in keys),
        specs=merge(one.specs for one in keys),
        checkpoints=merge(one.checkpoints for one in keys),
        blocked=merge(one.blocked for one in keys),
        heads=merge(one.heads for one in keys),
        deliveries=merge(one.deliveries for one in keys),
    )


def _load(ledger: Ledger, keys: Keys) -> Script[None]:
    loaded: Loaded = yield Load(keys)
    for task in loaded.tasks:
        ledger.adopt(task)
    if keys.blocked:
        read = Counter(task.blocked for task in loaded.tasks)
        ledger.blocked_beyond.update(key for key, most in keys.blocked if read[key] >= most)
    if keys.heads:
        queued = ledger.queued()
        for lane, after, most in keys.heads:
            found = [task.place for task in queued.get(lane, ()) if task.place > after]
            if len(found) >= most:
                ledger.queued_beyond[lane] = found[most - 1]
    ledger.runs.update(loaded.runs)
    for delivered in loaded.deliveries:
        ledger.deliveries.setdefault((delivered.source, delivered.id), delivered)
    for seq, spec in loaded.specs.items():
        ledger.specs.setdefault(seq, spec)
    for seq, checkpoint in loaded.checkpoints.items():
        ledger.checkpoints.setdefault(seq, checkpoint)
    ledger.next_seq = max(ledger.next_seq, loaded.next_task_seq)


ROW = 400
"""Bytes that a task event counts beside its own: what its row costs, as time."""


def size_of(command: Command) -> int:
    """Return about how many bytes a command writes, the small parts left out."""
    if isinstance(command, Submit):
        return sum(len(item.input.data) for item in command.items if item.input is not None)
    if isinstance(command, Say):
        return sum(_word_size(word) for word in command.words)
    return 0


def _word_size(word: Word) -> int:
    size = len(word.data) + (len(word.output.data) if word.output else 0)
    return size + sum(len(told.body) + ROW for told in word.events) if word.events else size
