"""Whom a name means that shall run a task: a registered agent, a host, or one kind of agent on it (spec M4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fleetd.core.host import HostAgent
from fleetd.core.hostbook import PREFIX, HostRow, seat_name
from fleetd.core.ledger import Ledger
from fleetd.core.limits import closure
from fleetd.core.task import Mode
from fleetd.errors import InvalidArgument, NotFound, WrongState


class Target(NamedTuple):
    """The name the lease will be held under, the mode that goes with it, and which of the task's capabilities it lacks."""

    name: str
    mode: Mode
    lacking: tuple[str, ...]


def find_target(ledger: Ledger, name: str, mode: Mode | None, wanted: Iterable[str]) -> Target:
    """
    Return whom a name means for a task that wants some capabilities; of a host its agent that lacks the fewest of them, the first one of these.

    A name that is both means the agent, unless `mode` is SSH_CLI. `mode` None or UNDECIDED: whatever the target serves.

    Raises:
        NotFound: AGENT_NOT_FOUND, nobody is called so.
        InvalidArgument: for field execution_mode, the target does not serve that mode.
    """
    wanted = tuple(wanted)
    agent = None if name.startswith(PREFIX) else ledger.agent(name)
    found = _on_host(ledger, name, wanted)
    if agent is not None and (mode is not Mode.SSH_CLI or found is None):
        _check_mode(name, mode, Mode.PULL, "an agent")
        return Target(name, Mode.PULL, _lacking(agent.spec.capabilities, wanted))
    if found is None:
        text = f"agent_id: neither an agent nor a host is called {name!r}"
        raise NotFound("AGENT_NOT_FOUND", text, {"agent_id": name})
    _check_mode(name, mode, Mode.SSH_CLI, "a host")
    row, best = found
    return Target(seat_name(row.host.id, best.type), Mode.SSH_CLI, _lacking(best.capabilities, wanted))


def capability_mismatch(name: str, lacking: Iterable[str], hint: str = "") -> WrongState:
    """Return the refusal of a target that lacks capabilities."""
    return WrongState(
        "CAPABILITY_MISMATCH", f"{name} lacks {', '.join(lacking)}{hint}", {"lacking": ",".join(lacking)}
    )


def _on_host(ledger: Ledger, name: str, wanted: tuple[str, ...]) -> tuple[HostRow, HostAgent] | None:
    rows = ledger.hosts.rows()
    row = rows.get(name)
    if row is not None:
        return row, min(row.host.agents, key=lambda agent: len(_lacking(agent.capabilities, wanted)))
    host_id, _, kind = name.removeprefix(PREFIX).partition("/")
    row = rows.get(host_id) if name.startswith(PREFIX) else None
    if row is None:
        return None
    return next(((row, agent) for agent in row.host.agents if agent.type == kind), None)


def _lacking(capabilities: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    has = closure(capabilities)
    return tuple(each for each in wanted if each not in has)


def _check_mode(name: str, mode: Mode | None, served: Mode, what: str) -> None:
    if mode not in (None, Mode.UNDECIDED, served):
        right = f"must be {served.name} or left out: {name} is {what}"
        raise InvalidArgument([("execution_mode", right)])
