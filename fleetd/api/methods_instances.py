"""Router: the instances that tasks can be routed to (spec R1, F1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from fleet.v1 import instance_pb2
from fleet.v1 import router_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_audits import named
from fleetd.api.convert_instances import STATES, instance_in, status_out
from fleetd.api.limits import Limits
from fleetd.api.methods_tasks import REASON
from fleetd.api.pages import fitting, make_token, page_size, read_token
from fleetd.api.validate import Fields, check_batch
from fleetd.core.audit import Audited
from fleetd.core.catalogue import Catalogue, failover, parse, providers
from fleetd.core.definition import ID_CHARS, TAG_CHARS
from fleetd.core.instance import Condition, Instance, InstanceState
from fleetd.core.ledger import Registered
from fleetd.core.litellm import litellm
from fleetd.core.registration import PutInstances, RemoveInstance, SetState
from fleetd.core.requirements import canonical
from fleetd.engine.availability import DAY, HOUR
from fleetd.engine.engine import Engine
from fleetd.errors import InvalidArgument

PROBLEM = 1_000
"""Characters of what is bad about one row, and the bad rows that are named."""
FORMATS = {v.number: v.name for v in pb.CatalogueFormat.DESCRIPTOR.values if v.number}
SOURCE = "catalogue"

Credentials = Callable[[str], bool]
"""Tells whether the credential that an instance names ("env:NAME", "file:PATH") is there."""


class InstanceMethods:
    """The registry, as operators fill it and everybody reads it."""

    def __init__(self, engine: Engine, limits: Limits, credentials: Credentials) -> None:
        self._engine = engine
        self._limits = limits
        self._credentials = credentials

    async def upsert_instances(
        self, request: pb.UpsertInstancesRequest, call: Call
    ) -> pb.UpsertInstancesResponse:
        check_batch("instances", len(request.instances), self._limits.batch)
        response = pb.UpsertInstancesResponse()
        good: dict[str, Instance] = {}
        for message in request.instances:
            result = response.results.add(id=message.id[:ID_CHARS])
            try:
                instance = instance_in(message)
            except InvalidArgument as error:
                result.error = error.message[:PROBLEM]
            else:
                good[instance.id] = instance
        if good:
            act = self._put(good.values())
            await self._engine.execute(Audited(act, call.actor, "UpsertInstances", named(list(good))))
        response.registry_version = self._engine.routes.outside.registry.version
        return response

    async def list_instances(self, request: pb.ListInstancesRequest, call: Call) -> pb.ListInstancesResponse:
        fields = Fields()
        provider_id = fields.text("provider_id", request.provider_id, ID_CHARS)
        tag = canonical(fields.text("tag", request.tag, TAG_CHARS))
        for place, state in enumerate(request.states):
            fields.known(f"states[{place}]", state, STATES)
        states = frozenset(request.states)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        mark = b"instances" + repr((provider_id, tag, sorted(states))).encode()
        after = read_token(request.page_token, mark, fields)
        fields.check()
        registry = self._engine.routes.outside.registry
        index, condition = registry.index.instances, registry.condition
        ids = registry.provider(provider_id) if provider_id else registry.ids()
        wanted = [
            index[each]
            for each in ids
            if each > after
            and (not tag or tag in index[each].tags)
            and (not states or condition(each).state in states)
        ]
        statuses = (self._status(each, condition(each.id)) for each in wanted[:limit])
        shown = fitting(statuses, self._limits.delivery)
        more = len(shown) < len(wanted)
        return pb.ListInstancesResponse(
            instances=shown,
            next_page_token=make_token(shown[-1].instance.id, mark) if more else "",
            registry_version=registry.version,
        )

    async def remove_instance(
        self, request: pb.RemoveInstanceRequest, call: Call
    ) -> pb.RemoveInstanceResponse:
        fields = Fields()
        instance_id = fields.text("id", request.id, ID_CHARS, required=True)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        act = Audited(RemoveInstance(instance_id), call.actor, "RemoveInstance", instance_id, reason)
        return pb.RemoveInstanceResponse(registry_version=await self._engine.execute(act))

    async def set_instance_state(
        self, request: pb.SetInstanceStateRequest, call: Call
    ) -> instance_pb2.InstanceStatus:
        fields = Fields()
        instance_id = fields.text("id", request.id, ID_CHARS, required=True)
        state = fields.known("state", request.state, STATES)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        act = SetState(instance_id, InstanceState(state), reason)
        why = f"{act.state.name}: {reason}" if reason else act.state.name
        registered: Registered = await self._engine.execute(
            Audited(act, call.actor, "SetInstanceState", instance_id, why)
        )
        return self._status(registered.instance, registered.condition)

    async def import_catalogue(
        self, request: pb.ImportCatalogueRequest, call: Call
    ) -> pb.ImportCatalogueResponse:
        fields = Fields()
        fields.known("format", request.format, FORMATS)
        if not request.data:
            fields.refuse("data", "is required: the text of the file")
        fields.check()
        known = self._engine.routes.outside.registry.index.instances
        # Some megabytes of JSON take a tenth of a second, which the loop has not.
        found = await asyncio.to_thread(_read, request.format, request.data, known)
        if found.instances and not request.dry_run:
            act = self._put(found.instances, found.states)
            target = f"{FORMATS[request.format]}: {len(found.instances)} instances"
            await self._engine.execute(Audited(act, call.actor, "ImportCatalogue", target))
        problems = (
            pb.CatalogueProblem(name=name, problem=problem[:PROBLEM])
            for name, problem in found.problems[:PROBLEM]
        )
        return pb.ImportCatalogueResponse(
            loaded=len(found.instances),
            problems=fitting(problems, self._limits.delivery),
            skipped=len(found.problems),
            registry_version=self._engine.routes.outside.registry.version,
        )

    def _put(
        self, instances: Iterable[Instance], states: Mapping[str, InstanceState] | None = None
    ) -> PutInstances:
        put = tuple(instances)
        present = {each.id: self._credentials(each.credential) for each in put if each.credential}
        return PutInstances(put, states or {}, credentials=present)

    def _status(self, instance: Instance, condition: Condition) -> instance_pb2.InstanceStatus:
        engine, only = self._engine, (instance.id,)
        now, ratio = engine.clock.now(), engine.instance_notes.availability.ratio
        inflight = engine.routes.outside.load.get(instance.id, 0)
        return status_out(instance, condition, inflight, ratio(only, HOUR, now), ratio(only, DAY, now))


def _read(form: int, data: bytes, known: Mapping[str, Instance]) -> Catalogue:
    """Return what a file defines. Raises InvalidArgument for field `data` when it has another form."""
    parsed = parse(data)
    if form == pb.CATALOGUE_FORMAT_LITELLM:
        return litellm(parsed, source=SOURCE)
    if form == pb.CATALOGUE_FORMAT_FAILOVER:
        return failover(parsed, known.values(), source=SOURCE)
    return providers(parsed, source=SOURCE)
