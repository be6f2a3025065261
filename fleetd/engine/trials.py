"""Whose work is part of a trial: transactions and the event loop draw from one count (spec G4)."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from threading import Lock

from fleetd.core.rolloutbook import Trial


class TrialTraffic:
    """
    The work of each trial by number: the first is part of the traffic, and then a share of it, evenly. Safe between threads.

    Not by chance and not by bucket: a rollout of three orgs must find out whether the new mode is well again, too.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._next: dict[Trial, int] = {}
        self._back: dict[Trial, list[int]] = {}
        self._sent: dict[Trial, int] = {}
        # What the present transaction has taken: the number, and whether it is part of the traffic.
        self._taken: list[tuple[Trial, int, bool]] = []

    def take(self, trial: Trial, percent: float, *, inside: bool) -> bool:
        """Tell whether the next piece of work is part of the traffic; `inside` a transaction, which may be taken back."""
        with self._lock:
            back = self._back.get(trial)
            if back:
                number = heappop(back)
            else:
                number = self._next.get(trial, 0)
                self._next[trial] = number + 1
            part = math.ceil((number + 1) * percent / 100) > math.ceil(number * percent / 100)
            if part:
                self._sent[trial] = self._sent.get(trial, 0) + 1
            if inside:
                self._taken.append((trial, number, part))
        return part

    @property
    def taken(self) -> int:
        """How many numbers the present transaction has taken."""
        return len(self._taken)

    def give_back(self, beyond: int = 0) -> None:
        """Give what the present transaction has taken to others, save for the first `beyond`."""
        with self._lock:
            for trial, number, part in self._taken[beyond:]:
                heappush(self._back.setdefault(trial, []), number)
                if part:
                    self._sent[trial] -= 1
            del self._taken[beyond:]

    def keep(self) -> None:
        """The present transaction was committed."""
        self._taken.clear()

    def sent(self, trial: Trial) -> int:
        """Return how much work a trial has sent to the new mode, since the start of the daemon."""
        with self._lock:
            return self._sent.get(trial, 0)

    def forget(self, trial: Trial) -> None:
        """A trial is over."""
        with self._lock:
            self._next.pop(trial, None)
            self._back.pop(trial, None)
            self._sent.pop(trial, None)
