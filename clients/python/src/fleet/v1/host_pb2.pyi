from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HostState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HOST_STATE_UNSPECIFIED: _ClassVar[HostState]
    HOST_STATE_UNKNOWN: _ClassVar[HostState]
    HOST_STATE_ONLINE: _ClassVar[HostState]
    HOST_STATE_OFFLINE: _ClassVar[HostState]
    HOST_STATE_STOPPED: _ClassVar[HostState]
HOST_STATE_UNSPECIFIED: HostState
HOST_STATE_UNKNOWN: HostState
HOST_STATE_ONLINE: HostState
HOST_STATE_OFFLINE: HostState
HOST_STATE_STOPPED: HostState

class Host(_message.Message):
    __slots__ = ("id", "hostname", "user", "port", "key_file", "known_hosts", "work_dir", "agents", "enabled")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    KEY_FILE_FIELD_NUMBER: _ClassVar[int]
    KNOWN_HOSTS_FIELD_NUMBER: _ClassVar[int]
    WORK_DIR_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    id: str
    hostname: str
    user: str
    port: int
    key_file: str
    known_hosts: str
    work_dir: str
    agents: _containers.RepeatedCompositeFieldContainer[HostAgent]
    enabled: bool
    def __init__(self, id: _Optional[str] = ..., hostname: _Optional[str] = ..., user: _Optional[str] = ..., port: _Optional[int] = ..., key_file: _Optional[str] = ..., known_hosts: _Optional[str] = ..., work_dir: _Optional[str] = ..., agents: _Optional[_Iterable[_Union[HostAgent, _Mapping]]] = ..., enabled: bool = ...) -> None: ...

class HostAgent(_message.Message):
    __slots__ = ("type", "command", "capabilities", "max_concurrency", "parser", "prompt", "timeout", "env")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    PARSER_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    type: str
    command: _containers.RepeatedScalarFieldContainer[str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    max_concurrency: int
    parser: str
    prompt: str
    timeout: _duration_pb2.Duration
    env: _containers.ScalarMap[str, str]
    def __init__(self, type: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., capabilities: _Optional[_Iterable[str]] = ..., max_concurrency: _Optional[int] = ..., parser: _Optional[str] = ..., prompt: _Optional[str] = ..., timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., env: _Optional[_Mapping[str, str]] = ...) -> None: ...

class HostStatus(_message.Message):
    __slots__ = ("host", "state", "reason", "since", "running", "source", "held")
    class RunningEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    HOST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    host: Host
    state: HostState
    reason: str
    since: _timestamp_pb2.Timestamp
    running: _containers.ScalarMap[str, int]
    source: str
    held: bool
    def __init__(self, host: _Optional[_Union[Host, _Mapping]] = ..., state: _Optional[_Union[HostState, str]] = ..., reason: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., running: _Optional[_Mapping[str, int]] = ..., source: _Optional[str] = ..., held: bool = ...) -> None: ...
