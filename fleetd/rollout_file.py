"""Rollouts that the file and the environment define, in a running daemon: made the rollouts of their origin in one transaction (spec G4, G8)."""

from __future__ import annotations

import asyncio

from fleetd import rollout_list
from fleetd.core.rolling import DefineRollouts
from fleetd.core.rollout import Origin, Rollout
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log
from fleetd.errors import FleetError
from fleetd.read_again import ReadAgain
from fleetd.rollout_list import RolloutList


class RolloutFile(ReadAgain[RolloutList]):
    """The file of one daemon. An empty path means that there is none."""

    none = "rollouts.file is not set: no rollouts are read"
    again = "rollouts_reloaded"

    def __init__(self, engine: Engine, log: Log, file: str) -> None:
        super().__init__(log)
        self._engine = engine
        self._file = file
        self._held: dict[str, Rollout] = {}

    @property
    def configured(self) -> bool:
        return bool(self._file)

    async def read(self) -> RolloutList:
        return await asyncio.to_thread(rollout_list.load, self._file)

    async def take(self, reading: RolloutList, event: str = "rollouts_loaded") -> None:
        """
        Make what was read the rollouts of the file. The engine must run.

        A rollout that has become bad keeps the definition it had: without one, whoever asks for its mode would get an error.
        """
        self._tell(reading.problems)
        kept = [self._held[name] for name in sorted(reading.bad) if name in self._held]
        for each in kept:
            message = "it is bad now; the definition that was loaded before holds"
            self._log.warning("rollout_kept", rollout=each.name, message=message)
        rollouts = (*reading.rollouts, *kept)
        # Also without a file: what one defined before this start is to leave.
        if not await define(self._engine, self._log, rollouts, Origin.FILE):
            return
        self._held = {each.name: each for each in rollouts}
        if self.configured:
            self._log.info(event, loaded=len(reading.rollouts), problems=len(reading.problems))


async def define(engine: Engine, log: Log, rollouts: tuple[Rollout, ...], origin: Origin) -> bool:
    """Make these the rollouts of an origin; tell whether the store took them. What keeps it from that is logged. The engine must run."""
    try:
        # Not refused when many commands wait: nobody would try again.
        kept = await engine.post_internal(DefineRollouts(rollouts, origin))
    except FleetError as error:
        again = "SIGHUP has them read again" if origin is Origin.FILE else "the next start tries again"
        log.error("rollouts_not_stored", origin=origin.name.lower(), message=f"{error}; {again}")  # noqa: TRY400 - for operators
        return False
    for name in kept:
        message = (
            "its salt is another than the one it was begun with, which holds: a new one would move everybody"
        )
        log.warning("rollout_salt_kept", rollout=name, message=message)
    return True
