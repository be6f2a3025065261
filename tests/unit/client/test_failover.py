"""A function run with failover, against a server that plays the daemon, by both clients."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fleetd_client import FailedPrecondition, Fatal, FleetClient, FleetClientSync, InvalidArgument
from fleetd_client import stubs as s
from fleetd_client.caller import Caller
from fleetd_client.script import Pause
from tests.unit.client.fleet import Fleet, Result, Status, give_up, instance, retry_same, switch

LIMIT = 30.0


class Broken(Exception):
    """A try that failed with a code."""

    def __init__(self, code):
        super().__init__(f"broken by {code}")
        self.code = code


@pytest.fixture
async def fleet():
    fleet = await Fleet().start()
    yield fleet
    await fleet.stop()


class Desk:
    """The same calls by either client; `sync` names a plain function for FleetClientSync, else it is awaited."""

    def __init__(self, client, waits, *, sync):
        self.client, self.waits, self.sync = client, waits, sync

    async def call(self, fn, task="Write a crawler", **more):
        return await self._run(lambda: self.client.failover_call(fn, task, **more))

    async def retry(self, task_id, fn, **more):
        return await self._run(lambda: self.client.retry_dead_letter(task_id, fn, **more))

    async def _run(self, make):
        work = asyncio.to_thread(make) if self.sync else make()
        return await asyncio.wait_for(work, LIMIT)

    def function(self, plain):
        """A function as this kind of client takes it."""
        if self.kind != "async":
            return plain

        async def function(on):
            return plain(on)

        return function


@pytest.fixture(params=["async", "plain function", "sync"])
async def desk(request, fleet):
    waits = []
    if request.param == "sync":
        with FleetClientSync(fleet.address, sleep=waits.append) as client:
            desk = Desk(client, waits, sync=True)
            desk.kind = request.param
            yield desk
        return

    async def sleep(seconds):
        waits.append(seconds)

    async with FleetClient(fleet.address, sleep=sleep) as client:
        desk = Desk(client, waits, sync=False)
        desk.kind = request.param
        yield desk


def failing(*errors):
    """A function that raises these, one a try, then returns its instance; `seen` are the instances it was given."""
    left = list(errors)

    def run(on):
        run.seen.append(on.id)
        if left:
            raise left.pop(0)
        return f"session on {on.id}"

    run.seen = []
    return run


async def test_a_function_that_works_is_called_once_and_its_value_is_the_session_key(desk, fleet):
    """F7."""
    run = failing()
    result = await desk.call(
        desk.function(run), "Write a crawler\nin Python", label="coder-123", model="opus"
    )
    assert result == {"status": "spawned", "sessionKey": "session on a:1", "provider": "a"}
    assert run.seen == ["a:1"]
    assert fleet.words == [("start", ""), ("complete", "")]
    (request,) = fleet.called("SubmitTask")
    assert (request.title, request.description) == ("coder-123", "Write a crawler\nin Python")
    assert (request.route.model, request.max_attempts) == ("opus", 1)


async def test_the_task_is_for_its_own_agent_which_is_gone_afterwards(desk, fleet):
    """F7: capability client:<name>, so that nobody else gets it."""
    await desk.call(desk.function(failing()), name="spawner")
    (registered,) = fleet.called("RegisterAgent")
    (submitted,) = fleet.called("SubmitTask")
    assert list(registered.agent.capabilities) == list(submitted.required_capabilities) == ["client:spawner"]
    assert registered.agent.agent_id == submitted.agent_id
    assert [one.agent_id for one in fleet.called("UnregisterAgent")] == [submitted.agent_id]


async def test_it_waits_retries_and_goes_on_with_the_next_instance_as_the_daemon_says(desk, fleet):
    """F2, F7."""
    fleet.steps.extend([retry_same(1), retry_same(2), switch("b:1")])
    run = failing(Broken("503"), Broken("503"), Broken("503"))
    result = await desk.call(desk.function(run))
    assert result == {"status": "spawned", "sessionKey": "session on b:1", "provider": "b"}
    assert run.seen == ["a:1", "a:1", "a:1", "b:1"]
    assert desk.waits == [1, 2]
    assert [word for word, _ in fleet.words] == ["start", *["instance_failed"] * 3, "complete"]


async def test_when_nothing_is_left_the_call_failed_and_the_task_is_a_dead_letter(desk, fleet):
    """F7, F2."""
    fleet.steps.extend([switch("b:1"), give_up("PROVIDERS_EXHAUSTED", "2 instances tried")])
    result = await desk.call(desk.function(failing(Broken("503"), Broken("529"))))
    assert result == {
        "status": "failed",
        "error": "Broken: broken by 529 (2 instances tried)",
        "dlq": True,
        "task_id": "t-1",
    }
    assert fleet.words[1:] == [
        ("instance_failed", "503"),
        ("instance_failed", "529"),
        ("fail", "PROVIDERS_EXHAUSTED"),
    ]


async def test_an_error_that_no_instance_can_mend_is_no_dead_letter(desk, fleet):
    """F4, F7."""
    fleet.steps.append(give_up("LOGIC_ERROR"))
    fleet.ends_as = Status.TASK_STATUS_FAILED
    result = await desk.call(desk.function(failing(Fatal("no such label"))))
    assert (result["status"], result["dlq"]) == ("failed", False)
    assert fleet.words[1:] == [("instance_failed", "LOGIC_ERROR"), ("fail", "LOGIC_ERROR")]


@pytest.mark.parametrize(("more", "code"), [({}, "500"), ({"code": "AGENT_ERROR"}, "AGENT_ERROR")])
async def test_an_exception_without_a_code_counts_as_the_one_the_caller_chose(desk, fleet, more, code):
    """F7: by default it is retried and fails over."""
    fleet.steps.append(switch("b:1"))
    result = await desk.call(desk.function(failing(ValueError("boom"))), **more)
    assert (fleet.words[1], result["provider"]) == (("instance_failed", code), "b")


async def test_a_try_has_the_time_of_its_instance(desk, fleet):
    """F2: each try is limited by timeout_sec."""
    fleet.grants = type(fleet.grants)([instance("a:1", timeout={"nanos": 20_000_000})])
    fleet.steps.append(switch("b:1"))
    let_go = threading.Event()
    cancelled = []

    def plain(on):
        if on.id == "a:1":
            let_go.wait(LIMIT)
            return "too late"
        return "in time"

    async def slow(on):
        if on.id == "a:1":
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(on.id)
        return "in time"

    result = await desk.call(slow if desk.kind == "async" else plain)
    let_go.set()
    assert (result["sessionKey"], fleet.words[1]) == ("in time", ("instance_failed", "TIMEOUT"))
    assert cancelled == (["a:1"] if desk.kind == "async" else [])


def until_beaten(fleet, beaten):
    """A function that runs until the daemon heard a heartbeat."""

    async def wait():
        await fleet.beaten.wait()
        beaten.set()

    watching = asyncio.create_task(wait())

    def run(on):
        beaten.wait(LIMIT)
        return "done"

    async def run_async(on):
        await asyncio.wait_for(fleet.beaten.wait(), LIMIT)
        return "done"

    return watching, run, run_async


async def test_the_lease_is_kept_while_the_function_runs(desk, fleet):
    """F7, D2."""
    fleet.lease_ttl = {"nanos": 30_000_000}
    watching, plain, awaited = until_beaten(fleet, threading.Event())
    result = await desk.call(awaited if desk.kind == "async" else plain)
    await watching
    assert result["sessionKey"] == "done"
    (ref,) = fleet.called("Heartbeat")[0].held
    assert (ref.task_id, ref.lease_epoch) == ("t-1", 1)


@pytest.mark.parametrize(("kind", "words"), [("CANCEL_TASK", ["start", "stopped"]), ("DROP_TASK", ["start"])])
async def test_a_task_that_is_ended_while_the_function_runs_ends_the_call(desk, fleet, kind, words):
    """D4, F7."""
    fleet.lease_ttl = {"nanos": 30_000_000}
    fleet.orders = [s.Order(order_id="o", kind=s.OrderKind.Value(f"ORDER_KIND_{kind}"), task_id="t-1")]
    let_go = threading.Event()

    def plain(on):
        let_go.wait(LIMIT)

    async def slow(on):
        await asyncio.Event().wait()

    result = await desk.call(slow if desk.kind == "async" else plain)
    let_go.set()
    assert (result["status"], result["task_id"]) == ("failed", "t-1")
    assert [word for word, _ in fleet.words] == words


async def test_without_an_instance_the_call_waits_for_one(desk, fleet):
    """F6: all breakers open, then one is not."""
    fleet.grants.appendleft(None)
    assert (await desk.call(desk.function(failing())))["status"] == "spawned"
    assert len(fleet.called("ClaimTasks")) == 2


async def test_a_call_that_is_out_of_patience_takes_its_task_back(desk, fleet):
    """F6: it is no dead letter, and nothing waits that nobody waits for."""
    fleet.grants.clear()
    result = await desk.call(desk.function(failing()), patience=0)
    assert result == {
        "status": "failed",
        "error": "0/2 instances: 2 breaker_open.",
        "dlq": False,
        "task_id": "t-1",
    }
    assert fleet.task.status == Status.TASK_STATUS_CANCELLED


async def test_when_the_last_instance_fails_for_now_the_call_waits_and_goes_on(desk, fleet):
    """F6, F4: NO_AVAILABLE_INSTANCE blocks the task."""
    fleet.grants.extend([None, instance("b:1")])
    fleet.steps.append(give_up("NO_AVAILABLE_INSTANCE"))
    result = await desk.call(desk.function(failing(Broken("CONN_REFUSED"))))
    assert (result["status"], result["provider"]) == ("spawned", "b")


async def test_a_value_that_cannot_travel_is_still_the_session_key(desk, fleet):
    """F7."""
    value = object()
    assert (await desk.call(desk.function(lambda on: value)))["sessionKey"] is value
    assert fleet.words[-1] == ("complete", "")


async def test_what_is_done_is_done_although_the_lease_was_lost(desk, fleet):
    """F7: the caller would do it twice."""
    fleet.acks["complete"] = Result.REPORT_RESULT_LEASE_LOST
    assert (await desk.call(desk.function(failing())))["status"] == "spawned"


async def test_a_lost_lease_ends_the_call(desk, fleet):
    """T5, F7."""
    fleet.acks["instance_failed"] = Result.REPORT_RESULT_LEASE_LOST
    result = await desk.call(desk.function(failing(Broken("503"))))
    assert (result["status"], result["error"]) == ("failed", "refused")
    assert fleet.words[-1][0] == "instance_failed"


async def test_the_task_of_another_call_goes_back_unburnt(desk, fleet):
    """F7: a replayed one, which waits for whoever asks for it by its id."""
    fleet.grants.appendleft(s.Lease(task_id="t-9", lease_epoch=4))
    assert (await desk.call(desk.function(failing())))["status"] == "spawned"
    assert [word for word, _ in fleet.words] == ["release", "start", "complete"]
    assert fleet.called("ReportTasks")[0].reports[0].task_id == "t-9"


async def test_a_daemon_that_does_not_route_is_told_from_one_that_has_no_instance(desk, fleet):
    """F7."""
    fleet.grants.appendleft(s.Lease(task_id="t-1", lease_epoch=1))
    with pytest.raises(FailedPrecondition, match="it does not route"):
        await desk.call(desk.function(failing()))
    assert fleet.task.status == Status.TASK_STATUS_CANCELLED
    assert fleet.called("UnregisterAgent")


async def test_an_empty_task_is_refused_before_anything_is_done(desk, fleet):
    """S3."""
    with pytest.raises(InvalidArgument, match="task: what is to be done"):
        await desk.call(failing(), "  ")
    assert fleet.calls == []


def dead(fleet, **fields):
    fleet.task = s.Task(
        id="t-1",
        status=fields.pop("status", Status.TASK_STATUS_DEAD_LETTER),
        required_capabilities=fields.pop("capabilities", ["client:spawner"]),
        **fields,
    )


async def test_a_dead_letter_is_replayed_to_the_name_it_is_reserved_for(desk, fleet):
    """F7, F5."""
    dead(fleet, reserved_for="client:spawner:1")
    result = await desk.retry("t-1", desk.function(failing()))
    assert result["status"] == "spawned"
    assert [list(one.ids) for one in fleet.called("ReplayDeadLetters")] == [["t-1"]]
    (registered,) = fleet.called("RegisterAgent")
    assert registered.agent.agent_id == "client:spawner:1"
    assert list(registered.agent.capabilities) == ["client:spawner"]


async def test_what_an_operator_replayed_is_taken_up(desk, fleet):
    """F7, F5."""
    dead(fleet, status=Status.TASK_STATUS_PENDING)
    assert (await desk.retry("t-1", desk.function(failing())))["status"] == "spawned"
    assert fleet.called("ReplayDeadLetters") == []


async def test_a_replay_that_finds_no_instance_stays_waiting(desk, fleet):
    """F6, F7: the work must not be lost."""
    dead(fleet)
    fleet.grants.clear()
    result = await desk.retry("t-1", desk.function(failing()), patience=0)
    assert (result["status"], result["dlq"]) == ("failed", False)
    assert fleet.task.status == Status.TASK_STATUS_BLOCKED


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"capabilities": ["code"]}, "NOT_A_CALL"),
        ({"status": Status.TASK_STATUS_COMPLETED}, "TASK_NOT_DEAD"),
        ({"replay_count": 3}, "REPLAY_LIMIT"),
    ],
)
async def test_what_cannot_be_replayed_is_refused(desk, fleet, fields, reason):
    """F7, F5."""
    dead(fleet, **fields)
    with pytest.raises(FailedPrecondition) as raised:
        await desk.retry("t-1", desk.function(failing()))
    assert raised.value.reason == reason
    assert fleet.words == []


async def test_a_caller_that_is_cancelled_stops_its_function_and_leaves_nothing_behind(fleet):
    """F7, D4."""
    begun, cleaned = asyncio.Event(), []

    async def run(on):
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(on.id)

    async with FleetClient(fleet.address) as client:
        call = asyncio.create_task(client.failover_call(run, "Write a crawler"))
        await asyncio.wait_for(begun.wait(), LIMIT)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert cleaned == ["a:1"]
    assert fleet.task.status == Status.TASK_STATUS_CANCELLED
    assert [word for word, _ in fleet.words] == ["start", "stopped"]
    assert fleet.called("UnregisterAgent")


async def test_an_async_function_needs_the_async_client(fleet):
    """S3."""

    async def run(on):
        return on.id

    def call():
        with FleetClientSync(fleet.address) as client:
            client.failover_call(run, "Write a crawler")

    with pytest.raises(TypeError, match="needs FleetClient"):
        await asyncio.to_thread(call)
    assert fleet.task.status == Status.TASK_STATUS_CANCELLED


async def test_a_lease_that_the_daemon_no_longer_knows_ends_the_call(desk, fleet):
    """D2, T5: level-triggered, as with a stream's beacon."""
    fleet.lease_ttl = {"nanos": 30_000_000}
    fleet.known = []
    let_go = threading.Event()

    def plain(on):
        let_go.wait(LIMIT)

    async def slow(on):
        await asyncio.Event().wait()

    result = await desk.call(slow if desk.kind == "async" else plain)
    let_go.set()
    assert (result["status"], result["error"]) == ("failed", "the lease was lost")
    assert fleet.words == [("start", "")]


def test_the_lease_is_kept_through_a_long_wait_between_two_tries():
    """F2, D2: a Retry-After may be longer than the lease."""
    now = [0.0]
    caller = Caller("client:x:1", "client:x", lambda: now[0])
    caller.lease = s.Lease(task_id="t", lease_epoch=1)
    held = [s.LeaseRef(task_id="t", lease_epoch=1)]
    script = caller.rest(45.0)
    waits, beats, answer = [], 0, None
    try:
        while True:
            step = script.send(answer)
            answer = None
            if isinstance(step, Pause):
                waits.append(step.seconds)
                now[0] += step.seconds
            else:
                beats += 1
                answer = s.HeartbeatResponse(lease_ttl={"seconds": 60}, leases=held)
    except StopIteration:
        pass
    # A third of the lease's minute; the first is due at once, for nothing was heard yet.
    assert (sum(waits), max(waits), beats) == (45.0, 20.0, 3)
