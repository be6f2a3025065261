"""
A function run with failover (F7): on the instance its task was routed to, and on the next one when that fails.

Pure scripts, driven by each client. The task is a real one, leased to an agent that lives as long as the call: when this process dies,
the daemon keeps the task as a dead letter.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from fleetd_client import deadletters, tasks
from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.advice import following
from fleetd_client.caller import ENDS, Caller, Stopped
from fleetd_client.errors import FailedPrecondition, FleetError, InvalidArgument
from fleetd_client.faults import Fault, fault_of
from fleetd_client.outcome import GiveUp, completed, plain_failure
from fleetd_client.plan import ask
from fleetd_client.requirements import RouteNeeds, requirements
from fleetd_client.script import Abandon, Begin, Ended, Function, Script, Watch
from fleetd_client.times import Span, duration, seconds, span

log = logging.getLogger("fleetd_client")

# A task that is such a call, and nobody else's, needs a capability that begins so.
PREFIX = "client:"
# What an exception without a code of its own counts as: the instance did not serve, which is retried, then left for the next.
UNKNOWN = "500"
# Twice as long as a breaker stays open.
PATIENCE = 600.0
# The daemon's default for an instance without a timeout.
TRY_SECONDS = 30.0
# Longest run of all tries together: more than 25 instances need with four tries each.
RUN_SECONDS = 3_600.0
TITLE_CHARS = 500
DEAD = s.TaskStatus.TASK_STATUS_DEAD_LETTER
WAITS = frozenset({s.TaskStatus.TASK_STATUS_PENDING, s.TaskStatus.TASK_STATUS_BLOCKED})


def failover_call(
    fn: Function,
    task: str,
    *,
    label: str = "",
    model: str = "",
    name: str = "default",
    route: RouteNeeds | s.RouteRequirements | None = None,
    patience: Span = PATIENCE,
    code: str = UNKNOWN,
    clock: Callable[[], float] = time.monotonic,
) -> Script[dict[str, Any]]:
    """
    Run `fn(instance)` for a task, on one instance after the other until it works: order, retries, limits and breakers are the daemon's.

    Returns `{"status": "spawned", "sessionKey": what fn returned, "provider": ...}`, or
    `{"status": "failed", "error": ..., "dlq": ..., "task_id": ...}`, where `dlq` says that the task is a dead letter, for
    retry_dead_letter. `model` is tried first, `route` says what else the task needs. What fn raises says by its code whether the instance
    is to blame (fleetd_client.faults); an exception without one counts as `code`. Each try has the instance's timeout. While no instance is
    available the call waits, `patience` seconds at most, and then takes the task back. `name` names the program: the task needs the
    capability `client:<name>`, so that no other agent gets it.
    """
    if not task.strip():
        raise InvalidArgument([("task", "what is to be done, not nothing")])
    wanted = s.RouteRequirements()
    if route is not None:
        wanted.CopyFrom(requirements(route))
    if model:
        wanted.model = model
    capability = PREFIX + name
    caller = Caller(_agent_id(capability), capability, clock)
    request = tasks.task(
        (label or task.strip().splitlines()[0])[:TITLE_CHARS],
        description=task,
        capabilities=[capability],
        agent_id=caller.agent_id,
        route=wanted,
        max_attempts=1,
        timeout=RUN_SECONDS,
    )
    return _Course(fn, caller, seconds(patience), code, clock).new(request)


def retry_dead_letter(
    task_id: str,
    fn: Function,
    *,
    patience: Span = PATIENCE,
    code: str = UNKNOWN,
    clock: Callable[[], float] = time.monotonic,
) -> Script[dict[str, Any]]:
    """
    Replay a dead letter of failover_call with `fn`, and return as failover_call does. While no instance is available it waits, `patience`
    seconds at most; then the task is left waiting for another retry_dead_letter. FailedPrecondition when it was replayed too often
    (REPLAY_LIMIT), or is none of failover_call's.
    """
    task = yield from tasks.get(task_id)
    capability = next((one for one in task.required_capabilities if one.startswith(PREFIX)), "")
    if not capability:
        raise FailedPrecondition(
            "NOT_A_CALL", f"task {task_id} is none of failover_call's: it needs no capability {PREFIX}NAME"
        )
    if task.status != DEAD and task.status not in WAITS:
        status = s.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_")
        raise FailedPrecondition("TASK_NOT_DEAD", f"task {task_id} is {status}: there is nothing to retry")
    # By the name it is reserved for, so that it comes at once.
    caller = Caller(task.reserved_for or _agent_id(capability), capability, clock)
    return (yield from _Course(fn, caller, seconds(patience), code, clock).again(task))


def _agent_id(capability: str) -> str:
    return f"{capability}:{secrets.token_hex(8)}"


class _Course:
    """One call from its task to its answer."""

    def __init__(
        self, fn: Function, caller: Caller, patience: float, code: str, clock: Callable[[], float]
    ) -> None:
        self._fn = fn
        self._caller = caller
        self._end = clock() + patience
        self._code = code
        self._clock = clock
        self._task_id = ""
        self._keep = False  # the task outlives the call

    def new(self, request: s.SubmitTaskRequest) -> Script[dict[str, Any]]:
        return (yield from self._guarded(self._submitted(request)))

    def again(self, task: s.Task) -> Script[dict[str, Any]]:
        self._task_id, self._keep = task.id, True
        return (yield from self._guarded(self._replayed(task)))

    def _submitted(self, request: s.SubmitTaskRequest) -> Script[dict[str, Any]]:
        response = yield from ask(m.SUBMIT_TASK, request)
        self._task_id = response.task.id
        return (yield from self._run())

    def _replayed(self, task: s.Task) -> Script[dict[str, Any]]:
        if task.status == DEAD:
            yield from deadletters.replay_dead_letters([task.id], reason="retry_dead_letter")
        return (yield from self._run())

    def _guarded(self, course: Script[dict[str, Any]]) -> Script[dict[str, Any]]:
        """With an agent registered, which leaves in any case; a call that is broken off leaves nothing that nobody waits for."""
        yield from self._caller.register()
        try:
            result = yield from course
        except GeneratorExit:
            raise
        except BaseException:
            yield Abandon()
            if not self._keep:
                yield from self._take_back("broken off")
            yield from self._caller.leave()
            raise
        yield from self._caller.leave()
        return result

    def _run(self) -> Script[dict[str, Any]]:
        while True:
            yield from self._caller.claim(self._task_id, self._end)
            lease = self._caller.lease
            if lease is None:
                return (yield from self._unserved())
            try:
                result = yield from self._work(lease)
            except Stopped as stopped:
                yield Abandon()
                if not stopped.silent:
                    yield from self._caller.say(stopped=s.StoppedWord())
                return (yield from self._failed(str(stopped)))
            if result is not None:
                return result

    def _work(self, lease: s.Lease) -> Script[dict[str, Any] | None]:
        """Try one instance after the other; None when none is available at present."""
        if not lease.HasField("route"):
            raise FailedPrecondition(
                "NOT_ROUTED", "the daemon named no instance with the task: it does not route"
            )
        instance = lease.route.instance
        yield from self._caller.say(start=s.StartWord())
        while True:
            ended = yield from self._try(instance)
            if ended.error is None:
                yield from self._succeed(lease, ended.value)
                provider = instance.provider_id or instance.id.partition(":")[0]
                return {"status": "spawned", "sessionKey": ended.value, "provider": provider}
            fault = fault_of(ended.error, otherwise=self._code)
            try:
                wait, instance = yield from self._ask(fault, instance)
            except GiveUp as end:
                return (yield from self._give_up(lease, fault, end))
            yield from self._caller.rest(wait)

    def _try(self, instance: s.Instance) -> Script[Ended]:
        allowed = span(instance.timeout) or TRY_SECONDS
        limit = self._clock() + allowed
        yield Begin(self._fn, instance)
        while True:
            left = min(limit, self._caller.beat_at) - self._clock()
            ended: Ended | None = yield Watch(max(left, 0.0))
            if ended is not None:
                return ended
            if self._clock() >= limit:
                yield Abandon()
                return Ended(error=TimeoutError(f"no answer from {instance.id} within {allowed:g} s"))
            if self._clock() >= self._caller.beat_at:
                yield from self._caller.beat()

    def _ask(self, fault: Fault, instance: s.Instance) -> Script[tuple[float, s.Instance]]:
        word = s.InstanceFailedWord(
            instance=instance.id,
            code=fault.code,
            message=fault.message,
            retry_after=duration(fault.retry_after),
        )
        ack = yield from self._caller.say(instance_failed=word)
        if ack.result == s.ReportResult.REPORT_RESULT_REJECTED:
            raise GiveUp(fault.code, ack.message)
        return following(ack.next, instance, fault)

    def _give_up(self, lease: s.Lease, fault: Fault, end: GiveUp) -> Script[dict[str, Any] | None]:
        text = fault.message if end.message in {"", fault.message} else f"{fault.message} ({end.message})"
        word = plain_failure(lease.task_id, lease.lease_epoch, end.code, text)
        yield from self._caller.say(fail=word.fail)
        task = yield from tasks.get(self._task_id)
        return None if task.status in WAITS else self._told(task, text)

    def _succeed(self, lease: s.Lease, value: Any) -> Script[None]:
        """Tell the daemon; what the function did is done, whether or not that can be told."""
        report = completed(lease.task_id, lease.lease_epoch, value)
        if not report.HasField("complete"):  # a value of the program's own, which does not travel
            report = completed(lease.task_id, lease.lease_epoch, f"<{type(value).__name__}>")
        try:
            yield from self._caller.say(complete=report.complete)
        except (FleetError, Stopped) as error:
            log.warning("task %s is done, but the daemon does not know: %s", self._task_id, error)

    def _unserved(self) -> Script[dict[str, Any]]:
        """Patience is over, or somebody ended the task."""
        task = yield from tasks.get(self._task_id)
        if task.status in ENDS:
            return self._told(task, task.error.message or "the task was ended")
        why = yield from tasks.explain(self._task_id)
        if not self._keep:
            yield from self._take_back("out of patience")
        return (yield from self._failed(why.sentence))

    def _failed(self, error: str) -> Script[dict[str, Any]]:
        task = yield from tasks.get(self._task_id)
        return self._told(task, error)

    def _told(self, task: s.Task, error: str) -> dict[str, Any]:
        return {"status": "failed", "error": error, "dlq": task.status == DEAD, "task_id": task.id}

    def _take_back(self, why: str) -> Script[None]:
        if not self._task_id:
            return
        try:
            yield from tasks.cancel(self._task_id, reason=f"failover_call: {why}")
            if self._caller.lease is not None:
                yield from self._caller.say(stopped=s.StoppedWord())
        except (FleetError, Stopped) as error:
            log.info("task %s was not taken back: %s", self._task_id, error)
