"""The file of hosts in a running daemon: made the hosts of source "file" in one transaction (spec M5)."""

from __future__ import annotations

import asyncio

from fleetd import host_list
from fleetd.core.hosting import PutHosts
from fleetd.engine.engine import Engine
from fleetd.engine.log import Log
from fleetd.errors import FleetError
from fleetd.host_list import HostList
from fleetd.read_again import ReadAgain

SOURCE = "file"
"""`source` of hosts that came from this file; all others are left alone."""


class HostFile(ReadAgain[HostList]):
    """The file of one daemon. An empty path means that there is none."""

    none = "hosts.file is not set: no hosts are read"
    again = "hosts_reloaded"

    def __init__(self, engine: Engine, log: Log, file: str) -> None:
        super().__init__(log)
        self._engine = engine
        self._file = file

    @property
    def configured(self) -> bool:
        return bool(self._file)

    async def read(self) -> HostList:
        return await asyncio.to_thread(host_list.load, self._file)

    async def take(self, reading: HostList, event: str = "hosts_loaded") -> None:
        """Make what was read the hosts of source "file". The engine must run."""
        self._tell(reading.problems)
        ids = {each.id for each in reading.hosts}
        present = self._engine.hosts.present.values()
        removed = sum(row.host.source == SOURCE and row.host.id not in ids for row in present)
        if not self.configured and not removed:
            return
        try:
            # Not refused when many commands wait: nobody would try again.
            await self._engine.post_internal(PutHosts(reading.hosts, only=SOURCE))
        except FleetError as error:
            self._log.error("files_not_stored", message=f"{error}; SIGHUP has them read again")
            return
        self._log.info(event, loaded=len(reading.hosts), removed=removed, problems=len(reading.problems))
