from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RolloutPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_PHASE_UNSPECIFIED: _ClassVar[RolloutPhase]
    ROLLOUT_PHASE_NORMAL: _ClassVar[RolloutPhase]
    ROLLOUT_PHASE_FALLBACK: _ClassVar[RolloutPhase]
    ROLLOUT_PHASE_TRIAL: _ClassVar[RolloutPhase]

class RolloutBucket(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_BUCKET_UNSPECIFIED: _ClassVar[RolloutBucket]
    ROLLOUT_BUCKET_ORG: _ClassVar[RolloutBucket]
    ROLLOUT_BUCKET_SESSION: _ClassVar[RolloutBucket]

class DecisionCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_CAUSE_UNSPECIFIED: _ClassVar[DecisionCause]
    DECISION_CAUSE_FORCED: _ClassVar[DecisionCause]
    DECISION_CAUSE_AUTO_FALLBACK: _ClassVar[DecisionCause]
    DECISION_CAUSE_EXPLICIT_MODE: _ClassVar[DecisionCause]
    DECISION_CAUSE_DENY_LIST: _ClassVar[DecisionCause]
    DECISION_CAUSE_ALLOW_LIST: _ClassVar[DecisionCause]
    DECISION_CAUSE_PERCENT: _ClassVar[DecisionCause]
    DECISION_CAUSE_DEFAULT_MODE: _ClassVar[DecisionCause]

class RolloutOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_ORIGIN_UNSPECIFIED: _ClassVar[RolloutOrigin]
    ROLLOUT_ORIGIN_STORE: _ClassVar[RolloutOrigin]
    ROLLOUT_ORIGIN_FILE: _ClassVar[RolloutOrigin]
    ROLLOUT_ORIGIN_ENVIRONMENT: _ClassVar[RolloutOrigin]

class Equality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EQUALITY_UNSPECIFIED: _ClassVar[Equality]
    EQUALITY_EQUAL: _ClassVar[Equality]
    EQUALITY_DIFFERENT: _ClassVar[Equality]
ROLLOUT_PHASE_UNSPECIFIED: RolloutPhase
ROLLOUT_PHASE_NORMAL: RolloutPhase
ROLLOUT_PHASE_FALLBACK: RolloutPhase
ROLLOUT_PHASE_TRIAL: RolloutPhase
ROLLOUT_BUCKET_UNSPECIFIED: RolloutBucket
ROLLOUT_BUCKET_ORG: RolloutBucket
ROLLOUT_BUCKET_SESSION: RolloutBucket
DECISION_CAUSE_UNSPECIFIED: DecisionCause
DECISION_CAUSE_FORCED: DecisionCause
DECISION_CAUSE_AUTO_FALLBACK: DecisionCause
DECISION_CAUSE_EXPLICIT_MODE: DecisionCause
DECISION_CAUSE_DENY_LIST: DecisionCause
DECISION_CAUSE_ALLOW_LIST: DecisionCause
DECISION_CAUSE_PERCENT: DecisionCause
DECISION_CAUSE_DEFAULT_MODE: DecisionCause
ROLLOUT_ORIGIN_UNSPECIFIED: RolloutOrigin
ROLLOUT_ORIGIN_STORE: RolloutOrigin
ROLLOUT_ORIGIN_FILE: RolloutOrigin
ROLLOUT_ORIGIN_ENVIRONMENT: RolloutOrigin
EQUALITY_UNSPECIFIED: Equality
EQUALITY_EQUAL: Equality
EQUALITY_DIFFERENT: Equality

class RolloutMode(_message.Message):
    __slots__ = ("name", "required_capabilities")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    required_capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., required_capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class FallbackRules(_message.Message):
    __slots__ = ("error_rate", "timeout_rate", "timeout_threshold", "latency_share", "window", "min_samples", "probe_failures", "probe_interval", "probe_timeout", "dwell", "dwell_max", "dwell_decay", "trial_percent", "trial_for", "recovery_share", "per_org")
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_RATE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_SHARE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    MIN_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    PROBE_FAILURES_FIELD_NUMBER: _ClassVar[int]
    PROBE_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PROBE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DWELL_FIELD_NUMBER: _ClassVar[int]
    DWELL_MAX_FIELD_NUMBER: _ClassVar[int]
    DWELL_DECAY_FIELD_NUMBER: _ClassVar[int]
    TRIAL_PERCENT_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FOR_FIELD_NUMBER: _ClassVar[int]
    RECOVERY_SHARE_FIELD_NUMBER: _ClassVar[int]
    PER_ORG_FIELD_NUMBER: _ClassVar[int]
    error_rate: float
    timeout_rate: float
    timeout_threshold: _duration_pb2.Duration
    latency_share: float
    window: _duration_pb2.Duration
    min_samples: int
    probe_failures: int
    probe_interval: _duration_pb2.Duration
    probe_timeout: _duration_pb2.Duration
    dwell: _duration_pb2.Duration
    dwell_max: _duration_pb2.Duration
    dwell_decay: _duration_pb2.Duration
    trial_percent: float
    trial_for: _duration_pb2.Duration
    recovery_share: float
    per_org: bool
    def __init__(self, error_rate: _Optional[float] = ..., timeout_rate: _Optional[float] = ..., timeout_threshold: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., latency_share: _Optional[float] = ..., window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., min_samples: _Optional[int] = ..., probe_failures: _Optional[int] = ..., probe_interval: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., probe_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., dwell: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., dwell_max: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., dwell_decay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., trial_percent: _Optional[float] = ..., trial_for: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., recovery_share: _Optional[float] = ..., per_org: bool = ...) -> None: ...

class RolloutTargets(_message.Message):
    __slots__ = ("avg_latency", "p95_latency", "error_rate", "timeout_rate")
    AVG_LATENCY_FIELD_NUMBER: _ClassVar[int]
    P95_LATENCY_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_RATE_FIELD_NUMBER: _ClassVar[int]
    avg_latency: _duration_pb2.Duration
    p95_latency: _duration_pb2.Duration
    error_rate: float
    timeout_rate: float
    def __init__(self, avg_latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., p95_latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., error_rate: _Optional[float] = ..., timeout_rate: _Optional[float] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("name", "old_mode", "new_mode", "default_mode", "explicit_mode", "allow_orgs", "deny_orgs", "percent", "bucket_by", "salt", "hash_version", "shadow_percent", "shadow_limit", "fallback", "health_url", "targets", "origin", "version", "updated_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OLD_MODE_FIELD_NUMBER: _ClassVar[int]
    NEW_MODE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODE_FIELD_NUMBER: _ClassVar[int]
    EXPLICIT_MODE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_ORGS_FIELD_NUMBER: _ClassVar[int]
    DENY_ORGS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    BUCKET_BY_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    HASH_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHADOW_PERCENT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_LIMIT_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    HEALTH_URL_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    old_mode: RolloutMode
    new_mode: RolloutMode
    default_mode: str
    explicit_mode: str
    allow_orgs: _containers.RepeatedScalarFieldContainer[str]
    deny_orgs: _containers.RepeatedScalarFieldContainer[str]
    percent: float
    bucket_by: RolloutBucket
    salt: str
    hash_version: int
    shadow_percent: float
    shadow_limit: int
    fallback: FallbackRules
    health_url: str
    targets: RolloutTargets
    origin: RolloutOrigin
    version: int
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., old_mode: _Optional[_Union[RolloutMode, _Mapping]] = ..., new_mode: _Optional[_Union[RolloutMode, _Mapping]] = ..., default_mode: _Optional[str] = ..., explicit_mode: _Optional[str] = ..., allow_orgs: _Optional[_Iterable[str]] = ..., deny_orgs: _Optional[_Iterable[str]] = ..., percent: _Optional[float] = ..., bucket_by: _Optional[_Union[RolloutBucket, str]] = ..., salt: _Optional[str] = ..., hash_version: _Optional[int] = ..., shadow_percent: _Optional[float] = ..., shadow_limit: _Optional[int] = ..., fallback: _Optional[_Union[FallbackRules, _Mapping]] = ..., health_url: _Optional[str] = ..., targets: _Optional[_Union[RolloutTargets, _Mapping]] = ..., origin: _Optional[_Union[RolloutOrigin, str]] = ..., version: _Optional[int] = ..., updated_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ForcedFallback(_message.Message):
    __slots__ = ("on", "reason", "actor", "until")
    ON_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    on: bool
    reason: str
    actor: str
    until: _timestamp_pb2.Timestamp
    def __init__(self, on: bool = ..., reason: _Optional[str] = ..., actor: _Optional[str] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FallbackState(_message.Message):
    __slots__ = ("rollout", "org_id", "phase", "fallback", "reason", "since", "until", "dwell", "failed_trials", "epoch", "forced")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    DWELL_FIELD_NUMBER: _ClassVar[int]
    FAILED_TRIALS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    phase: RolloutPhase
    fallback: bool
    reason: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    dwell: _duration_pb2.Duration
    failed_trials: int
    epoch: int
    forced: ForcedFallback
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., phase: _Optional[_Union[RolloutPhase, str]] = ..., fallback: bool = ..., reason: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., dwell: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., failed_trials: _Optional[int] = ..., epoch: _Optional[int] = ..., forced: _Optional[_Union[ForcedFallback, _Mapping]] = ...) -> None: ...

class RolloutUse(_message.Message):
    __slots__ = ("rollout", "org_id", "session_id")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    session_id: str
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class ModeDecision(_message.Message):
    __slots__ = ("decision_id", "rollout", "org_id", "mode", "cause", "reason", "epoch", "trial", "shadow_mode", "bucket")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    SHADOW_MODE_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    rollout: str
    org_id: str
    mode: str
    cause: DecisionCause
    reason: str
    epoch: int
    trial: bool
    shadow_mode: str
    bucket: float
    def __init__(self, decision_id: _Optional[str] = ..., rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., mode: _Optional[str] = ..., cause: _Optional[_Union[DecisionCause, str]] = ..., reason: _Optional[str] = ..., epoch: _Optional[int] = ..., trial: bool = ..., shadow_mode: _Optional[str] = ..., bucket: _Optional[float] = ...) -> None: ...

class RolloutOutcome(_message.Message):
    __slots__ = ("rollout", "org_id", "mode", "epoch", "decision_id", "shadow", "size", "digest")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    mode: str
    epoch: int
    decision_id: str
    shadow: bool
    size: int
    digest: str
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., mode: _Optional[str] = ..., epoch: _Optional[int] = ..., decision_id: _Optional[str] = ..., shadow: bool = ..., size: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class TaskRollout(_message.Message):
    __slots__ = ("rollout", "mode", "cause", "epoch", "trial", "shadow", "shadow_of")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TRIAL_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    SHADOW_OF_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    mode: str
    cause: DecisionCause
    epoch: int
    trial: bool
    shadow: bool
    shadow_of: str
    def __init__(self, rollout: _Optional[str] = ..., mode: _Optional[str] = ..., cause: _Optional[_Union[DecisionCause, str]] = ..., epoch: _Optional[int] = ..., trial: bool = ..., shadow: bool = ..., shadow_of: _Optional[str] = ...) -> None: ...

class TargetResult(_message.Message):
    __slots__ = ("name", "target", "actual", "met")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ACTUAL_FIELD_NUMBER: _ClassVar[int]
    MET_FIELD_NUMBER: _ClassVar[int]
    name: str
    target: float
    actual: float
    met: bool
    def __init__(self, name: _Optional[str] = ..., target: _Optional[float] = ..., actual: _Optional[float] = ..., met: bool = ...) -> None: ...

class ModeMetrics(_message.Message):
    __slots__ = ("mode", "total", "success", "error", "timeout", "avg_latency", "p95_latency", "error_rate", "timeout_rate", "targets")
    MODE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    AVG_LATENCY_FIELD_NUMBER: _ClassVar[int]
    P95_LATENCY_FIELD_NUMBER: _ClassVar[int]
    ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_RATE_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    mode: str
    total: int
    success: int
    error: int
    timeout: int
    avg_latency: _duration_pb2.Duration
    p95_latency: _duration_pb2.Duration
    error_rate: float
    timeout_rate: float
    targets: _containers.RepeatedCompositeFieldContainer[TargetResult]
    def __init__(self, mode: _Optional[str] = ..., total: _Optional[int] = ..., success: _Optional[int] = ..., error: _Optional[int] = ..., timeout: _Optional[int] = ..., avg_latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., p95_latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., error_rate: _Optional[float] = ..., timeout_rate: _Optional[float] = ..., targets: _Optional[_Iterable[_Union[TargetResult, _Mapping]]] = ...) -> None: ...

class RolloutMetrics(_message.Message):
    __slots__ = ("rollout", "org_id", "old_mode", "new_mode", "shadow", "fallback", "window")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    OLD_MODE_FIELD_NUMBER: _ClassVar[int]
    NEW_MODE_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    old_mode: ModeMetrics
    new_mode: ModeMetrics
    shadow: ModeMetrics
    fallback: FallbackState
    window: _duration_pb2.Duration
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., old_mode: _Optional[_Union[ModeMetrics, _Mapping]] = ..., new_mode: _Optional[_Union[ModeMetrics, _Mapping]] = ..., shadow: _Optional[_Union[ModeMetrics, _Mapping]] = ..., fallback: _Optional[_Union[FallbackState, _Mapping]] = ..., window: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ComparedSide(_message.Message):
    __slots__ = ("id", "mode", "finished", "code", "latency", "size", "digest")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    id: str
    mode: str
    finished: bool
    code: str
    latency: _duration_pb2.Duration
    size: int
    digest: str
    def __init__(self, id: _Optional[str] = ..., mode: _Optional[str] = ..., finished: bool = ..., code: _Optional[str] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., size: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class Comparison(_message.Message):
    __slots__ = ("id", "rollout", "org_id", "primary", "shadow", "same_status", "output", "created_at", "finished_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    SAME_STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    rollout: str
    org_id: str
    primary: ComparedSide
    shadow: ComparedSide
    same_status: bool
    output: Equality
    created_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., primary: _Optional[_Union[ComparedSide, _Mapping]] = ..., shadow: _Optional[_Union[ComparedSide, _Mapping]] = ..., same_status: bool = ..., output: _Optional[_Union[Equality, str]] = ..., created_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
