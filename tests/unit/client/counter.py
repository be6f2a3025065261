"""A real gRPC server that plays the daemon's counter: takes submissions and reports, and answers as it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from fleetd_client import methods as m
from fleetd_client import stubs as s

Answer = Callable[[Any], Any]


def status(code: grpc.StatusCode, reason: str, retry_after: float | None = None) -> Any:
    """What abort_with_status takes."""
    told = status_pb2.Status(code=code.value[0], message=reason.lower())
    told.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="fleetd"))
    if retry_after is not None:
        delay = Duration(seconds=int(retry_after), nanos=int(retry_after % 1 * 1e9))
        told.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return rpc_status.to_status(told)


def taken(request: s.SubmitTaskRequest) -> s.Task:
    return s.Task(id=f"id of {request.title}", title=request.title)


def routed(request: s.RouteTaskRequest) -> s.RouteTaskResponse:
    return s.RouteTaskResponse(selected=f"instance of {request.title}")


def advised(request: s.ReportOutcomeRequest) -> s.NextStep:
    return s.NextStep(kind=s.StepKind.STEP_KIND_PROCEED, reason=f"of {request.plan_id}")


def accept(request: Any) -> Any:
    """The answer of a daemon that takes everything."""
    if isinstance(request, s.SubmitTaskRequest):
        return s.SubmitTaskResponse(task=taken(request))
    if isinstance(request, s.ReportTasksRequest):
        return s.ReportTasksResponse(
            acks=[s.ReportAck(report_id=one.report_id) for one in request.reports], lease_ttl={"seconds": 30}
        )
    if isinstance(request, s.RouteTaskRequest):
        return routed(request)
    if isinstance(request, s.RouteTasksRequest):
        return s.RouteTasksResponse(items=[s.RouteTasksItem(route=routed(one)) for one in request.items])
    if isinstance(request, s.ReportOutcomeRequest):
        return s.ReportOutcomeResponse(next=advised(request))
    if isinstance(request, s.ReportOutcomesRequest):
        items = [s.ReportOutcomesItem(next=advised(one)) for one in request.items]
        return s.ReportOutcomesResponse(items=items)
    return s.SubmitTasksResponse(
        items=[s.SubmitTasksItem(task_id=taken(one).id, task=taken(one)) for one in request.tasks]
    )


class Counter:
    """Holds every call until `let_go`; each `then` says how the next call is answered, after them all are accepted."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.cancelled = asyncio.Event()
        self.address = ""
        self._answers: deque[Answer] = deque()
        self._open = asyncio.Event()
        self._came = asyncio.Condition()
        self._server = grpc.aio.server()

    async def start(self) -> Counter:
        tasks = (m.SUBMIT_TASK, m.SUBMIT_TASKS, m.REPORT_TASKS)
        routes = (m.ROUTE_TASK, m.ROUTE_TASKS, m.REPORT_OUTCOME, m.REPORT_OUTCOMES)
        for service, names in (("fleet.v1.Dispatcher", tasks), ("fleet.v1.Router", routes)):
            handlers = {
                one.name: grpc.unary_unary_rpc_method_handler(
                    self._take, one.request.FromString, one.response.SerializeToString
                )
                for one in names
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def stop(self) -> None:
        self._open.set()
        await self._server.stop(None)

    def then(self, answer: Answer) -> None:
        self._answers.append(answer)

    def let_go(self) -> None:
        """Answer what came, and what comes from now on, without delay."""
        self._open.set()

    async def came(self, count: int) -> None:
        """Wait until so many calls have come in all."""
        async with self._came:
            await asyncio.wait_for(self._came.wait_for(lambda: len(self.requests) >= count), 30)

    @property
    def titles(self) -> list[list[str]]:
        """The titles of each call, in order."""
        return [
            [one.title for one in request.tasks]
            if isinstance(request, s.SubmitTasksRequest)
            else [request.title]
            for request in self.requests
        ]

    async def _take(self, request: Any, context: Any) -> Any:
        answer = self._answers.popleft() if self._answers else accept
        async with self._came:
            self.requests.append(request)
            self._came.notify_all()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        told = answer(request)
        if hasattr(told, "trailing_metadata"):
            await context.abort_with_status(told)
        return told
