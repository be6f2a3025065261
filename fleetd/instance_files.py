"""
The Router's files in a running daemon: read at its start and again on SIGHUP, and made the instances of source "file" in one transaction (spec R1).

Nothing routes by half a file: a transaction adds, changes and removes at once, and a file that is unusable as a whole changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fleetd.core.catalogue import Catalogue, Problem
from fleetd.core.instance import Instance
from fleetd.core.registration import PutInstances
from fleetd.engine.engine import Engine, Log
from fleetd.errors import FleetError
from fleetd.probes.credentials import is_present
from fleetd.router_files import Unusable, load

SOURCE = "file"
"""`source` of instances that came from these files; all others are left alone."""
SHOWN = 20
"""Bad rows that are logged by name; when there are more, the file is another's, and `fleetd check-config` names them all."""


class Reading(NamedTuple):
    """What the files say, and which of the credentials they name are there, by instance id."""

    catalogue: Catalogue
    credentials: Mapping[str, bool]


class InstanceFiles:
    """The files of one daemon. An empty path means that there is no such file."""

    def __init__(
        self, engine: Engine, log: Log, environ: Mapping[str, str], *, providers: str = "", failover: str = ""
    ) -> None:
        """`environ` is where credentials "env:NAME" are looked for."""
        self._engine = engine
        self._log = log
        self._environ = environ
        self._providers = providers
        self._failover = failover
        self._asked = asyncio.Event()

    @property
    def configured(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._providers or self._failover)

    async def read(self) -> Reading:
        """
        Read the files, on a thread.

        Raises:
            Unusable: a file is unusable as a whole; the message names it and what would be right.
        """
        return await asyncio.to_thread(
            self._read, [each for each in self._registered() if each.source != SOURCE]
        )

    async def take(self, reading: Reading, event: str = "files_loaded") -> None:
        """Make what was read the instances of source "file", and log what became of it as `event`. The engine must run."""
        catalogue = reading.catalogue
        _tell(self._log, catalogue.problems)
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

    def ask(self) -> None:
        """Have the files read again; asked for during a reading, once more after it."""
        self._asked.set()

    async def keep_reading(self) -> None:
        """Read the files whenever somebody asks, until cancelled. What cannot be used is logged, and what was known before holds."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if not self.configured:
                self._log.info(
                    "no_files",
                    message="router.providers_file and router.failover_file are not set: nothing is read",
                )
                continue
            try:
                reading = await self.read()
            except Unusable as error:
                self._log.error("files_unusable", message=f"{error}; what was loaded before holds")
                continue
            await self.take(reading, "files_reloaded")

    def _registered(self) -> Sequence[Instance]:
        return tuple(self._engine.routes.outside.registry.index.instances.values())

    def _read(self, others: Sequence[Instance]) -> Reading:
        catalogue = load(self._providers, self._failover, others)
        named = [each for each in catalogue.instances if each.credential]
        return Reading(catalogue, {each.id: is_present(each.credential, self._environ) for each in named})


def _tell(log: Log, problems: Sequence[Problem]) -> None:
    for row in problems[:SHOWN]:
        log.warning("row_skipped", row=row.name, problem=row.problem)
    if len(problems) > SHOWN:
        log.warning(
            "rows_skipped", more=len(problems) - SHOWN, message="fleetd check-config names every bad row"
        )
