"""AssignTask, and SubmitTask with a target: every line of M4; and explanations of tasks that wait for hosts (D9)."""

from __future__ import annotations

import pytest

from fleet.v1 import task_pb2
from fleetd.api.calls import Call
from fleetd.core.host import HostState
from fleetd.core.hosting import NoteHost, SetHostState
from fleetd.errors import FleetError, InvalidArgument, NotFound, WrongState
from tests.unit.api.hosted import add, host, online
from tests.unit.api.routed import refused

UNDECIDED, SSH_CLI = task_pb2.EXECUTION_MODE_UNDECIDED, task_pb2.EXECUTION_MODE_SSH_CLI
PULL = task_pb2.EXECUTION_MODE_PULL
PENDING, ASSIGNED = task_pb2.TASK_STATUS_PENDING, task_pb2.TASK_STATUS_ASSIGNED
SEAT = "host:build-1/coder"
MINUTE = 60_000

BOTH = {"type": "t", "command": ["cat"], "capabilities": ["code"]}


@pytest.fixture
async def targets(port):
    """An agent that can `code`, one that is connected no more, a host with two kinds of agents, and a name that is both agent and host."""
    await port("RegisterAgent", agent={"agent_id": "agent-1", "capabilities": ["code"]})
    await port("RegisterAgent", agent={"agent_id": "both", "capabilities": ["code"]})
    await add(
        port,
        host(
            "build-1",
            {"type": "tester", "command": ["test"], "capabilities": ["test"]},
            {"type": "coder", "command": ["code"], "capabilities": ["code:rust"]},
        ),
        host("both", BOTH),
    )
    return port


async def waiting(port, **fields):
    return await port.submit(**{"required_capabilities": ["code"], **fields})


async def assign(port, task, target, **fields):
    return await port("AssignTask", task_id=task.id, agent_id=target, **fields)


async def status(port, task):
    return await port("GetTask", task_id=task.id)


@pytest.mark.parametrize(
    ("target", "mode", "reserved"),
    [
        ("agent-1", 0, "agent-1"),
        ("agent-1", PULL, "agent-1"),
        ("build-1", 0, SEAT),
        ("build-1", SSH_CLI, SEAT),
        (SEAT, 0, SEAT),
        (SEAT, SSH_CLI, SEAT),
        ("both", 0, "both"),
        ("both", PULL, "both"),
        ("both", SSH_CLI, "host:both/t"),
    ],
)
async def test_a_waiting_task_is_reserved_for_whom_a_name_means(targets, target, mode, reserved):
    """M4: registered agent → PULL, host → SSH_CLI, both → agent; of a host its agent that can do it."""
    task = await waiting(targets)
    shown = await assign(targets, task, target, execution_mode=mode)
    assert (shown.status, shown.reserved_for) == (PENDING, reserved)
    explicit = (mode, task_pb2.MODE_SOURCE_EXPLICIT) if mode else (UNDECIDED, 0)
    assert (shown.execution_mode, shown.mode_source) == explicit
    assert await status(targets, task) == shown


@pytest.mark.parametrize(
    ("target", "mode", "error", "reason"),
    [
        ("nobody", 0, NotFound, "AGENT_NOT_FOUND"),
        ("host:build-1/none", 0, NotFound, "AGENT_NOT_FOUND"),
        ("host:none/coder", 0, NotFound, "AGENT_NOT_FOUND"),
        ("agent-1", SSH_CLI, InvalidArgument, "FIELD_INVALID"),
        ("build-1", PULL, InvalidArgument, "FIELD_INVALID"),
        (SEAT, PULL, InvalidArgument, "FIELD_INVALID"),
        ("agent-1", UNDECIDED, InvalidArgument, "FIELD_INVALID"),
        ("agent-1", 9, InvalidArgument, "FIELD_INVALID"),
        ("host:build-1/tester", 0, WrongState, "CAPABILITY_MISMATCH"),
    ],
)
async def test_a_target_that_is_not_there_or_cannot_is_refused(targets, target, mode, error, reason):
    """M4: unknown → NOT_FOUND, a mode it cannot serve → INVALID_ARGUMENT, a missing capability → CAPABILITY_MISMATCH."""
    task = await waiting(targets)
    with pytest.raises(error) as caught:
        await assign(targets, task, target, execution_mode=mode)
    assert caught.value.reason == reason
    if isinstance(caught.value, InvalidArgument):
        assert [path for path, _ in caught.value.fields] == ["execution_mode"]
    assert await status(targets, task) == task


