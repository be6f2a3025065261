"""How a lease begins and ends, and what becomes of the task then (spec T2, T5 to T7, T9, F4)."""

from __future__ import annotations

from fleetd.core import failover, modes, routed
from fleetd.core.effect import Accepted, AgentChanged, LeaseEnded, Started
from fleetd.core.event import EventType
from fleetd.core.ledger import DueKind, Ledger
from fleetd.core.rollout import Sample
from fleetd.core.task import Artifact, Ending, Mode, ModeSource, Order, Payload, Run, Status, Task


def claim(
    ledger: Ledger,
    task: Task,
    agent_id: str,
    session_epoch: int,
    *,
    accepted: bool,
    host: bool = False,
) -> None:
    """
    Give the agent's session a lease on a waiting task; `accepted` for agents that claim by themselves, `host` for what the daemon runs itself. Lane
    bookkeeping is the caller's.
    """
    task.queued = False
    ledger.move(task, Status.ASSIGNED)
    task.lease_epoch += 1
    task.agent_id = agent_id
    task.session_epoch = session_epoch
    task.assigned_at = ledger.now
    task.accepted = False
    task.ending = Ending.NONE
    task.order, task.order_at = Order.NONE, 0
    task.task_event_base = task.task_event_seq
    decided = modes.taken(task.mode, task.mode_source, agent_id, host=host)
    if decided is not None:
        task.mode, task.mode_source = decided.mode, decided.source
        if host:
            decided_event(ledger, task, decided.cause)
    if task.due & DueKind.RESERVATION:
        ledger.clear_due(task, DueKind.RESERVATION)
    payload = {"lease_epoch": task.lease_epoch, "execution_mode": task.mode.name}
    ledger.event(task, EventType.TASK_ASSIGNED, payload)
    if accepted:
        accept(ledger, task)


def decided_event(ledger: Ledger, task: Task, cause: str) -> None:
    """Write that the dispatcher decided the mode; of a claim its lease tells."""
    payload = {"execution_mode": task.mode.name, "source": task.mode_source.name, "cause": cause}
    ledger.event(task, EventType.EXECUTION_MODE_DECIDED, payload)


def accept(ledger: Ledger, task: Task) -> None:
    """The agent takes the offer."""
    task.accepted = True
    ledger.touch(task)
    ledger.event(task, EventType.TASK_ACCEPTED)
    ledger.effects.append(Accepted(task))


def start(ledger: Ledger, task: Task) -> None:
    """The run begins: a new attempt, unless the offer was not even accepted (then that is written first)."""
    if not task.accepted:
        accept(ledger, task)
    ledger.move(task, Status.RUNNING)
    if task.due & DueKind.START_BY:
        ledger.clear_due(task, DueKind.START_BY)
    task.attempt += 1
    task.started_at = ledger.now
    task.progress, task.progress_message, task.progress_at = 0, "", 0
    ledger.figures.started += 1
    ledger.figures.wait_ms += max(0, ledger.now - task.queued_at)
    ledger.event(task, EventType.TASK_STARTED, {"attempt": task.attempt})
    ledger.effects.append(Started(task))


def complete(
    ledger: Ledger,
    task: Task,
    output: Payload | None,
    artifacts: tuple[Artifact, ...],
    *,
    tell: bool = False,
    digest: str = "",
) -> None:
    """
    The run ended well; a cancel asked for before wins and the output is dropped (D4). `tell` when the agent does not know yet; `digest` of the result as
    the agent gives it.
    """
    if task.status is Status.ASSIGNED:
        start(ledger, task)
    if task.order is Order.CANCEL:
        _cancelled(ledger, task, Ending.COMPLETED, tell=tell)
        return
    run_ms = max(0, ledger.now - task.started_at)
    task.progress = 100
    task.error_code = task.error_message = ""
    ledger.move(task, Status.COMPLETED)
    ledger.event(task, EventType.TASK_COMPLETED, {"attempt": task.attempt, "run_ms": run_ms})
    if task.rollout is not None:
        ledger.compare(task, size=0 if output is None else len(output.data), digest=digest)
        _sample(ledger, task, "")
    _record(ledger, task, Ending.COMPLETED, output=output, artifacts=artifacts)
    ledger.figures.completed += 1
    ledger.figures.run_ms += run_ms
    routed.went_well(ledger, task)
    agent = ledger.agent(task.agent_id)
    if agent is not None and not task.shadow:
        recovered = ledger.change_agent(task.agent_id).ran_well(run_ms)
        if recovered:
            ledger.agent_event(
                task.agent_id, EventType.AGENT_STATUS, {"status": "IDLE", "reason": "trial task succeeded"}
            )
            ledger.effects.append(AgentChanged(task.agent_id))
    _end_lease(ledger, task, tell=tell)


