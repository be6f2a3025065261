"""Single calls that may travel together (spec S5): how several become one call, and what its answer says to each. Pure, for both clients."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.errors import (
    DeadlineExceeded,
    FleetError,
    Internal,
    InvalidArgument,
    Overloaded,
    from_item,
    from_route_item,
    twin,
)
from fleetd_client.plan import Call
from fleetd_client.tasks import BATCH_BYTES, BATCH_ITEMS

# Refusals of a whole batch that one of its items may have caused alone.
ONE_MAY_SPOIL = (InvalidArgument, Internal, Overloaded)


class Joint(Protocol):
    """One kind of call that can be joined. Requests with the same key may share a call."""

    def key(self, request: Any) -> Hashable: ...

    def count(self, request: Any) -> int:
        """How many items of a batch the request makes."""

    def single(self, request: Any) -> Call:
        """The call of one request alone."""

    def call(self, requests: Sequence[Any]) -> Call:
        """The call of several."""

    def answers(self, requests: Sequence[Any], response: Any) -> Iterable[Any]:
        """For each request, in order, the response its own call would have had, FleetError, or None when it has to be asked alone."""


class Submissions:
    """SubmitTask by SubmitTasks: each item answers for itself."""

    def key(self, request: s.SubmitTaskRequest) -> Hashable:
        return m.SUBMIT_TASK.name

    def count(self, request: s.SubmitTaskRequest) -> int:
        return 1

    def single(self, request: s.SubmitTaskRequest) -> Call:
        return Call(m.SUBMIT_TASK, request)

    def call(self, requests: Sequence[s.SubmitTaskRequest]) -> Call:
        return Call(m.SUBMIT_TASKS, s.SubmitTasksRequest(tasks=requests, return_tasks=True))

    def answers(
        self, requests: Sequence[s.SubmitTaskRequest], response: s.SubmitTasksResponse
    ) -> Iterable[s.SubmitTaskResponse | FleetError | None]:
        for item in response.items:
            if item.HasField("error"):
                yield from_item(item.error)
            elif item.HasField("task"):
                yield s.SubmitTaskResponse(task=item.task, duplicate=item.duplicate)
            else:  # too large beside the others, or the daemon is too old: its key returns the same task when asked alone
                yield None


class Reports:
    """ReportTasks of one agent: their words one after the other, the acknowledgements shared out, orders to everybody (they have ids)."""

    def key(self, request: s.ReportTasksRequest) -> Hashable:
        return m.REPORT_TASKS.name, request.agent_id, request.incarnation

    def count(self, request: s.ReportTasksRequest) -> int:
        return len(request.reports)

    def single(self, request: s.ReportTasksRequest) -> Call:
        return Call(m.REPORT_TASKS, request)

    def call(self, requests: Sequence[s.ReportTasksRequest]) -> Call:
        joined = s.ReportTasksRequest(agent_id=requests[0].agent_id, incarnation=requests[0].incarnation)
        for request in requests:
            joined.reports.extend(request.reports)
        return Call(m.REPORT_TASKS, joined)

    def answers(
        self, requests: Sequence[s.ReportTasksRequest], response: s.ReportTasksResponse
    ) -> Iterable[s.ReportTasksResponse]:
        if len(response.acks) != sum(len(request.reports) for request in requests):
            return
        acks = iter(response.acks)
        for request in requests:
            yield s.ReportTasksResponse(
                acks=islice(acks, len(request.reports)), lease_ttl=response.lease_ttl, orders=response.orders
            )


class Routes:
    """RouteTask by RouteTasks: each item answers for itself."""

    def key(self, request: s.RouteTaskRequest) -> Hashable:
        return m.ROUTE_TASK.name

    def count(self, request: s.RouteTaskRequest) -> int:
        # A trace names every instance: two of them may be too many for one answer.
        return BATCH_ITEMS if request.trace else 1

    def single(self, request: s.RouteTaskRequest) -> Call:
        return Call(m.ROUTE_TASK, request)

    def call(self, requests: Sequence[s.RouteTaskRequest]) -> Call:
        return Call(m.ROUTE_TASKS, s.RouteTasksRequest(items=requests))

    def answers(
        self, requests: Sequence[s.RouteTaskRequest], response: s.RouteTasksResponse
    ) -> Iterable[s.RouteTaskResponse | FleetError | None]:
        for item in response.items:
            yield _refused(item.error) if item.HasField("error") else item.route


class Outcomes:
    """ReportOutcome by ReportOutcomes: each item answers for itself."""

    def key(self, request: s.ReportOutcomeRequest) -> Hashable:
        return m.REPORT_OUTCOME.name

    def count(self, request: s.ReportOutcomeRequest) -> int:
        return 1

    def single(self, request: s.ReportOutcomeRequest) -> Call:
        return Call(m.REPORT_OUTCOME, request)

    def call(self, requests: Sequence[s.ReportOutcomeRequest]) -> Call:
        return Call(m.REPORT_OUTCOMES, s.ReportOutcomesRequest(items=requests))

    def answers(
        self, requests: Sequence[s.ReportOutcomeRequest], response: s.ReportOutcomesResponse
    ) -> Iterable[s.ReportOutcomeResponse | FleetError | None]:
        for item in response.items:
            yield _refused(item.error) if item.HasField("error") else s.ReportOutcomeResponse(next=item.next)


def _refused(error: s.RouteItemError) -> FleetError | None:
    """The error its own call would have had; None when only that call can tell. Nothing was done, so that it may be made."""
    told = from_route_item(error)
    return None if type(told) is FleetError else told


# By the name of the single method.
JOINTS: Mapping[str, Joint] = {
    m.SUBMIT_TASK.name: Submissions(),
    m.REPORT_TASKS.name: Reports(),
    m.ROUTE_TASK.name: Routes(),
    m.REPORT_OUTCOME.name: Outcomes(),
}


class Waiting:
    """One caller's request. `gone` when nobody waits for its answer any more, `alone` when it must not share a call; `end` is its deadline."""

    __slots__ = ("alone", "count", "end", "gone", "request", "size")

    def __init__(self, joint: Joint, request: Any, end: float) -> None:
        self.request = request
        self.count = joint.count(request)
        self.size: int = request.ByteSize()
        self.end = end
        self.alone = False
        self.gone = False

    def settle(self, answer: Any) -> None:
        """Take the answer: a response or an exception."""
        raise NotImplementedError


