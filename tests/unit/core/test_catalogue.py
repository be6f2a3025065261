"""Files of instances: what becomes an instance, and what is said about the rest."""

import json
from pathlib import Path

import pytest

from fleetd.core.catalogue import Problem, failover, parse, providers
from fleetd.core.instance import Instance, InstanceState, Kind, ProbeKind
from fleetd.errors import InvalidArgument

DATA = Path(__file__).parents[2] / "data"


def one(provider: dict) -> tuple[Instance | None, list[Problem]]:
    found = providers({"providers": [provider]})
    return (found.instances[0] if found.instances else None), list(found.problems)


def test_a_providers_file_in_its_short_form_loads():
    """R1: providers[].provider_id, .instances[].id, .metadata.tags, .ctx, .model."""
    made, problems = one(
        {
            "provider_id": "llamacpp",
            "instances": [
                {
                    "id": "qwen3-coder-30b",
                    "metadata": {"tags": ["coding", "big_ctx"], "ctx": 32768, "model": "Qwen3-Coder-30B"},
                }
            ],
        }
    )
    assert not problems
    assert made == Instance(
        "llamacpp:qwen3-coder-30b",
        "llamacpp",
        Kind.LOCAL,
        ("coding", "long_ctx"),
        32_768,
        "Qwen3-Coder-30B",
        source="file",
    )


def test_what_a_provider_gives_holds_for_its_instances_unless_they_say_otherwise():
    """R1: kind, base_url, priority … per provider or instance."""
    found = providers(
        {
            "providers": [
                {
                    "provider_id": "own",
                    "base_url": "http://10.0.0.1:8000",
                    "priority": 7,
                    "max_retries": 1,
                    "timeout_sec": 5,
                    "max_inflight": 2,
                    "probe_url": "/health",
                    "credential": "env:OWN_KEY",
                    "ctx": 9999,
                    "instances": [
                        {"id": "a"},
                        {
                            "id": "b",
                            "priority": 1,
                            "base_url": "https://b.example.com",
                            "metadata": {"priority": 3, "timeout_sec": 9},
                        },
                    ],
                }
            ]
        }
    )
    assert not found.problems
    a, b = found.instances
    assert (a.kind, a.priority, a.max_retries, a.timeout, a.max_inflight) == (Kind.LOCAL, 7, 1, 5_000, 2)
    assert (a.probe, a.probe_url, a.credential) == (
        ProbeKind.HTTP,
        "http://10.0.0.1:8000/health",
        "env:OWN_KEY",
    )
    assert (b.kind, b.priority, b.timeout, b.probe_url) == (
        Kind.CLOUD,
        1,
        9_000,
        "https://b.example.com/health",
    )
    assert (a.ctx, b.ctx) == (0, 0), "a context belongs to one instance"


def test_a_disabled_provider_disables_all_its_instances():
    made, _ = one({"provider_id": "own", "enabled": False, "instances": [{"id": "a", "enabled": True}]})
    assert made
    assert made.enabled is False


def test_a_provider_without_a_list_of_instances_is_one_itself_and_an_empty_list_is_none():
    """R1: a bare provider id is legal."""
    made, problems = one({"provider_id": "openai", "model": "gpt", "priority": 2})
    assert not problems
    assert made == Instance("openai", "openai", Kind.CLOUD, model="gpt", priority=2, source="file")
    assert one({"provider_id": "openai", "instances": []}) == (None, [])


def test_an_id_is_the_provider_and_the_instance_and_is_split_at_the_first_colon():
    """R1: instances may have colons of their own; an id that is already whole stays so."""
    found = providers(
        {"providers": [{"provider_id": "ollama", "instances": [{"id": "qwen3:30b"}, {"id": "ollama:gemma"}]}]}
    )
    assert [(each.id, each.provider_id, each.model) for each in found.instances] == [
        ("ollama:qwen3:30b", "ollama", "qwen3:30b"),
        ("ollama:gemma", "ollama", "gemma"),
    ]


