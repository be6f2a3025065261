from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InstanceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTANCE_KIND_UNSPECIFIED: _ClassVar[InstanceKind]
    INSTANCE_KIND_LOCAL: _ClassVar[InstanceKind]
    INSTANCE_KIND_CLOUD: _ClassVar[InstanceKind]
    INSTANCE_KIND_PAID: _ClassVar[InstanceKind]

class InstanceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INSTANCE_STATE_UNSPECIFIED: _ClassVar[InstanceState]
    INSTANCE_STATE_UNKNOWN: _ClassVar[InstanceState]
    INSTANCE_STATE_READY: _ClassVar[InstanceState]
    INSTANCE_STATE_DEGRADED: _ClassVar[InstanceState]
    INSTANCE_STATE_ERROR: _ClassVar[InstanceState]
    INSTANCE_STATE_STOPPED: _ClassVar[InstanceState]
    INSTANCE_STATE_DISCONNECTED: _ClassVar[InstanceState]

class ProbeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROBE_KIND_UNSPECIFIED: _ClassVar[ProbeKind]
    PROBE_KIND_HTTP: _ClassVar[ProbeKind]
    PROBE_KIND_TCP: _ClassVar[ProbeKind]

class BreakerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_KIND_UNSPECIFIED: _ClassVar[BreakerKind]
    BREAKER_KIND_PROVIDER: _ClassVar[BreakerKind]
    BREAKER_KIND_INSTANCE: _ClassVar[BreakerKind]
    BREAKER_KIND_HOST: _ClassVar[BreakerKind]

class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_STATE_UNSPECIFIED: _ClassVar[BreakerState]
    BREAKER_STATE_CLOSED: _ClassVar[BreakerState]
    BREAKER_STATE_OPEN: _ClassVar[BreakerState]
    BREAKER_STATE_HALF_OPEN: _ClassVar[BreakerState]
INSTANCE_KIND_UNSPECIFIED: InstanceKind
INSTANCE_KIND_LOCAL: InstanceKind
INSTANCE_KIND_CLOUD: InstanceKind
INSTANCE_KIND_PAID: InstanceKind
INSTANCE_STATE_UNSPECIFIED: InstanceState
INSTANCE_STATE_UNKNOWN: InstanceState
INSTANCE_STATE_READY: InstanceState
INSTANCE_STATE_DEGRADED: InstanceState
INSTANCE_STATE_ERROR: InstanceState
INSTANCE_STATE_STOPPED: InstanceState
INSTANCE_STATE_DISCONNECTED: InstanceState
PROBE_KIND_UNSPECIFIED: ProbeKind
PROBE_KIND_HTTP: ProbeKind
PROBE_KIND_TCP: ProbeKind
BREAKER_KIND_UNSPECIFIED: BreakerKind
BREAKER_KIND_PROVIDER: BreakerKind
BREAKER_KIND_INSTANCE: BreakerKind
BREAKER_KIND_HOST: BreakerKind
BREAKER_STATE_UNSPECIFIED: BreakerState
BREAKER_STATE_CLOSED: BreakerState
BREAKER_STATE_OPEN: BreakerState
BREAKER_STATE_HALF_OPEN: BreakerState

class Instance(_message.Message):
    __slots__ = ("id", "provider_id", "kind", "tags", "ctx", "model", "base_url", "priority", "max_retries", "timeout", "enabled", "max_inflight", "input_cost_per_mtok", "output_cost_per_mtok", "deprecation_date", "credential", "probe", "probe_url", "failover")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    CTX_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MAX_INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    INPUT_COST_PER_MTOK_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COST_PER_MTOK_FIELD_NUMBER: _ClassVar[int]
    DEPRECATION_DATE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    PROBE_URL_FIELD_NUMBER: _ClassVar[int]
    FAILOVER_FIELD_NUMBER: _ClassVar[int]
    id: str
    provider_id: str
    kind: InstanceKind
    tags: _containers.RepeatedScalarFieldContainer[str]
    ctx: int
    model: str
    base_url: str
    priority: int
    max_retries: int
    timeout: _duration_pb2.Duration
    enabled: bool
    max_inflight: int
    input_cost_per_mtok: float
    output_cost_per_mtok: float
    deprecation_date: str
    credential: str
    probe: ProbeKind
    probe_url: str
    failover: bool
    def __init__(self, id: _Optional[str] = ..., provider_id: _Optional[str] = ..., kind: _Optional[_Union[InstanceKind, str]] = ..., tags: _Optional[_Iterable[str]] = ..., ctx: _Optional[int] = ..., model: _Optional[str] = ..., base_url: _Optional[str] = ..., priority: _Optional[int] = ..., max_retries: _Optional[int] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., enabled: bool = ..., max_inflight: _Optional[int] = ..., input_cost_per_mtok: _Optional[float] = ..., output_cost_per_mtok: _Optional[float] = ..., deprecation_date: _Optional[str] = ..., credential: _Optional[str] = ..., probe: _Optional[_Union[ProbeKind, str]] = ..., probe_url: _Optional[str] = ..., failover: bool = ...) -> None: ...

class InstanceStatus(_message.Message):
    __slots__ = ("instance", "state", "reason", "since", "latency", "inflight", "source", "credentials_present", "ready_ratio_1h", "ready_ratio_24h")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    INFLIGHT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CREDENTIALS_PRESENT_FIELD_NUMBER: _ClassVar[int]
    READY_RATIO_1H_FIELD_NUMBER: _ClassVar[int]
    READY_RATIO_24H_FIELD_NUMBER: _ClassVar[int]
    instance: Instance
    state: InstanceState
    reason: str
    since: _timestamp_pb2.Timestamp
    latency: _duration_pb2.Duration
    inflight: int
    source: str
    credentials_present: bool
    ready_ratio_1h: float
    ready_ratio_24h: float
    def __init__(self, instance: _Optional[_Union[Instance, _Mapping]] = ..., state: _Optional[_Union[InstanceState, str]] = ..., reason: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., inflight: _Optional[int] = ..., source: _Optional[str] = ..., credentials_present: bool = ..., ready_ratio_1h: _Optional[float] = ..., ready_ratio_24h: _Optional[float] = ...) -> None: ...

class Breaker(_message.Message):
    __slots__ = ("kind", "name", "state", "failure_count", "opened_at", "retry_at", "last_error", "forced", "epoch")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AT_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    kind: BreakerKind
    name: str
    state: BreakerState
    failure_count: int
    opened_at: _timestamp_pb2.Timestamp
    retry_at: _timestamp_pb2.Timestamp
    last_error: str
    forced: bool
    epoch: int
    def __init__(self, kind: _Optional[_Union[BreakerKind, str]] = ..., name: _Optional[str] = ..., state: _Optional[_Union[BreakerState, str]] = ..., failure_count: _Optional[int] = ..., opened_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., retry_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., last_error: _Optional[str] = ..., forced: bool = ..., epoch: _Optional[int] = ...) -> None: ...
