"""One session of one agent, as the engine keeps it in memory (spec D1, D2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fleetd.core.agent import SessionKind
from fleetd.core.attendance import EndSession, LeaseRef
from fleetd.engine.outbox import Offer, OrderItem, Outbox

IN_FLIGHT = 16
"""Messages of words one stream may have in the engine at once: enough to fill batches, few enough that one agent cannot fill the queue."""


@dataclass(slots=True)
class Demand:
    """What one unary claim waits for."""

    wanted: int
    offers: list[Offer] = field(default_factory=list)
    event: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open(self) -> int:
        return self.wanted - len(self.offers)


@dataclass(slots=True, eq=False)
class Session:
    """
    One session of one agent. Times in monotonic milliseconds.

    `held` maps task ids to lease epochs; `given_at` says when each lease was given, `accepted` which ones the agent has accepted, `orders`
    what it was told about them, `offers` what a repeated unary claim is answered with. A stream session that lost its stream keeps its
    leases until `expires_at`, which lies beyond `spared_until`; then its `ending` is decided.
    """

    agent_id: str
    epoch: int
    incarnation: str
    kind: SessionKind
    outbox: Outbox
    expires_at: int
    heartbeat_interval: int
    lease_ttl: int
    spared_until: int = 0
    ending: EndSession | None = None
    wanted: int = 0
    connected: bool = True
    heartbeat_wall: int = 0
    held: dict[str, int] = field(default_factory=dict)
    given_at: dict[str, int] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    orders: dict[str, OrderItem] = field(default_factory=dict)
    adopted: list[LeaseRef] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)
    offers: dict[str, Offer] = field(default_factory=dict)
    in_flight: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def accepts_by_itself(self) -> bool:
        """Leases claimed by a unary call are accepted by the claim."""
        return self.kind is SessionKind.UNARY

    def call_back(self) -> bool:
        """Take back its end, if one was decided and waits to be carried out."""
        ending, self.ending = self.ending, None
        if ending is not None:
            ending.called_back = True
        return ending is not None

    def refs(self) -> list[LeaseRef]:
        return [LeaseRef(task_id, epoch) for task_id, epoch in self.held.items()]

    def drop(self, task_id: str) -> None:
        self.held.pop(task_id, None)
        self.given_at.pop(task_id, None)
        self.accepted.discard(task_id)
        self.orders.pop(task_id, None)
        self.offers.pop(task_id, None)

    async def room(self) -> None:
        """Wait until this session may post more words."""
        while self.in_flight >= IN_FLIGHT:
            self._room.clear()
            await self._room.wait()

    def landed(self) -> None:
        """Note that posted words were answered."""
        self.in_flight -= 1
        self._room.set()
