"""The machine: how much of it other programs took while something was measured. Ratios, too, are worth nothing on a busy one."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import monotonic

TICKS = os.sysconf("SC_CLK_TCK")
BUSY = 0.2
"""Cores of other programs from which on figures are not to be compared: a tenth of the two the project is measured on."""


class Others:
    """Counts from its making on; to be asked when every process that was started has been waited for."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._busy = _busy_seconds()
        self._ours = _our_seconds()

    def cores(self) -> float:
        """Return how many cores other programs kept busy on average."""
        busy, ours = _busy_seconds() - self._busy, _our_seconds() - self._ours
        return max(0.0, busy - ours) / (monotonic() - self._began)


def _busy_seconds() -> float:
    # user nice system idle iowait irq softirq steal; the guests' times are in user already.
    user, nice, system, _, _, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS


def _our_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
