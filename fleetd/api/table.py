"""The method table: every RPC of fleet.v1 with who may call it, what it may send, and what serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from fleet.v1 import dispatcher_pb2, health_pb2, router_pb2
from fleetd.api.ids import ulids
from fleetd.api.limits import Limits
from fleetd.api.methods_agents import AgentMethods
from fleetd.api.methods_assign import AssignMethods
from fleetd.api.methods_breakers import BreakerMethods
from fleetd.api.methods_deadletters import DeadLetterMethods
from fleetd.api.methods_events import EventMethods
from fleetd.api.methods_explain import ExplainMethods
from fleetd.api.methods_health import HealthMethods
from fleetd.api.methods_hosts import HostMethods
from fleetd.api.methods_instances import Credentials, InstanceMethods
from fleetd.api.methods_leases import LeaseMethods
from fleetd.api.methods_queues import QueueMethods
from fleetd.api.methods_rollouts import RolloutMethods
from fleetd.api.methods_routes import RouteMethods
from fleetd.api.methods_task_events import TaskEventMethods
from fleetd.api.methods_tasks import TaskMethods
from fleetd.api.methods_waits import WaitMethods
from fleetd.engine.engine import Engine
from fleetd.errors import InvalidArgument, Unavailable

DISPATCHER = "fleet.v1.Dispatcher"
HEALTH = "fleet.v1.Health"
ROUTER = "fleet.v1.Router"
SERVICES = {
    DISPATCHER: dispatcher_pb2.DESCRIPTOR.services_by_name["Dispatcher"],
    HEALTH: health_pb2.DESCRIPTOR.services_by_name["Health"],
    ROUTER: router_pb2.DESCRIPTOR.services_by_name["Router"],
}

Serve = Callable[[Any, Any], Awaitable[Message]]


class Role(StrEnum):
    """Who may call a method."""

    AGENT = "agent"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Admission(StrEnum):
    """In which states of the daemon a method is served."""

    ALWAYS = "always"
    RUNNING = "running"
    """While serving and draining: reads, results, interventions."""
    SERVING = "serving"
    """Only while new work is taken."""


@dataclass(frozen=True, slots=True)
class Method:
    """
    One RPC: `serve` is `(request, call) → response` for a unary one and None for a stream, which its transport serves. `idempotent` methods may be
    repeated by whoever got no answer. `size_limit` bounds one request, in bytes.
    """

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    serve: Serve | None
    roles: frozenset[Role]
    idempotent: bool
    size_limit: int
    admission: Admission = Admission.RUNNING
    client_streaming: bool = False
    server_streaming: bool = False

    @property
    def full_name(self) -> str:
        return f"/{self.service}/{self.name}"

    def admit(self, state: str) -> None:
        """Raise Unavailable when the daemon's state does not allow the call."""
        if state == "SERVING" or self.admission is Admission.ALWAYS:
            return
        if state == "DRAINING" and self.admission is Admission.RUNNING:
            return
        raise Unavailable(state, f"the daemon is {state.lower()}")

    def read(self, data: bytes) -> Any:
        """Return the request of some bytes. Raises InvalidArgument when they are too many or no such message."""
        if len(data) > self.size_limit:
            right = f"must have at most {self.size_limit:,} bytes, not {len(data):,}"
            raise InvalidArgument([("request", right)], "MESSAGE_TOO_LARGE")
        return parse(self.request, data)


def parse(kind: type[Message], data: bytes) -> Any:
    """Return the message of some bytes. Raises InvalidArgument."""
    try:
        return kind.FromString(data)
    except Exception as error:
        name = kind.DESCRIPTOR.full_name
        raise InvalidArgument([("request", f"must be a {name} with valid UTF-8 text")]) from error


READERS = frozenset({Role.SUBMITTER, Role.OPERATOR, Role.VIEWER})
SUBMITTERS = frozenset({Role.SUBMITTER, Role.OPERATOR})
OPERATORS = frozenset({Role.OPERATOR})
AUDITORS = frozenset({Role.OPERATOR, Role.VIEWER})
AGENTS = frozenset({Role.AGENT})


