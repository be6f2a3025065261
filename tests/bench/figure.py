"""Figures: what a measurement found, beside its floor and its bar."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMPARE = {">=": operator.ge, "<=": operator.le}


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One measured value.

    `floor` is what the machine could do without the daemon, taken in the same run and in the unit `floor_unit` says; `bar` such as ">= 0.4" is
    what is aimed at; `details` are further numbers of the same measurement. `value` is None when it could not be measured; `note` says why.
    """

    key: str
    value: float | None
    unit: str
    floor: float
    floor_unit: str
    bar: str = ""
    note: str = ""
    also: bool = True
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """The value as a share or multiple of its floor; a value that is one already is returned as it is."""
        return self.value if self.value is None or self.unit == "ratio" else self.value / self.floor

    @property
    def met(self) -> bool | None:
        """Tell whether the bar is met (`also`: whatever else belongs to it is); None when there is none, or nothing was measured."""
        if not self.bar or self.value is None:
            return None
        sign, limit = self.bar.split()
        return bool(COMPARE[sign](self.value, float(limit))) and self.also

    def record(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "value": _short(self.value),
            "unit": self.unit,
            "floor": _short(self.floor),
            "floor_unit": self.floor_unit,
            "ratio": _short(self.ratio),
            "bar": self.bar,
            "met": self.met,
            "note": self.note,
            **{name: _short(value) for name, value in self.details.items()},
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """How much is measured, and where its files go."""

    quick: bool
    folder: Path

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


median = statistics.median


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) and abs(value) < 10_000 else _whole(value)


def _whole(value: Any) -> Any:
    return round(value) if isinstance(value, float) else value
