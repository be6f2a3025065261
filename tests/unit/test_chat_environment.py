"""The variables of the predecessor's chat switch (spec G8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd import mapping
from fleetd.chat_environment import RIGHT, ChatEnvironment, read
from fleetd.config import ConfigError
from fleetd.core.fallback import FallbackRules
from fleetd.core.rollout import BucketBy, Origin, Rollout, RolloutMode, Targets

DEFAULT = Rollout(
    name="chat",
    old=RolloutMode("direct_llm"),
    new=RolloutMode("runtime_orchestrator"),
    default="direct_llm",
    bucket_by=BucketBy.ORG,
    health_url="http://localhost:8000/health",
    targets=Targets(3_000, 5_000, 0.05, 0.02),
    origin=Origin.ENVIRONMENT,
)


def defined(**environ: str) -> Rollout:
    found = read(environ)
    assert found.problems == ()
    assert found.rollout is not None
    return found.rollout


def refused(**environ: str) -> tuple[str, ...]:
    found = read(environ)
    assert found.rollout is None
    return found.problems


def test_g8_the_documented_defaults_are_the_defaults():
    """G7: and its targets. The values of the predecessor's documentation, written out."""
    written = defined(
        CHAT_EXECUTION_MODE="direct_llm",
        RUNTIME_SERVICE_URL="http://localhost:8000",
        CHAT_RUNTIME_ENABLED_ORGS="",
        CHAT_RUNTIME_SHADOW_PERCENT="0",
        CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS="300000",
        CHAT_RUNTIME_ERROR_RATE_THRESHOLD="0.5",
    )
    assert written == DEFAULT
    assert (written.fallback, written.percent) == (FallbackRules(), 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHAT_EXECUTION_MODE", "direct_llm"),
        ("CHAT_RUNTIME_ENABLED_ORGS", ""),
        ("CHAT_RUNTIME_SHADOW_PERCENT", "0"),
        ("CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS", "300000"),
        ("CHAT_RUNTIME_ERROR_RATE_THRESHOLD", ".5"),
    ],
)
def test_g8_each_variable_defines_the_rollout_and_the_others_have_their_defaults(name, value):
    assert defined(**{name: value}) == DEFAULT


def test_g8_the_address_of_the_runtime_alone_defines_nothing():
    """Other software uses such a name; what stands in it is nobody's business then."""
    assert read({"RUNTIME_SERVICE_URL": "http://runtime:8000"}) == ChatEnvironment()
    assert read({"RUNTIME_SERVICE_URL": "tcp://10.0.0.1:5"}) == ChatEnvironment()
    assert read({"PATH": "/bin"}) == ChatEnvironment()


def test_g8_every_value_arrives():
    found = defined(
        CHAT_EXECUTION_MODE=" runtime_orchestrator ",
        RUNTIME_SERVICE_URL="https://runtime.example/base/",
        CHAT_RUNTIME_ENABLED_ORGS=" org-uuid-1 ,org-uuid-2,, ",
        CHAT_RUNTIME_SHADOW_PERCENT="12.5",
        CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS="1500",
        CHAT_RUNTIME_ERROR_RATE_THRESHOLD="1",
    )
    assert (found.default, found.explicit) == ("runtime_orchestrator", "")
    assert found.health_url == "https://runtime.example/base/health"
    assert found.allow == {"org-uuid-1", "org-uuid-2"}
    assert found.shadow_percent == 12.5
    assert found.fallback == FallbackRules(error_rate=1.0, timeout_threshold=1_500)


def test_g8_an_empty_address_means_that_nobody_is_asked():
    assert defined(CHAT_EXECUTION_MODE="direct_llm", RUNTIME_SERVICE_URL=" ").health_url == ""