async def test_bad_fields_are_named_and_an_unknown_task_is_not_found(targets):
    """M4, S3."""
    assert await refused(targets, "AssignTask", agent_id="a b", reason="x" * 1_001) == [
        "task_id",
        "agent_id",
        "reason",
    ]
    with pytest.raises(NotFound) as caught:
        await targets("AssignTask", task_id="none", agent_id="agent-1")
    assert caught.value.reason == "TASK_NOT_FOUND"


async def test_a_missing_capability_is_named_and_force_assigns_it_all_the_same(targets):
    """M4: whoever forces it says that the target can do it, so it gets it."""
    task = await waiting(targets, required_capabilities=["gpu", "code", "cuda"])
    with pytest.raises(WrongState, match="lacks gpu, cuda") as caught:
        await assign(targets, task, "agent-1")
    assert caught.value.metadata == {"lacking": "gpu,cuda"}
    assert (await assign(targets, task, "agent-1", force=True)).reserved_for == "agent-1"
    assert (await targets.claim("agent-1")).task_id == task.id


async def test_a_second_assign_replaces_the_reservation_and_its_minute(targets):
    """M4."""
    task = await waiting(targets)
    await assign(targets, task, "agent-1")
    targets.clock.advance(MINUTE - 1_000)
    await assign(targets, task, "both")
    targets.clock.advance(MINUTE - 1_000)
    await targets.engine.turn()
    assert (await status(targets, task)).reserved_for == "both"
    assert not (await targets("ClaimTasks", agent_id="agent-1")).leases
    assert (await targets.claim("both")).task_id == task.id


async def test_what_was_offered_and_not_accepted_moves_with_force_only(targets):
    """M4: and its attempt is not burnt."""
    seats = await online(targets)
    task = await waiting(targets)
    await targets.engine.turn()
    assert (await status(targets, task)).status == ASSIGNED
    with pytest.raises(WrongState, match="force moves it") as caught:
        await assign(targets, task, "agent-1")
    assert (caught.value.reason, caught.value.metadata) == ("TASK_NOT_ASSIGNABLE", {"status": "ASSIGNED"})
    moved = await assign(targets, task, "agent-1", force=True)
    assert (moved.status, moved.reserved_for, moved.attempt) == (PENDING, "agent-1", 0)
    assert not seats[SEAT].held
    assert (await targets.claim("agent-1")).lease_epoch == 2


@pytest.mark.parametrize("force", [False, True])
async def test_what_runs_or_has_ended_is_not_assignable(targets, force):
    """M4: an accepted lease (those of ClaimTasks are), a run, and an end."""
    task = await waiting(targets)
    lease = await targets.claim("agent-1")
    words = (None, {"start": {}}, {"complete": {}})
    for word, name in zip(words, ("ASSIGNED", "RUNNING", "COMPLETED"), strict=True):
        if word is not None:
            await targets.report(lease, "agent-1", **word)
        with pytest.raises(WrongState) as caught:
            await assign(targets, task, "both", force=force)
        assert (caught.value.reason, caught.value.metadata) == ("TASK_NOT_ASSIGNABLE", {"status": name})


async def test_an_explicit_mode_changes_only_when_it_is_named(targets):
    """M4, M7."""
    task = await waiting(targets, execution_mode=PULL)
    with pytest.raises(WrongState, match="submitted as PULL; name execution_mode SSH_CLI") as caught:
        await assign(targets, task, "build-1")
    assert caught.value.reason == "MODE_MISMATCH"
    assert (await assign(targets, task, "build-1", execution_mode=SSH_CLI)).execution_mode == SSH_CLI


