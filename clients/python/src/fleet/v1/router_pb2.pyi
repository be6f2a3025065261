from fleet.v1 import instance_pb2 as _instance_pb2
from fleet.v1 import rollout_pb2 as _rollout_pb2
from fleet.v1 import route_pb2 as _route_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CatalogueFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CATALOGUE_FORMAT_UNSPECIFIED: _ClassVar[CatalogueFormat]
    CATALOGUE_FORMAT_PROVIDERS: _ClassVar[CatalogueFormat]
    CATALOGUE_FORMAT_LITELLM: _ClassVar[CatalogueFormat]
    CATALOGUE_FORMAT_FAILOVER: _ClassVar[CatalogueFormat]
CATALOGUE_FORMAT_UNSPECIFIED: CatalogueFormat
CATALOGUE_FORMAT_PROVIDERS: CatalogueFormat
CATALOGUE_FORMAT_LITELLM: CatalogueFormat
CATALOGUE_FORMAT_FAILOVER: CatalogueFormat

class RouteTaskRequest(_message.Message):
    __slots__ = ("task_id", "title", "description", "requirements", "seed", "fallbacks", "trace", "dry_run", "rollout")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    title: str
    description: str
    requirements: _route_pb2.RouteRequirements
    seed: str
    fallbacks: int
    trace: bool
    dry_run: bool
    rollout: _rollout_pb2.RolloutUse
    def __init__(self, task_id: _Optional[str] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., requirements: _Optional[_Union[_route_pb2.RouteRequirements, _Mapping]] = ..., seed: _Optional[str] = ..., fallbacks: _Optional[int] = ..., trace: bool = ..., dry_run: bool = ..., rollout: _Optional[_Union[_rollout_pb2.RolloutUse, _Mapping]] = ...) -> None: ...

class RouteTaskResponse(_message.Message):
    __slots__ = ("selected", "plan", "instance", "decision")
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    selected: str
    plan: _route_pb2.RoutePlan
    instance: _instance_pb2.Instance
    decision: _rollout_pb2.ModeDecision
    def __init__(self, selected: _Optional[str] = ..., plan: _Optional[_Union[_route_pb2.RoutePlan, _Mapping]] = ..., instance: _Optional[_Union[_instance_pb2.Instance, _Mapping]] = ..., decision: _Optional[_Union[_rollout_pb2.ModeDecision, _Mapping]] = ...) -> None: ...

class RouteTasksRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RouteTaskRequest]
    def __init__(self, items: _Optional[_Iterable[_Union[RouteTaskRequest, _Mapping]]] = ...) -> None: ...

class RouteTasksResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RouteTasksItem]
    def __init__(self, items: _Optional[_Iterable[_Union[RouteTasksItem, _Mapping]]] = ...) -> None: ...

class RouteTasksItem(_message.Message):
    __slots__ = ("route", "error")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    route: RouteTaskResponse
    error: RouteItemError
    def __init__(self, route: _Optional[_Union[RouteTaskResponse, _Mapping]] = ..., error: _Optional[_Union[RouteItemError, _Mapping]] = ...) -> None: ...

class RouteItemError(_message.Message):
    __slots__ = ("reason", "message", "field", "code", "retry_after")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    field: str
    code: int
    retry_after: _duration_pb2.Duration
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., code: _Optional[int] = ..., retry_after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class VerifyRouteRequest(_message.Message):
    __slots__ = ("task_id", "plan_id", "plan_version")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    plan_id: str
    plan_version: int
    def __init__(self, task_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., plan_version: _Optional[int] = ...) -> None: ...

class VerifyRouteResponse(_message.Message):
    __slots__ = ("event", "plan", "instance")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    event: str
    plan: _route_pb2.RoutePlan
    instance: _instance_pb2.Instance
    def __init__(self, event: _Optional[str] = ..., plan: _Optional[_Union[_route_pb2.RoutePlan, _Mapping]] = ..., instance: _Optional[_Union[_instance_pb2.Instance, _Mapping]] = ...) -> None: ...

class RerouteTaskRequest(_message.Message):
    __slots__ = ("task_id", "plan_id", "plan_version", "error_code", "error_detail")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_DETAIL_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    plan_id: str
    plan_version: int
    error_code: str
    error_detail: str
    def __init__(self, task_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., plan_version: _Optional[int] = ..., error_code: _Optional[str] = ..., error_detail: _Optional[str] = ...) -> None: ...

