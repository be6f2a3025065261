"""The dispatcher and many claimers at once on the same tasks: each task is leased exactly once. M3, M7, T5."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from fleetd.core.event import EventType
from fleetd.core.host import Host, HostAgent
from fleetd.core.hosting import PutHosts
from fleetd.core.modes import Prefer
from fleetd.core.settings import Rules
from fleetd.core.submission import Submission, Submit
from fleetd.core.task import Mode, ModeSource, Spec, Status, TaskFilter
from fleetd.core.words import Result, Word, WordKind
from fleetd.hosts.runner import Check, Ended, RunSpec
from tests.integration.hosts.fleet import HostFleet

TASKS, CLAIMERS, HOSTS, SLOTS = 1_000, 200, 4, 10
SECONDS = 30.0
MODES = {
    "undecided": [Mode.UNDECIDED],
    "mixed": [Mode.UNDECIDED, Mode.SSH_CLI, Mode.PULL, Mode.UNDECIDED],
}


class AtOnce:
    """A command that has ended well before anybody asks."""

    stderr = ""

    async def lines(self) -> AsyncIterator[bytes]:
        return
        yield

    async def wait(self) -> Ended:
        return Ended(exit_code=0)

    async def kill(self, grace: int) -> None: ...


class Machine:
    """A runner that remembers what it started; a turn of the loop is all a command takes, so that the dispatch is what is measured."""

    def __init__(self, started: list[tuple[str, int]]) -> None:
        self._started = started

    async def start(self, run: RunSpec) -> AtOnce:
        self._started.append((run.task_id, run.lease_epoch))
        await asyncio.sleep(0)
        return AtOnce()

    async def end(self, task_id: str, lease_epoch: int, grace: int) -> None: ...

    async def check(self) -> Check:
        return Check(ok=True)

    async def close(self) -> None: ...


class Race:
    """One race, and what it came to."""

    def __init__(self, fleet: HostFleet) -> None:
        self.fleet = fleet
        self.on_hosts: list[tuple[str, int]] = []
        self.claimed: list[tuple[str, int]] = []
        fleet.make_runner = lambda host: Machine(self.on_hosts)

    async def submit(self, modes: list[Mode]) -> None:
        items = [
            Submission(
                id=f"t-{n:04}",
                org_id="default",
                spec=Spec("work", required_capabilities=("code",)),
                mode=modes[n % len(modes)],
            )
            for n in range(TASKS)
        ]
        await self.fleet.engine.execute(Submit(tuple(items)))

    async def claimer(self, name: str) -> None:
        unary = self.fleet.engine.unary
        while self.fleet.engine.counts.get(Status.COMPLETED, 0) < TASKS:
            answer = await unary.claim(name, f"{name}-process", ("code",), 2, 200, 60_000, "")
            words = [Word(o.task.id, o.lease_epoch, WordKind.COMPLETE) for o in answer.offers]
            self.claimed += [(word.task_id, word.lease_epoch) for word in words]
            if words:
                said = await unary.report(name, f"{name}-process", tuple(words))
                assert [ack.result for ack in said.acks] == [Result.ACCEPTED] * len(words)

    async def run(self) -> float:
        """Let hosts and claimers begin together; return the seconds until all is done."""
        agent = HostAgent("coder", ("coder",), ("code",), SLOTS)
        hosts = tuple(Host(f"build-{n}", "localhost", agents=(agent,)) for n in range(HOSTS))
        began = time.perf_counter()
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(
                self.fleet.engine.execute(PutHosts(hosts)),
                *[self.claimer(f"claimer-{n}") for n in range(CLAIMERS)],
            )
        return time.perf_counter() - began


@pytest.mark.parametrize("prefer", Prefer)
@pytest.mark.parametrize("modes", MODES)
async def test_the_dispatcher_and_200_claimers_lease_each_of_1000_tasks_exactly_once(tmp_path, prefer, modes):
    """M3: exactly one wins; M7: in a mixed run each task runs exactly once, and where it was meant to"""
    race = Race(HostFleet(tmp_path, Rules(prefer=prefer)))
    fleet = await race.fleet.open()
    await race.submit(MODES[modes])
    seconds = await race.run()
    rows = [row.task for row in (await fleet.store.list_tasks(TaskFilter(), 0, 10_000, 10_000)).rows]
    leases = Counter()
    for row in rows:
        leases[row.id] = len(await fleet.events(row.id, EventType.TASK_ASSIGNED))
    await fleet.close()
    won = Counter(row.agent_id for row in rows)
    shares = [won[name] for name in won if name.startswith("claimer-")]
    print(
        f"\n{modes}, prefer {prefer.value}: {TASKS} tasks, {CLAIMERS} claimers, {HOSTS} hosts of {SLOTS} slots: "
        f"{seconds:.2f} s, hosts {len(race.on_hosts)}, claimers {len(race.claimed)} "
        f"({len(shares)} of them got work, at most {max(shares, default=0)} each)"
    )
    assert len(rows) == TASKS
    given = Counter(race.on_hosts + race.claimed)
    assert not {lease: times for lease, times in given.items() if lease[1] != 1 or times != 1}
    assert len(given) == TASKS
    assert set(leases.values()) == {1}
    assert {(row.status, row.lease_epoch, row.attempt) for row in rows} == {(Status.COMPLETED, 1, 1)}
    on_hosts = {task_id for task_id, _ in race.on_hosts}
    for row in rows:
        host = row.id in on_hosts
        assert row.agent_id.startswith("host:") is host
        if row.mode_source is ModeSource.EXPLICIT:
            assert host is (row.mode is Mode.SSH_CLI)
        else:
            assert (row.mode, row.mode_source) in {
                True: [(Mode.SSH_CLI, ModeSource.AUTO)],
                False: [(Mode.PULL, ModeSource.CLAIM)],
            }[host]
    assert not fleet.log.errors
