"""The network between the daemon and everybody else: messages are late, lost, doubled, and overtake each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fleetd.engine.engine import Engine
from fleetd.errors import FleetError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.simulation.daemon import Daemon
    from tests.simulation.world import World

LOST = Unavailable("LOST", "no answer came")
"""What a caller learns when a request or its answer was lost: nothing."""


class Line:
    """One direction of a connection: messages keep their order unless the network lets them overtake."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self._free_at = 0

    def send(self, what: str, deliver: Callable[[], object]) -> None:
        """Deliver now, later, twice or never."""
        world, faults, random = self._world, self._world.faults, self._world.random
        if random.random() < faults.loss:
            world.history.note(self._name, f"LOST {what}")
            return
        copies = 2 if random.random() < faults.duplication else 1
        for _ in range(copies):
            most = 8_000 if random.random() < faults.late else 20
            at = world.clock.now() + random.randrange(1, most)
            if random.random() >= faults.reordering:
                at = self._free_at = max(at, self._free_at)
            world.agenda.at(at, deliver)
        world.history.note(self._name, what if copies == 1 else f"{what} (twice)")


def call(
    world: World,
    caller: str,
    what: str,
    begin: Callable[[Engine], Coroutine[Any, Any, Any]],
    answered: Callable[[Any], object],
    deadline: int,
    noted: Callable[[Any], object] | None = None,
) -> None:
    """
    One unary call. `answered` is called once: with the answer, a FleetError, or LOST after `deadline` ms.

    `noted` hears every answer the daemon gives, also those that are lost on the way.
    """
    there, back = Line(world, caller), Line(world, f"{caller} <-")
    done: list[bool] = []
    running: list[Callable[[], object]] = []

    def finish(result: Any) -> None:
        if not done:
            done.append(True)
            answered(result)

    def landed(result: Any) -> None:
        if noted is not None:
            noted(result)
        text = result.reason if isinstance(result, FleetError) else "answer"
        back.send(f"{what}: {text}", lambda: finish(result))

    def arrive() -> None:
        daemon = world.daemon
        if daemon is None:
            back.send(f"{what}: refused", lambda: finish(LOST))
        else:
            daemon.reach(lambda: serve(daemon))

    def serve(daemon: Daemon) -> None:
        if daemon.alive:
            running.append(daemon.run(begin(daemon.engine), landed))

    def give_up() -> None:
        if not done:
            finish(LOST)
            # The end of a call reaches the daemon, too.
            for cancel in running:
                world.agenda.after(world.random.randrange(1, 50), cancel)

    there.send(what, arrive)
    world.agenda.after(deadline, give_up)
