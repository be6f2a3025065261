"""Health: the daemon itself and its queue (spec D7)."""

from __future__ import annotations

from collections.abc import Mapping

from fleet.v1 import health_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_times import duration, timestamp
from fleetd.core.ledger import Minute
from fleetd.core.task import Status
from fleetd.engine.engine import Engine
from fleetd.errors import FleetError

STATES = {
    "STARTING": pb.DAEMON_STATE_STARTING,
    "SERVING": pb.DAEMON_STATE_SERVING,
    "DRAINING": pb.DAEMON_STATE_DRAINING,
}


class HealthMethods:
    """State and figures."""

    def __init__(self, engine: Engine, version: str) -> None:
        self._engine = engine
        self._version = version

    async def get_status(self, request: pb.GetStatusRequest, call: Call) -> pb.GetStatusResponse:
        engine = self._engine
        try:
            commit = await engine.probe_write()
        except FleetError:
            commit = None
        store = await engine.store.status()
        answer = pb.GetStatusResponse(
            version=self._version,
            daemon_id=engine.daemon_id,
            generation=engine.generation,
            state=STATES.get(engine.state, pb.DAEMON_STATE_UNSPECIFIED),
            started_at=timestamp(engine.started_at),
            time=timestamp(engine.clock.wall()),
            store=store.engine,
            store_bytes=store.bytes,
            writable=commit is not None,
            queued_commands=engine.queued,
            queue_limit=engine.options.queue_limit,
            connected_agents=engine.sessions.connected,
            live_leases=engine.live_leases,
            last_event_seq=engine.last_event_seq,
        )
        if commit is not None:
            answer.commit_time.CopyFrom(duration(commit))
        return answer

    async def get_queue_status(
        self, request: pb.GetQueueStatusRequest, call: Call
    ) -> pb.GetQueueStatusResponse:
        counts = self._engine.counts
        answer = pb.GetQueueStatusResponse(
            all=_figures(counts, self._engine.totals),
            last_hour=_figures(counts, self._engine.last_hour()),
        )
        oldest = self._engine.oldest_wait()
        if oldest:
            answer.oldest_wait.CopyFrom(duration(oldest))
        return answer


def _figures(counts: Mapping[Status, int], happened: Minute) -> pb.QueueFigures:
    """Return how many tasks wait and run now, and what happened in a period."""
    message = pb.QueueFigures(
        pending=counts.get(Status.PENDING, 0),
        assigned=counts.get(Status.ASSIGNED, 0),
        running=counts.get(Status.RUNNING, 0),
        blocked=counts.get(Status.BLOCKED, 0),
        completed=happened.completed,
        failed=happened.failed,
        cancelled=happened.cancelled,
        dead_letter=happened.dead_letter,
        submitted=happened.submitted,
    )
    if happened.started:
        message.average_wait.CopyFrom(duration(happened.wait_ms // happened.started))
    if happened.completed:
        message.average_execution.CopyFrom(duration(happened.run_ms // happened.completed))
    return message