def fail(
    ledger: Ledger,
    task: Task,
    code: str,
    message: str,
    output: Payload | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> None:
    """The agent says that the run failed: FAILED, another attempt, or the dead letters, by the error's verdict alone (F4)."""
    if task.status is Status.ASSIGNED:
        start(ledger, task)
    if task.order is Order.CANCEL:
        _cancelled(ledger, task, Ending.FAILED)
        return
    if task.order is Order.TIMEOUT:
        code, message = "RUN_TIMEOUT", message or "stopped at its timeout"
    task.error_code, task.error_message = code, message
    if code == failover.NO_AVAILABLE_INSTANCE and task.route is not None:
        _unserved(ledger, task, output, artifacts)
        return
    _sample(ledger, task, code)
    larger_ctx = routed.run_failed(ledger, task, code, message)
    judgement = failover.verdict(code, larger_ctx=larger_ctx)
    if failover.fault(code).limit and not task.shadow:
        _failed_event(ledger, task, final=True)
        dead_letter(ledger, task, code, message)
        _record(ledger, task, Ending.FAILED, output=output, artifacts=artifacts)
    elif judgement.retryable and not task.shadow:
        _failed_event(ledger, task, final=False)
        _again(ledger, task, Ending.FAILED, output=output, artifacts=artifacts)
    else:
        ledger.move(task, Status.FAILED)
        _failed_event(ledger, task, final=True)
        _record(ledger, task, Ending.FAILED, output=output, artifacts=artifacts)
        ledger.figures.failed += 1
    _blame(ledger, task, blames_agent=judgement.blames_agent)
    _end_lease(ledger, task)


def _unserved(ledger: Ledger, task: Task, output: Payload | None, artifacts: tuple[Artifact, ...]) -> None:
    """
    The run found no instance: handed back unburnt, and BLOCKED in the same transaction (T2, F6).

    When there is one again already the task waits as after a failure, for whoever cannot work with it would come back at once.
    """
    policy = task.retry or ledger.rules.retry
    backoff = failover.backoff(policy, 1, ledger.draw())
    task.attempt -= 1
    ledger.event(task, EventType.TASK_RELEASED, {"reason": task.error_message or task.error_code})
    _record(ledger, task, Ending.FAILED, output=output, artifacts=artifacts)
    _end_lease(ledger, task)
    plan = routed.unserved(ledger, task)
    if plan.selected:
        _requeue(ledger, task, ledger.now + backoff)
    else:
        _requeue(ledger, task, ledger.now)
        routed.block(ledger, task, plan)


def stopped(ledger: Ledger, task: Task) -> None:
    """The agent confirms that it ended the run because it was told to; without an order this is a release."""
    if task.order is Order.CANCEL:
        _cancelled(ledger, task, Ending.STOPPED)
    elif task.order is Order.TIMEOUT:
        _timed_out(ledger, task, Ending.STOPPED)
    else:
        release(ledger, task, "stopped by the agent", Ending.STOPPED)


def release(
    ledger: Ledger, task: Task, reason: str, ending: Ending = Ending.RELEASED, *, tell: bool = False
) -> None:
    """The run is handed back through no fault of task or agent: the attempt is given back (T5)."""
    if task.order is Order.CANCEL:
        _cancelled(ledger, task, ending, tell=tell)
        return
    if task.order is Order.TIMEOUT:
        _timed_out(ledger, task, ending, tell=tell)
        return
    if task.status is Status.RUNNING:
        task.attempt -= 1
    ledger.event(task, EventType.TASK_RELEASED, {"reason": reason})
    _record(ledger, task, ending)
    _end_lease(ledger, task, tell=tell)
    _requeue(ledger, task, ledger.now)


def offer_expired(ledger: Ledger, task: Task) -> None:
    """Nobody accepted the offer in time, or started what was accepted: back to its place, no attempt burnt (T6)."""
    what = "accepted and not started in time" if task.accepted else "offer not accepted in time"
    release(ledger, task, what, Ending.OFFER_EXPIRED, tell=True)


def grace_expired(ledger: Ledger, task: Task) -> None:
    """An order was not confirmed within stop_grace: the lease ends whatever the agent's heartbeats say (T7)."""
    if task.order is Order.CANCEL:
        _cancelled(ledger, task, Ending.GRACE_EXPIRED, tell=True)
    elif task.order is Order.TIMEOUT:
        _timed_out(ledger, task, Ending.GRACE_EXPIRED, tell=True)
    else:
        release(ledger, task, "not handed back in time", Ending.GRACE_EXPIRED, tell=True)


def lost(ledger: Ledger, task: Task, code: str, message: str, *, tell: bool = False) -> None:
    """
    The session that held the lease is over (`code` AGENT_LOST) or no longer vouches for it (LEASE_EXPIRED).

    A run that was going on counts as a loss and is retried at once; three losses are poison (T9), whatever attempts remain.
    """
    ending = Ending.LEASE_EXPIRED
    if task.order is not Order.NONE or task.status is Status.ASSIGNED:
        release(ledger, task, message, ending, tell=tell)
        return
    task.losses += 1
    task.error_code, task.error_message = code, message
    ledger.event(task, EventType.TASK_LEASE_EXPIRED, {"code": code, "losses": task.losses, "reason": message})
    _sample(ledger, task, code)
    if task.losses >= ledger.rules.poison_losses:
        dead_letter(ledger, task, "POISON", f"lost {task.losses} runs with their agents; last: {message}")
        _record(ledger, task, ending)
    elif task.attempt >= task.max_attempts:
        dead_letter(
            ledger, task, "ATTEMPTS_EXHAUSTED", f"attempt {task.attempt} of {task.max_attempts}: {message}"
        )
        _record(ledger, task, ending)
    else:
        _record(ledger, task, ending)
        _requeue(ledger, task, ledger.now)
    _blame(ledger, task, blames_agent=True)
    _end_lease(ledger, task, tell=tell)


def dead_letter(ledger: Ledger, task: Task, reason: str, message: str) -> None:
    """Attempts, time or luck are exhausted; `reason` names the limit. Of a shadow nobody wants to hear: it only ends."""
    task.error_code = task.error_code or reason
    task.error_message = task.error_message or message
    if task.shadow:
        _end_shadow(ledger, task)
        return
    task.dead_reason = reason
    ledger.move(task, Status.DEAD_LETTER)
    ledger.figures.dead_letter += 1
    rules = ledger.rules
    if (
        rules.auto_replay
        and task.replays < rules.replay_limit
        and failover.verdict(task.error_code).retryable
    ):
        ledger.add_due(task, DueKind.REPLAY, ledger.now + rules.replay_wait(task.replays))
    payload = {"reason": reason, "message": message, "code": task.error_code, "attempts": task.attempt}
    ledger.event(task, EventType.TASK_DEAD_LETTERED, payload)


def _end_shadow(ledger: Ledger, task: Task) -> None:
    if task.live:
        ledger.move(task, Status.FAILED)
        ledger.figures.failed += 1
        _failed_event(ledger, task, final=True)
    else:
        ledger.move(task, Status.CANCELLED)
        ledger.figures.cancelled += 1
        ledger.event(task, EventType.TASK_CANCELLED, {"reason": task.error_message})


def _sample(ledger: Ledger, task: Task, code: str) -> None:
    """Note what came of a run in its mode, for the rollout that decided it (G3)."""
    rollout = task.rollout
    if rollout is None:
        return
    latency = max(0, ledger.now - task.started_at)
    ledger.samples.append(
        Sample(rollout.name, task.org_id, rollout.mode, rollout.epoch, code, latency, rollout.shadow)
    )


def order(ledger: Ledger, task: Task, what: Order, reason: str) -> None:
    """Tell the agent to stop a run; a cancel replaces weaker orders, nothing replaces a cancel."""
    task.order, task.order_at = what, ledger.now
    if what is Order.TIMEOUT:
        ledger.event(task, EventType.TASK_TIMEOUT, {"reason": reason, "attempt": task.attempt})
    ledger.touch(task)


def _timed_out(ledger: Ledger, task: Task, ending: Ending, *, tell: bool = False) -> None:
    task.error_code = "RUN_TIMEOUT"
    task.error_message = "the run took longer than its timeout"
    if task.status is Status.ASSIGNED:
        task.attempt += 1
    else:
        _sample(ledger, task, task.error_code)
    _again(ledger, task, ending)
    _blame(ledger, task, blames_agent=True)
    _end_lease(ledger, task, tell=tell)


def _again(
    ledger: Ledger,
    task: Task,
    ending: Ending,
    output: Payload | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> None:
    """Another attempt after its backoff, or the dead letters when attempts or time are used up."""
    policy = task.retry or ledger.rules.retry
    at = ledger.now + failover.backoff(policy, max(1, task.attempt), ledger.draw())
    if task.attempt >= task.max_attempts:
        dead_letter(
            ledger, task, "ATTEMPTS_EXHAUSTED", f"attempt {task.attempt} of {task.max_attempts} failed"
        )
        _record(ledger, task, ending, output=output, artifacts=artifacts)
    elif task.deadline and at >= task.deadline:
        dead_letter(ledger, task, "TASK_TIMEOUT", "no time left before the deadline for another attempt")
        _record(ledger, task, ending, output=output, artifacts=artifacts)
    else:
        _record(ledger, task, ending, output=output, artifacts=artifacts)
        _requeue(ledger, task, at)
        payload = {
            "at": at,
            "attempt": task.attempt,
            "max_attempts": task.max_attempts,
            "code": task.error_code,
        }
        ledger.event(task, EventType.TASK_RETRY_SCHEDULED, payload)


def _requeue(ledger: Ledger, task: Task, at: int) -> None:
    """Back to PENDING with the old seq, at once or when `at` has come. A mode that was not the submitter's choice is open again (M1)."""
    ledger.move(task, Status.PENDING)
    if task.mode_source is not ModeSource.EXPLICIT:
        task.mode, task.mode_source = Mode.UNDECIDED, ModeSource.NONE
    if task.reserved_agent:
        ledger.add_due(task, DueKind.RESERVATION, max(at, ledger.now) + ledger.rules.reservation)
    if at > ledger.now:
        task.run_at = at
        ledger.add_due(task, DueKind.START, at)
    else:
        task.run_at = 0
        task.queued_at = ledger.now
        ledger.enter_lane(task)


def _cancelled(ledger: Ledger, task: Task, ending: Ending, *, tell: bool = False) -> None:
    task.error_code, task.error_message = "CANCELLED", "cancelled on request"
    ledger.move(task, Status.CANCELLED)
    ledger.figures.cancelled += 1
    ledger.event(task, EventType.TASK_CANCELLED, {"confirmed_by": ending.name.lower()})
    _record(ledger, task, ending)
    _end_lease(ledger, task, tell=tell)


def _failed_event(ledger: Ledger, task: Task, *, final: bool) -> None:
    payload = {
        "code": task.error_code,
        "message": task.error_message,
        "attempt": task.attempt,
        "final": final,
    }
    ledger.event(task, EventType.TASK_FAILED, payload)


def _record(
    ledger: Ledger,
    task: Task,
    ending: Ending,
    output: Payload | None = None,
    artifacts: tuple[Artifact, ...] = (),
) -> None:
    """Write how the lease ended; the first accepted ending is the only one (D6)."""
    task.ending = ending
    ledger.changes.runs.append(
        Run(
            task_seq=task.seq,
            lease_epoch=task.lease_epoch,
            agent_id=task.agent_id,
            attempt=task.attempt,
            ending=ending,
            status=task.status,
            error_code=task.error_code,
            error_message=task.error_message,
            output=output,
            artifacts=artifacts,
            started_at=task.started_at,
            finished_at=ledger.now,
        )
    )


def _blame(ledger: Ledger, task: Task, *, blames_agent: bool) -> None:
    if not blames_agent or task.shadow or ledger.agent(task.agent_id) is None:
        return
    agent = ledger.change_agent(task.agent_id)
    if agent.ran_badly(ledger.now, ledger.rules.error_after_failures, task.error_code):
        payload = {"status": "ERROR", "reason": agent.status_reason}
        ledger.agent_event(task.agent_id, EventType.AGENT_STATUS, payload)
        ledger.effects.append(AgentChanged(task.agent_id))


def _end_lease(ledger: Ledger, task: Task, *, tell: bool = False) -> None:
    routed.ended(ledger, task)
    task.order, task.order_at = Order.NONE, 0
    task.accepted = False
    ledger.effects.append(
        LeaseEnded(task.id, task.lane, task.agent_id, task.session_epoch, task.lease_epoch, tell)
    )
