"""The numbers the rules use; every one can be configured. Milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetd.core.breaker import BreakerRules
from fleetd.core.modes import Prefer
from fleetd.core.route import FALLBACKS
from fleetd.core.task import RetryPolicy


@dataclass(frozen=True, slots=True)
class RouterRules:
    """
    Numbers of the Router, with the values of spec R5, R6 and F2; milliseconds.

    `ladder_jitter` is the share of a wait of the retry ladder that is left to chance; `blocked_look` how many BLOCKED tasks are looked at in one
    transaction.
    """

    plan_max_age: int = 60_000
    fallbacks: int = FALLBACKS
    ladder_jitter: float = 0.2
    blocked_look: int = 1_000
    breakers: BreakerRules = field(default_factory=BreakerRules)


@dataclass(frozen=True, slots=True)
class Rules:
    """Defaults and limits of the rules, with the values of spec T3, T6, T7, D2 and T9."""

    offer_timeout: int = 5_000
    stop_grace: int = 30_000
    default_timeout: int = 300_000
    host_timeout: int = 3_600_000
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    reservation: int = 60_000
    progress_interval: int = 1_000
    poison_losses: int = 3
    ageing: int = 600_000
    max_pending: int = 1_000_000
    replay_limit: int = 3
    auto_replay: bool = False
    auto_replay_after: int = 300_000
    auto_replay_max: int = 3_600_000
    heartbeat_min: int = 10_000
    heartbeat_max: int = 60_000
    agents_per_second: int = 500
    missed_heartbeats: int = 3
    error_after_failures: int = 5
    error_trial_after: int = 60_000
    router: RouterRules = field(default_factory=RouterRules)
    prefer: Prefer = Prefer.HOST
    undecided_for: int = 30_000

    def heartbeat(self, agents: int) -> int:
        """Return the heartbeat interval for a fleet of so many connected agents (D2)."""
        spread = agents * 1_000 // self.agents_per_second
        return min(self.heartbeat_max, max(self.heartbeat_min, spread))

    def replay_wait(self, replays: int) -> int:
        """Return how long a dead letter that was replayed so often waits until it is replayed by itself: doubled by each (F5)."""
        return min(self.auto_replay_max, self.auto_replay_after << replays)
