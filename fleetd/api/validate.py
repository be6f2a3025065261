"""Checking fields: everything bad in a request is found before anything is refused (spec S3, S7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fleetd.core.hostbook import PREFIX
from fleetd.errors import InvalidArgument

NAME = re.compile(r"[A-Za-z0-9._\-:/@]{1,128}")
CAPABILITY = re.compile(r"[A-Za-z0-9._\-/]+(:[A-Za-z0-9._\-/]+)*")
TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

WORD = 128
"""Characters of an id, a tag, a key or a capability."""


class Fields:
    """Collects the bad fields of one request (or of one item of a batch) as (path, what would be right)."""

    __slots__ = ("errors",)

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []

    def refuse(self, path: str, right: str) -> None:
        self.errors.append((path, right))

    def check(self) -> None:
        """Raise InvalidArgument with all bad fields, if there are any."""
        if self.errors:
            raise InvalidArgument(self.errors)

    def text(self, path: str, value: str, limit: int, *, required: bool = False) -> str:
        """Return the text; refuse one that is too long, or blank although required."""
        if len(value) > limit:
            self.refuse(path, f"must have at most {limit:,} characters, not {len(value):,}")
        elif required and not value.strip():
            self.refuse(path, f"is required: 1 to {limit:,} characters, not all blank")
        return value

    def name(self, path: str, value: str, *, required: bool = False) -> str:
        """Return the name of an org or agent; empty only when it is not required."""
        if (value or required) and not NAME.fullmatch(value):
            self.refuse(path, "must be 1 to 128 letters, digits and . _ - : / @")
        return value

    def own_name(self, path: str, value: str) -> str:
        """Return the name an agent gives itself; names of hosts are not for agents."""
        if value.startswith(PREFIX):
            self.refuse(
                path, f"must not begin with {PREFIX}, which is kept for what the daemon runs on hosts"
            )
            return value
        return self.name(path, value, required=True)

    def task_id(self, path: str, value: str, *, required: bool = True) -> str:
        """Return the id; whether there is such a task is not asked here."""
        if not value:
            if required:
                self.refuse(path, "is required: the id of a task")
        elif len(value) > WORD:
            self.refuse(path, f"must have at most {WORD} characters, not {len(value):,}")
        return value

    def number(self, path: str, value: int, low: int, high: int) -> int:
        """Return the number; refuse one outside low to high."""
        if not low <= value <= high:
            self.refuse(path, f"must be {low:,} to {high:,}, not {value:,}")
        return value

    def ratio(self, path: str, value: float, low: float, high: float) -> float:
        """Return the number; refuse one outside low to high, and what is no number."""
        if not low <= value <= high:
            self.refuse(path, f"must be {low:g} to {high:g}")
        return value

    def known(self, path: str, value: int, names: Mapping[int, str]) -> int:
        """Return the enum value; refuse one this version does not know."""
        if value not in names:
            self.refuse(path, f"must be one of {', '.join(names.values())}, not {value}")
        return value

    def count(self, path: str, number: int, limit: int) -> bool:
        """Tell whether a list or map is short enough to look at."""
        if number > limit:
            self.refuse(path, f"must have at most {limit:,} entries, not {number:,}")
            return False
        return True

    def words(self, path: str, values: Iterable[str], limit: int, length: int) -> tuple[str, ...]:
        """Return distinct words in their order, each of 1 to `length` characters."""
        found = tuple(dict.fromkeys(values))
        if self.count(path, len(found), limit):
            for place, word in enumerate(found):
                if not 0 < len(word) <= length:
                    self.refuse(f"{path}[{place}]", f"must have 1 to {length} characters, not {len(word):,}")
        return found

    def capabilities(self, path: str, values: Iterable[str], limit: int) -> tuple[str, ...]:
        """Return distinct capabilities in their order."""
        found = tuple(dict.fromkeys(values))
        if self.count(path, len(found), limit):
            for place, word in enumerate(found):
                self.capability(f"{path}[{place}]", word)
        return found

    def capability(self, path: str, word: str) -> str:
        """Return the capability; refuse what is none."""
        if len(word) > WORD or not CAPABILITY.fullmatch(word):
            self.refuse(
                path, "must be 1 to 128 letters, digits and . _ - /, in parts joined by single colons"
            )
        return word

    def pairs(self, path: str, values: Mapping[str, str], limit: int, length: int) -> dict[str, str]:
        """Return a map whose keys have 1 to 128 characters and whose values at most `length`."""
        found = dict(values)
        if self.count(path, len(found), limit):
            for key, value in found.items():
                if not 0 < len(key) <= WORD:
                    self.refuse(path, f"must have keys of 1 to {WORD} characters, not {len(key):,}")
                elif len(value) > length:
                    self.refuse(
                        f"{path}[{key}]", f"must have at most {length:,} characters, not {len(value):,}"
                    )
        return found

    def traceparent(self, path: str, value: str) -> str:
        """Return a W3C trace context, or nothing."""
        if value and not TRACEPARENT.fullmatch(value):
            self.refuse(path, "must be a W3C traceparent such as 00-<32 hex digits>-<16 hex digits>-01")
        return value


def check_batch(path: str, number: int, most: int) -> None:
    """Refuse a batch that is empty or too long: InvalidArgument."""
    if not 0 < number <= most:
        raise InvalidArgument([(path, f"must have 1 to {most:,} entries, not {number:,}")])
