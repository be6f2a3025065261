"""How long runs take, by the type of their tasks: what a running task is measured by (spec T3). Kept in memory alone; a start begins anew."""

from __future__ import annotations

from collections import OrderedDict

SAMPLES = 3
"""Runs that must have ended well before anything is expected of the next."""
REMEMBERED = 20
"""Runs the mean looks back on: the weight of a run falls by a twentieth with each that follows."""
KEPT = 1_000
"""Types kept: the names are the callers', and the busy ones are what people look at."""


class RunTimes:
    """The exponentially weighted mean of completed runs by org and task type, in milliseconds. Tasks without a type have nothing in common."""

    def __init__(self) -> None:
        # Number of runs, at most REMEMBERED, and their mean; the type that ran last is the last one.
        self._means: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._means)

    def add(self, org_id: str, task_type: str, run_ms: int) -> None:
        """Note a run that ended well."""
        if not task_type:
            return
        key = (org_id, task_type)
        count, mean = self._means.pop(key, (0, 0.0))
        count = min(count + 1, REMEMBERED)
        self._means[key] = count, mean + (run_ms - mean) / count
        if len(self._means) > KEPT:
            self._means.popitem(last=False)

    def expected(self, org_id: str, task_type: str) -> int:
        """Return how long a run is expected to take, 0 when too few are remembered."""
        count, mean = self._means.get((org_id, task_type), (0, 0.0))
        return round(mean) if count >= SAMPLES else 0
