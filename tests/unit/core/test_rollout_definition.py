"""Definitions of rollouts: what is taken, what is refused and in which words (spec G1 to G4, G7)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd.core.fallback import FallbackRules
from fleetd.core.rollout import BucketBy, Origin, Rollout, RolloutMode, Targets
from fleetd.core.rollout_definition import rollout
from fleetd.errors import InvalidArgument

MODES = {"old_mode": {"name": "direct_llm"}, "new_mode": {"name": "runtime_orchestrator"}}


def made(**fields) -> Rollout:
    return rollout({"name": "chat", **MODES, **fields}, origin=Origin.FILE)


def refused(**fields) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        made(**fields)
    found = dict(caught.value.fields)
    assert len(found) == len(caught.value.fields), "a field is named once"
    return found


def test_g1_a_name_and_two_modes_define_a_rollout_whose_default_is_the_old_mode():
    assert made() == Rollout(
        name="chat",
        old=RolloutMode("direct_llm"),
        new=RolloutMode("runtime_orchestrator"),
        default="direct_llm",
        origin=Origin.FILE,
    )
    assert made().fallback == FallbackRules()


def test_g4_every_field_arrives():
    fields = {
        "old_mode": {"name": "a", "required_capabilities": ["llm"]},
        "new_mode": {"name": "b", "required_capabilities": ["runtime:v2", "gpu", "gpu"]},
        "default_mode": "b",
        "explicit_mode": "a",
        "allow_orgs": ["one", "two"],
        "deny_orgs": ["two"],
        "percent": 12.25,
        "bucket_by": "session",
        "salt": "2026-01",
        "shadow_percent": 3,
        "shadow_limit": 4,
        "fallback": {
            "error_rate": 0.1,
            "timeout_rate": 0,
            "timeout_threshold": "1.5s",
            "latency_share": 1,
            "window": "10s",
            "min_samples": 1,
            "probe_failures": 100,
            "probe_interval": "100ms",
            "probe_timeout": "1m",
            "dwell": "1s",
            "dwell_max": "2s",
            "dwell_decay": "3s",
            "trial_percent": 0.5,
            "trial_for": "4s",
            "recovery_share": 0.25,
            "per_org": True,
        },
        "health_url": "http://runtime:8000/health",
        "targets": {"avg_latency": "3s", "p95_latency": "5s", "error_rate": 0.05, "timeout_rate": 0.02},
    }
    assert rollout({"name": "x/y:z@1", **fields}, origin=Origin.STORE) == Rollout(
        name="x/y:z@1",
        old=RolloutMode("a", ("llm",)),
        new=RolloutMode("b", ("runtime:v2", "gpu")),
        default="b",
        explicit="a",
        allow=frozenset({"one", "two"}),
        deny=frozenset({"two"}),
        percent=12.25,
        bucket_by=BucketBy.SESSION,
        salt="2026-01",
        shadow_percent=3.0,
        shadow_limit=4,
        fallback=FallbackRules(
            0.1, 0.0, 1_500, 1.0, 10_000, 1, 100, 100, 60_000, 1_000, 2_000, 3_000, 0.5, 4_000, 0.25, True
        ),
        health_url="http://runtime:8000/health",
        targets=Targets(3_000, 5_000, 0.05, 0.02),
    )


def test_what_is_none_or_empty_counts_as_not_given():
    empty = {"default_mode": "", "explicit_mode": None, "allow_orgs": [], "salt": "", "health_url": ""}
    assert made(**empty, fallback=None, targets={"error_rate": None}, bucket_by=None) == made()


def test_g1_all_bad_fields_are_named_at_once_by_their_paths():
    found = refused(
        name="a b",
        old_mode={"name": "", "capabilities": []},
        new_mode="runtime_orchestrator",
        allow_orgs=["ok", "not ok", 7],
        percent=100.5,
        bucket_by="user",
        shadow_limit=0,
        fallback={"error_rate": 1.5, "dwell": 60, "windw": "5m"},
        health_url="runtime:8000/health",
        targets={"p95_latency": "fast"},
        colour="red",
    )
    assert found == {
        "colour": "is not known; the nearest is old_mode",
        "name": 'must have no blanks or control characters, unlike "a b"',
        "old_mode.capabilities": "is not known; the nearest is required_capabilities",
        "old_mode.name": "is required, such as direct_llm",
        "new_mode": 'must be an object with a name, such as {name = "runtime_orchestrator"}, not "runtime_orchestrator"',
        "allow_orgs[1]": 'must be 1 to 128 letters, digits and . _ - : / @, unlike "not ok"',
        "allow_orgs[2]": "must be a text, not 7",
        "percent": "must be 0 to 100, not 100.5",
        "bucket_by": 'must be one of org, session, not "user"',
        "shadow_limit": "must be 1 to 1,000, not 0",
        "fallback.windw": "is not known; the nearest is window",
        "fallback.error_rate": "must be 0 to 1, not 1.5",
        "fallback.dwell": "must be a duration of 1ms to 720h with its unit, such as 500ms, 30s or 5m, not 60",
        "health_url": 'must be a URL such as http://127.0.0.1:8080/v1, not "runtime:8000/health"',
        "targets.p95_latency": 'must be a duration of 1ms to 720h with its unit, such as 500ms, 30s or 5m, not "fast"',
    }


def test_g1_modes_are_required_and_differ():
    with pytest.raises(InvalidArgument) as caught:
        rollout({}, origin=Origin.FILE)
    assert [path for path, _ in caught.value.fields] == ["name", "old_mode", "new_mode"]
    same = refused(new_mode={"name": "direct_llm"})
    assert same == {"new_mode.name": 'must differ from that of old_mode, which is "direct_llm", too'}


def test_g1_default_and_explicit_mode_are_names_of_the_two():
    assert refused(default_mode="direct", explicit_mode="runtime") == {
        "default_mode": 'must be direct_llm or runtime_orchestrator, not "direct"',
        "explicit_mode": 'must be direct_llm or runtime_orchestrator, not "runtime"',
    }


@pytest.mark.parametrize("bad", [-0.01, 100.01, float("nan"), float("inf"), True, "5", [5]])
def test_g2_a_percentage_is_a_number_from_0_to_100(bad):
    assert set(refused(percent=bad)) == {"percent"}
    assert set(refused(shadow_percent=bad)) == {"shadow_percent"}


def test_g2_a_percentage_has_two_decimals():
    assert refused(percent=33.333) == {"percent": "must have at most 2 decimals, not 33.333"}
    assert made(percent=0.1 + 0.2).percent == 0.3


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("window", ("10s", "24h"), ("9999ms", "25h")),
        ("probe_interval", ("100ms", "1h"), ("99ms", "61m")),
        ("probe_timeout", ("100ms", "1m"), ("99ms", "61s")),
        ("timeout_threshold", ("1ms", "720h"), ("0s", "721h")),
        ("trial_for", ("1ms", "720h"), ("0s", "721h")),
        ("dwell_decay", ("1ms", "720h"), ("0s", "-5s")),
        ("min_samples", (1, 100_000), (0, 100_001, 1.5)),
        ("probe_failures", (1, 100), (0, 101)),
        ("error_rate", (0, 1), (-0.1, 1.1)),
        ("latency_share", (0, 1), (-0.1, 1.1)),
        ("recovery_share", (0, 1), (-0.1, 1.1)),
        ("trial_percent", (0.01, 100), (0, 100.1)),
        ("per_org", (True, False), (1, "true")),
    ],
)
def test_g3_g4_the_rules_have_bounds(name, good, bad):
    for value in good:
        made(fallback={name: value})
    for value in bad:
        assert set(refused(fallback={name: value})) == {f"fallback.{name}"}


def test_g4_the_first_stay_in_fallback_is_no_longer_than_the_longest():
    assert refused(fallback={"dwell": "1h"}) == {
        "fallback.dwell": "must be at most dwell_max, which is 30m, not 1h"
    }
    assert refused(fallback={"dwell_max": "30s"}) == {
        "fallback.dwell_max": "must be at least dwell, which is 1m, not 30s"
    }
    assert made(fallback={"dwell": "1h", "dwell_max": "1h"}).fallback.dwell == 3_600_000


def test_what_the_daemon_alone_sets_is_refused():
    assert refused(version=3, origin="STORE") == {
        "version": "is set by the daemon alone",
        "origin": "is set by the daemon alone",
    }


def test_a_password_in_the_address_of_the_probe_is_refused_and_not_repeated():
    found = refused(health_url="http://user:s3cret@runtime/health")
    assert found == {"health_url": "must hold no user or password"}


def test_s7_of_many_bad_orgs_some_are_named_and_the_rest_is_counted():
    found = refused(deny_orgs=["no org"] * 500)
    assert len(found) == 21
    assert found["deny_orgs"] == "and 480 more"
    assert refused(deny_orgs=["o"] * 10_001) == {"deny_orgs": "must have at most 10,000 entries, not 10,001"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["name", "old_mode", "new_mode", "percent", "salt", "fallback", "targets", "x"])
        | st.text(max_size=10),
        JSON,
        max_size=6,
    )
)
def test_s7_whatever_is_given_is_a_rollout_or_a_refusal(fields):
    with contextlib.suppress(InvalidArgument):
        rollout({**MODES, "name": "chat", **fields}, origin=Origin.FILE)
