"""Texts that came from outside: what they may hold, and how error messages quote them."""

from __future__ import annotations

from collections.abc import Mapping

QUOTED = 60
"""Characters of a value that an error message repeats."""
LARGEST = 10**4_000
"""Whole numbers from here on are not written out: TOML takes hexadecimal ones of any length, and Python refuses to write thousands of digits."""


def is_word(text: str) -> bool:
    """Tell whether a text has something in it that can be printed, and nothing else: no blanks, no control characters, no lone surrogates."""
    return bool(text) and text.isprintable() and " " not in text


def shown(value: object) -> str:
    """Return a JSON value for an error message: short, without control characters."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) >= LARGEST:
        return "a number of thousands of digits"
    text = plain(value if isinstance(value, str) else str(value))
    text = text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def plain(text: str) -> str:
    """Return a text in which every character that cannot be printed is written as an escape."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