class RerouteTaskResponse(_message.Message):
    __slots__ = ("plan", "event", "success", "instance")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    plan: _route_pb2.RoutePlan
    event: str
    success: bool
    instance: _instance_pb2.Instance
    def __init__(self, plan: _Optional[_Union[_route_pb2.RoutePlan, _Mapping]] = ..., event: _Optional[str] = ..., success: bool = ..., instance: _Optional[_Union[_instance_pb2.Instance, _Mapping]] = ...) -> None: ...

class OverrideRouteRequest(_message.Message):
    __slots__ = ("task_id", "plan_id", "instance", "reason", "expires_after", "force", "plan_version")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AFTER_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    PLAN_VERSION_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    plan_id: str
    instance: str
    reason: str
    expires_after: _duration_pb2.Duration
    force: bool
    plan_version: int
    def __init__(self, task_id: _Optional[str] = ..., plan_id: _Optional[str] = ..., instance: _Optional[str] = ..., reason: _Optional[str] = ..., expires_after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., force: bool = ..., plan_version: _Optional[int] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("plan_id", "task_id", "lease_epoch", "instance", "code", "message", "latency", "retry_after", "rollout")
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LEASE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    plan_id: str
    task_id: str
    lease_epoch: int
    instance: str
    code: str
    message: str
    latency: _duration_pb2.Duration
    retry_after: _duration_pb2.Duration
    rollout: _rollout_pb2.RolloutOutcome
    def __init__(self, plan_id: _Optional[str] = ..., task_id: _Optional[str] = ..., lease_epoch: _Optional[int] = ..., instance: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., latency: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., retry_after: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., rollout: _Optional[_Union[_rollout_pb2.RolloutOutcome, _Mapping]] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ("next",)
    NEXT_FIELD_NUMBER: _ClassVar[int]
    next: _route_pb2.NextStep
    def __init__(self, next: _Optional[_Union[_route_pb2.NextStep, _Mapping]] = ...) -> None: ...

class ReportOutcomesRequest(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ReportOutcomeRequest]
    def __init__(self, items: _Optional[_Iterable[_Union[ReportOutcomeRequest, _Mapping]]] = ...) -> None: ...

class ReportOutcomesResponse(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ReportOutcomesItem]
    def __init__(self, items: _Optional[_Iterable[_Union[ReportOutcomesItem, _Mapping]]] = ...) -> None: ...

class ReportOutcomesItem(_message.Message):
    __slots__ = ("next", "error")
    NEXT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    next: _route_pb2.NextStep
    error: RouteItemError
    def __init__(self, next: _Optional[_Union[_route_pb2.NextStep, _Mapping]] = ..., error: _Optional[_Union[RouteItemError, _Mapping]] = ...) -> None: ...

class GetRoutePlanRequest(_message.Message):
    __slots__ = ("task_id", "plan_id")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    plan_id: str
    def __init__(self, task_id: _Optional[str] = ..., plan_id: _Optional[str] = ...) -> None: ...

class GetRoutePlanResponse(_message.Message):
    __slots__ = ("plan", "versions")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    plan: _route_pb2.RoutePlan
    versions: _containers.RepeatedCompositeFieldContainer[_route_pb2.RoutePlan]
    def __init__(self, plan: _Optional[_Union[_route_pb2.RoutePlan, _Mapping]] = ..., versions: _Optional[_Iterable[_Union[_route_pb2.RoutePlan, _Mapping]]] = ...) -> None: ...

class UpsertInstancesRequest(_message.Message):
    __slots__ = ("instances",)
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[_instance_pb2.Instance]
    def __init__(self, instances: _Optional[_Iterable[_Union[_instance_pb2.Instance, _Mapping]]] = ...) -> None: ...

class UpsertInstancesResponse(_message.Message):
    __slots__ = ("results", "registry_version")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[InstanceResult]
    registry_version: int
    def __init__(self, results: _Optional[_Iterable[_Union[InstanceResult, _Mapping]]] = ..., registry_version: _Optional[int] = ...) -> None: ...

class InstanceResult(_message.Message):
    __slots__ = ("id", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    error: str
    def __init__(self, id: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...

class ListInstancesRequest(_message.Message):
    __slots__ = ("provider_id", "states", "tag", "page_size", "page_token")
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    states: _containers.RepeatedScalarFieldContainer[_instance_pb2.InstanceState]
    tag: str
    page_size: int
    page_token: str
    def __init__(self, provider_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_instance_pb2.InstanceState, str]]] = ..., tag: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInstancesResponse(_message.Message):
    __slots__ = ("instances", "next_page_token", "registry_version")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[_instance_pb2.InstanceStatus]
    next_page_token: str
    registry_version: int
    def __init__(self, instances: _Optional[_Iterable[_Union[_instance_pb2.InstanceStatus, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., registry_version: _Optional[int] = ...) -> None: ...

class RemoveInstanceRequest(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    reason: str
    def __init__(self, id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RemoveInstanceResponse(_message.Message):
    __slots__ = ("registry_version",)
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    registry_version: int
    def __init__(self, registry_version: _Optional[int] = ...) -> None: ...

class SetInstanceStateRequest(_message.Message):
    __slots__ = ("id", "state", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: _instance_pb2.InstanceState
    reason: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[_instance_pb2.InstanceState, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ImportCatalogueRequest(_message.Message):
    __slots__ = ("format", "data", "dry_run")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    format: CatalogueFormat
    data: bytes
    dry_run: bool
    def __init__(self, format: _Optional[_Union[CatalogueFormat, str]] = ..., data: _Optional[bytes] = ..., dry_run: bool = ...) -> None: ...

class ImportCatalogueResponse(_message.Message):
    __slots__ = ("loaded", "problems", "skipped", "registry_version")
    LOADED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    loaded: int
    problems: _containers.RepeatedCompositeFieldContainer[CatalogueProblem]
    skipped: int
    registry_version: int
    def __init__(self, loaded: _Optional[int] = ..., problems: _Optional[_Iterable[_Union[CatalogueProblem, _Mapping]]] = ..., skipped: _Optional[int] = ..., registry_version: _Optional[int] = ...) -> None: ...

class CatalogueProblem(_message.Message):
    __slots__ = ("name", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    problem: str
    def __init__(self, name: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...

class ListBreakersRequest(_message.Message):
    __slots__ = ("kind", "name", "all")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    kind: _instance_pb2.BreakerKind
    name: str
    all: bool
    def __init__(self, kind: _Optional[_Union[_instance_pb2.BreakerKind, str]] = ..., name: _Optional[str] = ..., all: bool = ...) -> None: ...

class ListBreakersResponse(_message.Message):
    __slots__ = ("breakers",)
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    breakers: _containers.RepeatedCompositeFieldContainer[_instance_pb2.Breaker]
    def __init__(self, breakers: _Optional[_Iterable[_Union[_instance_pb2.Breaker, _Mapping]]] = ...) -> None: ...

class ResetBreakersRequest(_message.Message):
    __slots__ = ("kind", "name", "reason")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    kind: _instance_pb2.BreakerKind
    name: str
    reason: str
    def __init__(self, kind: _Optional[_Union[_instance_pb2.BreakerKind, str]] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResetBreakersResponse(_message.Message):
    __slots__ = ("reset",)
    RESET_FIELD_NUMBER: _ClassVar[int]
    reset: int
    def __init__(self, reset: _Optional[int] = ...) -> None: ...

class ForceBreakerRequest(_message.Message):
    __slots__ = ("kind", "name", "reason", "duration")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    kind: _instance_pb2.BreakerKind
    name: str
    reason: str
    duration: _duration_pb2.Duration
    def __init__(self, kind: _Optional[_Union[_instance_pb2.BreakerKind, str]] = ..., name: _Optional[str] = ..., reason: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetRoutingStatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRoutingStatsResponse(_message.Message):
    __slots__ = ("routes", "routed", "verifies", "reroutes", "blocked", "success_rate", "failover_frequency", "reroutes_by_reason", "providers", "since")
    class ReroutesByReasonEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ROUTES_FIELD_NUMBER: _ClassVar[int]
    ROUTED_FIELD_NUMBER: _ClassVar[int]
    VERIFIES_FIELD_NUMBER: _ClassVar[int]
    REROUTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    FAILOVER_FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    REROUTES_BY_REASON_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    routes: int
    routed: int
    verifies: int
    reroutes: int
    blocked: int
    success_rate: float
    failover_frequency: float
    reroutes_by_reason: _containers.ScalarMap[str, int]
    providers: _containers.RepeatedCompositeFieldContainer[ProviderAvailability]
    since: _timestamp_pb2.Timestamp
    def __init__(self, routes: _Optional[int] = ..., routed: _Optional[int] = ..., verifies: _Optional[int] = ..., reroutes: _Optional[int] = ..., blocked: _Optional[int] = ..., success_rate: _Optional[float] = ..., failover_frequency: _Optional[float] = ..., reroutes_by_reason: _Optional[_Mapping[str, int]] = ..., providers: _Optional[_Iterable[_Union[ProviderAvailability, _Mapping]]] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProviderAvailability(_message.Message):
    __slots__ = ("provider_id", "instances", "ready", "ready_ratio_1h", "ready_ratio_24h")
    PROVIDER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    READY_RATIO_1H_FIELD_NUMBER: _ClassVar[int]
    READY_RATIO_24H_FIELD_NUMBER: _ClassVar[int]
    provider_id: str
    instances: int
    ready: int
    ready_ratio_1h: float
    ready_ratio_24h: float
    def __init__(self, provider_id: _Optional[str] = ..., instances: _Optional[int] = ..., ready: _Optional[int] = ..., ready_ratio_1h: _Optional[float] = ..., ready_ratio_24h: _Optional[float] = ...) -> None: ...

class PutRolloutRequest(_message.Message):
    __slots__ = ("rollout", "expected_version")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    rollout: _rollout_pb2.Rollout
    expected_version: int
    def __init__(self, rollout: _Optional[_Union[_rollout_pb2.Rollout, _Mapping]] = ..., expected_version: _Optional[int] = ...) -> None: ...

class GetRolloutRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetRolloutResponse(_message.Message):
    __slots__ = ("rollout", "fallback", "orgs")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    ORGS_FIELD_NUMBER: _ClassVar[int]
    rollout: _rollout_pb2.Rollout
    fallback: _rollout_pb2.FallbackState
    orgs: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.FallbackState]
    def __init__(self, rollout: _Optional[_Union[_rollout_pb2.Rollout, _Mapping]] = ..., fallback: _Optional[_Union[_rollout_pb2.FallbackState, _Mapping]] = ..., orgs: _Optional[_Iterable[_Union[_rollout_pb2.FallbackState, _Mapping]]] = ...) -> None: ...

class ListRolloutsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRolloutsResponse(_message.Message):
    __slots__ = ("rollouts", "next_page_token")
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rollouts: _containers.RepeatedCompositeFieldContainer[GetRolloutResponse]
    next_page_token: str
    def __init__(self, rollouts: _Optional[_Iterable[_Union[GetRolloutResponse, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RemoveRolloutRequest(_message.Message):
    __slots__ = ("name", "reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    reason: str
    def __init__(self, name: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RemoveRolloutResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DecideModeRequest(_message.Message):
    __slots__ = ("use", "dry_run")
    USE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    use: _rollout_pb2.RolloutUse
    dry_run: bool
    def __init__(self, use: _Optional[_Union[_rollout_pb2.RolloutUse, _Mapping]] = ..., dry_run: bool = ...) -> None: ...

class ForceFallbackRequest(_message.Message):
    __slots__ = ("rollout", "org_id", "off", "reason", "duration")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    OFF_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    off: bool
    reason: str
    duration: _duration_pb2.Duration
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., off: bool = ..., reason: _Optional[str] = ..., duration: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ResetFallbackRequest(_message.Message):
    __slots__ = ("rollout", "org_id", "reason")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    reason: str
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class GetRolloutMetricsRequest(_message.Message):
    __slots__ = ("rollout", "org_id", "orgs")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    ORGS_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    org_id: str
    orgs: bool
    def __init__(self, rollout: _Optional[str] = ..., org_id: _Optional[str] = ..., orgs: bool = ...) -> None: ...

class GetRolloutMetricsResponse(_message.Message):
    __slots__ = ("metrics", "orgs")
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ORGS_FIELD_NUMBER: _ClassVar[int]
    metrics: _rollout_pb2.RolloutMetrics
    orgs: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.RolloutMetrics]
    def __init__(self, metrics: _Optional[_Union[_rollout_pb2.RolloutMetrics, _Mapping]] = ..., orgs: _Optional[_Iterable[_Union[_rollout_pb2.RolloutMetrics, _Mapping]]] = ...) -> None: ...

class ListComparisonsRequest(_message.Message):
    __slots__ = ("rollout", "id", "different", "page_size", "page_token")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DIFFERENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    id: str
    different: bool
    page_size: int
    page_token: str
    def __init__(self, rollout: _Optional[str] = ..., id: _Optional[str] = ..., different: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListComparisonsResponse(_message.Message):
    __slots__ = ("comparisons", "next_page_token")
    COMPARISONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    comparisons: _containers.RepeatedCompositeFieldContainer[_rollout_pb2.Comparison]
    next_page_token: str
    def __init__(self, comparisons: _Optional[_Iterable[_Union[_rollout_pb2.Comparison, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
