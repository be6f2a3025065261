"""Work beside its shadow: how both ended, side by side (spec G2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Side(NamedTuple):
    """
    One side of a comparison. `id` of its task or decision; `code` "" when it went well; `latency` ms; `size` bytes of the result; `digest` as its worker
    gave it, "" = none.
    """

    id: str
    mode: str
    finished: bool = False
    code: str = ""
    latency: int = 0
    size: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    A piece of work and its shadow, named by the id of the shadow. Times in epoch ms; `finished_at` 0 while a side has not finished. `open` while the
    shadow is a task that holds one of the rollout's places.
    """

    id: str
    rollout: str
    org_id: str
    primary: Side
    shadow: Side
    created_at: int
    finished_at: int = 0
    open: bool = False
    number: int = 0
    """In the store, growing with time; 0 before."""

    @property
    def same_status(self) -> bool:
        """Whether both sides have finished, and both well or both badly."""
        return (
            self.primary.finished
            and self.shadow.finished
            and (not self.primary.code) is (not self.shadow.code)
        )

    @property
    def same_output(self) -> bool | None:
        """Whether the digests are equal; None when one is missing."""
        if not self.primary.digest or not self.shadow.digest:
            return None
        return self.primary.digest == self.shadow.digest


class SideDone(NamedTuple):
    """How one side of a stored comparison ended, at `at` (epoch ms)."""

    comparison: str
    shadow: bool
    side: Side
    at: int
