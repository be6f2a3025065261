"""fleetctl doctor: is the daemon reachable, healthy, writable, in time, and are there agents? Each check says what to do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import typer

from fleet.v1.health_pb2 import DaemonState
from fleetd_client.channel import target
from fleetd_client.cli import exit_codes
from fleetd_client.cli.invocation import Invocation, command
from fleetd_client.cli.output import Column
from fleetd_client.cli.times import length
from fleetd_client.errors import FleetError
from fleetd_client.stubs import GetAgentLoadResponse, GetStatusResponse
from fleetd_client.words import name

CONNECT_SECONDS = 5.0
# On one machine a connection takes well below a millisecond, across a continent about a hundred.
SLOW_CONNECT_SECONDS = 0.5
# A commit with its fsync takes milliseconds; at a second every caller feels it.
SLOW_COMMIT_SECONDS = 0.5
# Leases do not care, but run_at and deadline are read by the daemon's clock.
CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 1.0, 60.0

Outcome = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list; `remedy` says what to do, empty when all is well."""

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read for the checks: the answer, and the caller's clock (seconds since 1970) just before and after it."""

    status: GetStatusResponse
    load: GetAgentLoadResponse
    asked_at: float
    answered_at: float


COLUMNS = (
    Column("CHECK", lambda check, _: str(check["check"])),
    Column("", lambda check, _: str(check["outcome"])),
    Column("FOUND", lambda check, _: str(check["detail"])),
    Column("WHAT TO DO", lambda check, _: str(check["remedy"]), free=True),
)


def register(app: typer.Typer) -> None:
    """Add the command to fleetctl."""
    command(app, "doctor")(doctor)


async def doctor(run: Invocation) -> int:
    """
    Check that the daemon is well, and say what to do if not.

    Is it reachable, healthy, writable, in time, and has it agents? Exit code 1 when a check fails.

    Example: fleetctl doctor --server 10.0.0.5:50051
    """
    checks = [await _reachable(run.server)]
    if checks[0].outcome != "fail":
        try:
            checks += examine(await _read(run))
        except FleetError as error:
            checks.append(Check("healthy", "fail", str(error), "look into the daemon's log"))
    rows = [
        {"check": one.name, "outcome": one.outcome, "detail": one.detail, "remedy": one.remedy}
        for one in checks
    ]
    run.printer.many(rows, COLUMNS)
    return exit_codes.ERROR if any(one.outcome == "fail" for one in checks) else exit_codes.OK


def examine(found: Reading) -> Sequence[Check]:
    """The checks of a daemon that answers."""
    return [
        _healthy(found.status),
        _writable(found.status),
        _keeping_up(found.status),
        _in_time(found),
        _agents(found),
        _version(found.status),
    ]


async def _reachable(server: str) -> Check:
    address = target(server)
    began = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if address.startswith("unix:"):
                _, writer = await asyncio.open_unix_connection(
                    address.removeprefix("unix:").removeprefix("//")
                )
            else:
                host, _, port = address.rpartition(":")
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return Check(
            "reachable",
            "fail",
            f"{server}: no answer in {CONNECT_SECONDS:.0f}s",
            "check address, network and firewall",
        )
    except OSError as error:
        remedy = "start it (fleetd serve), or name another with --server"
        return Check(
            "reachable", "fail", f"{server}: {os.strerror(error.errno) if error.errno else error}", remedy
        )
    took = time.monotonic() - began
    writer.close()
    detail = f"{server} in {took * 1000:.1f}ms"
    if took > SLOW_CONNECT_SECONDS:
        return Check("reachable", "warn", detail, "the network is slow")
    return Check("reachable", "ok", detail)


async def _read(run: Invocation) -> Reading:
    load = await run.client.agent_load()
    asked_at = time.time()
    status = await run.client.status()
    return Reading(status, load, asked_at, time.time())


def _healthy(status: GetStatusResponse) -> Check:
    state = name(DaemonState, "DAEMON_STATE", status.state)
    if status.state == DaemonState.DAEMON_STATE_SERVING:
        return Check("healthy", "ok", state)
    if status.state == DaemonState.DAEMON_STATE_DRAINING:
        return Check("healthy", "warn", state, "it is going down and gives no work: wait for its successor")
    return Check("healthy", "warn", state, "it is starting: try again in a moment")


def _writable(status: GetStatusResponse) -> Check:
    if not status.writable:
        return Check(
            "writable", "fail", "a write was tried and did not commit", "look for a full or read-only disk"
        )
    commit = _seconds(status.commit_time)
    detail = f"{status.store} commits in {length(status.commit_time)}"
    if commit > SLOW_COMMIT_SECONDS:
        return Check("writable", "warn", detail, "the disk is slow: every caller waits for it")
    return Check("writable", "ok", detail)


def _keeping_up(status: GetStatusResponse) -> Check:
    detail = f"{status.queued_commands} commands waiting of at most {status.queue_limit}"
    if status.queue_limit and status.queued_commands * 2 > status.queue_limit:
        return Check(
            "keeping up", "warn", detail, "near its limit: callers will soon be told to come back later"
        )
    return Check("keeping up", "ok", detail)


def _in_time(found: Reading) -> Check:
    """The daemon read its clock somewhere between question and answer: only what lies outside is a difference."""
    its = found.status.time.seconds + found.status.time.nanos / 1e9
    off = max(found.asked_at - its, its - found.answered_at, 0.0)
    detail = "clocks agree" if off < CLOCK_WARN_SECONDS else f"clocks differ by {off:.1f}s"
    remedy = "run_at and deadline are read by the daemon's clock: set up time synchronisation"
    if off >= CLOCK_FAIL_SECONDS:
        return Check("in time", "fail", detail, remedy)
    if off >= CLOCK_WARN_SECONDS:
        return Check("in time", "warn", detail, remedy)
    return Check("in time", "ok", detail)


def _agents(found: Reading) -> Check:
    load = found.load
    detail = f"{load.connected} of {load.total} connected, {load.leases} of {load.capacity} places taken"
    if not load.connected:
        return Check("agents", "warn", detail, "nothing will run: start one (fleet-agent exec)")
    if load.error:
        return Check(
            "agents",
            "warn",
            f"{detail}, {load.error} in error",
            "see fleetctl agents list --status ERROR -o wide",
        )
    return Check("agents", "ok", detail)


def _version(status: GetStatusResponse) -> Check:
    mine = metadata.version("fleetd-client")
    detail = f"daemon {status.version}, client {mine}"
    if status.version.split(".")[:2] != mine.split(".")[:2]:
        return Check("versions", "warn", detail, "bring both to the same version")
    return Check("versions", "ok", detail)


def _seconds(wire: Any) -> float:
    return float(wire.seconds + wire.nanos / 1e9)