@pytest.mark.parametrize("state", [None, HostState.OFFLINE, HostState.STOPPED])
async def test_a_target_that_is_not_there_now_is_accepted_and_the_task_is_free_after_a_minute(targets, state):
    """M4: offline (or full) → accepted."""
    if state is not None:
        act = SetHostState if state is HostState.STOPPED else NoteHost
        await targets.engine.execute(act("build-1", state, "gone"))
    task = await waiting(targets)
    assert (await assign(targets, task, "build-1")).reserved_for == SEAT
    assert not (await targets("ClaimTasks", agent_id="agent-1")).leases
    targets.clock.advance(MINUTE)
    await targets.engine.turn()
    assert (await status(targets, task)).reserved_for == ""
    assert (await targets.claim("agent-1")).task_id == task.id


async def test_a_full_target_gets_it_when_a_slot_is_free(targets):
    """M4."""
    first = await waiting(targets)
    lease = await targets.claim("agent-1")
    assert lease.task_id == first.id
    task = await waiting(targets)
    assert (await assign(targets, task, "agent-1")).status == PENDING
    await targets.report(lease, "agent-1", complete={})
    assert (await targets.claim("agent-1")).task_id == task.id


async def test_a_free_host_gets_what_is_assigned_to_it_at_once(targets):
    """M4, M5: the mode is the dispatcher's choice where nobody names it."""
    task = await waiting(targets, required_capabilities=["gpu"])
    await online(targets)
    await assign(targets, task, SEAT, force=True)
    await targets.engine.turn()
    shown = await status(targets, task)
    assert (shown.status, shown.host_id, shown.execution_mode) == (ASSIGNED, "build-1", SSH_CLI)


async def test_a_blocked_task_is_reserved_and_stays_blocked(targets):
    """M4: PENDING or BLOCKED."""
    task = await waiting(targets, route={"required": ["nobody"]})
    assert (await status(targets, task)).status == task_pb2.TASK_STATUS_BLOCKED
    shown = await assign(targets, task, "agent-1")
    assert (shown.status, shown.reserved_for) == (task_pb2.TASK_STATUS_BLOCKED, "agent-1")


async def test_an_assignment_is_audited_and_told_even_when_it_is_refused(targets):
    """M4, F5."""
    task = await waiting(targets)
    await assign(targets, task, "build-1", reason="it has the card", force=True, call=Call(actor="ada"))
    with pytest.raises(NotFound):
        await assign(targets, task, "nobody", call=Call(actor="ada"))
    lines = (await targets("ListAudits", action="AssignTask")).lines
    assert [(line.actor, line.target, line.reason) for line in lines] == [
        ("ada", task.id, "nobody"),
        ("ada", task.id, "build-1: it has the card (forced)"),
    ]
    last = (await targets("ListEvents", filter={"task_id": task.id})).events[-1]
    assert dict(last.payload)["reserved_for"] == SEAT


@pytest.mark.parametrize(
    ("target", "mode", "reserved"),
    [
        ("agent-1", 0, "agent-1"),
        ("agent-1", UNDECIDED, "agent-1"),
        ("agent-1", PULL, "agent-1"),
        ("build-1", 0, SEAT),
        ("build-1", SSH_CLI, SEAT),
        (SEAT, SSH_CLI, SEAT),
        ("both", UNDECIDED, "both"),
        ("both", SSH_CLI, "host:both/t"),
    ],
)
async def test_a_submission_may_name_an_agent_or_a_host(targets, target, mode, reserved):
    """M4, T3: submit and assign."""
    task = await waiting(targets, agent_id=target, execution_mode=mode)
    assert (task.reserved_for, task.execution_mode) == (reserved, mode or UNDECIDED)


@pytest.mark.parametrize(
    ("target", "mode", "reason"),
    [
        ("nobody", 0, "AGENT_NOT_FOUND"),
        ("agent-1", SSH_CLI, "FIELD_INVALID"),
        ("build-1", PULL, "FIELD_INVALID"),
        ("host:build-1/tester", 0, "CAPABILITY_MISMATCH"),
    ],
)
async def test_a_submission_whose_target_cannot_is_refused_and_sinks_no_other(targets, target, mode, reason):
    """M4, T4."""
    bad = {"title": "bad", "required_capabilities": ["code"], "agent_id": target, "execution_mode": mode}
    with pytest.raises(FleetError) as caught:
        await targets("SubmitTask", **bad)
    assert caught.value.reason == reason
    answer = await targets("SubmitTasks", tasks=[bad, {"title": "good"}])
    assert [item.error.reason for item in answer.items] == [reason, ""]


