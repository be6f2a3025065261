"""Every unary method of Dispatcher, Health and Router: request, response, and whether a call may be repeated. Both callers read this table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from fleetd_client import stubs as s
from fleetd_client.errors import FleetError, Overloaded, Unavailable

Q = TypeVar("Q")
R = TypeVar("R")


class Repeat(Enum):
    """Whether a call whose outcome is unknown may be sent again."""

    SAFE = "safe"  # it only reads
    IDEMPOTENT = "idempotent"  # sent twice it leaves the same state, and no worse answer
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, R]):
    """One RPC; `path` is what travels."""

    service: str
    name: str
    request: type[Q]
    response: type[R]
    repeat: Repeat

    @property
    def path(self) -> str:
        return f"/fleet.v1.{self.service}/{self.name}"

    def may_repeat(self, error: FleetError) -> bool:
        """Overloaded with a time to wait took nothing, so that anything may be repeated; Unavailable may have done it."""
        if isinstance(error, Overloaded):
            return error.retry_after is not None
        return isinstance(error, Unavailable) and self.repeat is not Repeat.NEVER


def _dispatcher(name: str, request: type[Q], response: type[R], repeat: Repeat) -> Method[Q, R]:
    return Method("Dispatcher", name, request, response, repeat)


def _health(name: str, request: type[Q], response: type[R], repeat: Repeat = Repeat.SAFE) -> Method[Q, R]:
    return Method("Health", name, request, response, repeat)


def _router(name: str, request: type[Q], response: type[R], repeat: Repeat) -> Method[Q, R]:
    return Method("Router", name, request, response, repeat)


# Submissions always carry an idempotency key.
SUBMIT_TASK = _dispatcher("SubmitTask", s.SubmitTaskRequest, s.SubmitTaskResponse, Repeat.IDEMPOTENT)
SUBMIT_TASKS = _dispatcher("SubmitTasks", s.SubmitTasksRequest, s.SubmitTasksResponse, Repeat.IDEMPOTENT)
GET_TASK = _dispatcher("GetTask", s.GetTaskRequest, s.Task, Repeat.SAFE)
LIST_TASKS = _dispatcher("ListTasks", s.ListTasksRequest, s.ListTasksResponse, Repeat.SAFE)
WAIT_TASK = _dispatcher("WaitTask", s.WaitTaskRequest, s.WaitTaskResponse, Repeat.SAFE)
WAIT_TASKS = _dispatcher("WaitTasks", s.WaitTasksRequest, s.WaitTasksResponse, Repeat.SAFE)
GET_TASK_RESULT = _dispatcher("GetTaskResult", s.GetTaskResultRequest, s.GetTaskResultResponse, Repeat.SAFE)
# A second cancel of a task that the first one ended is refused: the answer would be worse.
CANCEL_TASK = _dispatcher("CancelTask", s.CancelTaskRequest, s.Task, Repeat.NEVER)
CANCEL_TASKS = _dispatcher("CancelTasks", s.CancelTasksRequest, s.CancelTasksResponse, Repeat.NEVER)
TIMEOUT_TASK = _dispatcher("TimeoutTask", s.TimeoutTaskRequest, s.Task, Repeat.NEVER)
RETRY_TASK = _dispatcher("RetryTask", s.RetryTaskRequest, s.Task, Repeat.NEVER)
# Once it is claimed, a second one is refused.
ASSIGN_TASK = _dispatcher("AssignTask", s.AssignTaskRequest, s.Task, Repeat.NEVER)
# With expected_version the second one would be stale.
UPDATE_TASK = _dispatcher("UpdateTask", s.UpdateTaskRequest, s.Task, Repeat.NEVER)
LIST_EVENTS = _dispatcher("ListEvents", s.ListEventsRequest, s.ListEventsResponse, Repeat.SAFE)
LIST_TASK_EVENTS = _dispatcher(
    "ListTaskEvents", s.ListTaskEventsRequest, s.ListTaskEventsResponse, Repeat.SAFE
)
GET_TASK_LINEAGE = _dispatcher(
    "GetTaskLineage", s.GetTaskLineageRequest, s.GetTaskLineageResponse, Repeat.SAFE
)
EXPLAIN_TASK = _dispatcher("ExplainTask", s.ExplainTaskRequest, s.ExplainTaskResponse, Repeat.SAFE)
LIST_DEAD_LETTERS = _dispatcher(
    "ListDeadLetters", s.ListDeadLettersRequest, s.ListDeadLettersResponse, Repeat.SAFE
)
GET_DEAD_LETTER = _dispatcher("GetDeadLetter", s.GetDeadLetterRequest, s.DeadLetter, Repeat.SAFE)
# What was dealt with the first time would be refused the second time.
REPLAY_DEAD_LETTERS = _dispatcher(
    "ReplayDeadLetters", s.ReplayDeadLettersRequest, s.ReplayDeadLettersResponse, Repeat.NEVER
)
DISCARD_DEAD_LETTERS = _dispatcher(
    "DiscardDeadLetters", s.DiscardDeadLettersRequest, s.DiscardDeadLettersResponse, Repeat.NEVER
)
# The second answer would count less.
PURGE_DEAD_LETTERS = _dispatcher(
    "PurgeDeadLetters", s.PurgeDeadLettersRequest, s.PurgeDeadLettersResponse, Repeat.NEVER
)
PAUSE_QUEUE = _dispatcher("PauseQueue", s.PauseQueueRequest, s.QueueLimits, Repeat.IDEMPOTENT)
RESUME_QUEUE = _dispatcher("ResumeQueue", s.ResumeQueueRequest, s.QueueLimits, Repeat.IDEMPOTENT)
SET_QUEUE_LIMITS = _dispatcher("SetQueueLimits", s.SetQueueLimitsRequest, s.QueueLimits, Repeat.IDEMPOTENT)
LIST_QUEUE_LIMITS = _dispatcher(
    "ListQueueLimits", s.ListQueueLimitsRequest, s.ListQueueLimitsResponse, Repeat.SAFE
)
LIST_AUDITS = _dispatcher("ListAudits", s.ListAuditsRequest, s.ListAuditsResponse, Repeat.SAFE)
# Claims always carry a request_id; reports and registrations repeat to the same answer.
CLAIM_TASKS = _dispatcher("ClaimTasks", s.ClaimTasksRequest, s.ClaimTasksResponse, Repeat.IDEMPOTENT)
REPORT_TASKS = _dispatcher("ReportTasks", s.ReportTasksRequest, s.ReportTasksResponse, Repeat.IDEMPOTENT)
REGISTER_AGENT = _dispatcher("RegisterAgent", s.RegisterAgentRequest, s.AgentRecord, Repeat.IDEMPOTENT)
UNREGISTER_AGENT = _dispatcher(
    "UnregisterAgent", s.UnregisterAgentRequest, s.UnregisterAgentResponse, Repeat.NEVER
)
UPDATE_AGENT_CAPABILITIES = _dispatcher(
    "UpdateAgentCapabilities", s.UpdateAgentCapabilitiesRequest, s.AgentRecord, Repeat.IDEMPOTENT
)
# A second restart would end the process that the first one started.
RESTART_AGENT = _dispatcher("RestartAgent", s.RestartAgentRequest, s.AgentRecord, Repeat.NEVER)
STOP_AGENT = _dispatcher("StopAgent", s.StopAgentRequest, s.AgentRecord, Repeat.IDEMPOTENT)
START_AGENT = _dispatcher("StartAgent", s.StartAgentRequest, s.AgentRecord, Repeat.IDEMPOTENT)
DRAIN_AGENT = _dispatcher("DrainAgent", s.DrainAgentRequest, s.AgentRecord, Repeat.IDEMPOTENT)
UNDRAIN_AGENT = _dispatcher("UndrainAgent", s.UndrainAgentRequest, s.AgentRecord, Repeat.IDEMPOTENT)
DRAIN_AGENTS = _dispatcher("DrainAgents", s.DrainAgentsRequest, s.DrainAgentsResponse, Repeat.IDEMPOTENT)
UPSERT_HOSTS = _dispatcher("UpsertHosts", s.UpsertHostsRequest, s.UpsertHostsResponse, Repeat.IDEMPOTENT)
LIST_HOSTS = _dispatcher("ListHosts", s.ListHostsRequest, s.ListHostsResponse, Repeat.SAFE)
# What the first one removed the second one would not find.
REMOVE_HOST = _dispatcher("RemoveHost", s.RemoveHostRequest, s.RemoveHostResponse, Repeat.NEVER)
SET_HOST_STATE = _dispatcher("SetHostState", s.SetHostStateRequest, s.HostStatus, Repeat.IDEMPOTENT)

GET_STATUS = _health("GetStatus", s.GetStatusRequest, s.GetStatusResponse)
LIST_AGENTS = _health("ListAgents", s.ListAgentsRequest, s.ListAgentsResponse)
GET_AGENT = _health("GetAgent", s.GetAgentRequest, s.AgentRecord)
HEARTBEAT = _health("Heartbeat", s.HeartbeatRequest, s.HeartbeatResponse, Repeat.IDEMPOTENT)
GET_AGENT_LOAD = _health("GetAgentLoad", s.GetAgentLoadRequest, s.GetAgentLoadResponse)
GET_AGENT_WORKLOAD = _health("GetAgentWorkload", s.GetAgentWorkloadRequest, s.GetAgentWorkloadResponse)
GET_QUEUE_STATUS = _health("GetQueueStatus", s.GetQueueStatusRequest, s.GetQueueStatusResponse)

# The load that an unanswered route counted ends by itself.
ROUTE_TASK = _router("RouteTask", s.RouteTaskRequest, s.RouteTaskResponse, Repeat.IDEMPOTENT)
ROUTE_TASKS = _router("RouteTasks", s.RouteTasksRequest, s.RouteTasksResponse, Repeat.IDEMPOTENT)
VERIFY_ROUTE = _router("VerifyRoute", s.VerifyRouteRequest, s.VerifyRouteResponse, Repeat.IDEMPOTENT)
# A second one would leave the instance that the first one chose.
REROUTE_TASK = _router("RerouteTask", s.RerouteTaskRequest, s.RerouteTaskResponse, Repeat.NEVER)
# With plan_version the second one would be stale.
OVERRIDE_ROUTE = _router("OverrideRoute", s.OverrideRouteRequest, s.RoutePlan, Repeat.NEVER)
# A repeat may count one strike twice, which heals by itself; a lost outcome would end its caller's failover.
REPORT_OUTCOME = _router("ReportOutcome", s.ReportOutcomeRequest, s.ReportOutcomeResponse, Repeat.IDEMPOTENT)
REPORT_OUTCOMES = _router(
    "ReportOutcomes", s.ReportOutcomesRequest, s.ReportOutcomesResponse, Repeat.IDEMPOTENT
)
GET_ROUTE_PLAN = _router("GetRoutePlan", s.GetRoutePlanRequest, s.GetRoutePlanResponse, Repeat.SAFE)
UPSERT_INSTANCES = _router(
    "UpsertInstances", s.UpsertInstancesRequest, s.UpsertInstancesResponse, Repeat.IDEMPOTENT
)
LIST_INSTANCES = _router("ListInstances", s.ListInstancesRequest, s.ListInstancesResponse, Repeat.SAFE)
# What the first one removed the second one would not find.
REMOVE_INSTANCE = _router("RemoveInstance", s.RemoveInstanceRequest, s.RemoveInstanceResponse, Repeat.NEVER)
SET_INSTANCE_STATE = _router(
    "SetInstanceState", s.SetInstanceStateRequest, s.InstanceStatus, Repeat.IDEMPOTENT
)
IMPORT_CATALOGUE = _router(
    "ImportCatalogue", s.ImportCatalogueRequest, s.ImportCatalogueResponse, Repeat.IDEMPOTENT
)
LIST_BREAKERS = _router("ListBreakers", s.ListBreakersRequest, s.ListBreakersResponse, Repeat.SAFE)
# The second answer would count less.
RESET_BREAKERS = _router("ResetBreakers", s.ResetBreakersRequest, s.ResetBreakersResponse, Repeat.NEVER)
FORCE_BREAKER = _router("ForceBreaker", s.ForceBreakerRequest, s.Breaker, Repeat.IDEMPOTENT)
GET_ROUTING_STATS = _router(
    "GetRoutingStats", s.GetRoutingStatsRequest, s.GetRoutingStatsResponse, Repeat.SAFE
)
# With expected_version the second one would be stale.
PUT_ROLLOUT = _router("PutRollout", s.PutRolloutRequest, s.Rollout, Repeat.NEVER)
GET_ROLLOUT = _router("GetRollout", s.GetRolloutRequest, s.GetRolloutResponse, Repeat.SAFE)
LIST_ROLLOUTS = _router("ListRollouts", s.ListRolloutsRequest, s.ListRolloutsResponse, Repeat.SAFE)
# What the first one removed the second one would not find.
REMOVE_ROLLOUT = _router("RemoveRollout", s.RemoveRolloutRequest, s.RemoveRolloutResponse, Repeat.NEVER)
# An unanswered decision may have used up a place on trial or of a shadow, which comes back by itself.
DECIDE_MODE = _router("DecideMode", s.DecideModeRequest, s.ModeDecision, Repeat.IDEMPOTENT)
# A second one would begin another epoch, and the time of what was forced anew.
FORCE_FALLBACK = _router("ForceFallback", s.ForceFallbackRequest, s.FallbackState, Repeat.NEVER)
RESET_FALLBACK = _router("ResetFallback", s.ResetFallbackRequest, s.FallbackState, Repeat.NEVER)
GET_ROLLOUT_METRICS = _router(
    "GetRolloutMetrics", s.GetRolloutMetricsRequest, s.GetRolloutMetricsResponse, Repeat.SAFE
)
LIST_COMPARISONS = _router(
    "ListComparisons", s.ListComparisonsRequest, s.ListComparisonsResponse, Repeat.SAFE
)

METHODS: tuple[Method[Any, Any], ...] = tuple(
    value for value in tuple(globals().values()) if isinstance(value, Method)
)

# The streams have callers of their own.
CLAIM_PATH = "/fleet.v1.Dispatcher/Claim"
WATCH_EVENTS_PATH = "/fleet.v1.Dispatcher/WatchEvents"
WATCH_TASK_PATH = "/fleet.v1.Dispatcher/WatchTask"
