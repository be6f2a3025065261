"""Which trouble one seed makes, and how much of it: a seed that makes all kinds at once would hide what each of them does alone."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Faults:
    """
    Probabilities, by message or by transaction, and the mean time between blows, in ms (0 = never).

    `late` messages take seconds instead of milliseconds, `reordering` lets them overtake each other. `slow`, `unclear`, `full` and `broken`
    concern the store, `handler` what agents do wrong with a task, `deaf` how often they ignore an order.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    late: float = 0.0
    slow: float = 0.0
    unclear: float = 0.0
    full: float = 0.0
    broken: float = 0.0
    handler: float = 0.0
    deaf: float = 0.0
    hasty: float = 0.0
    crashes: int = 0
    pauses: int = 0
    breaks: int = 0
    restarts: int = 0
    jumps: int = 0
    full_periods: int = 0
    suspensions: int = 0


NONE = Faults()


def draw(random: Random) -> Faults:
    """Draw the troubles of one seed."""

    def share(most: float) -> float:
        return random.choice((0.0, most / 10, most / 3, most))

    def every(seconds: int) -> int:
        return random.choice((0, seconds, 3 * seconds)) * 1_000

    return Faults(
        loss=share(0.2),
        duplication=share(0.3),
        reordering=share(0.5),
        late=share(0.2),
        slow=share(0.1),
        unclear=share(0.1),
        full=share(0.05),
        broken=share(0.02),
        handler=share(0.6),
        deaf=share(0.7),
        hasty=share(0.3),
        crashes=every(15),
        pauses=every(15),
        breaks=every(8),
        restarts=every(30),
        jumps=every(60),
        full_periods=every(60),
        suspensions=every(30),
    )
