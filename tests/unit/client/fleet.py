"""A real gRPC server that plays a daemon with a few model instances: it gives one task, and answers failures as it is told."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import grpc

from fleetd_client import methods as m
from fleetd_client import stubs as s
from tests.unit.client.counter import status

Status = s.TaskStatus
Result = s.ReportResult

DISPATCHER = (
    m.REGISTER_AGENT,
    m.UNREGISTER_AGENT,
    m.SUBMIT_TASK,
    m.GET_TASK,
    m.CANCEL_TASK,
    m.EXPLAIN_TASK,
    m.CLAIM_TASKS,
    m.REPORT_TASKS,
    m.REPLAY_DEAD_LETTERS,
)
ROUTER = (m.ROUTE_TASK, m.REPORT_OUTCOME, m.DECIDE_MODE)


def instance(instance_id: str, **fields: Any) -> s.Instance:
    return s.Instance(id=instance_id, provider_id=instance_id.partition(":")[0], **fields)


def retry_same(delay: int = 0) -> s.NextStep:
    return s.NextStep(kind=s.StepKind.STEP_KIND_RETRY_SAME, delay={"seconds": delay})


def switch(instance_id: str, delay: int = 0, **fields: Any) -> s.NextStep:
    return s.NextStep(
        kind=s.StepKind.STEP_KIND_SWITCH, instance=instance(instance_id, **fields), delay={"seconds": delay}
    )


def give_up(code: str, reason: str = "") -> s.NextStep:
    return s.NextStep(kind=s.StepKind.STEP_KIND_GIVE_UP, code=code, reason=reason)


class Fleet:
    """
    `steps` answer failed tries, one after the other; `grants` are what claims bring, one after the other (an instance, a whole lease, or
    None for an empty answer); when they are used up, the task stays BLOCKED.
    """

    def __init__(self) -> None:
        self.address = ""
        self.task = s.Task()
        self.agent = s.AgentSpec()
        self.calls: list[tuple[str, Any]] = []
        self.words: list[tuple[str, str]] = []
        self.outcomes: list[s.ReportOutcomeRequest] = []
        self.steps: deque[s.NextStep] = deque()
        self.grants: deque[s.Instance | s.Lease | None] = deque([instance("a:1")])
        self.orders: list[s.Order] = []
        self.acks: dict[str, int] = {}  # what becomes of a word; ACCEPTED unless said
        self.ends_as = Status.TASK_STATUS_DEAD_LETTER  # what a failed run makes of the task
        self.plan = s.RoutePlan(plan_id="p", selected="a:1")
        self.decision = s.ModeDecision(decision_id="d-1", rollout="chat", mode="direct_llm", epoch=3)
        self.undecided: Any = None  # how a decision is refused
        self.known: list[s.LeaseRef] | None = (
            None  # leases of the heartbeat's answer; those it lists unless said
        )
        self.lease_ttl = {"seconds": 60}
        self.beaten = asyncio.Event()
        self._server = grpc.aio.server()

    async def start(self) -> Fleet:
        for service, methods in (("Dispatcher", DISPATCHER), ("Health", (m.HEARTBEAT,)), ("Router", ROUTER)):
            handlers = {
                one.name: grpc.unary_unary_rpc_method_handler(
                    self._answering(one.name), one.request.FromString, one.response.SerializeToString
                )
                for one in methods
            }
            self._server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(f"fleet.v1.{service}", handlers),)
            )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def stop(self) -> None:
        await self._server.stop(None)

    def called(self, name: str) -> list[Any]:
        """The requests of one method."""
        return [request for called, request in self.calls if called == name]

    def _answering(self, name: str) -> Any:
        answer = getattr(self, name)

        async def take(request: Any, context: Any) -> Any:
            self.calls.append((name, request))
            told = answer(request)
            if hasattr(told, "trailing_metadata"):
                await context.abort_with_status(told)
            return told

        return take

    # The methods, by their names

    def RegisterAgent(self, request):  # noqa: N802
        self.agent = request.agent
        return s.AgentRecord(spec=request.agent)

    def UnregisterAgent(self, request):  # noqa: N802
        self.agent = s.AgentSpec()
        return s.UnregisterAgentResponse()

    def SubmitTask(self, request):  # noqa: N802
        self.task = s.Task(
            id="t-1",
            title=request.title,
            required_capabilities=request.required_capabilities,
            reserved_for=request.agent_id,
            status=Status.TASK_STATUS_PENDING,
        )
        return s.SubmitTaskResponse(task=self.task)

    def GetTask(self, request):  # noqa: N802
        return self.task

    def CancelTask(self, request):  # noqa: N802
        self.task.status = Status.TASK_STATUS_CANCELLED
        return self.task

    def ExplainTask(self, request):  # noqa: N802
        return s.ExplainTaskResponse(sentence="0/2 instances: 2 breaker_open.")

    def ReplayDeadLetters(self, request):  # noqa: N802
        if self.task.replay_count == 3:
            return status(grpc.StatusCode.FAILED_PRECONDITION, "REPLAY_LIMIT")
        self.task.status = Status.TASK_STATUS_PENDING
        return s.ReplayDeadLettersResponse(matched=1, replayed=1)

    def ClaimTasks(self, request):  # noqa: N802
        granted = self.grants.popleft() if self.grants else None
        if granted is None:
            self.task.status = Status.TASK_STATUS_BLOCKED
            return s.ClaimTasksResponse(lease_ttl=self.lease_ttl)
        if isinstance(granted, s.Instance):
            self.task.status = Status.TASK_STATUS_ASSIGNED
            self.task.lease_epoch += 1
            granted = s.Lease(
                task_id="t-1", lease_epoch=self.task.lease_epoch, route=s.RouteAssignment(instance=granted)
            )
        return s.ClaimTasksResponse(leases=[granted], lease_ttl=self.lease_ttl)

    def ReportTasks(self, request):  # noqa: N802
        (report,) = request.reports
        word = report.WhichOneof("word")
        self.words.append((word, getattr(getattr(report, word), "code", "")))
        ack = s.ReportAck(
            report_id=report.report_id, result=self.acks.get(word, Result.REPORT_RESULT_ACCEPTED)
        )
        if ack.result != Result.REPORT_RESULT_ACCEPTED:
            ack.message = "refused"
        elif word == "instance_failed":
            ack.next.CopyFrom(self.steps.popleft())
        elif word == "complete":
            self.task.status = Status.TASK_STATUS_COMPLETED
        elif word == "fail":
            blocked = report.fail.code == "NO_AVAILABLE_INSTANCE"
            self.task.status = Status.TASK_STATUS_BLOCKED if blocked else self.ends_as
        return s.ReportTasksResponse(acks=[ack], lease_ttl=self.lease_ttl)

    def Heartbeat(self, request):  # noqa: N802
        self.beaten.set()
        leases = request.held if self.known is None else self.known
        return s.HeartbeatResponse(lease_ttl=self.lease_ttl, leases=leases, orders=self.orders)

    def RouteTask(self, request):  # noqa: N802
        answer = s.RouteTaskResponse(selected=self.plan.selected, plan=self.plan)
        if self.plan.selected:
            answer.instance.CopyFrom(instance(self.plan.selected))
        if request.HasField("rollout"):
            answer.decision.CopyFrom(self.decision)
        return answer

    def DecideMode(self, request):  # noqa: N802
        return self.decision if self.undecided is None else self.undecided

    def ReportOutcome(self, request):  # noqa: N802
        self.outcomes.append(request)
        if not request.code or not request.plan_id:
            return s.ReportOutcomeResponse(next=s.NextStep(kind=s.StepKind.STEP_KIND_PROCEED))
        if not self.steps:
            return status(grpc.StatusCode.NOT_FOUND, "PLAN_NOT_FOUND")
        return s.ReportOutcomeResponse(next=self.steps.popleft())
