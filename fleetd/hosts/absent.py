"""A host that this daemon cannot use at all, whatever the host does."""

from __future__ import annotations

from fleetd.hosts.runner import Check, Problem, RunningCommand, RunSpec, Unreachable


class AbsentRunner:
    """A Runner that always says what is missing."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def start(self, run: RunSpec) -> RunningCommand:
        raise Unreachable(Problem.UNUSABLE, self._text)

    async def end(self, task_id: str, lease_epoch: int, grace: int) -> None:
        raise Unreachable(Problem.UNUSABLE, self._text)

    async def check(self) -> Check:
        return Check(ok=False, problem=Problem.UNUSABLE, detail=self._text)

    async def close(self) -> None:
        """There is nothing to let go of."""
