"""Names of enum values as people write them: "high", "HIGH" and "PRIORITY_HIGH" are one."""

from __future__ import annotations

from typing import Any

from fleetd_client.errors import InvalidArgument


def number(enum: Any, prefix: str, value: str | int | None, field: str) -> Any:
    """The number of a value (typed Any: generated enums are closed types); None is 0 (unspecified). Unknown names are InvalidArgument listing the right ones."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    name = value.strip().upper()
    known: dict[str, int] = dict(enum.items())
    found = known.get(f"{prefix}_{name}", known.get(name))
    if found is None:
        right = ", ".join(one.removeprefix(f"{prefix}_") for one, its in known.items() if its)
        raise InvalidArgument([(field, f"one of {right}, not {value!r}")])
    return found


def name(enum: Any, prefix: str, value: int) -> str:
    """The short name, for instance HIGH; the number itself when a newer daemon sent an unknown one."""
    try:
        full: str = enum.Name(value)
    except ValueError:
        return str(value)
    return full.removeprefix(f"{prefix}_")
