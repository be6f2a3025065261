"""The rooms of the house: what may import what, beyond the contracts of import-linter in pyproject.toml."""

import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

import fleetd

HOUSE = Path(fleetd.__file__).parent
GRPC = {"grpc", "grpc_health", "grpc_reflection", "grpc_status"}
LONGEST_MODULE = 500  # lines; beyond it a module has more than one noun


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Direct imports of every module of the daemon; external ones by their top-level name."""
    graph = grimp.build_graph("fleetd", include_external_packages=True, cache_dir=None)
    return {
        module: set(graph.find_modules_directly_imported_by(module))
        for module in graph.modules
        if is_in(module, "fleetd")
    }


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def importers(imports: dict[str, set[str]], wanted: set[str]) -> Iterator[str]:
    for module, imported in imports.items():
        if wanted & {name.partition(".")[0] for name in imported}:
            yield module


def test_core_imports_the_standard_library_its_own_modules_errors_and_durations_only(imports):
    allowed = {"fleetd", "fleetd.errors", "fleetd.durations"}
    strangers = {
        (module, name)
        for module, imported in imports.items()
        if is_in(module, "fleetd.core")
        for name in imported
        if name not in allowed and not is_in(name, "fleetd.core") and name not in sys.stdlib_module_names
    }
    assert not strangers


def test_core_reads_no_clock_and_does_no_io(imports):
    outside = {
        "asyncio",
        "io",
        "logging",
        "os",
        "pathlib",
        "random",
        "socket",
        "sqlite3",
        "subprocess",
        "threading",
        "time",
    }
    found = {
        (module, name)
        for module in imports
        if is_in(module, "fleetd.core")
        for name in imports[module] & outside
    }
    assert not found


def test_messages_of_the_api_are_known_at_the_edges_only(imports):
    inside = {
        m for m in importers(imports, {"fleet"}) if not is_in(m, "fleetd.api") and not is_in(m, "fleetd.rpc")
    }
    assert not inside


def test_grpc_is_known_to_the_rpc_room_only(imports):
    assert not {module for module in importers(imports, GRPC) if not is_in(module, "fleetd.rpc")}


def test_the_http_server_is_known_to_the_web_room_only_and_uvicorn_to_one_module(imports):
    assert not {m for m in importers(imports, {"starlette"}) if not is_in(m, "fleetd.web")}
    assert set(importers(imports, {"uvicorn"})) == {"fleetd.web.server"}


def test_the_daemon_does_not_use_the_client_library(imports):
    assert not list(importers(imports, {"fleetd_client"}))


def test_sql_is_known_to_the_store_only(imports):
    # The command line prints SQLite's version.
    elsewhere = {m for m in importers(imports, {"sqlite3", "aiosqlite"}) if not is_in(m, "fleetd.store")}
    assert elsewhere <= {"fleetd.cli"}


def test_the_library_for_ssh_is_known_to_one_module_only(imports):
    # It is an extra: everything else must import without it.
    assert set(importers(imports, {"asyncssh"})) == {"fleetd.hosts.ssh"}
    assert {module for module in imports if "fleetd.hosts.ssh" in imports[module]} == {"fleetd.hosts.opening"}


def test_a_module_has_one_noun():
    lengths = {path: len(path.read_text().splitlines()) for path in HOUSE.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST_MODULE} == {}
    assert {path for path in lengths if path.stem in {"utils", "common", "helpers", "models"}} == set()
