"""A real gRPC server that plays the daemon's log of task events, and breaks streams as it is told."""

from __future__ import annotations

from collections import deque
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from fleetd_client import methods as m
from fleetd_client import stubs as s
from tests.unit.client.counter import status


def too_slow(resume: int) -> Any:
    """What ends the stream of a watcher that does not keep up."""
    told = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="too slow")
    info = error_details_pb2.ErrorInfo(reason="WATCHER_TOO_SLOW", domain="fleetd")
    info.metadata["resume_from_seq"] = str(resume)
    told.details.add().Pack(info)
    return rpc_status.to_status(told)


class Chronicle:
    """
    A task with `count` events. `breaks` say, one stream after the other, after how many events it ends and how: None just ends it, else a
    status; when they are used up the rest is sent, with the task's end.
    """

    def __init__(self, count: int = 10, batch: int = 3) -> None:
        self.address = ""
        self.count = count
        self.batch = batch
        self.repeats = 0  # so many events before the one wanted are sent again
        self.compact = False  # the task's end is told with its last events
        self.breaks: deque[tuple[int, Any]] = deque()
        self.asked: list[Any] = []
        self._server = grpc.aio.server()

    async def start(self) -> Chronicle:
        handlers = {
            "WatchTask": grpc.unary_stream_rpc_method_handler(
                self.watch, s.WatchTaskRequest.FromString, s.WatchTaskResponse.SerializeToString
            ),
            m.LIST_TASK_EVENTS.name: grpc.unary_unary_rpc_method_handler(
                self.page, s.ListTaskEventsRequest.FromString, s.ListTaskEventsResponse.SerializeToString
            ),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("fleet.v1.Dispatcher", handlers),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)

    async def page(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        first = max(request.from_seq, 1)
        last = min(first + request.page_size - 1, self.count)
        answer = s.ListTaskEventsResponse(next_from_seq=last + 1, end=last == self.count)
        self._fill(answer, request, range(first, last + 1))
        return answer

    async def watch(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        allowed, how = self.breaks.popleft() if self.breaks else (self.count, None)
        rest = not self.breaks and allowed == self.count
        first = max(request.from_seq - self.repeats, 1)
        if request.from_seq < 0:
            first = self.count + 1
        last = min(first + allowed - 1, self.count)
        for start in range(first, last + 1, self.batch):
            stop = min(start + self.batch, last + 1)
            message = s.WatchTaskResponse(resume_from_seq=stop)
            self._fill(message, request, range(start, stop))
            if rest and self.compact and stop > self.count:
                message.finished = s.TaskStatus.TASK_STATUS_COMPLETED
            yield message
        if how is not None:
            await context.abort_with_status(how)
        if rest:
            ended = s.WatchTaskResponse(resume_from_seq=self.count + 1)
            if request.task_id:
                ended.finished = s.TaskStatus.TASK_STATUS_COMPLETED
            yield ended

    def _fill(self, answer: Any, request: Any, numbers: range) -> None:
        if request.envelopes:
            answer.envelopes.extend(f'{{"event":"message","data":{{"id":"{number}"}}}}' for number in numbers)
        else:
            answer.events.extend(
                s.TaskEvent(task_id=request.task_id or "T", seq=number, position=number, id=str(number))
                for number in numbers
            )


def unavailable() -> Any:
    return status(grpc.StatusCode.UNAVAILABLE, "DRAINING")


def trimmed() -> Any:
    return status(grpc.StatusCode.OUT_OF_RANGE, "EVENTS_TRIMMED")
