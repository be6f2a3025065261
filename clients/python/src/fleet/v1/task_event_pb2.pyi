from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_STATUS_UNSPECIFIED: _ClassVar[StepStatus]
    STEP_STATUS_PENDING: _ClassVar[StepStatus]
    STEP_STATUS_RUNNING: _ClassVar[StepStatus]
    STEP_STATUS_COMPLETED: _ClassVar[StepStatus]
    STEP_STATUS_FAILED: _ClassVar[StepStatus]
    STEP_STATUS_SKIPPED: _ClassVar[StepStatus]

class CallStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALL_STATUS_UNSPECIFIED: _ClassVar[CallStatus]
    CALL_STATUS_CALLING: _ClassVar[CallStatus]
    CALL_STATUS_SUCCESS: _ClassVar[CallStatus]
    CALL_STATUS_ERROR: _ClassVar[CallStatus]
STEP_STATUS_UNSPECIFIED: StepStatus
STEP_STATUS_PENDING: StepStatus
STEP_STATUS_RUNNING: StepStatus
STEP_STATUS_COMPLETED: StepStatus
STEP_STATUS_FAILED: StepStatus
STEP_STATUS_SKIPPED: StepStatus
CALL_STATUS_UNSPECIFIED: CallStatus
CALL_STATUS_CALLING: CallStatus
CALL_STATUS_SUCCESS: CallStatus
CALL_STATUS_ERROR: CallStatus

class MessageEvent(_message.Message):
    __slots__ = ("content", "role", "data")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    content: str
    role: str
    data: _struct_pb2.Struct
    def __init__(self, content: _Optional[str] = ..., role: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ErrorEvent(_message.Message):
    __slots__ = ("code", "message", "step_id", "call_id")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    CALL_ID_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    step_id: str
    call_id: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., step_id: _Optional[str] = ..., call_id: _Optional[str] = ...) -> None: ...

class DoneEvent(_message.Message):
    __slots__ = ("session_id", "message_id", "usage", "execution_mode")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_MODE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    message_id: str
    usage: _struct_pb2.Struct
    execution_mode: str
    def __init__(self, session_id: _Optional[str] = ..., message_id: _Optional[str] = ..., usage: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., execution_mode: _Optional[str] = ...) -> None: ...

class HeartbeatEvent(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PlanStepEvent(_message.Message):
    __slots__ = ("step_id", "title", "status", "tool", "params")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    title: str
    status: StepStatus
    tool: str
    params: _struct_pb2.Struct
    def __init__(self, step_id: _Optional[str] = ..., title: _Optional[str] = ..., status: _Optional[_Union[StepStatus, str]] = ..., tool: _Optional[str] = ..., params: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SkillEvent(_message.Message):
    __slots__ = ("skill_id", "skill_name", "arguments", "status", "result", "error", "duration")
    SKILL_ID_FIELD_NUMBER: _ClassVar[int]
    SKILL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    skill_id: str
    skill_name: str
    arguments: _struct_pb2.Struct
    status: CallStatus
    result: _struct_pb2.Value
    error: str
    duration: _duration_pb2.Duration
    def __init__(self, skill_id: _Optional[str] = ..., skill_name: _Optional[str] = ..., arguments: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., status: _Optional[_Union[CallStatus, str]] = ..., result: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., error: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ToolEvent(_message.Message):
    __slots__ = ("server_id", "tool_name", "arguments", "status", "result", "error", "duration")
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    server_id: str
    tool_name: str
    arguments: _struct_pb2.Struct
    status: CallStatus
    result: _struct_pb2.Value
    error: str
    duration: _duration_pb2.Duration
    def __init__(self, server_id: _Optional[str] = ..., tool_name: _Optional[str] = ..., arguments: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., status: _Optional[_Union[CallStatus, str]] = ..., result: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., error: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class OtherEvent(_message.Message):
    __slots__ = ("type", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    data: _struct_pb2.Struct
    def __init__(self, type: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class TaskEvent(_message.Message):
    __slots__ = ("task_id", "seq", "position", "lease_epoch", "id", "timestamp", "message", "error", "done", "heartbeat", "plan_step", "skill_call", "skill_result", "mcp_call", "mcp_result", "tool_call", "tool_result", "other")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PLAN_STEP_FIELD_NUMBER: _ClassVar[int]
    SKILL_CALL_FIELD_NUMBER: _ClassVar[int]
    SKILL_RESULT_FIELD_NUMBER: _ClassVar[int]
    MCP_CALL_FIELD_NUMBER: _ClassVar[int]
    MCP_RESULT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    TOOL_RESULT_FIELD_NUMBER: _ClassVar[int]
    OTHER_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    seq: int
    position: int
    lease_epoch: int
    id: str
    timestamp: _timestamp_pb2.Timestamp
    message: MessageEvent
    error: ErrorEvent
    done: DoneEvent
    heartbeat: HeartbeatEvent
    plan_step: PlanStepEvent
    skill_call: SkillEvent
    skill_result: SkillEvent
    mcp_call: ToolEvent
    mcp_result: ToolEvent
    tool_call: ToolEvent
    tool_result: ToolEvent
    other: OtherEvent
    def __init__(self, task_id: _Optional[str] = ..., seq: _Optional[int] = ..., position: _Optional[int] = ..., lease_epoch: _Optional[int] = ..., id: _Optional[str] = ..., timestamp: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[_Union[MessageEvent, _Mapping]] = ..., error: _Optional[_Union[ErrorEvent, _Mapping]] = ..., done: _Optional[_Union[DoneEvent, _Mapping]] = ..., heartbeat: _Optional[_Union[HeartbeatEvent, _Mapping]] = ..., plan_step: _Optional[_Union[PlanStepEvent, _Mapping]] = ..., skill_call: _Optional[_Union[SkillEvent, _Mapping]] = ..., skill_result: _Optional[_Union[SkillEvent, _Mapping]] = ..., mcp_call: _Optional[_Union[ToolEvent, _Mapping]] = ..., mcp_result: _Optional[_Union[ToolEvent, _Mapping]] = ..., tool_call: _Optional[_Union[ToolEvent, _Mapping]] = ..., tool_result: _Optional[_Union[ToolEvent, _Mapping]] = ..., other: _Optional[_Union[OtherEvent, _Mapping]] = ...) -> None: ...
