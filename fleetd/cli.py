"""The command line of the daemon: `fleetd serve`, `check-config`, `version`. Exit codes: fleetd.exit_codes."""

from __future__ import annotations

import os
import platform
import sqlite3
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from fleetd import chat_environment, exit_codes, host_list, rollout_list, router_files
from fleetd.config import (
    Config,
    ConfigError,
    Loaded,
    Setting,
    alert_address,
    comment_token,
    load,
    webhook_secret,
)
from fleetd.core.catalogue import Catalogue
from fleetd.host_list import HostList
from fleetd.rollout_list import RolloutList

# Typer's own tracebacks show local variables, and with them inputs of tasks.
app = typer.Typer(
    name="fleetd",
    help="Control plane daemon for fleets of AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file; else the one FLEETD_CONFIG names.", show_default=False
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="host:port or unix:PATH (rpc.listen).", show_default=False),
]
DataDir = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Directory of the database (data.dir).", show_default=False)
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Listen where other machines can connect, without authentication (rpc.insecure)."
    ),
]
LogLevel = Annotated[
    str | None,
    typer.Option(metavar="LEVEL", help="debug, info, warning or error (log.level).", show_default=False),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other key. Can be passed multiple times."),
]


@app.command()
def serve(
    config: ConfigFile = None,
    listen: Listen = None,
    data_dir: DataDir = None,
    insecure: Insecure = False,
    log_level: LogLevel = None,
    assignments: Assignments = None,
) -> None:
    """
    Run the daemon until SIGTERM or SIGINT; a second one forces the end. SIGHUP has it read the files of instances, hosts and rollouts again.

    Example: fleetd serve --data-dir /var/lib/fleetd --set agents.heartbeat_max=30s
    """
    loaded = _load(config, listen, data_dir, insecure, log_level, assignments)
    # Read by grpc's core when it is imported, which says every GOAWAY on stderr otherwise.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from fleetd import daemon  # noqa: PLC0415 - grpc and the store take time that the other commands do not need

    raise typer.Exit(daemon.serve(loaded.config))


@app.command("check-config")
def check_config(
    config: ConfigFile = None,
    listen: Listen = None,
    data_dir: DataDir = None,
    insecure: Insecure = False,
    log_level: LogLevel = None,
    assignments: Assignments = None,
    show_origin: Annotated[
        bool, typer.Option("--show-origin", help="Print every value and where it comes from.")
    ] = False,
) -> None:
    """
    Check the configuration that `serve` would use with the same flags, and the files it names.

    Bad rows of the files of instances, hosts and rollouts are an error here; `serve` skips them and names them in its log.

    Example: fleetd check-config --config fleetd.toml --show-origin
    """
    loaded = _load(config, listen, data_dir, insecure, log_level, assignments)
    rows = [("KEY", "VALUE", "ORIGIN"), *loaded.rows()] if show_origin else []
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for key, value, origin in rows:
        typer.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
    problems, told = _check_files(loaded.config)
    for problem in problems:
        typer.echo(f"fleetd: {problem}", err=True)
    if problems:
        raise typer.Exit(exit_codes.USAGE)
    if not show_origin:
        if chat_environment.read(os.environ).rollout is not None:
            told.append(f"The environment defines the rollout {chat_environment.NAME}.")
        typer.echo(" ".join(["The configuration is valid.", *told]))


@app.command()
def version() -> None:
    """Print the version of fleetd and of what it stands on."""
    typer.echo(
        f"fleetd {metadata.version('fleetd')} (Python {platform.python_version()}, "
        f"grpcio {metadata.version('grpcio')}, SQLite {sqlite3.sqlite_version})"
    )


def main() -> None:
    app()


def _check_files(config: Config) -> tuple[list[str], list[str]]:
    """Return what is bad about the files the configuration names, and sentences that say how much they define."""
    problems: list[str] = []
    catalogue, hosts, rollouts = Catalogue(), HostList(), RolloutList()
    try:
        catalogue = router_files.load(config.router.providers_file, config.router.failover_file)
    except router_files.Unusable as error:
        problems.append(str(error))
    try:
        hosts = host_list.load(config.hosts.file)
    except router_files.Unusable as error:
        problems.append(str(error))
    try:
        rollouts = rollout_list.load(config.rollouts.file)
    except router_files.Unusable as error:
        problems.append(str(error))
    rows = (*catalogue.problems, *hosts.problems, *rollouts.problems)
    problems += [f"{row.name}: {row.problem}" for row in rows]
    for read in (alert_address, comment_token, partial(webhook_secret, environ=os.environ)):
        try:
            read(config)
        except ConfigError as error:
            problems += error.problems
    counts = (
        (len(catalogue.instances), "The Router's files define {:,} instances."),
        (len(hosts.hosts), "The file of hosts defines {:,} hosts."),
        (len(rollouts.rollouts), "The file of rollouts defines {:,} rollouts."),
    )
    return problems, [sentence.format(number) for number, sentence in counts if number]


def _load(
    config: Path | None,
    listen: str | None,
    data_dir: Path | None,
    insecure: bool,
    log_level: str | None,
    assignments: list[str] | None,
) -> Loaded:
    given = {
        "rpc.listen": (listen, "--listen"),
        "data.dir": (data_dir, "--data-dir"),
        "rpc.insecure": (insecure or None, "--insecure"),
        "log.level": (log_level, "--log-level"),
    }
    flags = {key: Setting(value, f"flag {flag}") for key, (value, flag) in given.items() if value is not None}
    problems = list(chat_environment.read(os.environ).problems)
    try:
        loaded = load(file=config, environ=os.environ, assignments=assignments or (), flags=flags)
        if not problems:
            return loaded
    except ConfigError as error:
        problems = [*error.problems, *problems]
    for problem in problems:
        typer.echo(f"fleetd: {problem}", err=True)
    raise typer.Exit(exit_codes.USAGE)