# explanations


async def codes(port, task):
    answer = await port("ExplainTask", task_id=task.id)
    return {reason.code: dict(reason.numbers) for reason in answer.reasons}, answer.sentence


async def test_a_task_for_hosts_is_explained_by_hosts_alone(port):
    """D9, M1: an explicit SSH_CLI without a host waits and says so; agents do not matter."""
    await port("RegisterAgent", agent={"agent_id": "agent-1", "capabilities": ["code"]})
    task = await port.submit(required_capabilities=["code"], execution_mode=SSH_CLI)
    assert await codes(port, task) == (
        {"NO_CAPABLE_HOST": {"hosts": 0, "able": 0}},
        "No host is configured.",
    )
    await add(port, host("other", {"type": "t", "command": ["cat"], "capabilities": ["test"]}))
    assert (await codes(port, task))[1] == "No host has code."
    await add(port, host())
    found, sentence = await codes(port, task)
    assert found == {"HOSTS_OFFLINE": {"able": 1, "online": 0}}
    assert sentence == "The only able host, build-1, is UNKNOWN."
    await port.engine.execute(NoteHost("build-1", HostState.OFFLINE, "its key is not known"))
    assert (await codes(port, task))[1] == "The only able host, build-1, is OFFLINE: its key is not known."
    assert (await port("ExplainTask", task_id=task.id)).HasField("unschedulable_since")
    await online(port)
    await port.engine.turn()
    second = await port.submit(required_capabilities=["code"], execution_mode=SSH_CLI)
    found, sentence = await codes(port, second)
    assert found == {"NO_FREE_SLOT": {"able": 1, "online": 1, "slots": 1, "held": 1}}
    assert sentence == "The only slot of the only able host is taken."
    assert not (await port("ExplainTask", task_id=second.id)).HasField("unschedulable_since")


async def test_a_task_for_agents_is_explained_by_agents_alone(port):
    """D9, M7: a free host does not matter to PULL, and is no agent."""
    await add(port, host())
    await online(port)
    task = await port.submit(required_capabilities=["code"], execution_mode=PULL)
    found, sentence = await codes(port, task)
    assert found == {"NO_CAPABLE_AGENT": {"agents": 0, "able": 0}}
    assert sentence == "No registered agent has code."


async def test_an_undecided_task_tells_how_long_it_waits_for_a_busy_host(port):
    """D9, M2: its 30 s."""
    await add(port, host())
    await online(port)
    await port.submit(required_capabilities=["code"])
    await port.engine.turn()
    task = await port.submit(required_capabilities=["code"])
    port.clock.advance(12_000)
    await port.engine.turn()
    found, sentence = await codes(port, task)
    assert found["WAITS_FOR_HOST"] == {"able": 1, "milliseconds": 18_000}
    assert set(found) == {"NO_CAPABLE_AGENT", "WAITS_FOR_HOST"}
    assert "it waits for a free slot of host build-1, and is left to agents in 18.0 s" in sentence


async def test_an_undecided_task_waits_for_a_host_that_is_only_offline(port):
    """D9, M2."""
    await add(port, host())
    await port.engine.execute(NoteHost("build-1", HostState.OFFLINE, "refused"))
    task = await port.submit(required_capabilities=["code"])
    port.clock.advance(45_000)
    await port.engine.turn()
    found, sentence = await codes(port, task)
    assert found["WAITS_FOR_HOST"] == {"able": 1, "milliseconds": 0}
    assert sentence.endswith("it waits for a host: the only able host, build-1, is OFFLINE: refused.")


async def test_a_task_with_a_free_agent_waits_for_nobody(port):
    """D9: the offline host is no reason then."""
    await add(port, host())
    await port("RegisterAgent", agent={"agent_id": "agent-1", "capabilities": ["code"]})
    task = await port.submit(required_capabilities=["code"])
    found, _ = await codes(port, task)
    assert set(found) == {"NO_DEMAND", "WAITS_FOR_HOST"}


async def test_one_that_is_reserved_says_for_whom(port):
    """D9, M4."""
    await add(port, host())
    task = await port.submit(required_capabilities=["code"], agent_id="build-1")
    assert (await codes(port, task))[1] == f"It is reserved for {SEAT}, which has no free slot."
