"""The twenty jobs of the demo: real work over files of this repository, each with what must come out of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import digest

from fleet.v1.task_pb2 import Task, TaskResult
from fleetd_client import task
from fleetd_client.stubs import SubmitTaskRequest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "fleetd/core",
    "fleetd/engine",
    "fleetd/store",
    "fleetd/api",
    "fleetd/rpc",
    "clients/python/src/fleetd_client",
)
TEXTS = (
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "proto/fleet/v1/task.proto",
    "proto/fleet/v1/dispatcher.proto",
    "docs/config.example.toml",
)
DIGESTED = 24

# What is wrong with how a job ended; empty when it ended as expected.
Check = Callable[[Task, list[TaskResult], Any], str]


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `check` is given its task, its runs (oldest first, the last one its result) and its output."""

    title: str
    request: SubmitTaskRequest
    check: Check
    status: str = "COMPLETED"
    note: str = field(default="")


def all_jobs(scratch: Path) -> list[Job]:
    """The jobs, in the order in which they are submitted; `scratch` is for files they need."""
    return [
        _digest(),
        _follow(scratch / "daemon.log"),
        _compile(PACKAGES[0], {"fail_once": str(scratch / "failed-once")}),
        *(_compile(package) for package in PACKAGES[1:]),
        *(_lint(package) for package in PACKAGES),
        *(_count(path) for path in TEXTS),
    ]


def _compile(package: str, metadata: dict[str, str] | None = None) -> Job:
    files = _python(package)

    def check(_: Task, runs: list[TaskResult], output: Any) -> str:
        if metadata and not any("exit code 75" in run.error.message for run in runs[:-1]):
            return "no run of it failed first"
        return "" if output["files"] == len(files) else f"{output['files']} files instead of {len(files)}"

    request = task(
        f"byte-compile {Path(package).name}",
        task_type="byte-compile",
        input=json.dumps(files),
        capabilities=["python"],
        metadata=metadata,
        max_attempts=5,
    )
    return Job(request.title, request, check, note="failed once, tried again" if metadata else "")


def _lint(package: str) -> Job:
    files = _python(package)
    lines = sum(len((ROOT / path).read_text().splitlines()) for path in files)

    def check(_: Task, __: list[TaskResult], output: Any) -> str:
        return "" if output["lines"] == lines else f"{output['lines']} lines instead of {lines}"

    request = task(
        f"lint {Path(package).name}",
        task_type="lint",
        input=json.dumps(files),
        capabilities=["lint"],
        max_attempts=5,
    )
    return Job(request.title, request, check)


def _count(path: str) -> Job:
    size = (ROOT / path).stat().st_size

    def check(_: Task, __: list[TaskResult], output: Any) -> str:
        return "" if output["bytes"] == size else f"{output['bytes']} bytes instead of {size}"

    request = task(f"words of {Path(path).name}", task_type="count", input=path, capabilities=["text"])
    return Job(request.title, request, check)


def _follow(path: Path) -> Job:
    request = task(
        "follow the daemon's log", task_type="follow", input=str(path), capabilities=["text"], priority="HIGH"
    )
    return Job(request.title, request, lambda *_: "", status="CANCELLED", note="cancelled while it ran")


def _digest() -> Job:
    files = _python("fleetd")[:DIGESTED]

    def check(ended: Task, runs: list[TaskResult], output: Any) -> str:
        expected = ""
        for path in files:
            expected = digest.step(expected, str(ROOT / path))
        if output["digest"] != expected:
            return "the digest is wrong"
        if not output["skipped"]:
            return "it began anew instead of going on from its checkpoint"
        if ended.losses < 1 or len({run.agent_id for run in runs}) != 2:
            return "it was not finished by another agent"
        return ""

    request = task(
        f"digest of {len(files)} files",
        task_type="digest",
        input=json.dumps(files),
        capabilities=["digest"],
        priority="URGENT",
    )
    return Job(request.title, request, check, note="killed, finished elsewhere")


def _python(package: str) -> list[str]:
    found: Sequence[Path] = sorted((ROOT / package).rglob("*.py"))
    return [str(path.relative_to(ROOT)) for path in found]
