"""A fleet with hosts: a real engine on the real store, which runs by itself, a manager of hosts, and what tests ask of them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from random import Random
from typing import Any

from fleetd.clock import SystemClock
from fleetd.core.agent import AgentSpec
from fleetd.core.event import EventFilter, EventType
from fleetd.core.host import Host, HostAgent, HostState
from fleetd.core.hosting import PutHosts
from fleetd.core.settings import Rules
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Payload, RetryPolicy, Run, Spec, Status, Task
from fleetd.core.words import Word, WordKind
from fleetd.engine.engine import Engine
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.manager import HostManager, HostOptions
from fleetd.hosts.runner import Runner
from fleetd.store.sqlite import SqliteStore
from tests.integration.hosts.place import is_alive, until

LIMIT = 30.0
"""Seconds for what should happen at once: a limit, not a wait."""
OPTIONS = HostOptions(grace=1_000)
RULES = Rules(retry=RetryPolicy(initial_backoff=10, jitter=0.0))

SEAT = "host:here/shell"

# Its first lease waits for its end, with a child of its own that does not care; later ones end well.
HANGS = """
import os, subprocess, sys, time
if os.environ["FLEETD_LEASE_EPOCH"] == "1":
    child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)"])
    print(os.getpid(), child.pid, flush=True)
    time.sleep(1_000)
print("done")
"""


class QuietLog:
    """Collects what is logged as an error."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, dict[str, Any]]] = []

    def info(self, event: str, **fields: Any) -> None: ...

    def warning(self, event: str, **fields: Any) -> None: ...

    def error(self, event: str, **fields: Any) -> None:
        self.errors.append((event, fields))


def command(*argv: str, **parts: Any) -> HostAgent:
    return HostAgent(**{"type": "shell", "command": argv, "capabilities": ("shell",), **parts})


def local(host_id: str, *agents: HostAgent, **parts: Any) -> Host:
    return Host(host_id, "localhost", agents=agents, **parts)


class HostFleet:
    """Begins with `open`; one more on the same folder is the daemon that was started again."""

    def __init__(self, folder: Path, rules: Rules = RULES, options: HostOptions = OPTIONS) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.log = QuietLog()
        self.rules = rules
        self.options = options
        self.store = SqliteStore(folder / "fleet.db")
        self._managing: asyncio.Task[None] | None = None
        self._ids = 0

    def make_runner(self, host: Host) -> Runner:
        return LocalRunner(
            markers=self.folder / "markers" / host.id,
            environ=os.environ,
            clock=self.clock,
            work_dir=host.work_dir,
            grace=1_000,
        )

    async def open(self) -> HostFleet:
        await self.store.open()
        self.engine = Engine(self.store, self.clock, self.rules, self.log, random=Random(7))
        await self.engine.recover()
        self.engine.start()
        self.manager = HostManager(self.engine, self.options, self.make_runner, self.log)
        self._managing = asyncio.create_task(self.manager.run())
        return self

    async def leave(self) -> None:
        """End the manager, as a daemon that stops does first."""
        assert self._managing is not None
        self._managing.cancel()
        await asyncio.gather(self._managing, return_exceptions=True)

    async def close(self) -> None:
        await self.leave()
        await self.engine.stop()
        await self.store.close()

    async def hosts(self, *hosts: Host) -> None:
        """Add hosts and wait until each answers."""
        await self.engine.execute(PutHosts(hosts))
        for host in hosts:
            await self.until(lambda host=host: self.state(host.id) is HostState.ONLINE)

    def state(self, host_id: str) -> HostState | None:
        row = self.engine.hosts.present.get(host_id)
        return None if row is None else row.status.state

    async def until(self, condition: Any) -> None:
        """Wait until something is so: looked at after every commit."""
        watch = self.engine.feed.subscribe(EventFilter())
        try:
            async with asyncio.timeout(LIMIT):
                while not condition():
                    await watch.ready()
                    watch.take()
        finally:
            watch.close()

    async def submit(self, text: bytes = b"", **parts: Any) -> Task:
        self._ids += 1
        capabilities = parts.pop("capabilities", ("shell",))
        item = Submission(
            id=f"task-{self._ids:04}",
            org_id="default",
            spec=Spec(parts.pop("title", "work"), required_capabilities=capabilities),
            input=Payload(text, "text/plain") if text else None,
            **parts,
        )
        (answer,) = await self.engine.execute(Submit((item,)))
        if isinstance(answer, Exception):
            raise answer
        return answer.task

    async def happened(self, kind: EventType, task_id: str, after: int = 0) -> Any:
        """Wait for an event of a task and return what it says."""
        watch = self.engine.feed.subscribe(EventFilter(task_id=task_id, types=frozenset({kind})))
        try:
            async with asyncio.timeout(LIMIT):
                while True:
                    found = await self.events(task_id, kind)
                    if len(found) > after:
                        return found[after]
                    await watch.ready()
                    watch.take()
        finally:
            watch.close()

    async def events(self, task_id: str, *kinds: EventType) -> list[Any]:
        wanted = EventFilter(task_id=task_id, types=frozenset(kinds))
        page = await self.store.list_events(wanted, 0, 1_000, 100_000)
        return [dict(event.payload or {}) for event in page.events]

    async def ended(self, task_id: str) -> tuple[Task, Run | None]:
        """Wait for the end of a task; return it with its last run."""
        watch = self.engine.feed.watch_tasks([task_id])
        try:
            task = await self.task(task_id)
            if not task.terminal:
                await asyncio.wait_for(watch.next(), LIMIT)
        finally:
            watch.close()
        runs = await self.store.get_runs(task_id)
        return await self.task(task_id), max(runs, key=lambda run: run.lease_epoch) if runs else None

    async def task(self, task_id: str) -> Task:
        return (await self.store.get_tasks([task_id]))[task_id].task

    async def status(self, task_id: str) -> Status:
        return (await self.task(task_id)).status

    async def agent(self, agent_id: str, *capabilities: str, slots: int = 1) -> Any:
        """Open the stream of an agent that completes at once whatever it gets."""
        spec = AgentSpec(agent_id, capabilities=capabilities, max_concurrency=slots)
        session = await self.engine.sessions.hello(spec, f"{agent_id}-process", ())

        async def serve() -> None:
            while True:
                await session.outbox.ready()
                for item in session.outbox.take():
                    for offer in getattr(item, "offers", ()):
                        word = Word(offer.task.id, offer.lease_epoch, WordKind.COMPLETE)
                        self.engine.sessions.post_words(session, (word,))

        return asyncio.create_task(serve())


def python(script: str, *arguments: str, **parts):
    return command(sys.executable, "-c", script, *arguments, **parts)


async def pids(fleet, task, after=0):
    """Wait for the line with the numbers of the command and its child."""
    said = await fleet.happened(EventType.TASK_PROGRESS, task.id, after)
    return [int(word) for word in said["message"].split()]


async def gone(processes):
    async with asyncio.timeout(LIMIT):
        await until(lambda: not any(is_alive(pid) for pid in processes))


async def pids_of_alone(fleet, task):
    said = await fleet.happened(EventType.TASK_PROGRESS, task.id)
    return [int(said["message"].removeprefix("alone "))]


async def open_gate(path):
    """Let a command go on that reads the pipe."""
    await asyncio.to_thread(lambda: path.open("w").close())
