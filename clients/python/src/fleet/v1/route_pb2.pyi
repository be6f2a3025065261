from fleet.v1 import instance_pb2 as _instance_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LatencyClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LATENCY_CLASS_UNSPECIFIED: _ClassVar[LatencyClass]
    LATENCY_CLASS_NORMAL: _ClassVar[LatencyClass]
    LATENCY_CLASS_FAST: _ClassVar[LatencyClass]
    LATENCY_CLASS_BATCH: _ClassVar[LatencyClass]

class StepKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_KIND_UNSPECIFIED: _ClassVar[StepKind]
    STEP_KIND_PROCEED: _ClassVar[StepKind]
    STEP_KIND_RETRY_SAME: _ClassVar[StepKind]
    STEP_KIND_SWITCH: _ClassVar[StepKind]
    STEP_KIND_GIVE_UP: _ClassVar[StepKind]
LATENCY_CLASS_UNSPECIFIED: LatencyClass
LATENCY_CLASS_NORMAL: LatencyClass
LATENCY_CLASS_FAST: LatencyClass
LATENCY_CLASS_BATCH: LatencyClass
STEP_KIND_UNSPECIFIED: StepKind
STEP_KIND_PROCEED: StepKind
STEP_KIND_RETRY_SAME: StepKind
STEP_KIND_SWITCH: StepKind
STEP_KIND_GIVE_UP: StepKind

class RouteRequirements(_message.Message):
    __slots__ = ("needs", "prefer", "min_ctx", "latency_class", "required", "model")
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    PREFER_FIELD_NUMBER: _ClassVar[int]
    MIN_CTX_FIELD_NUMBER: _ClassVar[int]
    LATENCY_CLASS_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    needs: _containers.RepeatedScalarFieldContainer[str]
    prefer: _containers.RepeatedScalarFieldContainer[str]
    min_ctx: int
    latency_class: LatencyClass
    required: _containers.RepeatedScalarFieldContainer[str]
    model: str
    def __init__(self, needs: _Optional[_Iterable[str]] = ..., prefer: _Optional[_Iterable[str]] = ..., min_ctx: _Optional[int] = ..., latency_class: _Optional[_Union[LatencyClass, str]] = ..., required: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ...) -> None: ...

class ScoreTerm(_message.Message):
    __slots__ = ("name", "value", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    detail: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class CandidateTrace(_message.Message):
    __slots__ = ("instance", "eliminated_by", "observed", "required", "terms", "raw_score", "score")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ELIMINATED_BY_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    RAW_SCORE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    instance: str
    eliminated_by: str
    observed: str
    required: str
    terms: _containers.RepeatedCompositeFieldContainer[ScoreTerm]
    raw_score: float
    score: float
    def __init__(self, instance: _Optional[str] = ..., eliminated_by: _Optional[str] = ..., observed: _Optional[str] = ..., required: _Optional[str] = ..., terms: _Optional[_Iterable[_Union[ScoreTerm, _Mapping]]] = ..., raw_score: _Optional[float] = ..., score: _Optional[float] = ...) -> None: ...

class Elimination(_message.Message):
    __slots__ = ("filter", "count", "detail")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    filter: str
    count: int
    detail: str
    def __init__(self, filter: _Optional[str] = ..., count: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class RoutePlan(_message.Message):
    __slots__ = ("plan_id", "task_id", "version", "selected", "fallback", "scores", "reasons", "requirements", "router_version", "registry_version", "seed", "made_at", "eliminated", "considered", "trace", "cause", "summary", "retry_at")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    ROUTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    MADE_AT_FIELD_NUMBER: _ClassVar[int]
    ELIMINATED_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    RETRY_AT_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    task_id: str
    version: int
    selected: str
    fallback: _containers.RepeatedScalarFieldContainer[str]
    scores: _containers.ScalarMap[str, float]
    reasons: _containers.RepeatedScalarFieldContainer[str]
    requirements: RouteRequirements
    router_version: str
    registry_version: int
    seed: str
    made_at: _timestamp_pb2.Timestamp
    eliminated: _containers.RepeatedCompositeFieldContainer[Elimination]
    considered: int
    trace: _containers.RepeatedCompositeFieldContainer[CandidateTrace]
    cause: str
    summary: str
    retry_at: _timestamp_pb2.Timestamp
    def __init__(self, plan_id: _Optional[str] = ..., task_id: _Optional[str] = ..., version: _Optional[int] = ..., selected: _Optional[str] = ..., fallback: _Optional[_Iterable[str]] = ..., scores: _Optional[_Mapping[str, float]] = ..., reasons: _Optional[_Iterable[str]] = ..., requirements: _Optional[_Union[RouteRequirements, _Mapping]] = ..., router_version: _Optional[str] = ..., registry_version: _Optional[int] = ..., seed: _Optional[str] = ..., made_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., eliminated: _Optional[_Iterable[_Union[Elimination, _Mapping]]] = ..., considered: _Optional[int] = ..., trace: _Optional[_Iterable[_Union[CandidateTrace, _Mapping]]] = ..., cause: _Optional[str] = ..., summary: _Optional[str] = ..., retry_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class NextStep(_message.Message):
    __slots__ = ("kind", "delay", "instance", "code", "reason", "plan_version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: StepKind
    delay: _duration_pb2.Duration
    instance: _instance_pb2.Instance
    code: str
    reason: str
    plan_version: int
    def __init__(self, kind: _Optional[_Union[StepKind, str]] = ..., delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., instance: _Optional[_Union[_instance_pb2.Instance, _Mapping]] = ..., code: _Optional[str] = ..., reason: _Optional[str] = ..., plan_version: _Optional[int] = ...) -> None: ...

class RouteAssignment(_message.Message):
    __slots__ = ("plan_id", "plan_version", "instance", "fallback")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    plan_version: int
    instance: _instance_pb2.Instance
    fallback: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plan_id: _Optional[str] = ..., plan_version: _Optional[int] = ..., instance: _Optional[_Union[_instance_pb2.Instance, _Mapping]] = ..., fallback: _Optional[_Iterable[str]] = ...) -> None: ...
