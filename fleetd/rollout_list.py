"""
The file of rollouts, TOML with [[rollouts]] tables: read at the start, on SIGHUP and by `fleetd check-config` (spec G4).

A bad rollout is a problem of the list and keeps nothing else out. A file that cannot be read, or has another form, is unusable as a whole: taken for an
empty one it would end every rollout.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import NamedTuple

from fleetd.core.catalogue import Problem
from fleetd.core.rollout import Origin, Rollout
from fleetd.core.rollout_definition import rollout
from fleetd.core.text import is_word
from fleetd.errors import InvalidArgument
from fleetd.router_files import Unusable, read_bytes

KEY = "rollouts"


class RolloutList(NamedTuple):
    """The rollouts a file defines, what is bad about the others, and the names of those as far as they have one."""

    rollouts: tuple[Rollout, ...] = ()
    problems: tuple[Problem, ...] = ()
    bad: frozenset[str] = frozenset()


def load(file: str) -> RolloutList:
    """
    Return what a file defines; an empty name means no file. Problems are named "file: rollout"; of two rollouts with the same name the first holds.

    Raises:
        Unusable: the file cannot be read, is too large, is no TOML or has another form.
    """
    if not file:
        return RolloutList()
    tables = _read_toml(file)
    rows = tables.get(KEY)
    if not isinstance(rows, list):
        raise Unusable(f"{file}: must have [[{KEY}]] tables, or {KEY} = [] for none")
    rollouts: dict[str, Rollout] = {}
    problems = [
        Problem(f"{file}: {key}", f"is not known; rollouts are tables [[{KEY}]]")
        for key in tables
        if key != KEY
    ]
    bad = set()
    for place, row in enumerate(rows):
        name = f"{file}: {KEY}[{place}]"
        if not isinstance(row, Mapping):
            problems.append(Problem(name, "must be a table with name, old_mode and new_mode"))
            continue
        called = _called(row)
        name = f"{name} ({called})" if called else name
        try:
            made = rollout(row, origin=Origin.FILE)
        except InvalidArgument as error:
            problems.append(Problem(name, error.message))
            bad.add(called)
            continue
        if made.name in rollouts:
            problems.append(Problem(name, "has the name of a rollout before it"))
        else:
            rollouts[made.name] = made
    return RolloutList(tuple(rollouts.values()), tuple(problems), frozenset(bad - {"", *rollouts}))


def _read_toml(file: str) -> dict[str, object]:
    try:
        return tomllib.loads(read_bytes(file).decode())
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{file}: is not TOML: {error}") from None


def _called(row: Mapping[str, object]) -> str:
    name = row.get("name")
    return name[:128] if isinstance(name, str) and is_word(name) else ""
