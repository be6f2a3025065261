"""
The Router's files in a running daemon: read at its start and again on SIGHUP, and made the instances of source "file" in one transaction (spec R1).

Nothing routes by half a file: a transaction adds, changes and removes at once, and a file that is unusable as a whole changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fleetd.core.catalogue import Catalogue
from fleetd.core.instance import Instance
from fleetd.core.registration import PutInstances
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log
from fleetd.errors import FleetError
from fleetd.probes.credentials import is_present
from fleetd.read_again import ReadAgain
from fleetd.router_files import load

SOURCE = "file"
"""`source` of instances that came from these files; all others are left alone."""


class Reading(NamedTuple):
    """What the files say, and which of the credentials they name are there, by instance id."""

    catalogue: Catalogue
    credentials: Mapping[str, bool]


class InstanceFiles(ReadAgain[Reading]):
    """The files of one daemon. An empty path means that there is no such file."""

    none = "router.providers_file and router.failover_file are not set: nothing is read"

    def __init__(
        self, engine: Engine, log: Log, environ: Mapping[str, str], *, providers: str = "", failover: str = ""
    ) -> None:
        """`environ` is where credentials "env:NAME" are looked for."""
        super().__init__(log)
        self._engine = engine
        self._environ = environ
        self._providers = providers
        self._failover = failover

    @property
    def configured(self) -> bool:
        return bool(self._providers or self._failover)

    async def read(self) -> Reading:
        return await asyncio.to_thread(
            self._read, [each for each in self._registered() if each.source != SOURCE]
        )

    async def take(self, reading: Reading, event: str = "files_loaded") -> None:
        """Make what was read the instances of source "file", and log what became of it as `event`. The engine must run."""
        catalogue = reading.catalogue
        self._tell(catalogue.problems)
        ids = {each.id for each in catalogue.instances}
        removed = sum(each.source == SOURCE and each.id not in ids for each in self._registered())
        if not self.configured and not removed:
            return
        command = PutInstances(
            catalogue.instances, catalogue.states, only=SOURCE, credentials=reading.credentials
        )
        try:
            # Not refused when many commands wait: nobody would try again.
            await self._engine.post_internal(command)
        except FleetError as error:
            self._log.error("files_not_stored", message=f"{error}; SIGHUP has them read again")
            return
        self._log.info(
            event, loaded=len(catalogue.instances), removed=removed, problems=len(catalogue.problems)
        )

    def _registered(self) -> Sequence[Instance]:
        return tuple(self._engine.routes.outside.registry.index.instances.values())

    def _read(self, others: Sequence[Instance]) -> Reading:
        catalogue = load(self._providers, self._failover, others)
        named = [each for each in catalogue.instances if each.credential]
        return Reading(catalogue, {each.id: is_present(each.credential, self._environ) for each in named})