def test_states_of_the_file_are_read():
    """R1: RUNNING on input means READY."""
    found = providers(
        {"providers": [{"provider_id": "p", "instances": [{"id": "a", "state": "RUNNING"}, {"id": "b", "metadata": {"state": "stopped"}}, {"id": "c"}]}]}
    )  # fmt: skip
    assert found.states == {"p:a": InstanceState.READY, "p:b": InstanceState.STOPPED}
    assert len(found.instances) == 3


def test_bad_rows_are_reported_by_name_and_the_good_ones_load():
    """R1: each bad row is one problem with all its bad fields; it keeps nothing else out."""
    no_state = f'state: must be RUNNING or one of {", ".join(InstanceState.__members__)}, not "ON"'
    found = providers(
        {
            "providers": [
                "openai",
                {"instances": []},
                {"provider_id": "a:b", "instances": []},
                {"provider_id": "list", "instances": {"id": "x"}},
                {
                    "provider_id": "shared",
                    "priority": "high",
                    "kind": "x",
                    "instances": [{"id": "x"}, {"id": "y"}],
                },
                {
                    "provider_id": "p",
                    "instances": [
                        7,
                        {"metadata": {}},
                        {"id": "x", "metadata": []},
                        {"id": "x\x00y"},
                        {"id": "bad", "metadata": {"ctx": "large", "tags": "coding"}, "state": "ON"},
                        {"id": "good"},
                        {"id": "good", "priority": 1},
                        {"id": "good"},
                    ],
                },
            ]
        }
    )
    assert [each.id for each in found.instances] == ["p:good"]
    assert found.instances[0].priority == 100
    assert [tuple(problem) for problem in found.problems] == [
        ("providers[0]", 'must be an object, not "openai"'),
        ("providers[1]", "provider_id: is required: a name without a colon, not null"),
        ("providers[2]", 'provider_id: is required: a name without a colon, not "a:b"'),
        ("list", "instances: must be a list, not an object"),
        (
            "shared",
            'kind: must be local, cloud or paid, not "x"; priority: must be a whole number, not "high"; its 2 instances are skipped',
        ),
        ("p[0]", "must be an object, not 7"),
        ("p[1]", "id: is required: a name within its provider, not null"),
        ("p:x", "metadata: must be an object, not a list"),
        ("p:x\\x00y", 'id: must have no blanks or control characters, unlike "p:x\\x00y"'),
        (
            "p:bad",
            f'tags: must be a list of texts, such as ["coding"], not "coding"; ctx: must be a whole number, not "large"; {no_state}',
        ),
        ("p:good", "id: p:good repeats an earlier row with other values; the first one holds"),
        ("p:good", "id: p:good repeats an earlier row word for word; the first one holds"),
    ]


@pytest.mark.parametrize("data", [None, 5, [], {}, {"providers": {}}, {"provider": []}])
def test_a_file_of_another_form_is_refused_as_a_whole(data):
    with pytest.raises(InvalidArgument, match="data: must be an object with a list"):
        providers(data)
    if data != []:
        with pytest.raises(InvalidArgument, match="data: must be a list"):
            failover(data)


def test_a_real_catalogue_loads_and_only_repeated_ids_are_left_out():
    """R1: real rows, among them contexts of 0 and rows without one: unknown, not bad."""
    found = providers(json.loads((DATA / "providers.json").read_bytes()), source="catalogue")
    rows = [
        f"{p['provider_id']}:{each['id']}"
        for p in json.loads((DATA / "providers.json").read_bytes())["providers"]
        for each in p["instances"]
    ]
    assert {each.id for each in found.instances} == set(rows)
    assert sorted(problem.name for problem in found.problems) == [
        "deepseek:deepseek-chat",
        "deepseek:deepseek-reasoner",
        "gemini:gemini-exp-1206",
    ]
    assert {each.source for each in found.instances} == {"catalogue"}
    assert 0 < sum(each.ctx == 0 for each in found.instances) < len(found.instances)


LIST = [
    {"name": "claude-sonnet-4-6", "priority": 1, "max_retries": 3, "timeout_sec": 30, "enabled": True},
    {"name": "claude-opus-4-6", "priority": 2, "max_retries": 0, "timeout_sec": 10, "enabled": False},
]


