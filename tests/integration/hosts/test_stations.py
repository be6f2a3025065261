"""Hosts that come, go and fail, and the end of the daemon: real commands on this machine under a real engine. M5, T5, T9."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from fleetd.core.agent import AgentOrder, SessionKind
from fleetd.core.attendance import EndSession, Leaving, OrderAgent
from fleetd.core.event import EventFilter, EventType
from fleetd.core.host import Host, HostState
from fleetd.core.hosting import PutHosts, RemoveHost, SetHostState
from fleetd.core.interventions import Cancel
from fleetd.core.task import Mode, ModeSource, Status
from fleetd.errors import WrongState
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.runner import Problem, Unreachable
from tests.integration.hosts.fleet import (
    HANGS,
    OPTIONS,
    SEAT,
    HostFleet,
    command,
    gone,
    local,
    open_gate,
    pids,
    python,
)
from tests.integration.hosts.place import ALONE, LIMIT, is_alive, until

HOSTILE = b"'\"`touch pwned`$(touch pwned);touch pwned|touch pwned&&touch pwned\n\\n%s\t*~ --help\r\n$HOME ${PATH}\xff\xfe"


async def test_no_more_run_than_an_agent_of_a_host_may_run_at_once(fleet):
    """M5: per-agent concurrency"""
    await fleet.hosts(
        local(
            "here", python(HANGS, max_concurrency=2), command("true", type="other", capabilities=("other",))
        )
    )
    tasks = [await fleet.submit() for _ in range(3)]
    for task in tasks[:2]:
        await fleet.happened(EventType.TASK_PROGRESS, task.id)
    other, _ = await fleet.ended((await fleet.submit(capabilities=("other",))).id)
    assert other.status is Status.COMPLETED
    assert await fleet.status(tasks[2].id) is Status.PENDING
    await fleet.engine.execute(Cancel((tasks[0].id,)))
    await fleet.happened(EventType.TASK_STARTED, tasks[2].id)


async def test_the_least_loaded_host_is_first(fleet):
    """M5: by share of what it may run"""
    small, large = (
        local("small", python(HANGS, max_concurrency=2)),
        local("large", python(HANGS, max_concurrency=4)),
    )
    await fleet.hosts(small, large)
    placed = []
    for _ in range(6):
        task = await fleet.submit()
        await fleet.happened(EventType.TASK_STARTED, task.id)
        placed.append((await fleet.task(task.id)).agent_id)
    assert sorted(placed[:2]) == ["host:large/shell", "host:small/shell"]
    assert placed.count("host:large/shell") == 4


async def test_two_checks_that_fail_take_a_host_offline_and_one_that_goes_well_brings_it_back(tmp_path):
    """M5: HOST_STATE, and nothing is given to it meanwhile"""
    fleet = await HostFleet(tmp_path, options=replace(OPTIONS, check_every=20)).open()
    work = tmp_path / "work"
    work.mkdir()
    await fleet.hosts(local("here", python("print('done')"), work_dir=str(work)))
    work.rmdir()
    await fleet.until(lambda: fleet.state("here") is HostState.OFFLINE)
    assert str(work) in fleet.engine.hosts.present["here"].status.reason
    task = await fleet.submit()
    assert await fleet.status(task.id) is Status.PENDING
    work.mkdir()
    ended, _ = await fleet.ended(task.id)
    events = (
        await fleet.store.list_events(EventFilter(types=frozenset({EventType.HOST_STATE})), 0, 9, 9_999)
    ).events
    await fleet.close()
    assert (ended.status, ended.lease_epoch) == (Status.COMPLETED, 1)
    assert [event.payload["state"] for event in events] == ["ONLINE", "OFFLINE", "ONLINE"]


async def test_a_host_that_passes_its_checks_and_starts_nothing_is_tried_ever_more_rarely(tmp_path):
    """M5: the task keeps its attempts, and one start that works ends the waits"""
    tries: list[int] = []

    class Stubborn(LocalRunner):
        async def start(self, spec):
            tries.append(fleet.clock.now())
            if len(tries) in (1, 2, 3, 4, 6):
                raise Unreachable(Problem.REFUSED, "it takes no more sessions")
            return await super().start(spec)

    class Fleet(HostFleet):
        def make_runner(self, host: Host):
            return Stubborn(markers=self.folder / "markers", environ=os.environ, clock=self.clock)

    fleet = await Fleet(tmp_path, options=replace(OPTIONS, hold_off=100)).open()
    await fleet.hosts(local("here", python("print('done')")))
    done = [(await fleet.ended((await fleet.submit()).id))[0] for _ in range(2)]
    await fleet.close()
    assert [(task.status, task.attempt, task.losses) for task in done] == 2 * [(Status.COMPLETED, 1, 0)]
    waits = [later - earlier for earlier, later in pairwise(tries)]
    assert len(tries) == 7
    assert all(wait >= least for wait, least in zip(waits[1:4], (100, 200, 400), strict=True))


async def test_a_check_that_breaks_is_one_that_failed(tmp_path):
    """M5: the host is OFFLINE until another goes well, and not forgotten"""
    broken = [False, True, True, False]

    class Fragile(LocalRunner):
        async def check(self):
            if broken and broken.pop(0):
                raise ValueError("nobody thought of this")
            return await super().check()

    class Fleet(HostFleet):
        def make_runner(self, host: Host):
            return Fragile(markers=self.folder / "markers", environ=os.environ, clock=self.clock)

    fleet = await Fleet(tmp_path, options=replace(OPTIONS, check_every=100)).open()
    await fleet.hosts(local("here", python("print('done')")))
    await fleet.until(lambda: fleet.state("here") is HostState.OFFLINE)
    await fleet.until(lambda: fleet.state("here") is HostState.ONLINE)
    await fleet.close()
    assert [event for event, _ in fleet.log.errors] == 2 * ["host_check_broke"]


async def test_a_host_that_never_answered_is_given_nothing(tmp_path):
    """M5, M2: neither before the first check nor after"""
    fleet = await HostFleet(tmp_path).open()
    task = await fleet.submit()
    await fleet.engine.execute(PutHosts((local("here", python("print()"), work_dir="/no/such/place"),)))
    await fleet.until(lambda: fleet.state("here") is HostState.OFFLINE)
    await fleet.engine.execute(Cancel((task.id,)))
    assert await fleet.events(task.id, EventType.TASK_ASSIGNED) == []
    await fleet.close()


async def test_a_host_that_cannot_have_a_runner_is_offline_and_the_others_work(tmp_path):
    """M5: what is missing is said, and the manager lives on"""

    class Without(HostFleet):
        def make_runner(self, host: Host):
            if host.id == "far":
                raise WrongState("EXTRA_MISSING", "host far: needs an extra")
            return super().make_runner(host)

    fleet = await Without(tmp_path).open()
    far, here = (
        Host("far", "far.example.org", agents=(python("print()"),)),
        local("here", python("print('done')")),
    )
    await fleet.engine.execute(PutHosts((far, here)))
    await fleet.until(lambda: fleet.state("far") is HostState.OFFLINE)
    assert fleet.engine.hosts.present["far"].status.reason == "host far: needs an extra"
    ended, _ = await fleet.ended((await fleet.submit()).id)
    await fleet.close()
    assert ended.agent_id == SEAT


@pytest.mark.parametrize("how", ["removed", "stopped", "disabled", "replaced"])
async def test_what_runs_on_a_host_that_is_taken_away_is_ended_and_handed_back_unburnt(fleet, how):
    """M5, T5: at once, not when its heartbeats are missed; no attempt, no loss"""
    here, there = local("here", python(HANGS)), local("there", python(HANGS))
    await fleet.hosts(here)
    task = await fleet.submit()
    processes = await pids(fleet, task)
    commands = {
        "removed": RemoveHost("here"),
        "stopped": SetHostState("here", HostState.STOPPED, "maintenance"),
        "disabled": PutHosts((replace(here, enabled=False),)),
        "replaced": PutHosts((replace(here, agents=(python(HANGS, capabilities=("other",)),)),)),
    }
    await fleet.engine.execute(commands[how])
    await fleet.happened(EventType.TASK_RELEASED, task.id)
    await gone(processes)
    waiting = await fleet.task(task.id)
    assert (waiting.status, waiting.attempt, waiting.losses) == (Status.PENDING, 0, 0)
    assert (waiting.mode, waiting.mode_source) == (Mode.UNDECIDED, ModeSource.NONE)
    await fleet.hosts(there)
    ended, _ = await fleet.ended(task.id)
    assert (ended.status, ended.attempt, ended.agent_id) == (Status.COMPLETED, 1, "host:there/shell")


async def test_a_host_that_was_taken_away_is_given_nothing_more(fleet):
    """M5: its session is over"""
    await fleet.hosts(local("here", python("print('done')")))
    await fleet.ended((await fleet.submit()).id)
    await fleet.engine.execute(RemoveHost("here"))
    await fleet.until(lambda: fleet.engine.sessions.get(SEAT) is None)
    task = await fleet.submit()
    assert (await fleet.status(task.id), await fleet.events(task.id, EventType.TASK_ASSIGNED)) == (
        Status.PENDING,
        [],
    )


async def test_a_host_that_is_defined_anew_can_do_what_it_says_now(fleet):
    """M5, D1"""
    await fleet.hosts(local("here", python("print('done')")))
    await fleet.ended((await fleet.submit()).id)
    await fleet.hosts(local("here", python("print('done')", capabilities=("new",), max_concurrency=3)))
    ended, _ = await fleet.ended((await fleet.submit(capabilities=("new",))).id)
    assert ended.status is Status.COMPLETED
    assert fleet.engine.agents[SEAT].spec.max_concurrency == 3


async def test_a_daemon_that_stops_hands_back_what_runs_unburnt(tmp_path):
    """D2, T5: the next daemon begins it as if it had not been begun"""
    fleet = await HostFleet(tmp_path).open()
    await fleet.hosts(local("here", python(HANGS)))
    task = await fleet.submit()
    processes = await pids(fleet, task)
    fleet.engine.drain()
    await fleet.close()
    assert not any(is_alive(pid) for pid in processes)
    again = await HostFleet(tmp_path).open()
    waiting = await again.task(task.id)
    ended, _ = await again.ended(task.id)
    await again.close()
    assert (waiting.attempt, waiting.losses) == (0, 0)
    assert (ended.status, ended.attempt, ended.losses) == (Status.COMPLETED, 1, 0)


async def test_a_daemon_that_stops_while_a_host_is_taken_away_leaves_nothing_running(tmp_path):
    """M5, T5: what was being ended is still ended, and handed back"""
    fleet = await HostFleet(tmp_path).open()
    await fleet.hosts(local("here", python(HANGS)))
    task = await fleet.submit()
    processes = await pids(fleet, task)
    await fleet.engine.execute(RemoveHost("here"))
    await until(lambda: not fleet.engine.slot_book.seat(SEAT).ceiling)
    await fleet.leave()
    assert not any(is_alive(pid) for pid in processes)
    assert await fleet.status(task.id) is Status.PENDING
    await fleet.close()


async def test_a_drain_lets_what_runs_end(fleet, tmp_path):
    """D2: and gives nothing new"""
    script = "import sys\nprint('ready', flush=True)\nopen(sys.argv[1]).read()"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    await fleet.hosts(local("here", python(script, str(gate))))
    task, second = [await fleet.submit() for _ in range(2)]
    await fleet.happened(EventType.TASK_PROGRESS, task.id)
    await fleet.engine.execute(OrderAgent(SEAT, AgentOrder.DRAIN, "order-1", "maintenance"))
    await open_gate(gate)
    ended, _ = await fleet.ended(task.id)
    assert (ended.status, await fleet.status(second.id)) == (Status.COMPLETED, Status.PENDING)
    await fleet.engine.execute(OrderAgent(SEAT, AgentOrder.UNDRAIN, "order-2"))
    await fleet.happened(EventType.TASK_PROGRESS, second.id)
    await open_gate(gate)
    assert (await fleet.ended(second.id))[0].status is Status.COMPLETED


async def test_a_job_whose_daemon_was_killed_does_not_run_twice_at_once_and_ends_once(tmp_path):
    """T9, T5, M5: and no loss is counted, for its daemon comes back"""
    ends = "import os, sys\nif os.environ['FLEETD_LEASE_EPOCH'] != '1': sys.exit(os.path.exists(sys.argv[1] + '/overlap'))\n"
    arguments = [sys.executable, "-c", ends + ALONE, str(tmp_path)]
    first = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.hosts.crash",
        str(tmp_path),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(LIMIT):
        task_id, _, pid = (await first.stdout.readline()).decode().split()
    assert is_alive(int(pid))
    first.kill()
    await first.wait()
    fleet = await HostFleet(tmp_path).open()
    ended, _ = await fleet.ended(task_id)
    completed = await fleet.events(task_id, EventType.TASK_COMPLETED)
    await fleet.close()
    assert not is_alive(int(pid))
    assert not (tmp_path / "overlap").exists()
    assert (ended.status, ended.lease_epoch, ended.attempt, ended.losses) == (Status.COMPLETED, 2, 1, 0)
    assert len(completed) == 1


async def test_a_job_that_kills_its_daemon_each_time_is_not_begun_for_ever(tmp_path):
    """T9: sessions that end under it count, as with any agent"""
    fleet = await HostFleet(tmp_path).open()
    await fleet.hosts(local("here", python("import time; print('on', flush=True); time.sleep(1_000)")))
    task = await fleet.submit(max_attempts=9)
    for loss in range(3):
        await fleet.happened(EventType.TASK_STARTED, task.id, loss)
        epoch = fleet.engine.sessions.get(SEAT).epoch
        await fleet.engine.execute(EndSession(SEAT, epoch, Leaving.LOST, "lost"))
    ended, _ = await fleet.ended(task.id)
    await fleet.close()
    assert (ended.status, ended.dead_reason, ended.losses) == (Status.DEAD_LETTER, "POISON", 3)


async def test_the_session_of_a_host_is_one_of_its_own_kind(fleet):
    """M5"""
    await fleet.hosts(local("here", python("print()")))
    await fleet.ended((await fleet.submit()).id)
    assert fleet.engine.agents[SEAT].session_kind is SessionKind.HOST
