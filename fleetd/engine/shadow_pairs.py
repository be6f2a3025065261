"""Shadows of work that is no task: their places, and both halves of a comparison until they have met (spec G2)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fleetd.core.comparison import Comparison, Side
from fleetd.core.rolling import SaveComparison
from fleetd.core.rollout import Decision, Rollout
from fleetd.core.shadowing import GRACE
from fleetd.errors import FleetError

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine

KEPT = 1_000
"""Decisions with a shadow that are remembered: a hundred times as many as there are places; their other half is late."""


class Half(NamedTuple):
    """How one half ended; `code` "" when it went well, `latency` ms, `size` bytes."""

    mode: str
    code: str
    latency: int
    size: int
    digest: str


@dataclass(slots=True)
class _Pair:
    decision: Decision
    created_at: int
    expires: int
    primary: Half | None = None
    shadow: Half | None = None
    holds: bool = True


class ShadowPairs:
    """Decisions that named a shadow, by their ids. A place is held until the shadow has reported, or for so long that nobody will."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places = engine.rollout_book.places
        self._pairs: OrderedDict[str, _Pair] = OrderedDict()

    def open(self, decision_id: str, decision: Decision, rollout: Rollout) -> bool:
        """Take a place for a shadow; False when there is none."""
        if not self._places.take(rollout.name, rollout.shadow_limit):
            return False
        clock = self._engine.clock
        expires = clock.now() + GRACE * rollout.fallback.timeout_threshold
        self._pairs[decision_id] = _Pair(decision, clock.wall(), expires)
        if len(self._pairs) > KEPT:
            self._leave(self._pairs.popitem(last=False)[1])
        return True

    async def add(self, decision_id: str, half: Half, *, shadow: bool) -> None:
        """
        Take one half; when both are there the comparison is stored. A half of an unknown decision, or a repeated one, changes nothing.

        Raises what the engine raises when it cannot be stored: then this half was not taken.
        """
        pair = self._pairs.get(decision_id)
        if pair is None or (pair.shadow if shadow else pair.primary) is not None:
            return
        if shadow:
            pair.shadow = half
            self._leave(pair)
        else:
            pair.primary = half
        if pair.primary is None or pair.shadow is None:
            return
        del self._pairs[decision_id]
        decision, now = pair.decision, self._engine.clock.wall()
        comparison = Comparison(
            decision_id,
            decision.rollout,
            decision.org_id,
            _side(decision_id, pair.primary),
            _side(decision_id, pair.shadow),
            pair.created_at,
            now,
        )
        try:
            await self._engine.execute(SaveComparison(comparison))
        except FleetError:
            if shadow:
                pair.shadow = None
            else:
                pair.primary = None
            self._pairs[decision_id] = pair
            raise

    def expire(self, now: int) -> None:
        """Give back the places of shadows that nobody has reported, and forget halves that stayed alone."""
        for decision_id in [found for found, pair in self._pairs.items() if pair.expires <= now]:
            self._leave(self._pairs.pop(decision_id))

    def next_expiry(self) -> int | None:
        """Return when the next one is forgotten, monotonic ms."""
        return min((pair.expires for pair in self._pairs.values()), default=None)

    def held(self, rollout: str) -> int:
        """Return how many places of a rollout are held here."""
        return sum(pair.holds and pair.decision.rollout == rollout for pair in self._pairs.values())

    def _leave(self, pair: _Pair) -> None:
        if pair.holds:
            pair.holds = False
            self._places.give(pair.decision.rollout)


def _side(decision_id: str, half: Half) -> Side:
    return Side(decision_id, half.mode, True, half.code, half.latency, half.size, half.digest)