def test_an_entry_of_the_failover_list_is_a_cloud_provider_with_one_instance_of_the_same_name():
    """R1, F1: name, priority, max_retries, timeout_sec, enabled."""
    found = failover(LIST)
    assert not found.problems
    sonnet, opus = found.instances
    assert sonnet == Instance(
        "claude-sonnet-4-6",
        "claude-sonnet-4-6",
        Kind.CLOUD,
        model="claude-sonnet-4-6",
        priority=1,
        failover=True,
        source="file",
    )
    assert (opus.max_retries, opus.timeout, opus.enabled) == (0, 10_000, False)


@pytest.mark.parametrize(
    "name", ["anthropic:claude-sonnet-4-6", "anthropic", "claude-sonnet-4-6", "Claude Sonnet"]
)
def test_a_name_of_the_failover_list_may_be_an_instance_a_provider_or_a_model(name):
    """F1: what is known is taken."""
    known = [Instance("anthropic:claude-sonnet-4-6", "anthropic", model="Claude Sonnet")]
    found = failover([{"name": name}], known)
    if name == "Claude Sonnet":  # known, but no id can have a blank
        assert [problem.problem for problem in found.problems] == [
            'name: must have no blanks or control characters, unlike "Claude Sonnet"'
        ]
    else:
        assert not found.problems


def test_a_name_of_the_failover_list_that_matches_nothing_known_is_refused_with_the_nearest():
    """F1: a failover-list name that matches nothing known is refused when a catalogue is loaded."""
    known = [Instance("anthropic:claude-sonnet-4-6", "anthropic"), Instance("openai:gpt-5", "openai")]
    found = failover([{"name": "claude-sonet-4-6"}, {"name": "gpt-5"}], known)
    assert [each.id for each in found.instances] == ["gpt-5"]
    assert found.problems == (
        Problem(
            "claude-sonet-4-6",
            "name: is no instance, provider or model of the catalogue; the nearest is claude-sonnet-4-6",
        ),
    )
    assert not failover([{"name": "claude-sonet-4-6"}]).problems, (
        "without a catalogue nothing is known to be wrong"
    )


def test_an_entry_named_like_a_known_instance_keeps_its_definition_under_the_values_given():
    """R1, F1: the list orders what the catalogue describes."""
    base = Instance(
        "ollama:qwen",
        "ollama",
        Kind.LOCAL,
        ("coding",),
        32_768,
        "qwen",
        priority=9,
        max_retries=5,
        source="catalogue",
    )
    found = failover([{"name": "ollama:qwen", "priority": 1, "timeout_sec": 3, "probe_url": "h:1"}], [base])
    assert found.instances == (
        Instance(
            "ollama:qwen", "ollama", Kind.LOCAL, ("coding",), 32_768, "qwen", priority=1, max_retries=5, timeout=3_000, probe=ProbeKind.TCP,
            probe_url="h:1", failover=True, source="catalogue",
        ),
    )  # fmt: skip


def test_bad_entries_of_the_failover_list_are_reported_by_name():
    found = failover(
        [5, {"priority": 1}, {"name": "a b"}, {"name": "a", "priority": -1}, {"name": "b"}, {"name": "b"}]
    )
    assert [each.id for each in found.instances] == ["b"]
    assert [tuple(problem) for problem in found.problems] == [
        ("failover[0]", "must be an object, not 5"),
        ("failover[1]", "name: is required, not null"),
        ("a b", 'name: must have no blanks or control characters, unlike "a b"'),
        ("a", "priority: must be 0 to 1,000,000, not -1"),
        ("b", "id: b repeats an earlier row word for word; the first one holds"),
    ]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (b'{"a": 1', "must be JSON: Expecting ',' delimiter in line 1, column 8"),
        (b"", "must be JSON: Expecting value in line 1, column 1"),
        (b"\xff\xfe\xfa", "must be JSON: "),
        (b"[" * 100_000, "must be JSON: "),
        (b"1" * 5_000, "must be JSON: "),
    ],
)
def test_a_text_that_is_no_json_is_refused_with_the_place(text, right):
    with pytest.raises(InvalidArgument, match="data: must be JSON") as caught:
        parse(text)
    assert caught.value.fields[0][1].startswith(right)


def test_a_text_may_begin_with_a_byte_order_mark():
    assert parse(b"\xef\xbb\xbf[1]") == [1]