class Line:
    """Requests that wait for the call under way to end; first come, first served."""

    def __init__(self, joint: Joint) -> None:
        self._joint = joint
        self._waiting: deque[Any] = deque()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._waiting)

    def add(self, one: Waiting) -> None:
        self._waiting.append(one)

    def first(self) -> Any:
        """Whoever comes next, left in the line; None when nobody waits."""
        while self._waiting and self._waiting[0].gone:
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def take(self) -> list[Any]:
        """The next call's requests, as many as the limits of one batch allow; empty when nobody waits."""
        batch: list[Any] = []
        items = size = 0
        while (one := self.first()) is not None:
            items += one.count
            size += one.size
            if batch and (items > BATCH_ITEMS or size > BATCH_BYTES or one.alone):
                break
            batch.append(self._waiting.popleft())
            if one.alone:
                break
        return batch

    def put_back(self, batch: Iterable[Any]) -> None:
        """To the head of the line, in their order."""
        self._waiting.extendleft(reversed(list(batch)))

    def call(self, batch: Sequence[Any]) -> Call:
        requests = [one.request for one in batch]
        return self._joint.single(requests[0]) if len(requests) == 1 else self._joint.call(requests)

    def settle(self, batch: Sequence[Any], response: Any) -> None:
        """Give everybody the answer of the batch's call; who has none asks again alone."""
        if len(batch) == 1:
            batch[0].settle(response)
            return
        unanswered = []
        answers = list(self._joint.answers([one.request for one in batch], response))
        if len(answers) != len(batch):  # nobody can tell which is whose
            answers = [None] * len(batch)
        for one, answer in zip(batch, answers, strict=True):
            if answer is None:
                one.alone = True
                unanswered.append(one)
            else:
                one.settle(answer)
        self.put_back(unanswered)

    def refuse(self, batch: Sequence[Any], error: FleetError) -> None:
        """
        Give everybody the error of the batch's call. Where one item may have spoiled it for all, each asks again alone: nobody gets an
        error that is another's.
        """
        spoilt = isinstance(error, ONE_MAY_SPOIL) and error.retry_after is None
        if spoilt and len(batch) > 1:
            for one in batch:
                one.alone = True
            self.put_back(batch)
            return
        for one in batch:
            one.settle(twin(error))

    def close(self, error: FleetError) -> None:
        """Refuse everybody who waits."""
        while (one := self.first()) is not None:
            self._waiting.popleft()
            one.settle(twin(error))


def late() -> DeadlineExceeded:
    """What a caller is told whose time is over while others' calls go on."""
    return DeadlineExceeded(
        "DEADLINE_EXCEEDED",
        "no answer in time; it may still be done: a submission is asked for again with the same idempotency key",
    )
