"""Client and agent runtime of fleetd, the control plane for fleets of AI agents."""

from fleetd_client import task_events
from fleetd_client.agent import Agent
from fleetd_client.client import FleetClient
from fleetd_client.context import Context
from fleetd_client.decision import Decision, TaskMode
from fleetd_client.errors import (
    Aborted,
    AlreadyExists,
    ClientClosed,
    DeadlineExceeded,
    Denied,
    FailedPrecondition,
    FleetError,
    Internal,
    InvalidArgument,
    LeaseLost,
    NotFound,
    OutOfRange,
    Overloaded,
    SessionReplaced,
    Unavailable,
    Unimplemented,
)
from fleetd_client.journal import EventsRefused
from fleetd_client.outcome import AgentFail, Cancelled, Fatal, GiveUp, Result, Retry
from fleetd_client.payload import content, unpack
from fleetd_client.routes import outcome, to_route
from fleetd_client.stubs import Artifact, Instance, RouteRequirements, TaskEvent
from fleetd_client.sync import FleetClientSync
from fleetd_client.tasks import Submitted, task

__all__ = [
    "Aborted",
    "Agent",
    "AgentFail",
    "AlreadyExists",
    "Artifact",
    "Cancelled",
    "ClientClosed",
    "Context",
    "DeadlineExceeded",
    "Decision",
    "Denied",
    "EventsRefused",
    "FailedPrecondition",
    "Fatal",
    "FleetClient",
    "FleetClientSync",
    "FleetError",
    "GiveUp",
    "Instance",
    "Internal",
    "InvalidArgument",
    "LeaseLost",
    "NotFound",
    "OutOfRange",
    "Overloaded",
    "Result",
    "Retry",
    "RouteRequirements",
    "SessionReplaced",
    "Submitted",
    "TaskEvent",
    "TaskMode",
    "Unavailable",
    "Unimplemented",
    "content",
    "outcome",
    "task",
    "task_events",
    "to_route",
    "unpack",
]
