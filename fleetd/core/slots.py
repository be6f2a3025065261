"""
Slots: which agent next.

Free slots are given by water filling: the agent with the lowest held/ceiling first, among equals the one that was served longest ago.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from fleetd.core.lanes import GroupKey
from fleetd.core.limits import closure
from fleetd.core.modes import Prefer, serves

Rank = tuple[float, int, str]
"""Order among agents, smallest first: (held / ceiling, turn of the last service, agent id)."""


@dataclass(slots=True)
class Seat:
    """
    What one agent can hold: `ceiling` leases at once, 0 while it must get none; `held` of them are taken.

    The ceiling of a `counted` seat covers what one call asked for: a lease that ends does not free a slot for it. `host`: the daemon itself runs the
    tasks there (M5).
    """

    agent_id: str
    capabilities: frozenset[str]
    ceiling: int = 0
    held: int = 0
    turn: int = 0
    counted: bool = False
    host: bool = False

    @property
    def free(self) -> int:
        return max(0, self.ceiling - self.held)

    @property
    def rank(self) -> Rank:
        return (self.held / self.ceiling, self.turn, self.agent_id)


@dataclass(slots=True)
class _Pool:
    """Agents, or hosts, with one closed capability set, best first; stale heap entries are skipped."""

    capabilities: frozenset[str]
    host: bool
    heap: list[tuple[Rank, str]]
    vtime: float = 0.0


class SlotBook:
    """The seats of all agents in memory. Changes belong to a transaction: `commit` keeps them, `rollback` takes them back."""

    def __init__(self, prefer: Prefer = Prefer.HOST) -> None:
        self._prefer = prefer
        self._seats: dict[str, Seat] = {}
        self._pools: dict[tuple[frozenset[str], bool], _Pool] = {}
        self._matches: dict[GroupKey, list[_Pool]] = {}
        self._undo: dict[str, tuple[int, int, int]] = {}
        self._turn = 0
        self.free = 0

    def seat(self, agent_id: str) -> Seat | None:
        return self._seats.get(agent_id)

    def place(
        self,
        agent_id: str,
        capabilities: tuple[str, ...],
        ceiling: int,
        held: int,
        *,
        counted: bool = False,
        host: bool = False,
    ) -> None:
        """Add an agent, or set anew what it can do and hold. Not part of a transaction."""
        old = self._seats.get(agent_id)
        closed = closure(capabilities)
        if old is not None:
            self.free -= old.free
        seat = Seat(agent_id, closed, ceiling, held, old.turn if old else 0, counted, host)
        self._seats[agent_id] = seat
        self._undo.pop(agent_id, None)
        self.free += seat.free
        if (closed, host) not in self._pools:
            self._pools[closed, host] = _Pool(closed, host, [])
            self._matches.clear()
        self._push(seat)

    def remove(self, agent_id: str) -> None:
        """Forget an agent. Not part of a transaction."""
        seat = self._seats.pop(agent_id, None)
        self._undo.pop(agent_id, None)
        if seat is not None:
            self.free -= seat.free

    def best(self, group: GroupKey) -> Seat | None:
        """
        Return the agent or host that should get the next task of this group; None when none has a free slot.

        Where both could, the preference decides, then who is the least loaded (M2).
        """
        if group.agent:
            seat = self._seats.get(group.agent)
            if seat is None or not seat.free or not seat.capabilities.issuperset(group.capabilities):
                return None
            return seat if serves(group.mode, host=seat.host) else None
        best: Seat | None = None
        for pool in self._matching(group):
            seat = self._top(pool)
            if seat is None:
                continue
            if (
                best is None
                or (best.host is seat.host and seat.rank < best.rank)
                or (best.host is not seat.host and self._goes_first(seat, best))
            ):
                best = seat
        return best

    def able(self, group: GroupKey) -> list[str]:
        """Return the ids of agents that could serve the group, free or not."""
        if group.agent:
            return [group.agent] if group.agent in self._seats else []
        return [
            s.agent_id
            for s in self._seats.values()
            if s.capabilities.issuperset(group.capabilities) and serves(group.mode, host=s.host)
        ]

    def floor(self, group: GroupKey) -> float:
        """Return the virtual time of the latest service by agents that can serve the group: nobody starts below it (D3)."""
        return max((pool.vtime for pool in self._matching(group)), default=0.0)

    def take(self, agent_id: str, vtime: float = 0.0) -> None:
        """Note that the agent got a lease, of a task that started at virtual time `vtime`."""
        seat = self._touch(agent_id)
        if seat is not None:
            pool = self._pools[seat.capabilities, seat.host]
            pool.vtime = max(pool.vtime, vtime)
            self._turn += 1
            if seat.held < seat.ceiling:
                self.free -= 1
            seat.held += 1
            seat.turn = self._turn
            self._push(seat)

    def give_back(self, agent_id: str) -> None:
        """Note that a lease of the agent ended."""
        seat = self._touch(agent_id)
        if seat is not None:
            before = seat.free
            seat.held = max(0, seat.held - 1)
            if seat.counted:
                seat.ceiling = max(0, seat.ceiling - 1)
            self.free += seat.free - before
            self._push(seat)

    def close(self, agent_id: str) -> None:
        """Give the agent nothing more in this transaction; whoever commits places it anew."""
        seat = self._touch(agent_id)
        if seat is not None:
            self.free -= seat.free
            seat.ceiling = 0

    def commit(self) -> None:
        self._undo.clear()

    def rollback(self) -> None:
        for agent_id, (ceiling, held, turn) in self._undo.items():
            seat = self._seats[agent_id]
            self.free -= seat.free
            seat.ceiling, seat.held, seat.turn = ceiling, held, turn
            self.free += seat.free
            self._push(seat)
        self._undo.clear()

    def _touch(self, agent_id: str) -> Seat | None:
        seat = self._seats.get(agent_id)
        if seat is not None and agent_id not in self._undo:
            self._undo[agent_id] = (seat.ceiling, seat.held, seat.turn)
        return seat

    def _push(self, seat: Seat) -> None:
        if not seat.free:
            return
        pool = self._pools[seat.capabilities, seat.host]
        heapq.heappush(pool.heap, (seat.rank, seat.agent_id))
        if len(pool.heap) > 64 + 8 * len(self._seats):
            # Stale entries below the top are never popped; without this a busy fleet would collect them for ever.
            seats = (self._seats.get(agent_id) for agent_id in dict.fromkeys(entry[1] for entry in pool.heap))
            pool.heap = [(s.rank, s.agent_id) for s in seats if s and s.free and self._is_in(s, pool)]
            heapq.heapify(pool.heap)

    def _top(self, pool: _Pool) -> Seat | None:
        heap = pool.heap
        while heap:
            rank, agent_id = heap[0]
            seat = self._seats.get(agent_id)
            if seat and seat.free and self._is_in(seat, pool) and seat.rank == rank:
                return seat
            heapq.heappop(heap)
        return None

    def _is_in(self, seat: Seat, pool: _Pool) -> bool:
        return seat.capabilities == pool.capabilities and seat.host is pool.host

    def _goes_first(self, seat: Seat, other: Seat) -> bool:
        """Tell which of a host and an agent, both with a free slot, gets the task."""
        if self._prefer is Prefer.LEAST_LOADED:
            return seat.rank < other.rank
        return seat.host is (self._prefer is Prefer.HOST)

    def _matching(self, group: GroupKey) -> list[_Pool]:
        pools = self._matches.get(group)
        if pools is None:
            wanted = frozenset(group.capabilities)
            pools = [
                pool
                for pool in self._pools.values()
                if wanted <= pool.capabilities and serves(group.mode, host=pool.host)
            ]
            self._matches[group] = pools
        return pools
