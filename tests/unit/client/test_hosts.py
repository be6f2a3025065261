"""What the clients ask about hosts and assignments (spec M4, M5)."""

from __future__ import annotations

import pytest

from fleetd_client import host_plans, tasks
from fleetd_client import stubs as s
from fleetd_client.errors import InvalidArgument
from tests.unit.client.test_routes import answered, asked

STOPPED = s.HostState.HOST_STATE_STOPPED


def test_hosts_are_listed_page_by_page_and_changed_by_name():
    """M5."""
    request = asked(host_plans.host_page("p1", states=["online", 4], page_size=7))
    assert (list(request.states), request.page_token, request.page_size) == (
        [s.HostState.HOST_STATE_ONLINE, STOPPED],
        "p1",
        7,
    )
    page = answered(
        host_plans.host_page(None),
        s.ListHostsResponse(hosts=[s.HostStatus(reason="r")], next_page_token="p2"),
    )
    assert ([one.reason for one in page.items], page.following) == (["r"], "p2")
    request = asked(host_plans.set_host_state("a", "stopped", reason="r"))
    assert (request.id, request.state, request.reason) == ("a", STOPPED, "r")
    request = asked(host_plans.remove_host("a", reason="r"))
    assert (request.id, request.reason) == ("a", "r")
    assert answered(host_plans.remove_host("a"), s.RemoveHostResponse()) is None


def test_hosts_are_given_as_messages_or_as_they_stand_in_the_file():
    """M5: a time in seconds is a duration."""
    fields = {
        "id": "b",
        "hostname": "localhost",
        "agents": [
            {"type": "t", "command": ["cat"], "timeout_sec": 1.5, "env": {"A": "1"}, "max_concurrency": 2}
        ],
    }
    request = asked(host_plans.upsert_hosts([s.Host(id="a"), fields]))
    assert request.hosts[0] == s.Host(id="a")
    (agent,) = request.hosts[1].agents
    assert (agent.timeout.seconds, agent.timeout.nanos, dict(agent.env)) == (1, 500_000_000, {"A": "1"})
    results = [s.HostResult(id="a", error="hostname: is required"), s.HostResult(id="b")]
    found = answered(
        host_plans.upsert_hosts([s.Host(id="a"), s.Host(id="b")]), s.UpsertHostsResponse(results=results)
    )
    assert [one.error for one in found] == ["hostname: is required", ""]


@pytest.mark.parametrize(
    "fields",
    [
        {"ports": 1},
        {"port": "x"},
        {"agents": 7},
        {"agents": ["t"]},
        {"agents": [{"timeout_sec": "1"}]},
        {"agents": [{"timeout_sec": True}]},
        {"agents": [{"timeout_sec": 1e300}]},
        {"agents": [{"timeout": 3}]},
        {1: 2},
    ],
)
def test_a_host_of_another_form_is_refused_by_its_place(fields):
    """M5."""
    with pytest.raises(InvalidArgument) as caught:
        asked(host_plans.upsert_hosts([s.Host(id="a"), fields]))
    assert [path for path, _ in caught.value.fields] == ["hosts[1]"]


def test_an_assignment_names_the_mode_as_people_write_it():
    """M4."""
    request = asked(tasks.assign("t", "build-1", execution_mode="ssh_cli", force=True, reason="r"))
    assert request == s.AssignTaskRequest(
        task_id="t",
        agent_id="build-1",
        execution_mode=s.ExecutionMode.EXECUTION_MODE_SSH_CLI,
        force=True,
        reason="r",
    )
    assert asked(tasks.assign("t", "a")).execution_mode == 0
    with pytest.raises(InvalidArgument, match="execution_mode: one of UNDECIDED, SSH_CLI, PULL"):
        asked(tasks.assign("t", "a", execution_mode="push"))
