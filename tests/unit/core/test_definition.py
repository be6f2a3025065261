"""Definitions of instances: what is taken, what is refused and in which words."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd.core.definition import instance, kind_of, state
from fleetd.core.instance import Instance, InstanceState, Kind, ProbeKind
from fleetd.errors import InvalidArgument

DAY = 86_400_000


def refused(**fields) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        instance({"id": "openai:gpt", **fields})
    return dict(caught.value.fields)


def test_an_id_alone_defines_an_instance_with_the_defaults():
    """R1: a bare provider id is legal; an id is split at its first colon."""
    assert instance({"id": "openai"}) == Instance("openai", "openai", model="openai")
    assert instance({"id": "bedrock:jamba:0"}) == Instance("bedrock:jamba:0", "bedrock", model="jamba:0")


def test_every_field_arrives():
    """R1: the fields of an instance, in their units."""
    made = instance(
        {
            "id": "llamacpp:qwen",
            "kind": "Paid",
            "tags": ["Code", "agent:frontend", "big_ctx", "coding", "vision"],
            "ctx": 32768.0,
            "model": "Qwen 3",
            "base_url": "http://127.0.0.1:8080/v1",
            "priority": 0,
            "max_retries": 0,
            "timeout_sec": 2.5,
            "enabled": False,
            "max_inflight": 4,
            "input_cost_per_mtok": 0.25,
            "output_cost_per_mtok": 3,
            "deprecation_date": "1970-01-02",
            "credential": "env:LLAMA_KEY",
            "probe": "http",
            "probe_url": "/health",
            "failover": True,
            "start_command": "a field of another program",
        },
        source="file",
    )
    assert made == Instance(
        id="llamacpp:qwen",
        provider_id="llamacpp",
        kind=Kind.PAID,
        tags=("coding", "frontend", "long_ctx", "vision"),
        ctx=32_768,
        model="Qwen 3",
        base_url="http://127.0.0.1:8080/v1",
        priority=0,
        max_retries=0,
        timeout=2_500,
        enabled=False,
        max_inflight=4,
        input_cost=0.25,
        output_cost=3.0,
        deprecated_at=DAY,
        credential="env:LLAMA_KEY",
        probe=ProbeKind.HTTP,
        probe_url="http://127.0.0.1:8080/health",
        failover=True,
        source="file",
    )


def test_values_that_are_null_or_empty_count_as_not_given():
    names = ("kind", "base_url", "deprecation_date", "credential", "probe", "probe_url")
    empty = instance({"id": "openai:gpt", **dict.fromkeys(names, "")})
    null = instance(
        {"id": "openai:gpt", **dict.fromkeys((*names, "ctx", "tags", "priority", "enabled", "timeout_sec"))}
    )
    assert empty == null == instance({"id": "openai:gpt"})


@pytest.mark.parametrize(
    ("provider", "base_url", "kind"),
    [
        ("ollama", "", Kind.LOCAL),
        ("llamacpp", "", Kind.LOCAL),
        ("llama.cpp", "", Kind.LOCAL),
        ("LM_Studio", "", Kind.LOCAL),
        ("vllm", "https://gpu.example.com", Kind.LOCAL),
        ("openai", "", Kind.CLOUD),
        ("ollamax", "", Kind.CLOUD),
        ("own", "http://localhost:8000", Kind.LOCAL),
        ("own", "http://127.0.0.9:8000", Kind.LOCAL),
        ("own", "http://[::1]:8000", Kind.LOCAL),
        ("own", "http://[::ffff:10.1.2.3]:8000", Kind.LOCAL),
        ("own", "http://10.1.2.3", Kind.LOCAL),
        ("own", "http://172.31.0.1", Kind.LOCAL),
        ("own", "http://172.32.0.1", Kind.CLOUD),
        ("own", "http://192.168.1.2", Kind.LOCAL),
        ("own", "http://[fd00::1]", Kind.LOCAL),
        ("own", "http://203.0.113.5", Kind.CLOUD),
        ("own", "https://api.example.com", Kind.CLOUD),
        ("own", "https://localhost.example.com", Kind.CLOUD),
    ],
)
def test_the_kind_follows_from_the_provider_or_the_address(provider, base_url, kind):
    """R1: local for ollama, llamacpp, lmstudio, vllm or a loopback or private base_url, else cloud."""
    assert kind_of(provider, base_url) is kind
    assert instance({"id": f"{provider}:m", "base_url": base_url}).kind is kind
    assert instance({"id": f"{provider}:m", "base_url": base_url, "kind": "paid"}).kind is Kind.PAID


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"id": None}, "is required: provider:instance, such as ollama:qwen3-coder, or a bare provider"),
        ({"id": 5}, "must be a text, not 5: provider:instance, such as ollama:qwen3-coder, or a bare provider"),
        ({"id": ":gpt"}, 'must be provider:instance or a bare provider, not ":gpt"'),
        ({"id": "openai:"}, 'must be provider:instance or a bare provider, not "openai:"'),
        ({"id": "open ai:gpt"}, 'must have no blanks or control characters, unlike "open ai:gpt"'),
        ({"id": "openai:g\x00t"}, 'must have no blanks or control characters, unlike "openai:g\\x00t"'),
        ({"id": "o" * 257}, "must have at most 256 characters, not 257"),
        ({"kind": "hybrid"}, 'must be local, cloud or paid, not "hybrid"'),
        ({"kind": 1}, "must be local, cloud or paid, not 1"),
        ({"tags": "coding"}, 'must be a list of texts, such as ["coding"], not "coding"'),
        ({"tags": ["t"] * 65}, "must have at most 64 entries, not 65"),
        ({"ctx": "128k"}, 'must be a whole number, not "128k"'),
        ({"ctx": True}, "must be a whole number, not true"),
        ({"ctx": 1.5}, "must be a whole number, not 1.5"),
        ({"ctx": float("nan")}, "must be a whole number, not nan"),
        ({"ctx": -1}, "must be 0 to 1,000,000,000,000, not -1"),
        ({"ctx": 10**400}, f"must be 0 to 1,000,000,000,000, not 1{'0' * 56}..."),
        ({"model": ["a"]}, "must be a text, not a list"),
        ({"model": "a\nb"}, 'must have no control characters, unlike "a\\nb"'),
        ({"model": "\ud800"}, 'must have no control characters, unlike "\\ud800"'),
        ({"model": "m" * 257}, "must have at most 256 characters, not 257"),
        ({"priority": -1}, "must be 0 to 1,000,000, not -1"),
        ({"max_retries": 101}, "must be 0 to 100, not 101"),
        ({"max_inflight": {}}, "must be a whole number, not an object"),
        ({"timeout_sec": 0}, "must be 0.001 to 86,400 seconds, not 0.0"),
        ({"timeout_sec": "30"}, 'must be a number, not "30"'),
        ({"enabled": "yes"}, 'must be true or false, not "yes"'),
        ({"enabled": 1}, "must be true or false, not 1"),
        ({"input_cost_per_mtok": -0.5}, "must be 0 to 1,000,000,000, not -0.5"),
        ({"output_cost_per_mtok": float("inf")}, "must be 0 to 1,000,000,000, not inf"),
        ({"output_cost_per_mtok": float("nan")}, "must be a number, not nan"),
        ({"deprecation_date": "2026-02-30"}, 'must be a day from 1970 on as YYYY-MM-DD, such as 2026-11-30, not "2026-02-30"'),
        ({"deprecation_date": "20260230"}, 'must be a day from 1970 on as YYYY-MM-DD, such as 2026-11-30, not "20260230"'),
        ({"base_url": "localhost:8080"}, 'must be a URL such as http://127.0.0.1:8080/v1, not "localhost:8080"'),
        ({"base_url": "ftp://host"}, 'must be a URL such as http://127.0.0.1:8080/v1, not "ftp://host"'),
        ({"base_url": "http://host:99999"}, 'must be a URL such as http://127.0.0.1:8080/v1, not "http://host:99999"'),
        ({"base_url": "http://[::1"}, 'must be a URL such as http://127.0.0.1:8080/v1, not "http://[::1"'),
        ({"base_url": "http://ho\nst"}, "must be a URL without blanks or control characters"),
        ({"base_url": 80}, "must be a URL, not 80"),
        ({"base_url": "http://" + "h" * 2_048}, "must have at most 2,048 characters, not 2,055"),
        ({"probe": "ping"}, 'must be http, tcp or none, not "ping"'),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_with_what_would_be_right(fields, right):
    """R1: bad types, negative numbers, wrong URLs and control characters are refused by name."""
    assert refused(**fields) == {next(iter(fields)): right}


def test_a_bad_tag_is_named_by_its_place():
    assert refused(tags=["coding", 7, "two words", "agent:", ""]) == {
        "tags[1]": "must be a text, not 7",
        "tags[2]": 'must have 1 to 128 characters, no blanks among them, unlike "two words"',
        "tags[3]": 'must have 1 to 128 characters, no blanks among them, unlike "agent:"',
        "tags[4]": 'must have 1 to 128 characters, no blanks among them, unlike ""',
    }


def test_all_bad_fields_are_named_at_once():
    assert list(refused(ctx="x", priority="y", base_url="z")) == ["base_url", "ctx", "priority"]


@pytest.mark.parametrize(
    "secret", ["sk-1234567890", "env:sk-1234567890", "file:/run/secrets/", "ENV:KEY", 1234567890]
)
def test_a_credential_must_say_where_the_secret_lies_and_is_never_repeated(secret):
    """R1: a credential names an environment variable or a file; the secret is never stored or shown."""
    right = refused(credential=secret)["credential"]
    assert "env:NAME or file:PATH" in right
    assert "1234567890" not in right


@pytest.mark.parametrize("name", ["base_url", "probe_url"])
@pytest.mark.parametrize(
    "url", ["http://user:hunter2@host/v1", "user:hunter2@host:80", "http://:hunter2@host:99999"]
)
def test_a_password_in_a_url_is_refused_and_not_repeated(name, url):
    assert "hunter2" not in refused(**{name: url})[name]


@pytest.mark.parametrize(
    ("fields", "kind", "url"),
    [
        ({"probe_url": "http://h:1/health"}, ProbeKind.HTTP, "http://h:1/health"),
        ({"probe_url": "h:22"}, ProbeKind.TCP, "h:22"),
        ({"probe_url": "tcp://[::1]:22"}, ProbeKind.TCP, "[::1]:22"),
        ({"probe": "TCP", "probe_url": "10.0.0.1:22"}, ProbeKind.TCP, "10.0.0.1:22"),
        ({"probe": "none", "probe_url": "h:22"}, ProbeKind.NONE, ""),
        ({"probe": "none"}, ProbeKind.NONE, ""),
        ({"probe_url": "/api/tags", "base_url": "http://h:11434"}, ProbeKind.HTTP, "http://h:11434/api/tags"),
        (
            {"probe": ProbeKind.HTTP, "probe_url": "https://h/v1/models"},
            ProbeKind.HTTP,
            "https://h/v1/models",
        ),
    ],
)
def test_a_probe_is_told_by_its_url_or_its_kind(fields, kind, url):
    """R1: probes are HTTP or TCP."""
    made = instance({"id": "a:b", **fields})
    assert (made.probe, made.probe_url) == (kind, url)


@pytest.mark.parametrize(
    ("fields", "right"),
    [
        ({"probe": "http"}, "is required with probe http"),
        ({"probe_url": "h"}, 'must be host:port for TCP or http://… for HTTP, not "h"'),
        ({"probe_url": "h:0"}, 'must be host:port for TCP or http://… for HTTP, not "h:0"'),
        ({"probe_url": "h:80/health"}, 'must be host:port for TCP or http://… for HTTP, not "h:80/health"'),
        ({"probe": "tcp", "probe_url": "http://h:1"}, 'must be host:port for TCP or http://… for HTTP, not "http://h:1"'),
        ({"probe_url": "/health"}, "must be a whole URL where no good base_url is given"),
        ({"probe": "http", "probe_url": "h:80"}, 'must be a URL such as http://127.0.0.1:8080/v1, not "h:80"'),
        ({"probe_url": 80}, "must be a text, not 80"),
    ],
)  # fmt: skip
def test_a_probe_that_leads_nowhere_is_refused(fields, right):
    assert refused(**fields) == {"probe_url": right}


@pytest.mark.parametrize("text", ["RUNNING", "running", "READY", " Ready "])
def test_running_means_ready(text):
    """R1: "RUNNING" as a state means READY."""
    assert state(text) is InstanceState.READY


def test_every_other_state_is_read_by_its_name_and_nothing_else_is():
    assert [state(each.name.lower()) for each in InstanceState] == list(InstanceState)
    for bad in ("ON", 2, None, ""):
        with pytest.raises(
            ValueError,
            match="must be RUNNING or one of UNKNOWN, READY, DEGRADED, ERROR, STOPPED, DISCONNECTED",
        ):
            state(bad)


# Signs that mean something somewhere, and some that can hardly be written down.
texts = st.text(st.sampled_from("aZ09:/.@-_ [%#?\n\x00\x7f\u00a0\u200b中\ud800"), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
fields = ("kind", "tags", "ctx", "model", "base_url", "priority", "max_retries", "timeout_sec", "enabled", "max_inflight", "input_cost_per_mtok",
          "deprecation_date", "credential", "probe", "probe_url")  # fmt: skip


@given(st.dictionaries(st.sampled_from(("id", *fields)), json_values))
def test_whatever_comes_is_an_instance_or_a_refusal_that_can_be_written_down(given_fields):
    try:
        made, said = instance(given_fields), "taken"
    except InvalidArgument as error:
        made, said = None, error.message
    assert said
    assert said.isprintable()
    if made:
        assert made == replace(made, tags=tuple(sorted(set(made.tags))))
        json.dumps([made.id, made.model, made.tags, made.base_url]).encode()
        assert made.timeout >= 1
