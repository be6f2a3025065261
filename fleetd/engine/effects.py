"""What a commit made true, told to sessions, timers and those who wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleetd.core.effect import Accepted, AgentChanged, Finished, LeaseEnded, Ordered, RuleChanged, Started
from fleetd.core.ledger import Changes, Ledger
from fleetd.core.task import Status
from fleetd.engine.dispatch import Claimed
from fleetd.engine.outbox import Offer

if TYPE_CHECKING:
    from fleetd.engine.engine import Engine


def let_out(engine: Engine, ledger: Ledger) -> None:
    """Let the effects of a committed transaction out, in the order in which they arose."""
    now = engine.clock.now()
    sessions, sweeper = engine.sessions, engine.sweeper
    changed: dict[str, None] = {}
    for effect in ledger.effects:
        if isinstance(effect, LeaseEnded):
            sessions.ended(effect.agent_id, effect.task_id, effect.lease_epoch, tell=effect.tell)
            sweeper.cancel_lease(effect.task_id)
        elif isinstance(effect, Finished):
            task = effect.task
            engine.feed.finished(task.id)
            engine.task_feed.ended(task.id)
            if task.status is Status.COMPLETED and not task.shadow:
                engine.run_times.add(task.org_id, task.task_type, max(0, task.finished_at - task.started_at))
        elif isinstance(effect, Started):
            # Under an order its grace goes on; a run that has ended in the same transaction needs no timer.
            if not effect.task.order and effect.task.status is Status.RUNNING:
                sweeper.set_lease("run", effect.task, now + engine.run_timeout(effect.task))
        elif isinstance(effect, Accepted):
            sessions.accepted(effect.task.agent_id, effect.task.id)
            if not effect.task.order and effect.task.status is Status.ASSIGNED:
                sweeper.set_lease("start", effect.task, now + engine.start_timeout(effect.task))
        elif isinstance(effect, Ordered):
            if not effect.task.order:
                continue  # the lease ended in the same transaction
            sessions.ordered(effect.task)
            sweeper.set_lease("grace", effect.task, now + engine.rules.stop_grace)
        elif isinstance(effect, RuleChanged):
            engine.nudge()
        elif isinstance(effect, AgentChanged):
            changed[effect.agent_id] = None
        else:
            sessions.closed(effect.agent_id, effect.session_epoch, effect.reason)
    for agent_id in changed:
        sessions.changed(agent_id)


def offer(engine: Engine, claimed: Claimed) -> None:
    """Deliver a lease, and begin to wait for its acceptance."""
    task, parts = claimed.task, claimed.parts
    lease = Offer(
        task,
        parts.spec,
        parts.input,
        parts.checkpoint,
        claimed.lease_epoch,
        task.attempt + 1,
        engine.run_timeout(task),
        claimed.route,
    )
    engine.sessions.offered(claimed.agent_id, lease)
    if not task.accepted:
        engine.sweeper.set_lease("offer", task, engine.clock.now() + engine.rules.offer_timeout)


def publish(engine: Engine, changes: Changes) -> None:
    """Hand what was written to those who watch."""
    if changes.events:
        engine.last_event_seq = changes.events[-1].seq
        engine.feed.publish(changes.events)
    if changes.task_events:
        engine.task_feed.publish(changes.task_events)
