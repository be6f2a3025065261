"""Whether the secrets that instances name are there; what they are is nobody's business here (spec R1)."""

from __future__ import annotations

import os
from collections.abc import Mapping


def is_present(credential: str, environ: Mapping[str, str]) -> bool:
    """Tell whether "env:NAME" is set and not empty, or "file:PATH" can be read and is not empty; "" needs nothing."""
    kind, _, where = credential.partition(":")
    if kind == "env":
        return bool(environ.get(where))
    if kind == "file":
        try:
            return os.path.getsize(where) > 0 and os.access(where, os.R_OK)  # noqa: PTH202 - one call, 3,500 times
        except (OSError, ValueError):
            return False
    return not credential