def method_table(
    engine: Engine, limits: Limits, version: str, credentials: Credentials = lambda _: True
) -> Mapping[str, Method]:
    """
    Return every method by its full name, bound to an engine. `version` is that of the daemon's software; `credentials` tells whether what an instance
    names as its credential is there.
    """
    new_id = ulids(engine.clock.wall)
    tasks = TaskMethods(engine, limits, new_id)
    waits = WaitMethods(engine, limits)
    events = EventMethods(engine, limits)
    leases = LeaseMethods(engine, limits)
    agents = AgentMethods(engine, limits, new_id)
    letters = DeadLetterMethods(engine, limits)
    queues = QueueMethods(engine, limits)
    health = HealthMethods(engine, version)
    routes = RouteMethods(engine, limits, new_id)
    instances = InstanceMethods(engine, limits, credentials)
    breakers = BreakerMethods(engine)
    hosts = HostMethods(engine, limits)
    rollouts = RolloutMethods(engine, limits, new_id)
    small = 64 << 10  # ids, reasons and filters
    ids = 256 << 10  # a thousand ids
    agent = 2 << 20  # labels and metadata, or held leases, at their limits
    task = limits.input + (2 << 20)  # an input beside texts, labels and metadata, each at its limit
    most = limits.message
    new = Admission.SERVING
    rows = {
        DISPATCHER: {
            "SubmitTask": _Row(tasks.submit_task, SUBMITTERS, task, False, new),
            "SubmitTasks": _Row(tasks.submit_tasks, SUBMITTERS, most, False, new),
            "GetTask": _Row(tasks.get_task, READERS, small),
            "ListTasks": _Row(tasks.list_tasks, READERS, small),
            "WaitTask": _Row(waits.wait_task, READERS, small),
            "WaitTasks": _Row(waits.wait_tasks, READERS, ids),
            "GetTaskResult": _Row(tasks.get_task_result, READERS, small),
            "CancelTask": _Row(tasks.cancel_task, SUBMITTERS, small),
            "CancelTasks": _Row(tasks.cancel_tasks, SUBMITTERS, ids),
            "TimeoutTask": _Row(tasks.timeout_task, OPERATORS, small, False),
            "RetryTask": _Row(tasks.retry_task, SUBMITTERS, small, False),
            "AssignTask": _Row(AssignMethods(engine).assign_task, OPERATORS, small, False),
            "UpdateTask": _Row(tasks.update_task, SUBMITTERS, task, False),
            "ListEvents": _Row(events.list_events, READERS, small),
            "WatchEvents": _Row(None, READERS, small),
            "WatchTask": _Row(None, READERS, small),
            "ListTaskEvents": _Row(TaskEventMethods(engine, limits).list_task_events, READERS, small),
            "GetTaskLineage": _Row(tasks.get_task_lineage, READERS, small),
            "ExplainTask": _Row(ExplainMethods(engine).explain_task, READERS, small),
            "ListDeadLetters": _Row(letters.list_dead_letters, READERS, small),
            "GetDeadLetter": _Row(letters.get_dead_letter, READERS, small),
            "ReplayDeadLetters": _Row(letters.replay_dead_letters, OPERATORS, ids, False),
            "DiscardDeadLetters": _Row(letters.discard_dead_letters, OPERATORS, ids),
            "PurgeDeadLetters": _Row(letters.purge_dead_letters, OPERATORS, small),
            "PauseQueue": _Row(queues.pause_queue, OPERATORS, small),
            "ResumeQueue": _Row(queues.resume_queue, OPERATORS, small),
            "SetQueueLimits": _Row(queues.set_queue_limits, OPERATORS, small),
            "ListQueueLimits": _Row(queues.list_queue_limits, READERS, small),
            "ListAudits": _Row(queues.list_audits, AUDITORS, small),
            "Claim": _Row(None, AGENTS, most, False),
            "ClaimTasks": _Row(leases.claim_tasks, AGENTS, small, False, new),
            "ReportTasks": _Row(leases.report_tasks, AGENTS, most),
            "RegisterAgent": _Row(agents.register_agent, AGENTS, agent),
            "UnregisterAgent": _Row(agents.unregister_agent, AGENTS | OPERATORS, small, False),
            "UpdateAgentCapabilities": _Row(agents.update_agent_capabilities, AGENTS | OPERATORS, small),
            "RestartAgent": _Row(agents.restart_agent, OPERATORS, small, False),
            "StopAgent": _Row(agents.stop_agent, OPERATORS, small),
            "StartAgent": _Row(agents.start_agent, OPERATORS, small),
            "DrainAgent": _Row(agents.drain_agent, OPERATORS, small),
            "UndrainAgent": _Row(agents.undrain_agent, OPERATORS, small),
            "DrainAgents": _Row(agents.drain_agents, OPERATORS, small),
            "UpsertHosts": _Row(hosts.upsert_hosts, OPERATORS, most),
            "ListHosts": _Row(hosts.list_hosts, READERS, small),
            "RemoveHost": _Row(hosts.remove_host, OPERATORS, small, False),
            "SetHostState": _Row(hosts.set_host_state, OPERATORS, small),
        },
        HEALTH: {
            "GetStatus": _Row(health.get_status, READERS | AGENTS, small, True, Admission.ALWAYS),
            "ListAgents": _Row(agents.list_agents, READERS, small),
            "GetAgent": _Row(agents.get_agent, READERS | AGENTS, small),
            "Heartbeat": _Row(leases.heartbeat, AGENTS, agent),
            "GetAgentLoad": _Row(agents.get_agent_load, READERS, small),
            "GetAgentWorkload": _Row(agents.get_agent_workload, READERS, small),
            "GetQueueStatus": _Row(health.get_queue_status, READERS, small),
        },
        ROUTER: {
            "RouteTask": _Row(routes.route_task, SUBMITTERS, task),
            "RouteTasks": _Row(routes.route_tasks, SUBMITTERS, most),
            "VerifyRoute": _Row(routes.verify_route, SUBMITTERS, small),
            "RerouteTask": _Row(routes.reroute_task, SUBMITTERS, small, False),
            "OverrideRoute": _Row(routes.override_route, OPERATORS, small, False),
            "ReportOutcome": _Row(routes.report_outcome, SUBMITTERS | AGENTS, small, False),
            "ReportOutcomes": _Row(routes.report_outcomes, SUBMITTERS | AGENTS, most, False),
            "GetRoutePlan": _Row(routes.get_route_plan, READERS, small),
            "UpsertInstances": _Row(instances.upsert_instances, OPERATORS, most),
            "ListInstances": _Row(instances.list_instances, READERS, small),
            "RemoveInstance": _Row(instances.remove_instance, OPERATORS, small),
            "SetInstanceState": _Row(instances.set_instance_state, OPERATORS, small),
            "ImportCatalogue": _Row(instances.import_catalogue, OPERATORS, most),
            "ListBreakers": _Row(breakers.list_breakers, READERS, small),
            "ResetBreakers": _Row(breakers.reset_breakers, OPERATORS, small),
            "ForceBreaker": _Row(breakers.force_breaker, OPERATORS, small),
            "GetRoutingStats": _Row(routes.get_routing_stats, READERS, small),
            "PutRollout": _Row(rollouts.put_rollout, OPERATORS, most, False),
            "GetRollout": _Row(rollouts.get_rollout, READERS, small),
            "ListRollouts": _Row(rollouts.list_rollouts, READERS, small),
            "RemoveRollout": _Row(rollouts.remove_rollout, OPERATORS, small),
            "DecideMode": _Row(rollouts.decide_mode, SUBMITTERS, small),
            "ForceFallback": _Row(rollouts.force_fallback, OPERATORS, small, False),
            "ResetFallback": _Row(rollouts.reset_fallback, OPERATORS, small, False),
            "GetRolloutMetrics": _Row(rollouts.get_rollout_metrics, READERS, small),
            "ListComparisons": _Row(rollouts.list_comparisons, READERS, small),
        },
    }
    methods = (_method(service, name, row) for service, named in rows.items() for name, row in named.items())
    return {method.full_name: method for method in methods}


class _Row(NamedTuple):
    serve: Serve | None
    roles: frozenset[Role]
    size_limit: int
    idempotent: bool = True
    admission: Admission = Admission.RUNNING


def _method(service: str, name: str, row: _Row) -> Method:
    """Complete a row with what the proto says of the method."""
    described = SERVICES[service].methods_by_name[name]
    return Method(
        service=service,
        name=name,
        request=GetMessageClass(described.input_type),
        response=GetMessageClass(described.output_type),
        serve=row.serve,
        roles=row.roles,
        idempotent=row.idempotent,
        size_limit=row.size_limit,
        admission=row.admission,
        client_streaming=described.client_streaming,
        server_streaming=described.server_streaming,
    )
