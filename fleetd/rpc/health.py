"""grpc.health.v1 for the three services: NOT_SERVING until the daemon says otherwise, and again when it drains (spec S1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

NAME = "grpc.health.v1.Health"
Status = health_pb2.HealthCheckResponse


class HealthService:
    """The status of every service; "" stands for the daemon as a whole."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset({"", NAME, *services})
        self._serving = False
        self._stopped = False
        self._changed = asyncio.Event()

    def set_serving(self, *, serving: bool) -> None:
        """Tell probes and watchers whether the daemon takes work."""
        self._serving = serving
        self._wake()

    def stop(self) -> None:
        """Tell watchers NOT_SERVING for good, and let them go."""
        self._serving, self._stopped = False, True
        self._wake()

    def handlers(self) -> dict[str, Any]:
        """Return the grpc handlers of the service."""
        read, write = health_pb2.HealthCheckRequest.FromString, Status.SerializeToString
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, read, write),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, read, write),
        }

    async def _check(self, request: Any, context: Any) -> Any:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return Status(status=self._status(request.service))

    async def _watch(self, request: Any, context: Any) -> None:
        last = None
        while True:
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                await context.write(Status(status=status))
            if self._stopped:
                return
            await changed.wait()

    def _status(self, service: str) -> int:
        if service not in self._services:
            return int(Status.SERVICE_UNKNOWN)
        return int(Status.SERVING if self._serving else Status.NOT_SERVING)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
