from fleet.v1 import rollout_pb2 as _rollout_pb2
from fleet.v1 import route_pb2 as _route_pb2
from fleet.v1 import task_pb2 as _task_pb2
from fleet.v1 import task_event_pb2 as _task_event_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_RESULT_UNSPECIFIED: _ClassVar[ReportResult]
    REPORT_RESULT_ACCEPTED: _ClassVar[ReportResult]
    REPORT_RESULT_DUPLICATE: _ClassVar[ReportResult]
    REPORT_RESULT_LEASE_LOST: _ClassVar[ReportResult]
    REPORT_RESULT_REJECTED: _ClassVar[ReportResult]
REPORT_RESULT_UNSPECIFIED: ReportResult
REPORT_RESULT_ACCEPTED: ReportResult
REPORT_RESULT_DUPLICATE: ReportResult
REPORT_RESULT_LEASE_LOST: ReportResult
REPORT_RESULT_REJECTED: ReportResult

class Lease(_message.Message):
    __slots__ = ("task_id", "lease_epoch", "org_id", "title", "description", "task_type", "input", "metadata", "tags", "labels", "priority", "required_capabilities", "attempt", "max_attempts", "checkpoint", "timeout", "deadline", "traceparent", "exclusive", "parent_task_id", "route", "rollout")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    PARENT_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    lease_epoch: int
    org_id: str
    title: str
    description: str
    task_type: str
    input: _task_pb2.Payload
    metadata: _containers.ScalarMap[str, str]
    tags: _containers.RepeatedScalarFieldContainer[str]
    labels: _containers.ScalarMap[str, str]
    priority: _task_pb2.Priority
    required_capabilities: _containers.RepeatedScalarFieldContainer[str]
    attempt: int
    max_attempts: int
    checkpoint: _task_pb2.Checkpoint
    timeout: _duration_pb2.Duration
    deadline: _timestamp_pb2.Timestamp
    traceparent: str
    exclusive: bool
    parent_task_id: str
    route: _route_pb2.RouteAssignment
    rollout: _rollout_pb2.TaskRollout
    def __init__(self, task_id: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., org_id: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., task_type: _Optional[str] = ..., input: _Optional[_Union[_task_pb2.Payload, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., tags: _Optional[_Iterable[str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., priority: _Optional[_Union[_task_pb2.Priority, str]] = ..., required_capabilities: _Optional[_Iterable[str]] = ..., attempt: _Optional[int] = ..., max_attempts: _Optional[int] = ..., checkpoint: _Optional[_Union[_task_pb2.Checkpoint, _Mapping]] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., deadline: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., traceparent: _Optional[str] = ..., exclusive: bool = ..., parent_task_id: _Optional[str] = ..., route: _Optional[_Union[_route_pb2.RouteAssignment, _Mapping]] = ..., rollout: _Optional[_Union[_rollout_pb2.TaskRollout, _Mapping]] = ...) -> None: ...

class LeaseRef(_message.Message):
    __slots__ = ("task_id", "lease_epoch")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    lease_epoch: int
    def __init__(self, task_id: _Optional[str] = ..., lease_epoch: _Optional[int] = ...) -> None: ...

class AcceptWord(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StartWord(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProgressWord(_message.Message):
    __slots__ = ("percent", "message")
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    percent: int
    message: str
    def __init__(self, percent: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class CheckpointWord(_message.Message):
    __slots__ = ("data", "step_id")
    DATA_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    step_id: str
    def __init__(self, data: _Optional[bytes] = ..., step_id: _Optional[str] = ...) -> None: ...

class CompleteWord(_message.Message):
    __slots__ = ("output", "artifacts", "digest")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    output: _task_pb2.Payload
    artifacts: _containers.RepeatedCompositeFieldContainer[_task_pb2.Artifact]
    digest: str
    def __init__(self, output: _Optional[_Union[_task_pb2.Payload, _Mapping]] = ..., artifacts: _Optional[_Iterable[_Union[_task_pb2.Artifact, _Mapping]]] = ..., digest: _Optional[str] = ...) -> None: ...

class FailWord(_message.Message):
    __slots__ = ("code", "message", "output", "artifacts")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACTS_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    output: _task_pb2.Payload
    artifacts: _containers.RepeatedCompositeFieldContainer[_task_pb2.Artifact]
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., output: _Optional[_Union[_task_pb2.Payload, _Mapping]] = ..., artifacts: _Optional[_Iterable[_Union[_task_pb2.Artifact, _Mapping]]] = ...) -> None: ...

class ReleaseWord(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class StoppedWord(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InstanceFailedWord(_message.Message):
    __slots__ = ("instance", "code", "message", "retry_after")
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    instance: str
    code: str
    message: str
    retry_after: _duration_pb2.Duration
    def __init__(self, instance: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., retry_after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class EventsWord(_message.Message):
    __slots__ = ("first", "events")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    first: int
    events: _containers.RepeatedCompositeFieldContainer[_task_event_pb2.TaskEvent]
    def __init__(self, first: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_task_event_pb2.TaskEvent, _Mapping]]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("report_id", "task_id", "lease_epoch", "accept", "start", "progress", "checkpoint", "complete", "fail", "release", "stopped", "instance_failed", "events")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    FAIL_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FAILED_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    report_id: int
    task_id: str
    lease_epoch: int
    accept: AcceptWord
    start: StartWord
    progress: ProgressWord
    checkpoint: CheckpointWord
    complete: CompleteWord
    fail: FailWord
    release: ReleaseWord
    stopped: StoppedWord
    instance_failed: InstanceFailedWord
    events: EventsWord
    def __init__(self, report_id: _Optional[int] = ..., task_id: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., accept: _Optional[_Union[AcceptWord, _Mapping]] = ..., start: _Optional[_Union[StartWord, _Mapping]] = ..., progress: _Optional[_Union[ProgressWord, _Mapping]] = ..., checkpoint: _Optional[_Union[CheckpointWord, _Mapping]] = ..., complete: _Optional[_Union[CompleteWord, _Mapping]] = ..., fail: _Optional[_Union[FailWord, _Mapping]] = ..., release: _Optional[_Union[ReleaseWord, _Mapping]] = ..., stopped: _Optional[_Union[StoppedWord, _Mapping]] = ..., instance_failed: _Optional[_Union[InstanceFailedWord, _Mapping]] = ..., events: _Optional[_Union[EventsWord, _Mapping]] = ...) -> None: ...

class ReportAck(_message.Message):
    __slots__ = ("report_id", "task_id", "lease_epoch", "result", "message", "reason", "next")
    REPORT_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    report_id: int
    task_id: str
    lease_epoch: int
    result: ReportResult
    message: str
    reason: str
    next: _route_pb2.NextStep
    def __init__(self, report_id: _Optional[int] = ..., task_id: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., result: _Optional[_Union[ReportResult, str]] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ..., next: _Optional[_Union[_route_pb2.NextStep, _Mapping]] = ...) -> None: ...
