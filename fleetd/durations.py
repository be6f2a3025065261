"""Durations as people write them, with their unit ("500ms", "30s", "5m", "1h"), and as integer milliseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping

MILLISECONDS: Mapping[str, int] = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def duration(value: object) -> int:
    """Return the milliseconds of a text such as "30s". Raises ValueError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)", value) if isinstance(value, str) else None
    milliseconds = float(found[1]) * MILLISECONDS[found[2]] if found else -1.0
    if not milliseconds.is_integer() or milliseconds < 0:
        raise ValueError(
            'should be a duration of whole milliseconds with its unit, such as "500ms", "30s", "5m" or "1h"'
        )
    return int(milliseconds)


def duration_text(milliseconds: int) -> str:
    """Return the shortest exact text of a duration."""
    unit = next(
        unit for unit in ("h", "m", "s", "ms") if milliseconds % MILLISECONDS[unit] == 0 or unit == "ms"
    )
    return f"{milliseconds // MILLISECONDS[unit]}{unit}" if milliseconds else "0s"
