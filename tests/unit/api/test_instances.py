"""Instances: added, listed, held, removed, and loaded from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet.v1 import instance_pb2
from fleet.v1 import router_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.limits import Limits
from fleetd.api.table import method_table
from fleetd.errors import NotFound
from tests.unit.api.port import Port
from tests.unit.api.routed import refused

DATA = Path(__file__).parents[2] / "data"
READY, STOPPED = instance_pb2.INSTANCE_STATE_READY, instance_pb2.INSTANCE_STATE_STOPPED
UNKNOWN, ERROR = instance_pb2.INSTANCE_STATE_UNKNOWN, instance_pb2.INSTANCE_STATE_ERROR
PROVIDERS, LITELLM = pb.CATALOGUE_FORMAT_PROVIDERS, pb.CATALOGUE_FORMAT_LITELLM
FAILOVER = pb.CATALOGUE_FORMAT_FAILOVER


async def listed(port, **fields):
    return (await port("ListInstances", **fields)).instances


async def names(port, **fields):
    return [one.instance.id for one in await listed(port, **fields)]


async def audits(port):
    return [(line.actor, line.action, line.target, line.reason) for line in (await port("ListAudits")).lines]


async def test_every_field_of_a_definition_arrives_and_is_shown(port):
    """R1."""
    given = {
        "id": "openai:gpt-4o",
        "kind": instance_pb2.INSTANCE_KIND_PAID,
        "tags": ["vision", "code"],
        "ctx": 128_000,
        "model": "gpt-4o-2024",
        "base_url": "https://api.example.com/v1",
        "priority": 0,
        "max_retries": 0,
        "timeout": {"seconds": 1, "nanos": 500_000_000},
        "enabled": False,
        "max_inflight": 7,
        "input_cost_per_mtok": 2.5,
        "output_cost_per_mtok": 10,
        "deprecation_date": "2031-05-17",
        "credential": "env:OPENAI_API_KEY",
        "probe": instance_pb2.PROBE_KIND_HTTP,
        "probe_url": "https://api.example.com/health",
        "failover": True,
    }
    await port.instances(given)
    (status,) = await listed(port)
    wanted = instance_pb2.Instance(**{**given, "tags": ["coding", "vision"], "provider_id": "openai"})
    assert status.instance == wanted
    assert (status.state, status.reason, status.source) == (UNKNOWN, "not probed yet", "rpc")
    assert status.since.ToMilliseconds() == port.clock.wall()
    assert (status.credentials_present, status.inflight, status.HasField("latency")) == (True, 0, False)
    assert (status.ready_ratio_1h, status.ready_ratio_24h) == (-1.0, -1.0)
    # What is shown can be given again and means the same.
    await port("UpsertInstances", instances=[status.instance])
    assert (await listed(port))[0].instance == wanted


async def test_what_is_not_given_has_its_default(port):
    """R1: an instance without a probe starts READY."""
    await port.instances("ollama:qwen3")
    (status,) = await listed(port)
    one = status.instance
    assert (one.kind, one.model, one.priority, one.max_retries) == (
        instance_pb2.INSTANCE_KIND_LOCAL,
        "qwen3",
        100,
        3,
    )
    assert (one.timeout.seconds, one.enabled, one.probe) == (30, True, 0)
    assert (status.state, status.reason) == (READY, "")
    await port.instances({"id": "vllm:a", "probe_url": "127.0.0.1:8000"})
    assert (await listed(port, provider_id="vllm"))[0].instance.probe == instance_pb2.PROBE_KIND_TCP


async def test_each_instance_of_a_request_gets_its_own_answer(port):
    """R1, S3: a bad one never sinks the others; of two with the same id the last one holds."""
    answer = await port(
        "UpsertInstances",
        instances=[
            {"id": "a:1", "ctx": 1},
            {"id": "", "timeout": {"seconds": -1}, "kind": 9, "probe": 7},
            {"id": "b:" + "x" * 300},
            {"id": "a:1", "ctx": 2},
            {"id": "c:1", "credential": "sk-secret"},
        ],
        call=Call(actor="ada"),
    )
    assert [(one.id[:3], bool(one.error)) for one in answer.results] == [
        ("a:1", False),
        ("", True),
        ("b:x", True),
        ("a:1", False),
        ("c:1", True),
    ]
    bad = answer.results[1].error
    assert [part.split(":")[0] for part in bad.split("; ")] == ["kind", "probe", "id", "timeout"]
    assert len(answer.results[2].id) == 256
    assert "sk-secret" not in answer.results[4].error
    ((status,), version) = (await listed(port), answer.registry_version)
    assert (status.instance.id, status.instance.ctx) == ("a:1", 2)
    assert (await port("ListInstances")).registry_version == version
    assert await audits(port) == [("ada", "UpsertInstances", "a:1", "")]


async def test_a_request_without_a_good_instance_is_no_act(port):
    """F5, S7."""
    answer = await port("UpsertInstances", instances=[{"id": " "}])
    assert answer.results[0].error.startswith("id: ")
    assert await refused(port, "UpsertInstances", instances=[]) == ["instances"]
    assert await refused(port, "UpsertInstances", instances=[{"id": "a:b"}] * 1_001) == ["instances"]
    assert not await listed(port)
    assert not await audits(port)


async def test_what_a_credential_is_worth_is_asked_of_who_knows(port):
    """R1: missing means not eligible, by name."""
    asked = []
    table = method_table(port.engine, Limits(), "1", lambda name: asked.append(name) or name != "env:GONE")
    port.methods = {method.name: method for method in table.values()}
    await port.instances(
        {"id": "a:1", "credential": "env:GONE"}, {"id": "a:2", "credential": "env:THERE"}, "a:3"
    )
    assert asked == ["env:GONE", "env:THERE"]
    assert [one.credentials_present for one in await listed(port)] == [False, True, True]
    plan = (await port("RouteTask", title="work")).plan
    assert [(one.filter, one.count) for one in plan.eliminated] == [("credentials", 1)]
    data = {"providers": [{"provider_id": "b", "credential": "env:GONE", "instances": [{"id": "1"}]}]}
    await port("ImportCatalogue", format=PROVIDERS, data=json.dumps(data).encode())
    assert [one.credentials_present for one in await listed(port, provider_id="b")] == [False]


async def test_instances_are_listed_by_id_in_pages(port):
    """S7."""
    wide = "\N{GRINNING FACE}" * 250
    await port.instances(f"b:{wide}", f"a:{wide}", "c:1", f"b:{wide}2", "a:1")
    found, token, pages = [], "", 0
    while token or not pages:
        page = await port("ListInstances", page_size=2, page_token=token)
        found += [one.instance.id for one in page.instances]
        token, pages = page.next_page_token, pages + 1
    assert (pages, found) == (3, ["a:1", f"a:{wide}", f"b:{wide}", f"b:{wide}2", "c:1"])
    token = (await port("ListInstances", page_size=2)).next_page_token
    assert await refused(port, "ListInstances", page_token=token, tag="x") == ["page_token"]
    assert await refused(port, "ListInstances", page_size=1_001) == ["page_size"]


async def test_a_page_holds_what_fits_into_a_message(ports):
    """S7."""
    port = await ports(Limits(delivery=150))
    await port.instances("a:1", "a:2", "a:3")
    page = await port("ListInstances")
    assert 0 < len(page.instances) < 3
    rest = await port("ListInstances", page_token=page.next_page_token)
    assert rest.instances[0].instance.id == f"a:{len(page.instances) + 1}"


async def test_instances_are_listed_by_provider_state_and_tag(port):
    """R1."""
    await port.instances({"id": "a:1", "tags": ["code"]}, {"id": "a:2"}, {"id": "b:1", "tags": ["coding"]})
    await port("SetInstanceState", id="a:2", state=STOPPED)
    assert await names(port, provider_id="a") == ["a:1", "a:2"]
    assert await names(port, tag="Code") == ["a:1", "b:1"]
    assert await names(port, states=[STOPPED, ERROR]) == ["a:2"]
    assert await names(port, provider_id="b", states=[STOPPED]) == []
    paths = await refused(port, "ListInstances", provider_id="x" * 257, tag="x" * 129, states=[READY, 9])
    assert paths == ["provider_id", "tag", "states[1]"]


async def test_a_removed_instance_is_gone_and_one_that_is_unknown_is_told_with_the_nearest(port):
    """R1."""
    await port.instances("ollama:qwen3", "ollama:llama")
    before = (await port("ListInstances")).registry_version
    answer = await port("RemoveInstance", id="ollama:llama", reason="sold", call=Call(actor="ada"))
    assert answer.registry_version > before
    assert await names(port) == ["ollama:qwen3"]
    for name, fields in (("RemoveInstance", {}), ("SetInstanceState", {"state": READY})):
        with pytest.raises(NotFound, match="nearest name is ollama:qwen3") as caught:
            await port(name, id="ollama:qwen", **fields)
        assert caught.value.reason == "INSTANCE_NOT_FOUND"
    lines = await audits(port)
    assert lines[2] == ("ada", "RemoveInstance", "ollama:llama", "sold")
    assert [line[1] for line in lines[:2]] == ["SetInstanceState", "RemoveInstance"]


async def test_a_state_set_by_hand_stands_and_is_shown_with_its_reason(port):
    """R1: STOPPED stays until it is set to READY again."""
    await port.instances("a:1")
    port.clock.advance(60_000)
    status = await port("SetInstanceState", id="a:1", state=STOPPED, reason="upgrade", call=Call(actor="ada"))
    assert (status.state, status.reason) == (STOPPED, "upgrade")
    assert status.since.ToMilliseconds() == port.clock.wall()
    assert status.ready_ratio_1h == 1.0
    assert (await listed(port))[0] == status
    assert (await port("RouteTask", title="work")).selected == ""
    port.clock.advance(60_000)
    status = await port("SetInstanceState", id="a:1", state=READY)
    assert (status.state, status.reason, status.ready_ratio_1h) == (READY, "", 0.5)
    assert (await port("RouteTask", title="work")).selected == "a:1"
    assert (await audits(port))[1] == ("ada", "SetInstanceState", "a:1", "STOPPED: upgrade")


async def test_bad_names_states_and_reasons_are_named(port):
    """S3."""
    paths = await refused(port, "SetInstanceState", reason="x" * 1_001)
    assert paths == ["id", "state", "reason"]
    assert await refused(port, "SetInstanceState", id="a:1", state=9) == ["state"]
    assert await refused(port, "RemoveInstance", reason="x" * 1_001) == ["id", "reason"]
    assert await refused(port, "RemoveInstance", id="x" * 257) == ["id"]


async def test_a_catalogue_of_litellm_is_loaded_and_bad_rows_are_named(port):
    """R1."""
    data = (DATA / "litellm.json").read_bytes()
    checked = await port("ImportCatalogue", format=LITELLM, data=data, dry_run=True)
    assert not await listed(port)
    assert not await audits(port)
    answer = await port("ImportCatalogue", format=LITELLM, data=data, call=Call(actor="ada"))
    assert (answer.loaded, answer.skipped) == (checked.loaded, checked.skipped) == (8, 4)
    assert answer.problems == checked.problems
    assert answer.problems[0].name == "sample_spec"
    assert answer.problems[0].problem.startswith("litellm_provider: must be a name")
    statuses = await listed(port)
    assert len(statuses) == 8
    assert {one.source for one in statuses} == {"catalogue"}
    assert answer.registry_version == (await port("ListInstances")).registry_version
    assert await audits(port) == [("ada", "ImportCatalogue", "CATALOGUE_FORMAT_LITELLM: 8 instances", "")]


async def test_a_catalogue_of_providers_is_loaded_and_repeated_ids_are_reported(port):
    """R1, F1."""
    answer = await port("ImportCatalogue", format=PROVIDERS, data=(DATA / "providers.json").read_bytes())
    assert (answer.loaded, answer.skipped) == (43, 3)
    assert all("repeats an earlier row" in one.problem for one in answer.problems)
    assert len(await names(port)) == 43
    data = {"providers": [{"provider_id": "z", "instances": [{"id": "1", "state": "STOPPED"}]}]}
    await port("ImportCatalogue", format=PROVIDERS, data=json.dumps(data).encode())
    assert (await listed(port, provider_id="z"))[0].state == STOPPED


async def test_a_failover_list_is_held_against_the_registered_instances(port):
    """F1: a name that matches nothing known is refused with the nearest."""
    await port.instances({"id": "claude-sonnet", "ctx": 200_000, "base_url": "https://a.example"})
    data = json.dumps([{"name": "claude-sonnet", "priority": 1}, {"name": "claude-sonett"}]).encode()
    answer = await port("ImportCatalogue", format=FAILOVER, data=data)
    assert (answer.loaded, answer.skipped) == (1, 1)
    assert "nearest is claude-sonnet" in answer.problems[0].problem
    ((status,),) = (await listed(port),)
    one = status.instance
    assert (one.priority, one.ctx, one.base_url, one.failover) == (1, 200_000, "https://a.example", True)
    assert status.source == "rpc"  # still whoever's it was


async def test_a_thousand_bad_rows_are_named_and_all_are_counted(port):
    """S7."""
    data = json.dumps([{"name": ""}] * 1_500).encode()
    answer = await port("ImportCatalogue", format=FAILOVER, data=data)
    assert (answer.loaded, answer.skipped, len(answer.problems)) == (0, 1_500, 1_000)
    assert not await audits(port)


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({}, ["format", "data"]),
        ({"format": 9, "data": b"{}"}, ["format"]),
        ({"format": PROVIDERS, "data": b"{"}, ["data"]),
        ({"format": PROVIDERS, "data": b"\xff"}, ["data"]),
        ({"format": PROVIDERS, "data": b"[]"}, ["data"]),
        ({"format": LITELLM, "data": b"[]"}, ["data"]),
        ({"format": FAILOVER, "data": b"{}"}, ["data"]),
    ],
)
async def test_a_file_that_cannot_be_read_names_what_is_wrong(port, fields, paths):
    """S3."""
    assert await refused(port, "ImportCatalogue", **fields) == paths


async def test_instances_survive_a_restart(tmp_path):
    """R1."""
    path = str(tmp_path / "fleetd.db")
    port = await Port(path=path).open()
    await port.instances({"id": "a:1", "tags": ["vision"], "ctx": 9}, "a:2")
    await port("SetInstanceState", id="a:2", state=STOPPED, reason="upgrade")
    await port("RemoveInstance", id="a:1")
    await port.instances({"id": "a:3", "ctx": 7})
    before = await listed(port)
    await port.close()
    port = await Port(path=path).open()
    assert await listed(port) == before
    await port.close()
