"""Pages of comparisons, newest first."""

# ruff: noqa: S608 - statements are put together from constants of this room; values are always bound

from __future__ import annotations

import sqlite3

from fleetd.store.base import ComparisonPage
from fleetd.store.rollout_rows import COMPARISON_COLUMNS, comparison_of
from fleetd.store.rows import columns

_NEWEST = 2**63 - 1
_WANTED = f"SELECT number, {columns(COMPARISON_COLUMNS)} FROM comparisons"
ALL = f"{_WANTED} NOT INDEXED WHERE number < ? ORDER BY number DESC LIMIT ?"
OF_ROLLOUT = f"{_WANTED} INDEXED BY comparisons_by_rollout WHERE rollout = ? AND number < ? ORDER BY number DESC LIMIT ?"
OF_ID = (
    f"{_WANTED} WHERE number IN (SELECT number FROM comparisons WHERE id = ?1"
    " UNION SELECT number FROM comparisons WHERE primary_id = ?1) AND number < ?2 ORDER BY number DESC LIMIT ?3"
)


def page(
    connection: sqlite3.Connection,
    *,
    rollout: str,
    found: str,
    before: int,
    limit: int,
    examine: int,
    different: bool,
) -> ComparisonPage:
    """Return a page; see Store.list_comparisons."""
    below = before or _NEWEST
    if found:
        rows = connection.execute(OF_ID, (found, below, examine))
    elif rollout:
        rows = connection.execute(OF_ROLLOUT, (rollout, below, examine))
    else:
        rows = connection.execute(ALL, (below, examine))
    kept = []
    seen = last = 0
    for row in rows:
        seen += 1
        comparison = comparison_of(row)
        last = comparison.number
        if found and rollout and comparison.rollout != rollout:
            continue
        both = comparison.primary.finished and comparison.shadow.finished
        same = not both or (comparison.same_status and comparison.same_output is not False)
        if different and same:
            continue
        kept.append(comparison)
        if len(kept) == limit:
            break
    rows.close()
    full = len(kept) == limit or seen == examine
    return ComparisonPage(kept, last if full else 0)
