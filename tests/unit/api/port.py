"""The methods without a transport: the real engine on the real SQL in memory, and a clock that moves when told."""

from __future__ import annotations

from random import Random
from typing import Any

from fleet.v1 import dispatcher_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.limits import Limits
from fleetd.api.table import method_table
from fleetd.clock import ManualClock
from fleetd.core.settings import Rules
from fleetd.engine.engine import Engine
from fleetd.store.sqlite import SqliteStore


class QuietLog:
    """A log that nobody reads."""

    def info(self, event: str, **fields: Any) -> None: ...

    def warning(self, event: str, **fields: Any) -> None: ...

    def error(self, event: str, **fields: Any) -> None: ...


class Port:
    """Calls methods by their names, as a transport would: `await port("GetTask", task_id=...)`."""

    def __init__(
        self, limits: Limits | None = None, rules: Rules | None = None, path: str = ":memory:"
    ) -> None:
        self.clock = ManualClock()
        self.store = SqliteStore(path)
        self.engine = Engine(self.store, self.clock, rules or Rules(), QuietLog(), random=Random(7))
        self.methods = {m.name: m for m in method_table(self.engine, limits or Limits(), "1.2.3").values()}

    async def open(self) -> Port:
        await self.store.open()
        await self.engine.recover()
        self.engine.start()
        return self

    async def close(self) -> None:
        await self.engine.stop()
        await self.store.close()

    async def __call__(
        self, name: str, message: Any = None, /, *, call: Call | None = None, **fields: Any
    ) -> Any:
        method = self.methods[name]
        method.admit(self.engine.state)
        request = method.request(**fields) if message is None else message
        assert method.serve is not None
        return await method.serve(request, call or Call())

    async def submit(self, title: str = "work", **fields: Any) -> Any:
        """Submit one task and return it."""
        return (await self("SubmitTask", pb.SubmitTaskRequest(title=title, **fields))).task

    async def claim(self, agent_id: str = "agent-1", **fields: Any) -> Any:
        """Claim one lease as an agent without a stream."""
        answer = await self("ClaimTasks", agent_id=agent_id, **fields)
        assert answer.leases, "no lease came"
        return answer.leases[0]

    async def instances(self, *definitions: Any) -> None:
        """Register instances: by their ids alone, or by their fields."""
        messages = [{"id": one} if isinstance(one, str) else one for one in definitions]
        answer = await self("UpsertInstances", instances=messages)
        assert [result.error for result in answer.results] == [""] * len(messages)

    async def outcome(self, **fields: Any) -> Any:
        """Report what came of a try and return the next step."""
        return (await self("ReportOutcome", **fields)).next

    async def report(self, lease: Any, agent_id: str = "agent-1", **word: Any) -> Any:
        """Say one word about a lease and return its acknowledgement."""
        report = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch, "report_id": 1, **word}
        return (await self("ReportTasks", agent_id=agent_id, reports=[report])).acks[0]
