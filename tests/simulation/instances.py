"""Model instances of one world: what there is, and which of them are ill, with which code, until they recover by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from fleetd.core.instance import Instance, Kind
from fleetd.core.route import Requirements

if TYPE_CHECKING:
    from tests.simulation.world import World

CODES = ("CONN_REFUSED", "503", "429", "AUTH", "TIMEOUT")
TIMEOUT = 5_000
"""Milliseconds of one try: a route that vanished counts for twice as long."""


def _instance(instance_id: str, kind: Kind, tags: tuple[str, ...], room: int, **parts: object) -> Instance:
    provider_id = instance_id.partition(":")[0]
    given = {"ctx": 32_768, "model": "m", "max_retries": 2, "timeout": TIMEOUT, **parts}
    return Instance(instance_id, provider_id, kind, tuple(sorted(tags)), max_inflight=room, **given)  # type: ignore[arg-type]


MODELS = (
    _instance("forge:one", Kind.LOCAL, ("coding",), 1, priority=1),
    _instance("forge:two", Kind.LOCAL, ("coding", "vision"), 2, priority=2),
    _instance("sky:large", Kind.CLOUD, ("general",), 0, ctx=200_000),
    _instance("sky:small", Kind.CLOUD, ("general",), 2, ctx=0),
    _instance("sea:first", Kind.CLOUD, ("coding", "vision"), 1, priority=50),
    _instance("sea:second", Kind.CLOUD, ("data",), 2, ctx=8_000, max_retries=0),
)
LATE = _instance("lab:ear", Kind.LOCAL, ("hearing",), 2)
"""Hardly anybody adds it before the end: until then nothing meets those who need it."""
LAST = _instance("lab:vast", Kind.LOCAL, ("coding", "hearing", "vision"), 4, ctx=10_000_000)
"""Holds whatever was too long for the others; there from the calm on."""

NEEDS = (
    Requirements(("general",)),
    Requirements(("general",)),
    Requirements(("coding",), prefer=("local",)),
    Requirements(("coding",), required=("vision",)),
    Requirements(("data",), min_ctx=100_000),
    Requirements(("general",), required=("hearing",)),
    Requirements(("general",), model="sea:first"),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    How much of it routes have, milliseconds or probabilities: `ill` is the mean time between the illnesses of one instance, `share` that of tasks with a
    route, `unruly` that of tries whose agent does as it likes; `pace` between the acts of operators, `services` how many route their own work. 0 = none.
    """

    ill: int = 0
    share: float = 0.5
    unruly: float = 0.0
    pace: int = 0
    services: int = 0
    look: int = 1_000


def draw(random: Random, *, narrow: bool) -> Trouble | None:
    """Draw the troubles of one seed; None for the seeds that have no instances at all."""
    if random.random() < 0.6:
        return None
    return Trouble(
        ill=random.choice((0, 20_000, 60_000)),
        share=random.choice((0.3, 0.6, 0.9)),
        unruly=random.choice((0.0, 0.1, 0.3)),
        pace=random.choice((0, 1_500, 5_000)),
        services=random.choice((0, 1, 3)),
        look=2 if narrow else 1_000,
    )


class Instances:
    """How the instances really are, which nobody in the daemon sees: "" is well, else the code of every try."""

    def __init__(self, world: World, trouble: Trouble) -> None:
        self.trouble = trouble
        self._world = world
        self._ill: dict[str, str] = {}

    def start(self) -> None:
        if self.trouble.ill:
            for instance in MODELS:
                self._plan(instance.id)

    def ailment(self, instance_id: str) -> str:
        """Return the code with which a try fails now, "" when it goes well."""
        return "" if self._world.calm else self._ill.get(instance_id, "")

    def names(self) -> list[str]:
        """Return the ids of all instances that may be registered."""
        return [instance.id for instance in MODELS]

    def needs(self) -> Requirements | None:
        """Draw what a task needs: nothing, or one of a few groups."""
        random = self._world.random
        return random.choice(NEEDS) if random.random() < self.trouble.share else None

    def _plan(self, instance_id: str) -> None:
        random, agenda = self._world.random, self._world.agenda
        agenda.after(random.randrange(1, 2 * self.trouble.ill), lambda: self._fall_ill(instance_id))

    def _fall_ill(self, instance_id: str) -> None:
        if self._world.calm:
            return
        random = self._world.random
        self._ill[instance_id] = random.choice(CODES)
        self._world.history.note(instance_id, f"is ill: {self._ill[instance_id]}")
        self._world.agenda.after(random.randrange(1_000, 30_000), lambda: self._recover(instance_id))

    def _recover(self, instance_id: str) -> None:
        self._ill.pop(instance_id, None)
        self._world.history.note(instance_id, "is well")
        self._plan(instance_id)
