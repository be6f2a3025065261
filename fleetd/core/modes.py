"""How a task reaches whoever runs it: claimed by an agent, or pushed to a host by the daemon (spec M1 to M3, M7)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from fleetd.core.task import Mode, ModeSource


class Prefer(Enum):
    """Who gets a task that a free host and a waiting agent could both take at the same instant."""

    HOST = "host"
    AGENT = "agent"
    LEAST_LOADED = "least_loaded"


class HostView(NamedTuple):
    """What the decision knows of one kind of agent on one host: what it can do (closed over prefixes), and whether the host answers."""

    capabilities: frozenset[str]
    online: bool


class Decided(NamedTuple):
    """A mode, who decided it, and why in words."""

    mode: Mode
    source: ModeSource
    cause: str


def serves(mode: int, *, host: bool) -> bool:
    """Tell whether hosts, or agents, may take tasks of a lane's mode: what a submitter named is kept to, all else is for both (M7)."""
    if mode == Mode.SSH_CLI:
        return host
    return mode != Mode.PULL or not host


def taken(mode: Mode, source: ModeSource, taker: str, *, host: bool) -> Decided | None:
    """
    Return what the mode of a task becomes when `taker` gets it; None when nothing changes.

    A claim decides what nobody has decided; what the dispatcher decided, a host that comes up may still take (M2).
    """
    if source is ModeSource.EXPLICIT:
        return None
    if host:
        return Decided(Mode.SSH_CLI, ModeSource.AUTO, f"{taker} has a free slot")
    if mode is Mode.PULL:
        return None
    return Decided(Mode.PULL, ModeSource.CLAIM, f"{taker} claimed it")


def unmatched(waited: int, patience: int, wanted: Iterable[str], hosts: Iterable[HostView]) -> Decided | None:
    """
    Return what becomes of an UNDECIDED task that no host has taken (phase 2 of M2); None while it stays undecided.

    `waited` and `patience` in ms; `wanted` are the task's capabilities. While a host that could take it is only offline it waits for that one.
    """
    if waited < patience:
        return None
    needed = frozenset(wanted)
    able = [host for host in hosts if needed <= host.capabilities]
    if able and not any(host.online for host in able):
        return None
    seconds = f"{patience / 1_000:g} s"
    if not able:
        return Decided(Mode.PULL, ModeSource.AUTO, f"no host can take it after {seconds}")
    return Decided(Mode.PULL, ModeSource.AUTO, f"no host had a free slot within {seconds}")
