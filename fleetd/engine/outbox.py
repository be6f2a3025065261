"""What waits to be said to one agent. Items coalesce, so that a slow agent costs a bounded amount of memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from fleetd.core.attendance import LeaseRef
from fleetd.core.instance import Instance
from fleetd.core.task import Checkpoint, Payload, Spec, Task
from fleetd.core.words import Ack


class Offer(NamedTuple):
    """A lease with all that is needed to run it; `timeout` is the longest run in milliseconds."""

    task: Task
    spec: Spec
    input: Payload | None
    checkpoint: Checkpoint | None
    lease_epoch: int
    attempt: int
    timeout: int
    route: Assignment | None = None


class Assignment(NamedTuple):
    """The route that goes with a lease: the version of its plan, the instance to work on, and what would be tried next."""

    plan_id: str
    version: int
    instance: Instance
    fallback: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offers:
    """Leases to deliver."""

    offers: list[Offer]


@dataclass(frozen=True, slots=True)
class Acks:
    """Answers to words."""

    acks: list[Ack]


@dataclass(frozen=True, slots=True)
class BeaconItem:
    """Answer to a ping; milliseconds."""

    sequence: int
    leases: list[LeaseRef]
    heartbeat_interval: int
    lease_ttl: int


@dataclass(frozen=True, slots=True)
class OrderItem:
    """An order; `kind` is a number of fleet.v1.OrderKind, `deadline` epoch ms, 0 = none."""

    order_id: str
    kind: int
    task_id: str = ""
    lease_epoch: int = 0
    deadline: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OrdersItem:
    """Orders to obey."""

    orders: list[OrderItem]


@dataclass(frozen=True, slots=True)
class EndItem:
    """The session's last word; `reconnect_after` ms, None = never."""

    reason: str
    message: str
    reconnect_after: int | None


Item = Offers | Acks | BeaconItem | OrdersItem | EndItem


class Outbox:
    """
    Everything not yet sent to one agent, merged by kind.

    Offers are bounded by the agent's ceiling, orders by its leases, the beacon is the latest only; acknowledgements are bounded by `limit`,
    beyond which the agent does not read what it is told and the session is better ended.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._offers: list[Offer] = []
        self._acks: list[Ack] = []
        self._orders: dict[str, OrderItem] = {}
        self._beacon: BeaconItem | None = None
        self._end: EndItem | None = None
        self.event = asyncio.Event()

    @property
    def ended(self) -> bool:
        """True once the last word is in."""
        return self._end is not None

    def offer(self, offer: Offer) -> None:
        self._offers.append(offer)
        self.event.set()

    def ack(self, acks: list[Ack]) -> None:
        self._acks.extend(acks)
        if len(self._acks) > self._limit:
            self.end("OUTBOX_OVERFLOW", f"more than {self._limit} acknowledgements were not read", 1_000)
        self.event.set()

    def order(self, order: OrderItem) -> None:
        self._orders[order.order_id] = order
        self.event.set()

    def beacon(self, beacon: BeaconItem) -> None:
        self._beacon = beacon
        self.event.set()

    def end(self, reason: str, message: str, reconnect_after: int | None) -> None:
        """Say the last word; the first one stands."""
        if self._end is None:
            self._end = EndItem(reason, message, reconnect_after)
        self.event.set()

    async def ready(self) -> None:
        """Wait until there is something to send."""
        await self.event.wait()

    def take(self) -> list[Item]:
        """Return and forget everything, in sending order: what was asked first, orders after the leases they may concern, the end last."""
        self.event.clear()
        items: list[Item] = []
        if self._acks:
            items.append(Acks(self._acks))
            self._acks = []
        if self._offers:
            items.append(Offers(self._offers))
            self._offers = []
        if self._beacon is not None:
            items.append(self._beacon)
            self._beacon = None
        if self._orders:
            items.append(OrdersItem(list(self._orders.values())))
            self._orders = {}
        if self._end is not None:
            items.append(self._end)
        return items
