"""Where a watcher of events stands, and when it asks again: what both clients share of WatchEvents."""

from __future__ import annotations

from fleetd_client.backoff import Backoff
from fleetd_client.errors import FleetError, Overloaded, Unavailable
from fleetd_client.stubs import Event, EventFilter, WatchEventsRequest, WatchEventsResponse


class Watch:
    """Resumes after the last message that was taken, so that nothing is missed and nothing comes twice."""

    def __init__(self, after_seq: int, chosen: EventFilter, backoff: Backoff | None = None) -> None:
        self._position = after_seq
        self._filter = chosen
        self._backoff = backoff or Backoff(cap=5.0)

    def request(self) -> WatchEventsRequest:
        return WatchEventsRequest(after_seq=self._position, filter=self._filter)

    def take(self, message: WatchEventsResponse) -> list[Event]:
        self._backoff.reset()
        self._position = message.resume_after_seq
        return list(message.events)

    def wait_after(self, error: FleetError | None) -> float:
        """Seconds until the next try after an error, or after the daemon ended the stream; raises what another try cannot mend."""
        if error is None:
            return self._backoff.next()
        if isinstance(error, Unavailable) or (
            isinstance(error, Overloaded) and error.retry_after is not None
        ):
            return self._backoff.next(error.retry_after)
        raise error
