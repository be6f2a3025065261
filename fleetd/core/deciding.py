"""Phase 2 of the dispatch: what becomes of tasks that no host has taken (spec M2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fleetd.core import runs
from fleetd.core.ledger import Keys, Ledger
from fleetd.core.modes import unmatched
from fleetd.core.task import Mode, Task


class LaneLook(NamedTuple):
    """A lane of UNDECIDED tasks to look at: beyond a place, so many tasks."""

    lane: int
    capabilities: tuple[str, ...]
    after: int
    limit: int


class Looked(NamedTuple):
    """Up to which place every waiting task of a lane is decided; `end` when nothing lies beyond it."""

    place: int
    end: bool


@dataclass(frozen=True, slots=True)
class DecideModes:
    """Decide the modes of waiting tasks. Answer: Looked by lane."""

    looks: tuple[LaneLook, ...]

    def keys(self) -> Keys:
        return Keys(heads=tuple((look.lane, look.after, look.limit) for look in self.looks))

    def more(self, ledger: Ledger) -> Keys | None:
        return None

    def apply(self, ledger: Ledger) -> dict[int, Looked]:
        hosts = ledger.hosts.views()
        queued = ledger.queued()
        answer: dict[int, Looked] = {}
        for look in self.looks:
            # Beyond, another command's task may be loaded, and not those before it.
            beyond = ledger.queued_beyond.get(look.lane)
            place, all_decided = look.after, True
            for task in queued.get(look.lane, ()):
                if task.place <= look.after or (beyond is not None and task.place > beyond):
                    continue
                if _is_undecided(task):
                    waited = ledger.now - task.queued_at
                    decided = unmatched(waited, ledger.rules.undecided_for, look.capabilities, hosts)
                    if decided is None:
                        all_decided = False
                        continue
                    task.mode, task.mode_source = decided.mode, decided.source
                    ledger.touch(task)
                    runs.decided_event(ledger, task, decided.cause)
                if all_decided:
                    place = task.place
            answer[look.lane] = Looked(place, beyond is None)
        return answer


def _is_undecided(task: Task) -> bool:
    return task.mode is Mode.UNDECIDED
