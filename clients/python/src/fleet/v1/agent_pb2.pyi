from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AGENT_STATUS_UNSPECIFIED: _ClassVar[AgentStatus]
    AGENT_STATUS_IDLE: _ClassVar[AgentStatus]
    AGENT_STATUS_RUNNING: _ClassVar[AgentStatus]
    AGENT_STATUS_ERROR: _ClassVar[AgentStatus]
    AGENT_STATUS_STOPPED: _ClassVar[AgentStatus]

class SessionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_KIND_UNSPECIFIED: _ClassVar[SessionKind]
    SESSION_KIND_STREAM: _ClassVar[SessionKind]
    SESSION_KIND_UNARY: _ClassVar[SessionKind]
    SESSION_KIND_HOST: _ClassVar[SessionKind]

class OrderKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_KIND_UNSPECIFIED: _ClassVar[OrderKind]
    ORDER_KIND_CANCEL_TASK: _ClassVar[OrderKind]
    ORDER_KIND_TIMEOUT_TASK: _ClassVar[OrderKind]
    ORDER_KIND_RELEASE_TASK: _ClassVar[OrderKind]
    ORDER_KIND_DROP_TASK: _ClassVar[OrderKind]
    ORDER_KIND_DRAIN: _ClassVar[OrderKind]
    ORDER_KIND_UNDRAIN: _ClassVar[OrderKind]
    ORDER_KIND_STOP: _ClassVar[OrderKind]
    ORDER_KIND_START: _ClassVar[OrderKind]
    ORDER_KIND_RESTART: _ClassVar[OrderKind]
AGENT_STATUS_UNSPECIFIED: AgentStatus
AGENT_STATUS_IDLE: AgentStatus
AGENT_STATUS_RUNNING: AgentStatus
AGENT_STATUS_ERROR: AgentStatus
AGENT_STATUS_STOPPED: AgentStatus
SESSION_KIND_UNSPECIFIED: SessionKind
SESSION_KIND_STREAM: SessionKind
SESSION_KIND_UNARY: SessionKind
SESSION_KIND_HOST: SessionKind
ORDER_KIND_UNSPECIFIED: OrderKind
ORDER_KIND_CANCEL_TASK: OrderKind
ORDER_KIND_TIMEOUT_TASK: OrderKind
ORDER_KIND_RELEASE_TASK: OrderKind
ORDER_KIND_DROP_TASK: OrderKind
ORDER_KIND_DRAIN: OrderKind
ORDER_KIND_UNDRAIN: OrderKind
ORDER_KIND_STOP: OrderKind
ORDER_KIND_START: OrderKind
ORDER_KIND_RESTART: OrderKind

class AgentSpec(_message.Message):
    __slots__ = ("agent_id", "agent_type", "hostname", "endpoint", "capabilities", "max_concurrency", "labels", "metadata", "software_version")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    agent_id: str
    agent_type: str
    hostname: str
    endpoint: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    max_concurrency: int
    labels: _containers.ScalarMap[str, str]
    metadata: _containers.ScalarMap[str, str]
    software_version: str
    def __init__(self, agent_id: _Optional[str] = ..., agent_type: _Optional[str] = ..., hostname: _Optional[str] = ..., endpoint: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., max_concurrency: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., software_version: _Optional[str] = ...) -> None: ...

class Agent(_message.Message):
    __slots__ = ("spec", "status", "connected", "draining", "status_reason", "registered_at", "last_heartbeat_at", "session_kind", "session_epoch", "running_tasks", "completed_tasks", "failed_tasks", "consecutive_failures")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    STATUS_REASON_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARTBEAT_AT_FIELD_NUMBER: _ClassVar[int]
    SESSION_KIND_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    RUNNING_TASKS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_TASKS_FIELD_NUMBER: _ClassVar[int]
    FAILED_TASKS_FIELD_NUMBER: _ClassVar[int]
    CONSECUTIVE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    spec: AgentSpec
    status: AgentStatus
    connected: bool
    draining: bool
    status_reason: str
    registered_at: _timestamp_pb2.Timestamp
    last_heartbeat_at: _timestamp_pb2.Timestamp
    session_kind: SessionKind
    session_epoch: int
    running_tasks: int
    completed_tasks: int
    failed_tasks: int
    consecutive_failures: int
    def __init__(self, spec: _Optional[_Union[AgentSpec, _Mapping]] = ..., status: _Optional[_Union[AgentStatus, str]] = ..., connected: bool = ..., draining: bool = ..., status_reason: _Optional[str] = ..., registered_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_heartbeat_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., session_kind: _Optional[_Union[SessionKind, str]] = ..., session_epoch: _Optional[int] = ..., running_tasks: _Optional[int] = ..., completed_tasks: _Optional[int] = ..., failed_tasks: _Optional[int] = ..., consecutive_failures: _Optional[int] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("order_id", "kind", "task_id", "lease_epoch", "deadline", "reason")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    kind: OrderKind
    task_id: str
    lease_epoch: int
    deadline: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, order_id: _Optional[str] = ..., kind: _Optional[_Union[OrderKind, str]] = ..., task_id: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., deadline: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...
