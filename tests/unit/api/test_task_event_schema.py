"""The JSON Schema that is shipped with the client, against what the daemon gives out (G6)."""

import copy
import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from fleet.v1 import task_event_pb2
from fleetd.api.convert_task_events import KNOWN
from fleetd.api.envelopes import envelope
from fleetd.core.task_event import TaskEvent
from tests.unit.api.events import PLAN_STEP, SKILL_CALL, TYPES

SCHEMA = json.loads((resources.files("fleetd_client") / "task_event.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def exported(kind, data):
    body = task_event_pb2.TaskEvent(**{kind: data}).SerializeToString()
    return json.loads(envelope(TaskEvent(1, "task", 7, 1, 1_700_000_000_250, body)))


def test_the_schema_is_one():
    """G6: draft 2020-12."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_known_type_has_a_rule_of_its_own():
    """G6: a type without one would be taken for another."""
    named = [rule["if"]["properties"]["data"]["properties"]["type"].get("const") for rule in SCHEMA["allOf"]]
    assert set(named) - {None} == {*KNOWN, "unknown"}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_that_is_given_out_fits(kind):
    """G6."""
    VALIDATOR.validate(exported(kind, TYPES[kind][0]))


@pytest.mark.parametrize("sample", [PLAN_STEP, SKILL_CALL])
def test_the_samples_of_the_predecessor_fit(sample):
    """G6: seeds/004."""
    VALIDATOR.validate(sample)


def test_other_types_and_those_of_newer_agents_fit():
    """G6."""
    VALIDATOR.validate(exported("other", {"type": "shot", "data": {"w": 3}}))
    VALIDATOR.validate(exported("other", {"type": "shot"}))
    newer = TaskEvent(1, "task", 7, 1, 5, b"\xa2\x06\x03new")
    VALIDATOR.validate(json.loads(envelope(newer)))


def changed(sample, path, value):
    """Return a copy with something else in one place; None takes it away."""
    found = copy.deepcopy(sample)
    *way, last = path.split(".")
    inner = found
    for step in way:
        inner = inner[step]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return found


GOOD = {kind: exported(kind, data) for kind, (data, _) in TYPES.items()}
BAD = {
    "no outer event": changed(GOOD["message"], "event", None),
    "an outer event that is none": changed(GOOD["message"], "event", "plan_step"),
    "a new type under its own name": changed(GOOD["plan_step"], "event", "heartbeat"),
    "a compatible type without its name outside": changed(GOOD["error"], "event", "message"),
    "no id": changed(GOOD["message"], "data.id", None),
    "no type": changed(GOOD["message"], "data.type", None),
    "a type in capitals": changed(GOOD["message"], "data.type", "Message"),
    "no data": changed(GOOD["heartbeat"], "data.data", None),
    "data that is no object": changed(GOOD["heartbeat"], "data.data", "x"),
    "no time": changed(GOOD["message"], "data.timestamp", None),
    "a time of another zone": changed(GOOD["message"], "data.timestamp", "2024-01-01T00:00:00+01:00"),
    "a time that is a number": changed(GOOD["message"], "data.timestamp", 5),
    "something more": changed(GOOD["message"], "data.seq", 5),
    "an error without a code": changed(GOOD["error"], "data.data.code", None),
    "a name of the proto": changed(GOOD["plan_step"], "data.data.step_id", "s"),
    "no step": changed(GOOD["plan_step"], "data.data.stepId", None),
    "no status": changed(GOOD["plan_step"], "data.data.status", None),
    "a status of a call": changed(GOOD["plan_step"], "data.data.status", "calling"),
    "a status in capitals": changed(GOOD["plan_step"], "data.data.status", "RUNNING"),
    "a status of a step": changed(GOOD["tool_call"], "data.data.status", "running"),
    "no skill": changed(changed(GOOD["skill_call"], "data.data.skillId", None), "data.data.skillName", None),
    "no tool": changed(GOOD["mcp_call"], "data.data.toolName", None),
    "a duration in words": changed(GOOD["mcp_result"], "data.data.duration", "2s"),
    "a duration below zero": changed(GOOD["mcp_result"], "data.data.duration", -1),
    "arguments that are a list": changed(GOOD["tool_call"], "data.data.arguments", []),
    "a heartbeat that says something": changed(GOOD["heartbeat"], "data.data.content", "x"),
    "an unknown one without its bytes": changed(GOOD["heartbeat"], "data.type", "unknown")
    | {"event": "message"},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_such_event_does_not_fit(name):
    """G6: a schema that takes everything says nothing."""
    assert not VALIDATOR.is_valid(BAD[name])
