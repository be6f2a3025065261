"""Files in a running daemon: read at its start by whoever takes what they say, and again whenever somebody asks (SIGHUP)."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from fleetd.core.catalogue import Problem
from fleetd.engine.log import Log
from fleetd.router_files import Unusable

R = TypeVar("R")

SHOWN = 20
"""Bad rows that are logged by name; when there are more, the file is another's, and `fleetd check-config` names them all."""


class ReadAgain(ABC, Generic[R]):
    """Some files that belong together; R is what they say."""

    none = ""
    """What is told when somebody asks and there is no file."""
    again = "files_reloaded"
    """The line of the log after another reading."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._asked = asyncio.Event()

    @property
    @abstractmethod
    def configured(self) -> bool:
        """Whether there is anything to read."""

    @abstractmethod
    async def read(self) -> R:
        """Read the files, on a thread. Raises Unusable when one is unusable as a whole; the message names it and what would be right."""

    @abstractmethod
    async def take(self, reading: R, event: str) -> None:
        """Make what was read true, and log what became of it as `event`."""

    def ask(self) -> None:
        """Have the files read again; asked for during a reading, once more after it."""
        self._asked.set()

    async def keep_reading(self) -> None:
        """Read the files whenever somebody asks, until cancelled. What cannot be used is logged, and what was known before holds."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if not self.configured:
                self._log.info("no_files", message=self.none)
                continue
            try:
                reading = await self.read()
            except Unusable as error:
                self._log.error("files_unusable", message=f"{error}; what was loaded before holds")
                continue
            await self.take(reading, self.again)

    def _tell(self, problems: Sequence[Problem]) -> None:
        for row in problems[:SHOWN]:
            self._log.warning("row_skipped", row=row.name, problem=row.problem)
        if len(problems) > SHOWN:
            self._log.warning(
                "rows_skipped",
                more=len(problems) - SHOWN,
                message="fleetd check-config names every bad row",
            )
