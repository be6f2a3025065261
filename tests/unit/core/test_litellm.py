"""The catalogue of LiteLLM: real rows, and rows that cannot be used."""

import json
from pathlib import Path

import pytest

from fleetd.core.instance import Instance, Kind
from fleetd.core.litellm import litellm
from fleetd.errors import InvalidArgument

REAL = Path(__file__).parents[2] / "data" / "litellm.json"


def row(**fields) -> dict:
    return {"litellm_provider": "openai", "mode": "chat", **fields}


def problem_of(given) -> str:
    found = litellm({"m": given})
    assert not found.instances
    (problem,) = found.problems
    assert problem.name == "m"
    return problem.problem


def test_a_row_becomes_an_instance():
    """R1: capability flags become tags, the cost of a token that of a million."""
    found = litellm(
        {
            "openai/gpt": row(
                max_input_tokens=131_072,
                max_output_tokens=4_096,
                input_cost_per_token=1.5e-07,
                output_cost_per_token=6e-07,
                deprecation_date="1970-01-02",
                supports_vision=True,
                supports_response_schema=True,
                supports_pdf_input=True,
                supports_reasoning=False,
                supports_web_search=None,
                tpm=5,
            )
        }
    )
    assert not found.problems
    assert found.instances == (
        Instance(
            "openai:gpt",
            "openai",
            Kind.CLOUD,
            ("json_schema", "long_ctx", "pdf", "vision"),
            131_072,
            "gpt",
            input_cost=0.15,
            output_cost=0.6,
            deprecated_at=86_400_000,
            source="catalogue",
        ),
    )


@pytest.mark.parametrize(
    ("fields", "ctx"),
    [
        ({}, 0),
        ({"max_input_tokens": None}, 0),
        ({"max_input_tokens": 0}, 0),
        ({"max_input_tokens": 0, "max_tokens": 9}, 0),
        ({"max_tokens": 8_192}, 8_192),
        ({"max_input_tokens": 32_000.0, "max_tokens": 8_192}, 32_000),
    ],
)
def test_a_context_of_none_or_zero_is_unknown_and_the_row_is_good(fields, ctx):
    """R1, R3a: an unknown context is no reason to drop an instance."""
    found = litellm({"m": row(**fields)})
    assert not found.problems
    assert found.instances[0].ctx == ctx


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"max_input_tokens": "128k, see the docs"},
            'max_input_tokens: must be a whole number, not "128k, see the docs"',
        ),
        ({"max_tokens": "unknown"}, 'max_tokens: must be a whole number, not "unknown"'),
        ({"max_input_tokens": -5}, "max_input_tokens: must be 0 to 1,000,000,000,000, not -5"),
        ({"input_cost_per_token": "free"}, 'input_cost_per_token: must be a number, not "free"'),
        ({"output_cost_per_token": -1e-06}, "output_cost_per_token: must be 0 to 1,000,000,000, not -1.0"),
        (
            {"output_cost_per_token": float("inf")},
            "output_cost_per_token: must be 0 to 1,000,000,000, not inf",
        ),
        ({"supports_vision": "yes"}, 'supports_vision: must be true or false, not "yes"'),
        (
            {"deprecation_date": "soon"},
            'deprecation_date: must be a day from 1970 on as YYYY-MM-DD, such as 2026-11-30, not "soon"',
        ),
        ({"litellm_provider": None}, "litellm_provider: must be a name without blanks and colons, not null"),
        (
            {"litellm_provider": "a:b"},
            'litellm_provider: must be a name without blanks and colons, not "a:b"',
        ),
        ({"mode": ["chat"]}, "mode: must be one word, such as chat, not a list"),
        ({"mode": "embedding"}, 'mode: "embedding" writes no text; chat, completion, responses do'),
        (
            {"alias_of": "nothing"},
            'alias_of: must be the name of a row that is no alias itself, not "nothing"',
        ),
        ({"alias_of": "m"}, 'alias_of: must be the name of a row that is no alias itself, not "m"'),
        (
            {"max_input_tokens": "many", "input_cost_per_token": "little"},
            'max_input_tokens: must be a whole number, not "many"; input_cost_per_token: must be a number, not "little"',
        ),
    ],
)
def test_a_bad_row_is_reported_by_name_with_the_field_and_what_would_be_right(fields, problem):
    """R1: prose in numeric fields, negative numbers, bad types."""
    assert problem_of(row(**fields)) == problem


def test_a_row_that_is_no_object_is_reported():
    assert problem_of(5) == "must be an object, not 5"
    with pytest.raises(InvalidArgument, match="data: must be an object"):
        litellm([])


def test_real_rows_load_and_the_others_are_named():
    """R1: the sample row is bad, an alias takes the values it points at, of two rows for one id the first holds."""
    found = litellm(json.loads(REAL.read_bytes()))
    made = {each.id: each for each in found.instances}
    assert set(made) == {
        "bedrock:twelvelabs.pegasus-1-2-v1:0",
        "bedrock:us.twelvelabs.pegasus-1-2-v1:0",
        "bedrock_converse:bedrock/claude-fable-latest",
        "bedrock_converse:global.anthropic.claude-fable-5-1",
        "deepseek:deepseek-chat",
        "openai:gpt-5-codex",
        "ollama:codellama",
        "vercel_ai_gateway:mistral/codestral-embed",
    }
    alias, target = (
        made["bedrock_converse:bedrock/claude-fable-latest"],
        made["bedrock_converse:global.anthropic.claude-fable-5-1"],
    )
    assert (
        (alias.ctx, alias.tags, alias.input_cost)
        == (target.ctx, target.tags, target.input_cost)
        != (0, (), 0.0)
    )
    assert made["ollama:codellama"].kind is Kind.LOCAL
    assert made["vercel_ai_gateway:mistral/codestral-embed"].ctx == 0
    assert made["bedrock:twelvelabs.pegasus-1-2-v1:0"].ctx == 0
    assert [problem.name for problem in found.problems] == [
        "sample_spec",
        "deepseek/deepseek-chat",
        "aiml/dall-e-3",
        "text-embedding-3-small",
    ]
    sample = found.problems[0].problem
    assert all(
        f"{name}: must be" in sample
        for name in ("litellm_provider", "mode", "max_input_tokens", "deprecation_date")
    )
