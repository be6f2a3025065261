"""Fields that somebody gave, from a file or a message, on their way to become a definition: each is read as what it shall be, and all that are bad are named."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence

from fleetd.core.text import is_word, plain, shown
from fleetd.durations import duration, duration_text

WORD_CHARS = 256
TINY = 1e-9
NAMED = 20
"""Bad entries of one list, and unknown fields, that are named; the rest is counted."""


class Given:
    """
    Reads fields and collects what is bad as (path, what would be right) in `errors`; `prefix` is the path of the object they stand in. A field that is
    None counts as not given.
    """

    def __init__(
        self, fields: Mapping[str, object], prefix: str = "", errors: list[tuple[str, str]] | None = None
    ) -> None:
        self.fields = fields
        self.prefix = prefix
        self.errors: list[tuple[str, str]] = [] if errors is None else errors

    def refuse(self, name: str, right: str) -> None:
        self.errors.append((self.prefix + name, right))

    def word(self, name: str, *, required: str = "") -> str:
        """Return a text without blanks; `required` is an example where there must be one."""
        value = self.fields.get(name)
        if value is None or value == "":
            if required:
                self.refuse(name, f"is required, such as {required}")
        elif not isinstance(value, str):
            self.refuse(name, f"must be a text, not {shown(value)}")
        elif len(value) > WORD_CHARS:
            self.refuse(name, f"must have at most {WORD_CHARS} characters, not {len(value):,}")
        elif not is_word(value):
            self.refuse(name, f"must have no blanks or control characters, unlike {shown(value)}")
        else:
            return value
        return ""

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        value = self.fields.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not (
            isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        ):
            self.refuse(name, f"must be a whole number, not {shown(value)}")
        elif not low <= value <= high:
            self.refuse(name, f"must be {low:,} to {high:,}, not {shown(value)}")
        else:
            return int(value)
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {shown(value)}")
            return default
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of the choices; the first when nothing is given."""
        value = self.fields.get(name)
        if value is None or value == "":
            return choices[0]
        if not isinstance(value, str) or value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}, not {shown(value)}")
            return choices[0]
        return value

    def entries(self, name: str, most: int, what: str, *, required: bool = True) -> list[object]:
        """Return a list; `what` says what stands in it."""
        value = self.fields.get(name)
        if value is None or value == []:
            if required:
                self.refuse(name, f"must name at least {what}")
        elif not isinstance(value, list | tuple):
            self.refuse(name, f"must be a list, not {shown(value)}")
        elif len(value) > most:
            self.refuse(name, f"must have at most {most:,} entries, not {len(value):,}")
        else:
            return list(value)
        return []

    def words(self, name: str, most: int, problem: Callable[[str], str]) -> list[str]:
        """Return a list of texts; `problem` says what would be right of one, "" when it is good."""
        found, bad = [], []
        for place, value in enumerate(self.entries(name, most, "one", required=False)):
            if isinstance(value, str) and not problem(value):
                found.append(value)
            elif isinstance(value, str):
                bad.append((f"{name}[{place}]", f"{problem(value)}, unlike {shown(value)}"))
            else:
                bad.append((f"{name}[{place}]", f"must be a text, not {shown(value)}"))
        for path, right in bad[:NAMED]:
            self.refuse(path, right)
        self._count_rest(name, len(bad))
        return found

    def number(
        self,
        name: str,
        high: float,
        default: float | None,
        *,
        above: bool = False,
        decimals: int | None = None,
    ) -> float | None:
        """Return a number from 0 to `high`, without 0 itself when it must be `above`, with at most so many decimals."""
        value = self.fields.get(name)
        if value is None:
            return default
        low = "above 0, up to" if above else "0 to"
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(name, f"must be a number from {low} {high:g}, not {shown(value)}")
        elif not 0 <= value <= high or (above and value == 0):
            self.refuse(name, f"must be {low} {high:g}, not {shown(value)}")
        # A sum of such numbers is off by a little, and nobody meant that.
        elif decimals is not None and abs(round(value, decimals) - value) > TINY:
            self.refuse(name, f"must have at most {decimals} decimals, not {shown(value)}")
        else:
            return float(value if decimals is None else round(value, decimals))
        return default

    def span(self, name: str, low: int, high: int, default: int | None) -> int | None:
        """Return the milliseconds of a text with a unit; `low` and `high` in milliseconds, too."""
        value = self.fields.get(name)
        if value is None:
            return default
        right = f"must be a duration of {duration_text(low)} to {duration_text(high)} with its unit, such as 500ms, 30s or 5m, not {shown(value)}"
        try:
            found = duration(value)
        except ValueError:
            found = -1
        if not low <= found <= high:
            self.refuse(name, right)
            return default
        return found

    def part(self, name: str, what: str, *, required: bool = False) -> Mapping[str, object]:
        """Return the fields of an inner object, none when it is not given; `what` says what stands in it."""
        value = self.fields.get(name)
        if value is None:
            if required:
                self.refuse(name, f"is required: {what}")
        elif not isinstance(value, Mapping):
            self.refuse(name, f"must be {what}, not {shown(value)}")
        else:
            return value
        return {}

    def known(self, names: Sequence[str]) -> None:
        """Refuse every field that is none of these, and name the one that is nearest."""
        strangers = [str(name) for name in self.fields if name not in names]
        for name in strangers[:NAMED]:
            self.refuse(plain(name[:WORD_CHARS]) or '""', _unknown(name, names))
        self._count_rest("…", len(strangers))

    def _count_rest(self, name: str, number: int) -> None:
        if number > NAMED:
            self.refuse(name, f"and {number - NAMED:,} more")


def _unknown(name: str, names: Sequence[str]) -> str:
    # Names of any length come in, and comparing takes as long as both are.
    nearest = max(names, key=lambda one: difflib.SequenceMatcher(None, one, name[:WORD_CHARS]).ratio())
    return f"is not known; the nearest is {nearest}"
