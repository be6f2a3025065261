from fleet.v1 import agent_pb2 as _agent_pb2
from fleet.v1 import lease_pb2 as _lease_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DaemonState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DAEMON_STATE_UNSPECIFIED: _ClassVar[DaemonState]
    DAEMON_STATE_STARTING: _ClassVar[DaemonState]
    DAEMON_STATE_SERVING: _ClassVar[DaemonState]
    DAEMON_STATE_DRAINING: _ClassVar[DaemonState]
DAEMON_STATE_UNSPECIFIED: DaemonState
DAEMON_STATE_STARTING: DaemonState
DAEMON_STATE_SERVING: DaemonState
DAEMON_STATE_DRAINING: DaemonState

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "daemon_id", "generation", "state", "started_at", "time", "store", "store_bytes", "writable", "commit_time", "queued_commands", "queue_limit", "connected_agents", "live_leases", "last_event_seq")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DAEMON_ID_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    STORE_BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    QUEUED_COMMANDS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_AGENTS_FIELD_NUMBER: _ClassVar[int]
    LIVE_LEASES_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_SEQ_FIELD_NUMBER: _ClassVar[int]
    version: str
    daemon_id: str
    generation: int
    state: DaemonState
    started_at: _timestamp_pb2.Timestamp
    time: _timestamp_pb2.Timestamp
    store: str
    store_bytes: int
    writable: bool
    commit_time: _duration_pb2.Duration
    queued_commands: int
    queue_limit: int
    connected_agents: int
    live_leases: int
    last_event_seq: int
    def __init__(self, version: _Optional[str] = ..., daemon_id: _Optional[str] = ..., generation: _Optional[int] = ..., state: _Optional[_Union[DaemonState, str]] = ..., started_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., store: _Optional[str] = ..., store_bytes: _Optional[int] = ..., writable: bool = ..., commit_time: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queued_commands: _Optional[int] = ..., queue_limit: _Optional[int] = ..., connected_agents: _Optional[int] = ..., live_leases: _Optional[int] = ..., last_event_seq: _Optional[int] = ...) -> None: ...

class ListAgentsRequest(_message.Message):
    __slots__ = ("capability", "statuses", "connected", "agent_type", "labels", "page_size", "page_token")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    capability: str
    statuses: _containers.RepeatedScalarFieldContainer[_agent_pb2.AgentStatus]
    connected: bool
    agent_type: str
    labels: _containers.ScalarMap[str, str]
    page_size: int
    page_token: str
    def __init__(self, capability: _Optional[str] = ..., statuses: _Optional[_Iterable[_Union[_agent_pb2.AgentStatus, str]]] = ..., connected: bool = ..., agent_type: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAgentsResponse(_message.Message):
    __slots__ = ("agents", "next_page_token")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[_agent_pb2.Agent]
    next_page_token: str
    def __init__(self, agents: _Optional[_Iterable[_Union[_agent_pb2.Agent, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetAgentRequest(_message.Message):
    __slots__ = ("agent_id",)
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    def __init__(self, agent_id: _Optional[str] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("agent_id", "incarnation", "held", "confirmed_orders")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_ORDERS_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    incarnation: str
    held: _containers.RepeatedCompositeFieldContainer[_lease_pb2.LeaseRef]
    confirmed_orders: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, agent_id: _Optional[str] = ..., incarnation: _Optional[str] = ..., held: _Optional[_Iterable[_Union[_lease_pb2.LeaseRef, _Mapping]]] = ..., confirmed_orders: _Optional[_Iterable[str]] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("heartbeat_interval", "lease_ttl", "leases", "orders")
    HEARTBEAT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    LEASE_TTL_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    heartbeat_interval: _duration_pb2.Duration
    lease_ttl: _duration_pb2.Duration
    leases: _containers.RepeatedCompositeFieldContainer[_lease_pb2.LeaseRef]
    orders: _containers.RepeatedCompositeFieldContainer[_agent_pb2.Order]
    def __init__(self, heartbeat_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., lease_ttl: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., leases: _Optional[_Iterable[_Union[_lease_pb2.LeaseRef, _Mapping]]] = ..., orders: _Optional[_Iterable[_Union[_agent_pb2.Order, _Mapping]]] = ...) -> None: ...

class GetAgentLoadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAgentLoadResponse(_message.Message):
    __slots__ = ("total", "idle", "running", "error", "stopped", "connected", "draining", "capacity", "leases")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    total: int
    idle: int
    running: int
    error: int
    stopped: int
    connected: int
    draining: int
    capacity: int
    leases: int
    def __init__(self, total: _Optional[int] = ..., idle: _Optional[int] = ..., running: _Optional[int] = ..., error: _Optional[int] = ..., stopped: _Optional[int] = ..., connected: _Optional[int] = ..., draining: _Optional[int] = ..., capacity: _Optional[int] = ..., leases: _Optional[int] = ...) -> None: ...

class GetAgentWorkloadRequest(_message.Message):
    __slots__ = ("agent_id", "page_size", "page_token")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    page_size: int
    page_token: str
    def __init__(self, agent_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetAgentWorkloadResponse(_message.Message):
    __slots__ = ("agents", "next_page_token")
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    agents: _containers.RepeatedCompositeFieldContainer[AgentWorkload]
    next_page_token: str
    def __init__(self, agents: _Optional[_Iterable[_Union[AgentWorkload, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AgentWorkload(_message.Message):
    __slots__ = ("agent_id", "current_task_ids", "max_concurrency", "completed", "failed", "error_rate", "average_execution", "last_heartbeat_at")
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENT_TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_AT_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    current_task_ids: _containers.RepeatedScalarFieldContainer[str]
    max_concurrency: int
    completed: int
    failed: int
    error_rate: float
    average_execution: _duration_pb2.Duration
    last_heartbeat_at: _timestamp_pb2.Timestamp
    def __init__(self, agent_id: _Optional[str] = ..., current_task_ids: _Optional[_Iterable[str]] = ..., max_concurrency: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., error_rate: _Optional[float] = ..., average_execution: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., last_heartbeat_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetQueueStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetQueueStatusResponse(_message.Message):
    __slots__ = ("all", "last_hour", "oldest_wait")
    ALL_FIELD_NUMBER: _ClassVar[int]
    LAST_HOUR_FIELD_NUMBER: _ClassVar[int]
    OLDEST_WAIT_FIELD_NUMBER: _ClassVar[int]
    all: QueueFigures
    last_hour: QueueFigures
    oldest_wait: _duration_pb2.Duration
    def __init__(self, all: _Optional[_Union[QueueFigures, _Mapping]] = ..., last_hour: _Optional[_Union[QueueFigures, _Mapping]] = ..., oldest_wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class QueueFigures(_message.Message):
    __slots__ = ("pending", "assigned", "running", "blocked", "completed", "failed", "cancelled", "dead_letter", "submitted", "average_wait", "average_execution")
    PENDING_FIELD_NUMBER: _ClassVar[int]
    ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_WAIT_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_EXECUTION_FIELD_NUMBER: _ClassVar[int]
    pending: int
    assigned: int
    running: int
    blocked: int
    completed: int
    failed: int
    cancelled: int
    dead_letter: int
    submitted: int
    average_wait: _duration_pb2.Duration
    average_execution: _duration_pb2.Duration
    def __init__(self, pending: _Optional[int] = ..., assigned: _Optional[int] = ..., running: _Optional[int] = ..., blocked: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., cancelled: _Optional[int] = ..., dead_letter: _Optional[int] = ..., submitted: _Optional[int] = ..., average_wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., average_execution: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