def test_g8_bad_values_are_all_refused_at_once_by_their_names():
    assert refused(
        CHAT_EXECUTION_MODE="runtime",
        RUNTIME_SERVICE_URL="localhost:8000",
        CHAT_RUNTIME_ENABLED_ORGS="good,not good",
        CHAT_RUNTIME_SHADOW_PERCENT="abc",
        CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS="5s",
        CHAT_RUNTIME_ERROR_RATE_THRESHOLD="50",
    ) == (
        'CHAT_EXECUTION_MODE = "runtime" (environment): should be direct_llm or runtime_orchestrator',
        'RUNTIME_SERVICE_URL = "localhost:8000" (environment): should be an http or https URL without user, password, ? and #, such as http://localhost:8000, or empty for no probe',
        'CHAT_RUNTIME_ENABLED_ORGS = "good,not good" (environment): should be at most 10,000 names of orgs with commas between them, each 1 to 128 letters, digits and . _ - : / @',
        'CHAT_RUNTIME_SHADOW_PERCENT = "abc" (environment): should be a number from 0 to 100',
        'CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS = "5s" (environment): should be a whole number of milliseconds, 1 to 2,592,000,000',
        'CHAT_RUNTIME_ERROR_RATE_THRESHOLD = "50" (environment): should be a number from 0 to 1',
    )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("CHAT_EXECUTION_MODE", ["", "DIRECT_LLM", '"direct_llm"']),
        ("RUNTIME_SERVICE_URL", ["ftp://x", "http://", "http:", "http://x?y", "http://x/#y", "http://u:p@x", "http://a b"]),
        ("CHAT_RUNTIME_ENABLED_ORGS", ["a;b", "ö", "x" * 129, ",".join(map(str, range(10_001)))]),
        ("CHAT_RUNTIME_SHADOW_PERCENT", ["", "-1", "100.1", "101", "5%", "nan", "inf", "1_0", "٣", "1e1"]),
        ("CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS", ["", "0", "-5", "1.5", "2592000001", "9" * 5_000]),
        ("CHAT_RUNTIME_ERROR_RATE_THRESHOLD", ["", "-0.1", "1.1", "50%", "nan"]),
    ],
)  # fmt: skip
def test_g8_a_bad_value_is_refused(name, values):
    for value in values:
        (problem,) = refused(**{"CHAT_EXECUTION_MODE": "direct_llm", name: value})
        assert problem.startswith(f"{name} = ")
        assert problem.endswith(f"(environment): {RIGHT[name]}")
        assert len(problem) < 300


def test_g8_a_percentage_has_two_decimals():
    assert refused(CHAT_RUNTIME_SHADOW_PERCENT="33.333") == (
        'CHAT_RUNTIME_SHADOW_PERCENT = "33.333" (environment): should have at most two decimals',
    )


def test_g8_a_password_in_the_address_is_not_repeated():
    (problem,) = refused(CHAT_EXECUTION_MODE="direct_llm", RUNTIME_SERVICE_URL="http://u:s3cret@runtime")
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("CHAT_RUNTIME_ENABLED_ORG", "CHAT_RUNTIME_ENABLED_ORGS"),
        ("CHAT_RUNTIME_SHADOW_PERCENTAGE", "CHAT_RUNTIME_SHADOW_PERCENT"),
        ("CHAT_RUNTIME_TIMEOUT_MS", "CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS"),
        ("CHAT_RUNTIME_ERROR_RATE", "CHAT_RUNTIME_ERROR_RATE_THRESHOLD"),
        ("CHAT_RUNTIME_SERVICE_URL", "RUNTIME_SERVICE_URL"),
        ("CHAT_EXECUTION_MODES", "CHAT_EXECUTION_MODE"),
        ("CHAT_RUNTIME_MODE", "CHAT_EXECUTION_MODE"),
    ],
)
def test_g8_a_near_miss_is_an_error_that_names_the_nearest(wrong, nearest):
    expected = f"{wrong} (environment): is not known; the nearest is {nearest}"
    assert refused(**{wrong: "x"}) == (expected,)
    assert refused(**{wrong: "x", "CHAT_EXECUTION_MODE": "direct_llm"}) == (expected,)


def test_g8_what_is_like_none_of_the_names_is_somebody_elses():
    others = {
        "CHAT_RUNTIME_PORT": "1",
        "CHAT_RUNTIME_LOG_LEVEL": "x",
        "CHAT_EXECUTION_QUEUE": "x",
        "CHAT": "x",
    }
    assert read(others) == ChatEnvironment()


def test_g8_the_daemon_gets_the_rollout_or_all_that_is_wrong():
    assert mapping.chat_rollout({}) is None
    assert mapping.chat_rollout({"CHAT_EXECUTION_MODE": "direct_llm"}) == DEFAULT
    with pytest.raises(ConfigError) as caught:
        mapping.chat_rollout({"CHAT_EXECUTION_MODE": "x", "CHAT_RUNTIME_ENABLED_ORG": "y"})
    assert len(caught.value.problems) == 2


@given(st.dictionaries(st.sampled_from(list(RIGHT)), st.text(max_size=30)))
def test_g8_whatever_stands_in_the_variables_is_a_rollout_or_is_refused(environ):
    found = read(environ)
    assert found.rollout is None or not found.problems
    assert bool(found.problems or found.rollout) == bool(environ.keys() - {"RUNTIME_SERVICE_URL"})
