"""
The Router's files: providers and the failover list, read as one catalogue, at the start, on SIGHUP and by `fleetd check-config`.

A bad row is a problem of the catalogue and keeps nothing else out. A file that cannot be read, or has another form, is unusable as a whole: taken for
an empty one it would remove every instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fleetd.core.catalogue import Catalogue, Problem, failover, parse, providers
from fleetd.core.instance import Instance
from fleetd.errors import InvalidArgument

LARGEST = 64 << 20
"""Bytes of one file: ten times the largest catalogue known."""


class Unusable(Exception):
    """A file cannot be used at all; the message names it and what would be right."""


def load(providers_file: str, failover_file: str, known: Iterable[Instance] = ()) -> Catalogue:
    """
    Return what both files define; problems are named "file: row".

    Args:
        providers_file: path of providers.json; empty = none.
        failover_file: path of the failover list; empty = none. An entry named like an instance of the other file replaces it, with that one's
            definition under its own values.
        known: instances that came another way, by RPC or import: names of the failover list may mean them too.

    Raises:
        Unusable: a file cannot be read, is too large, is no JSON or has another form.
    """
    main, more = Catalogue(), Catalogue()
    if providers_file:
        main = _named(providers_file, _read(providers_file, providers))
    if failover_file:
        everything = {each.id: each for each in (*known, *main.instances)}
        more = _named(failover_file, _read(failover_file, lambda data: failover(data, everything.values())))
    instances = {each.id: each for each in (*main.instances, *more.instances)}
    return Catalogue(tuple(instances.values()), main.problems + more.problems, {**main.states, **more.states})


def read_bytes(name: str) -> bytes:
    """Return what stands in a file. Raises Unusable when it cannot be read or is too large."""
    try:
        with Path(name).open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise Unusable(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST:
        raise Unusable(f"{name}: must have at most {LARGEST:,} bytes")
    return data


def read_json(name: str) -> object:
    """Return the JSON value of a file. Raises Unusable when it cannot be read, is too large or is no JSON."""
    data = read_bytes(name)
    try:
        return parse(data)
    except InvalidArgument as error:
        raise Unusable(f"{name}: {error.fields[0][1]}") from None


def _read(name: str, form: Callable[[object], Catalogue]) -> Catalogue:
    data = read_json(name)
    try:
        return form(data)
    except InvalidArgument as error:
        raise Unusable(f"{name}: {error.fields[0][1]}") from None


def _named(file: str, catalogue: Catalogue) -> Catalogue:
    problems = tuple(Problem(f"{file}: {each.name}", each.problem) for each in catalogue.problems)
    return Catalogue(catalogue.instances, problems, catalogue.states)
