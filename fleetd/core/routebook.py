"""
The book of routes: instances, breakers, the work on each instance and what waits for one, in memory (spec R4, R12, F3, F6).

Two look at it. Transactions, on a thread of their own: what they change belongs to them until `commit` keeps it or `rollback` takes it back. And the event
loop, which routes work that is no task: it reads what the last commit left, and counts that work by itself. What each counted is carried over
where they meet: `commit` brings the leases of the transaction to the loop, `gather` the loop's work to the next transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from fleetd.core.breaker import Breaker, BreakerKey, BreakerState
from fleetd.core.instance import Condition, Instance, provider_of
from fleetd.core.load import Load
from fleetd.core.outlook import Outlook, Probing, Token
from fleetd.core.registry import Registry
from fleetd.core.route import Requirements, RouteFigures
from fleetd.core.settings import RouterRules

_HALF_OPEN = (
    BreakerState.HALF_OPEN
)  # every route asks for it, and a member of an enum costs a look-up by its name


@dataclass(slots=True)
class Group:
    """
    BLOCKED tasks that need the same, so that one look answers for all of them. `above`: only instances that are known to hold more tokens. `retry_at`: when a
    look may help although nothing changed, epoch ms, 0 = unknown.
    """

    requirements: Requirements
    above: int = 0
    retry_at: int = 0


def group_key(requirements: Requirements, above: int = 0) -> int:
    """Return the name of the group of tasks that need this: a whole number of 64 bits, with its sign, never 0."""
    digest = blake2b(repr((*requirements, above)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def ahead(retry_at: int, now: int) -> int:
    """Return a time to look again, epoch ms; 0 when it has passed: a breaker that is still open then half-opens by the clock that nobody sets."""
    return retry_at if retry_at > now else 0


class RouteBook:
    """`inside` is what a transaction routes by, `outside` what the event loop does."""

    def __init__(self, rules: RouterRules, probes: Probing) -> None:
        self.rules = rules
        self.probes = probes
        self.inside = Outlook(Registry(), Load(), probes)
        self.outside = Outlook(Registry(), Load(), probes)
        self.figures = RouteFigures()
        self.groups: dict[int, Group] = {}
        self._emptied: dict[int, Group] = {}
        self.loosened = False
        self._breakers: dict[BreakerKey, Breaker] = {}
        self._changed: dict[BreakerKey, Breaker] = {}
        self._moves: list[tuple[str, int]] = []
        self._arrived: list[tuple[str, int]] = []
        self._gathered: list[tuple[str, int]] = []
        self._held: dict[str, list[Token]] = {}
        self._taken: list[tuple[str, Token]] = []
        self._returned: list[tuple[str, list[Token]]] = []
        self._added: RouteFigures = RouteFigures()

    # what a transaction asks and changes

    @property
    def registry(self) -> Registry:
        return self.inside.registry

    @registry.setter
    def registry(self, registry: Registry) -> None:
        self.inside.registry = registry

    @property
    def counted(self) -> RouteFigures:
        """What this transaction adds to the figures."""
        return self._added

    def begin(self) -> None:
        """Open a transaction: take in the work that the event loop counted."""
        for instance_id, change in self._gathered:
            self.inside.load.add(instance_id, change)
        self._gathered = []

    def instance(self, instance_id: str) -> Instance:
        """Return an instance; of one that was removed what its id tells."""
        return self.registry.get(instance_id) or Instance(instance_id, provider_of(instance_id))

    def breaker(self, key: BreakerKey) -> Breaker:
        """Return a breaker to read."""
        return self._changed.get(key) or self._breakers.get(key) or Breaker(*key)

    def change_breaker(self, key: BreakerKey) -> Breaker:
        """Return a breaker to work on."""
        breaker = self._changed.get(key)
        if breaker is None:
            known = self._breakers.get(key)
            breaker = self._changed[key] = known.copy() if known is not None else Breaker(*key)
        return breaker

    def all_breakers(self) -> list[Breaker]:
        """Return every breaker that was ever struck or forced, to read."""
        return list({**self._breakers, **self._changed}.values())

    def show_breaker(self, breaker: Breaker) -> None:
        """Let routes see that a breaker opened, half-opened or closed."""
        self.registry = self.registry.with_breakers({breaker.key: breaker.view})
        if breaker.state is not BreakerState.OPEN:
            self.loosened = True

    def put(self, put: Mapping[str, tuple[Instance, Condition]], removed: Iterable[str] = ()) -> None:
        """Add, replace and remove instances."""
        self.registry = self.registry.with_instances(put, removed)
        self.loosened = True

    def put_condition(self, instance_id: str, condition: Condition) -> None:
        """Set how an instance is."""
        self.registry = self.registry.with_condition(instance_id, condition)
        self.loosened = True

    def enter(self, holder: str, instance_id: str, now: int, *, must: bool = False) -> tuple[int, int] | None:
        """
        Count the work of a task (`holder`) on an instance, and take the probes of its half-open breakers.

        Returns: the epochs of the breakers of instance and provider; None, and nothing is counted, when somebody else got such a probe meanwhile. With
        `must` it is counted all the same.
        """
        guards = self.inside.guards(instance_id, provider_of(instance_id))
        # What it gives back in this very transaction nobody else can have taken, unless its time is over: it goes on with that.
        kept = [
            token
            for who, tokens in self._returned
            if who == holder
            for token in tokens
            if token[0] in guards and self.probes.holds(*token, now)
        ]
        there = [key for key, _ in kept]
        tokens = take_probes(self.inside, [key for key in guards if key not in there], now, self.rules)
        if tokens is None and not must:
            return None
        self._keep(holder, kept)
        for token in tokens or ():
            self._taken.append((holder, token))
            self._held.setdefault(holder, []).append(token)
        self._move(instance_id, 1)
        own, provider = (self.registry.breaker(*key).epoch for key in guards)
        return own, provider

    def _keep(self, holder: str, kept: list[Token]) -> None:
        """Take back probes that were given back in this transaction."""
        if kept:
            self._held.setdefault(holder, []).extend(kept)
            self._returned = [
                (who, [token for token in tokens if who != holder or token not in kept])
                for who, tokens in self._returned
            ]

    def leave(self, holder: str, instance_id: str) -> None:
        """Count that the work of a task on an instance is over, and give back its probes."""
        bit = self.registry.index.mask((instance_id,))
        full = self.inside.load.on(self.registry.index).full & bit
        self._move(instance_id, -1)
        tokens = self._held.pop(holder, None)
        if tokens:
            self._returned.append((holder, tokens))
        if full or tokens:
            self.loosened = True

    def mine(self, holder: str) -> Sequence[Token]:
        """Return the probes that a task was given; some of them may have ended."""
        return self._held.get(holder, ())

    def wait(self, requirements: Requirements, above: int, retry_at: int) -> int:
        """Note that a task waits for an instance; return the key of its group. A group that nothing waits in any more does no harm."""
        key = group_key(requirements, above)
        group = self.groups.get(key)
        if group is None:
            self.groups[key] = Group(requirements, above, retry_at)
        elif retry_at:
            self.look_again(key, retry_at)
        return key

    def look_again(self, key: int, at: int) -> None:
        """Let a group be asked at `at` (epoch ms) at the latest, whatever changes."""
        group = self.groups.get(key)
        if group is not None and (not group.retry_at or at < group.retry_at):
            group.retry_at = at

    def forget_group(self, key: int) -> None:
        """Note that nothing waits in a group any more; what is blocked later makes it anew."""
        group = self.groups.pop(key, None)
        if group is not None:
            self._emptied[key] = group

    # the ends of a transaction

    def commit(self) -> None:
        """Keep what the transaction did, and let the event loop see it."""
        self._breakers.update(self._changed)
        self._changed.clear()
        self.outside.registry = self.inside.registry
        for instance_id, change in self._moves:
            self.outside.load.add(instance_id, change)
        self._moves.clear()
        self._emptied.clear()
        self._taken.clear()
        for _, tokens in self._returned:
            for key, token in tokens:
                self.probes.release(key, token)
        self._returned.clear()
        self.figures.add(self._added)
        self._added = RouteFigures()

    def rollback(self) -> None:
        """Take back what the transaction did."""
        self._changed.clear()
        self.inside.registry = self.outside.registry
        for instance_id, change in reversed(self._moves):
            self.inside.load.add(instance_id, -change)
        self._moves.clear()
        for group_id, group in self._emptied.items():
            self.groups.setdefault(group_id, group)
        self._emptied.clear()
        for holder, tokens in self._returned:
            self._held.setdefault(holder, []).extend(tokens)
        self._returned.clear()
        for holder, token in self._taken:
            held = self._held.get(holder, [])
            if token in held:
                held.remove(token)
            if not held:
                self._held.pop(holder, None)
            self.probes.release(*token)
        self._taken.clear()
        self._added = RouteFigures()

    # what the event loop does between transactions

    def arrive(self, instance_id: str) -> None:
        """Count work that is no task's."""
        self.outside.load.add(instance_id)
        self._arrived.append((instance_id, 1))

    def depart(self, instance_id: str) -> bool:
        """Count that such work is over; True when the instance was full: somebody may wait for it."""
        index = self.outside.registry.index
        full = self.outside.load.on(index).full & index.mask((instance_id,))
        self.outside.load.add(instance_id, -1)
        self._arrived.append((instance_id, -1))
        return full != 0

    def gather(self) -> None:
        """Hand over to the next transaction what the event loop counted."""
        self._gathered += self._arrived
        self._arrived = []

    def known_breakers(self) -> list[Breaker]:
        """Return every breaker that was ever struck or forced, as of the last commit, to read."""
        return list(self._breakers.values())

    def load(self, breakers: Iterable[Breaker], instances: Mapping[str, tuple[Instance, Condition]]) -> None:
        """Fill an empty book after a start."""
        self._breakers = {breaker.key: breaker for breaker in breakers}
        registry = Registry().with_instances(instances)
        views = {key: breaker.view for key, breaker in self._breakers.items()}
        self.inside.registry = self.outside.registry = registry.with_breakers(views)

    def note_conditions(self, conditions: Mapping[str, Condition]) -> None:
        """Set conditions that differ by what nothing waits for (latencies); runs between transactions."""
        registry = self.inside.registry.with_conditions(conditions)
        self.inside.registry = self.outside.registry = registry

    def _move(self, instance_id: str, change: int) -> None:
        self.inside.load.add(instance_id, change)
        self._moves.append((instance_id, change))


def take_probes(
    outlook: Outlook, guards: Iterable[BreakerKey], now: int, rules: RouterRules
) -> list[Token] | None:
    """Take the probes of those breakers that are half-open: all of them, or None and none."""
    tokens: list[Token] = []
    registry = outlook.registry
    for kind, name in guards:
        if registry.breaker(kind, name).state is not _HALF_OPEN:
            continue
        key = kind, name
        token = outlook.probes.take(key, now, rules.breakers)
        if token is None:
            for held in tokens:
                outlook.probes.release(*held)
            return None
        tokens.append((key, token))
    return tokens
