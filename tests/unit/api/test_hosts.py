"""Hosts: added, listed, held, removed; their names, and what is shown of tasks that run there (spec M1, M5, M7)."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.v1 import agent_pb2, event_pb2, host_pb2, task_pb2
from fleetd.api.calls import Call
from fleetd.api.limits import Limits
from fleetd.errors import InvalidArgument, NotFound
from tests.unit.api.hosted import add, host, online
from tests.unit.api.routed import refused

UNKNOWN, ONLINE = host_pb2.HOST_STATE_UNKNOWN, host_pb2.HOST_STATE_ONLINE
OFFLINE, STOPPED = host_pb2.HOST_STATE_OFFLINE, host_pb2.HOST_STATE_STOPPED
UNDECIDED, SSH_CLI = task_pb2.EXECUTION_MODE_UNDECIDED, task_pb2.EXECUTION_MODE_SSH_CLI
PULL = task_pb2.EXECUTION_MODE_PULL
EXPLICIT, CLAIM, AUTO = (
    task_pb2.MODE_SOURCE_EXPLICIT,
    task_pb2.MODE_SOURCE_CLAIM,
    task_pb2.MODE_SOURCE_AUTO,
)


async def listed(port, **fields):
    return (await port("ListHosts", **fields)).hosts


async def events(port, kind):
    found = await port("ListEvents", filter={"types": [event_pb2.EventType.Value(f"EVENT_TYPE_{kind}")]})
    return [dict(event.payload) for event in found.events]


async def test_every_field_of_a_definition_arrives_and_is_shown_but_values_of_variables(port):
    """M5: they may be secrets."""
    given = {
        "id": "build-1",
        "hostname": "build-1.example.org",
        "user": "fleet",
        "port": 2_222,
        "key_file": "/etc/fleetd/key",
        "known_hosts": "/etc/fleetd/known_hosts",
        "work_dir": "/srv/fleet",
        "enabled": False,
        "agents": [
            {
                "type": "coder",
                "command": ["coder", "{prompt}"],
                "capabilities": ["code:rust", "gpu"],
                "max_concurrency": 2,
                "parser": "json_lines",
                "prompt": "argv",
                "timeout": {"seconds": 1, "nanos": 500_000_000},
                "env": {"TOKEN": "secret"},
            },
            {"type": "tester", "command": ["test"]},
        ],
    }
    await add(port, given)
    (status,) = await listed(port)
    wanted = host_pb2.Host(**given)
    wanted.agents[0].env["TOKEN"] = ""
    wanted.agents[1].max_concurrency, wanted.agents[1].parser, wanted.agents[1].prompt = 1, "raw", "stdin"
    assert status.host == wanted
    assert dict(port.engine.hosts.present["build-1"].host.agents[0].env) == {"TOKEN": "secret"}
    assert (status.state, status.reason, status.source, status.held) == (UNKNOWN, "", "rpc", False)
    assert status.since.ToMilliseconds() == port.clock.wall()
    assert dict(status.running) == {"coder": 0, "tester": 0}


async def test_what_is_not_given_has_its_default(port):
    """M5: port 22, enabled, one task at once."""
    await add(port, host())
    (status,) = await listed(port)
    assert (status.host.port, status.host.enabled, status.host.agents[0].max_concurrency) == (22, True, 1)


async def test_each_host_of_a_request_gets_its_own_answer_and_every_bad_field_its_path(port):
    """M5, S3."""
    bad = host("bad/id", hostname="-x", port=70_000, key_file="key")
    bad["agents"] = [
        {"type": "", "command": []},
        {
            "type": "a b",
            "command": ["run", "x{prompt}", "{prompt}y"],
            "parser": "xml",
            "timeout": {"seconds": -1},
            "env": {"A B": ""},
        },
    ]
    answer = await port("UpsertHosts", hosts=[host("a"), bad, host("b", "x", "x"), host("a", "other")])
    assert [result.id for result in answer.results] == ["a", "bad/id", "b", "a"]
    assert [bool(result.error) for result in answer.results] == [False, True, True, False]
    paths = [field.field for field in answer.results[1].fields]
    assert sorted(paths) == [
        "agents[0].command",
        "agents[0].type",
        "agents[1].command[1]",
        "agents[1].command[2]",
        "agents[1].env",
        "agents[1].parser",
        "agents[1].timeout",
        "agents[1].type",
        "hostname",
        "id",
        "key_file",
        "port",
    ]
    assert all(f"{path}: " in answer.results[1].error for path in paths)
    assert [field.field for field in answer.results[2].fields] == ["agents[1].type"]
    # Of two with the same id the last one holds.
    assert [status.host.agents[0].type for status in await listed(port)] == ["other"]
    assert await refused(port, "UpsertHosts") == ["hosts"]


async def test_names_of_hosts_and_their_agents_make_one_name_and_no_other_pair_makes_it(port):
    """M5: "a/b" with "c" must not hold leases under the name of "a" with "b/c"."""
    answer = await port("UpsertHosts", hosts=[host("a/b", "c"), host("a", "b/c"), host("x" * 61)])
    assert [[field.field for field in result.fields] for result in answer.results] == [
        ["id"],
        ["agents[0].type"],
        ["id"],
    ]


async def test_hosts_come_in_pages_and_by_state(port):
    """M5."""
    await add(port, *(host(name) for name in ("c", "a", "b")))
    await online(port, "b")
    page = await port("ListHosts", page_size=2)
    assert [one.host.id for one in page.hosts] == ["a", "b"]
    rest = await port("ListHosts", page_size=2, page_token=page.next_page_token)
    assert ([one.host.id for one in rest.hosts], rest.next_page_token) == (["c"], "")
    assert [one.host.id for one in await listed(port, states=[ONLINE, OFFLINE])] == ["b"]
    assert await refused(port, "ListHosts", states=[ONLINE, 9], page_size=-1) == ["states[1]", "page_size"]
    assert await refused(port, "ListHosts", states=[ONLINE], page_token=page.next_page_token) == [
        "page_token"
    ]


async def test_a_state_set_by_hand_is_shown_told_and_audited(port):
    """M5: HOST_STATE."""
    await add(port, host())
    call = Call(actor="ada")
    held = await port("SetHostState", id="build-1", state=STOPPED, reason="new disk", call=call)
    assert (held.state, held.reason, held.held) == (STOPPED, "new disk", True)
    freed = await port("SetHostState", id="build-1", state=ONLINE, call=call)
    assert (freed.state, freed.reason, freed.held) == (ONLINE, "", False)
    assert await events(port, "HOST_STATE") == [
        {"host": "build-1", "state": "STOPPED", "reason": "new disk"},
        {"host": "build-1", "state": "ONLINE", "reason": ""},
    ]
    lines = (await port("ListAudits")).lines
    assert [(line.actor, line.action, line.target, line.reason) for line in lines][:2] == [
        ("ada", "SetHostState", "build-1", "ONLINE"),
        ("ada", "SetHostState", "build-1", "STOPPED: new disk"),
    ]
    assert await refused(port, "SetHostState", id="", state=0, reason="x" * 1_001) == [
        "id",
        "state",
        "reason",
    ]


async def test_a_host_that_is_removed_is_gone(port):
    """M5."""
    await add(port, host())
    await port("RemoveHost", id="build-1")
    assert await listed(port) == []
    for method, fields in (("RemoveHost", {}), ("SetHostState", {"state": STOPPED})):
        with pytest.raises(NotFound, match="no host is called 'build-1'") as caught:
            await port(method, id="build-1", **fields)
        assert caught.value.reason == "HOST_NOT_FOUND"


async def test_a_task_on_a_host_shows_the_host_its_mode_and_who_decided(port):
    """M1, M2, M5: GetTask, ListTasks, the agents, and what runs where."""
    await add(port, host(), host("build-2", {"type": "t", "command": ["cat"], "capabilities": ["test"]}))
    await online(port)
    task = await port.submit(required_capabilities=["code"])
    await port.engine.turn()
    for shown in (await port("GetTask", task_id=task.id), (await port("ListTasks")).tasks[0]):
        assert (shown.agent_id, shown.host_id) == ("host:build-1/coder", "build-1")
        assert (shown.execution_mode, shown.mode_source) == (SSH_CLI, AUTO)
    assert [dict(one.running) for one in await listed(port)] == [{"coder": 1}, {"t": 0}]
    (agent,) = (await port("ListAgents")).agents
    assert (agent.spec.agent_id, agent.session_kind) == ("host:build-1/coder", agent_pb2.SESSION_KIND_HOST)
    assert await events(port, "TASK_ASSIGNED") == [{"lease_epoch": 1, "execution_mode": "SSH_CLI"}]
    assert await events(port, "EXECUTION_MODE_DECIDED") == [
        {"execution_mode": "SSH_CLI", "source": "AUTO", "cause": "host:build-1/coder has a free slot"}
    ]


async def test_a_claim_decides_and_its_task_has_no_host(port):
    """M1, M3."""
    task = await port.submit()
    assert (task.execution_mode, task.mode_source) == (UNDECIDED, 0)
    await port.claim()
    shown = await port("GetTask", task_id=task.id)
    assert (shown.execution_mode, shown.mode_source, shown.host_id) == (PULL, CLAIM, "")


async def test_explicit_modes_are_kept_to(port):
    """M7: in a mixed run hosts get no PULL and agents no SSH_CLI."""
    await add(port, host("build-1", {"type": "t", "command": ["cat"], "max_concurrency": 3}))
    pushed = await port.submit("pushed", execution_mode=SSH_CLI)
    pulled = await port.submit("pulled", execution_mode=PULL)
    assert (await port.claim(max_tasks=3)).task_id == pulled.id
    await online(port, t=3)
    await port.engine.turn()
    for task_id, mode, host_id in ((pushed.id, SSH_CLI, "build-1"), (pulled.id, PULL, "")):
        shown = await port("GetTask", task_id=task_id)
        assert (shown.execution_mode, shown.mode_source, shown.host_id) == (mode, EXPLICIT, host_id)


@pytest.mark.parametrize(
    ("method", "fields", "path"),
    [
        ("RegisterAgent", {"agent": {"agent_id": "host:build-1/coder"}}, "agent.agent_id"),
        ("ClaimTasks", {"agent_id": "host:build-1/coder"}, "agent_id"),
        ("ReportTasks", {"agent_id": "host:x"}, "agent_id"),
        ("Heartbeat", {"agent_id": "host:x"}, "agent_id"),
        ("UnregisterAgent", {"agent_id": "host:x"}, "agent_id"),
        ("UpdateAgentCapabilities", {"agent_id": "host:x"}, "agent_id"),
        ("RestartAgent", {"agent_id": "host:x"}, "agent_id"),
    ],
)
async def test_no_agent_takes_a_name_of_a_host(port, method, fields, path):
    """M5: nobody but the daemon speaks for a host."""
    with pytest.raises(InvalidArgument, match="must not begin with host:") as caught:
        await port(method, **fields)
    assert [name for name, _ in caught.value.fields] == [path]


async def test_what_runs_on_a_host_can_be_drained_as_an_agent_can(port):
    """D1, M5: a kind of agent on a host gets no work then, and the host is not to blame."""
    await add(port, host())
    await online(port)
    await port("DrainAgent", agent_id="host:build-1/coder", reason="budget")
    task = await port.submit(required_capabilities=["code"], execution_mode=SSH_CLI)
    await port.engine.turn()
    answer = await port("ExplainTask", task_id=task.id)
    assert answer.sentence == "The only able host, build-1, is ONLINE and takes no work: budget."
    await port("UndrainAgent", agent_id="host:build-1/coder")
    await port.engine.turn()
    assert (await port("GetTask", task_id=task.id)).host_id == "build-1"


async def test_a_run_on_a_host_may_take_an_hour_where_the_task_does_not_say(port):
    """T3: 300 s on an agent, 3,600 s on a host."""
    await add(port, host())
    seats = await online(port)
    task = await port.submit(required_capabilities=["code"])
    await port.engine.turn()
    (offers,) = seats["host:build-1/coder"].outbox.take()
    assert (offers.offers[0].task.id, offers.offers[0].timeout) == (task.id, 3_600_000)
    await port.submit("other", required_capabilities=["x"])
    assert (await port.claim(capabilities=["x"])).timeout.seconds == 300


async def test_limits_bound_what_one_call_may_ask(ports):
    """S7."""
    port = await ports(Limits(batch=1, page=2))
    assert await refused(port, "UpsertHosts", hosts=[host("a"), host("b")]) == ["hosts"]
    assert await refused(port, "ListHosts", page_size=3) == ["page_size"]


def test_the_handbook_tells_what_the_events_of_modes_and_hosts_say():
    """T8, M1."""
    text = (Path(__file__).parents[3] / "docs" / "events.md").read_text()
    for line in (
        "| TASK_ASSIGNED | lease_epoch, execution_mode |",
        "| EXECUTION_MODE_DECIDED | execution_mode, source, cause |",
        "| HOST_STATE | host, state, reason |",
    ):
        assert line in text
