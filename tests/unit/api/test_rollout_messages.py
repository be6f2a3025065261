"""Definitions of rollouts as messages (spec G1 to G4, G7)."""

import dataclasses

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from fleet.v1 import rollout_pb2
from fleetd.api.convert_rollouts import rollout_in, rollout_into
from fleetd.core.fallback import FallbackRules
from fleetd.core.rollout import BucketBy, Origin, Rollout, RolloutMode, Targets
from fleetd.core.rollout_definition import COUNTS, SPANS
from fleetd.errors import InvalidArgument

names = st.from_regex(r"[A-Za-z0-9._\-:/@]{1,128}", fullmatch=True)
capabilities = st.lists(st.from_regex(r"[a-z]{1,8}(:[a-z]{1,8})?", fullmatch=True), unique=True, max_size=3)
orgs = st.frozensets(names, max_size=4)
shares = st.floats(0, 1)
percents = st.integers(0, 10_000).map(lambda steps: steps / 100)
spans = st.integers(1, 30 * 86_400_000)


@st.composite
def rules(draw):
    found = {name: draw(st.integers(*bounds)) for name, bounds in (*SPANS.items(), *COUNTS.items())}
    found["dwell"] = min(found["dwell"], found["dwell_max"])
    for name in ("error_rate", "timeout_rate", "latency_share", "recovery_share"):
        found[name] = draw(shares)
    trial = draw(st.floats(0, 100, exclude_min=True))
    return FallbackRules(**found, trial_percent=trial, per_org=draw(st.booleans()))


@st.composite
def rollouts(draw):
    old, new = draw(st.lists(names, min_size=2, max_size=2, unique=True))
    return Rollout(
        name=draw(names),
        old=RolloutMode(old, tuple(draw(capabilities))),
        new=RolloutMode(new, tuple(draw(capabilities))),
        default=draw(st.sampled_from([old, new])),
        explicit=draw(st.sampled_from(["", old, new])),
        allow=draw(orgs),
        deny=draw(orgs),
        percent=draw(percents),
        bucket_by=draw(st.sampled_from(BucketBy)),
        salt=draw(names),
        shadow_percent=draw(percents),
        shadow_limit=draw(st.integers(1, 1_000)),
        fallback=draw(rules()),
        health_url=draw(st.sampled_from(["", "http://runtime:8000/health"])),
        targets=Targets(
            draw(st.none() | spans),
            draw(st.none() | spans),
            draw(st.none() | shares),
            draw(st.none() | shares),
        ),
        origin=draw(st.sampled_from(Origin)),
        version=draw(st.integers(1, 1 << 40)),
        updated_at=draw(st.integers(0, 1 << 41)),
    )


def message_of(known: Rollout) -> rollout_pb2.Rollout:
    message = rollout_pb2.Rollout()
    rollout_into(message, known)
    return rollout_pb2.Rollout.FromString(message.SerializeToString())


@given(rollouts())
def test_g4_a_rollout_that_was_shown_can_be_sent_back(known):
    """Only what the daemon sets by itself begins anew."""
    message = message_of(known)
    assert rollout_in(message) == dataclasses.replace(known, origin=Origin.STORE, version=1, updated_at=0)
    assert (message.origin, message.version) == (known.origin, known.version)
    assert message.updated_at.ToMilliseconds() == known.updated_at
    assert message.hash_version == 1


def test_g1_the_least_message_means_the_defaults():
    message = rollout_pb2.Rollout(name="chat", old_mode={"name": "a"}, new_mode={"name": "b"})
    assert rollout_in(message) == Rollout("chat", RolloutMode("a"), RolloutMode("b"), "a")


def test_g1_bad_fields_of_a_message_are_named():
    message = rollout_pb2.Rollout(
        name="chat",
        old_mode={"name": "a"},
        bucket_by=7,
        percent=float("nan"),
        fallback={"window": Duration(seconds=-1), "dwell": Duration(), "min_samples": -1, "error_rate": 2},
        targets={"avg_latency": Duration(seconds=1, nanos=-1)},
    )
    with pytest.raises(InvalidArgument) as caught:
        rollout_in(message)
    assert [path for path, _ in caught.value.fields] == [
        "new_mode",
        "percent",
        "bucket_by",
        "fallback.error_rate",
        "fallback.min_samples",
        "fallback.window",
        "fallback.dwell",
        "targets.avg_latency",
    ]
