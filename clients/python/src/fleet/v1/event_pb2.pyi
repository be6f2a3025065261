from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_TASK_CREATED: _ClassVar[EventType]
    EVENT_TYPE_TASK_UPDATED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ROUTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ROUTE_VERIFIED: _ClassVar[EventType]
    EVENT_TYPE_TASK_REROUTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ROUTE_OVERRIDDEN: _ClassVar[EventType]
    EVENT_TYPE_TASK_ROUTE_BLOCKED: _ClassVar[EventType]
    EVENT_TYPE_TASK_UNBLOCKED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ASSIGNED: _ClassVar[EventType]
    EVENT_TYPE_TASK_ACCEPTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_STARTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_PROGRESS: _ClassVar[EventType]
    EVENT_TYPE_TASK_CHECKPOINTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_LEASE_EXPIRED: _ClassVar[EventType]
    EVENT_TYPE_TASK_RELEASED: _ClassVar[EventType]
    EVENT_TYPE_TASK_COMPLETED: _ClassVar[EventType]
    EVENT_TYPE_TASK_FAILED: _ClassVar[EventType]
    EVENT_TYPE_TASK_RETRY_SCHEDULED: _ClassVar[EventType]
    EVENT_TYPE_TASK_TIMEOUT: _ClassVar[EventType]
    EVENT_TYPE_TASK_CANCEL_REQUESTED: _ClassVar[EventType]
    EVENT_TYPE_TASK_CANCELLED: _ClassVar[EventType]
    EVENT_TYPE_TASK_DEAD_LETTERED: _ClassVar[EventType]
    EVENT_TYPE_TASK_REPLAYED: _ClassVar[EventType]
    EVENT_TYPE_TASK_DISCARDED: _ClassVar[EventType]
    EVENT_TYPE_EXECUTION_MODE_DECIDED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_REGISTERED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_UNREGISTERED: _ClassVar[EventType]
    EVENT_TYPE_AGENT_LOST: _ClassVar[EventType]
    EVENT_TYPE_AGENT_STATUS: _ClassVar[EventType]
    EVENT_TYPE_HOST_STATE: _ClassVar[EventType]
    EVENT_TYPE_INSTANCE_STATE: _ClassVar[EventType]
    EVENT_TYPE_BREAKER_OPENED: _ClassVar[EventType]
    EVENT_TYPE_BREAKER_HALF_OPEN: _ClassVar[EventType]
    EVENT_TYPE_BREAKER_CLOSED: _ClassVar[EventType]
    EVENT_TYPE_ROLLOUT_FALLBACK_ON: _ClassVar[EventType]
    EVENT_TYPE_ROLLOUT_TRIAL: _ClassVar[EventType]
    EVENT_TYPE_ROLLOUT_FALLBACK_OFF: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_TASK_CREATED: EventType
EVENT_TYPE_TASK_UPDATED: EventType
EVENT_TYPE_TASK_ROUTED: EventType
EVENT_TYPE_TASK_ROUTE_VERIFIED: EventType
EVENT_TYPE_TASK_REROUTED: EventType
EVENT_TYPE_TASK_ROUTE_OVERRIDDEN: EventType
EVENT_TYPE_TASK_ROUTE_BLOCKED: EventType
EVENT_TYPE_TASK_UNBLOCKED: EventType
EVENT_TYPE_TASK_ASSIGNED: EventType
EVENT_TYPE_TASK_ACCEPTED: EventType
EVENT_TYPE_TASK_STARTED: EventType
EVENT_TYPE_TASK_PROGRESS: EventType
EVENT_TYPE_TASK_CHECKPOINTED: EventType
EVENT_TYPE_TASK_LEASE_EXPIRED: EventType
EVENT_TYPE_TASK_RELEASED: EventType
EVENT_TYPE_TASK_COMPLETED: EventType
EVENT_TYPE_TASK_FAILED: EventType
EVENT_TYPE_TASK_RETRY_SCHEDULED: EventType
EVENT_TYPE_TASK_TIMEOUT: EventType
EVENT_TYPE_TASK_CANCEL_REQUESTED: EventType
EVENT_TYPE_TASK_CANCELLED: EventType
EVENT_TYPE_TASK_DEAD_LETTERED: EventType
EVENT_TYPE_TASK_REPLAYED: EventType
EVENT_TYPE_TASK_DISCARDED: EventType
EVENT_TYPE_EXECUTION_MODE_DECIDED: EventType
EVENT_TYPE_AGENT_REGISTERED: EventType
EVENT_TYPE_AGENT_UNREGISTERED: EventType
EVENT_TYPE_AGENT_LOST: EventType
EVENT_TYPE_AGENT_STATUS: EventType
EVENT_TYPE_HOST_STATE: EventType
EVENT_TYPE_INSTANCE_STATE: EventType
EVENT_TYPE_BREAKER_OPENED: EventType
EVENT_TYPE_BREAKER_HALF_OPEN: EventType
EVENT_TYPE_BREAKER_CLOSED: EventType
EVENT_TYPE_ROLLOUT_FALLBACK_ON: EventType
EVENT_TYPE_ROLLOUT_TRIAL: EventType
EVENT_TYPE_ROLLOUT_FALLBACK_OFF: EventType

class Event(_message.Message):
    __slots__ = ("seq", "task_seq", "time", "type", "task_id", "agent_id", "org_id", "payload")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TASK_SEQ_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    seq: int
    task_seq: int
    time: _timestamp_pb2.Timestamp
    type: EventType
    task_id: str
    agent_id: str
    org_id: str
    payload: _struct_pb2.Struct
    def __init__(self, seq: _Optional[int] = ..., task_seq: _Optional[int] = ..., time: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[_Union[EventType, str]] = ..., task_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., org_id: _Optional[str] = ..., payload: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class EventFilter(_message.Message):
    __slots__ = ("task_id", "agent_id", "org_id", "types", "after", "before")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    agent_id: str
    org_id: str
    types: _containers.RepeatedScalarFieldContainer[EventType]
    after: _timestamp_pb2.Timestamp
    before: _timestamp_pb2.Timestamp
    def __init__(self, task_id: _Optional[str] = ..., agent_id: _Optional[str] = ..., org_id: _Optional[str] = ..., types: _Optional[_Iterable[_Union[EventType, str]]] = ..., after: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., before: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
