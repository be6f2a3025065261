"""
The file of hosts, {"hosts": [...]}: read at the start, on SIGHUP and by `fleetd check-config`.

A bad host is a problem of the list and keeps nothing else out. A file that cannot be read, or has another form, is unusable as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from fleetd.core.catalogue import Problem
from fleetd.core.host import Host, host
from fleetd.errors import InvalidArgument
from fleetd.router_files import Unusable, read_json


class HostList(NamedTuple):
    """The hosts a file defines, and what is bad about the others."""

    hosts: tuple[Host, ...] = ()
    problems: tuple[Problem, ...] = ()


def load(file: str) -> HostList:
    """
    Return what a file defines; an empty name means no file. Problems are named "file: host"; of two hosts with the same id the first holds.

    Raises:
        Unusable: the file cannot be read, is too large, is no JSON or has another form.
    """
    if not file:
        return HostList()
    data = read_json(file)
    rows = data.get("hosts") if isinstance(data, Mapping) else None
    if not isinstance(rows, list):
        raise Unusable(f'{file}: must be an object with a list "hosts"')
    hosts: dict[str, Host] = {}
    problems = []
    for place, row in enumerate(rows):
        name = f"{file}: hosts[{place}]"
        if not isinstance(row, Mapping):
            problems.append(Problem(name, "must be an object with id, hostname and agents"))
            continue
        try:
            made = host(row)
        except InvalidArgument as error:
            problems.append(Problem(_named(name, row), error.message))
            continue
        if made.id in hosts:
            problems.append(Problem(_named(name, row), "has the id of a host before it"))
        else:
            hosts[made.id] = made
    return HostList(tuple(hosts.values()), tuple(problems))


def _named(name: str, row: Mapping[str, object]) -> str:
    host_id = row.get("id")
    return (
        f"{name} ({host_id[:60]})" if isinstance(host_id, str) and host_id.isprintable() and host_id else name
    )
