"""
How a rollout is defined by somebody's fields (spec G1 to G4, G7, G8): in a file, in the environment or in a message.

Names of fields are those of fleet.v1.Rollout; durations are texts with their unit. A field that is None or empty counts as not given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fleetd.core.fallback import FallbackRules
from fleetd.core.given import Given
from fleetd.core.rollout import BucketBy, Origin, Rollout, RolloutMode, Targets
from fleetd.core.text import shown
from fleetd.core.url import url_problem
from fleetd.durations import duration_text
from fleetd.errors import InvalidArgument

FIELDS: tuple[str, ...] = (
    "name", "old_mode", "new_mode", "default_mode", "explicit_mode", "allow_orgs", "deny_orgs", "percent", "bucket_by", "salt", "shadow_percent",
    "shadow_limit", "fallback", "health_url", "targets",
)  # fmt: skip
OWN_FIELDS = ("hash_version", "origin", "version", "updated_at")
"""Fields of the message that only the daemon sets."""
MODE_FIELDS = RolloutMode._fields
TARGET_FIELDS = Targets._fields
FALLBACK_FIELDS: tuple[str, ...] = tuple(FallbackRules.__dataclass_fields__)

NAME = re.compile(r"[A-Za-z0-9._\-:/@]{1,128}")
NAME_WORDS = "must be 1 to 128 letters, digits and . _ - : / @"
CAPABILITY = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9._\-/]+(:[A-Za-z0-9._\-/]+)*")
CAPABILITY_WORDS = "must be 1 to 128 letters, digits and . _ - /, in parts joined by single colons"
MOST_CAPABILITIES = 64
MOST_ORGS = 10_000
MOST_SHADOWS = 1_000
SALT_CHARS = 128

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
DAY = 24 * HOUR
ANY_SPAN = (1, 30 * DAY)
SPANS: Mapping[str, tuple[int, int]] = {
    "timeout_threshold": ANY_SPAN,
    "window": (10 * SECOND, DAY),
    "probe_interval": (100, HOUR),
    "probe_timeout": (100, MINUTE),
    "dwell": ANY_SPAN,
    "dwell_max": ANY_SPAN,
    "dwell_decay": ANY_SPAN,
    "trial_for": ANY_SPAN,
}
"""The shortest and the longest of each duration of the rules, milliseconds."""
SHARES = ("error_rate", "timeout_rate", "latency_share", "recovery_share")
COUNTS: Mapping[str, tuple[int, int]] = {"min_samples": (1, 100_000), "probe_failures": (1, 100)}


def rollout(fields: Mapping[str, object], *, origin: Origin) -> Rollout:
    """
    Return the rollout that `fields` define.

    Args:
        fields: `name`, `old_mode` and `new_mode` are required; a mode is {name, required_capabilities}, `bucket_by` is org or session.
        origin: where they come from.

    Raises:
        InvalidArgument: naming every bad field by its path, and what would be right.
    """
    given = _Given(fields)
    given.known_fields()
    name = given.name("name", "chat")
    old, new = given.mode("old_mode", "direct_llm"), given.mode("new_mode", "runtime_orchestrator")
    if old.name and old.name == new.name:
        given.refuse("new_mode.name", f"must differ from that of old_mode, which is {shown(old.name)}, too")
    made = Rollout(
        name=name,
        old=old,
        new=new,
        default=given.one_of("default_mode", old, new) or old.name,
        explicit=given.one_of("explicit_mode", old, new),
        allow=given.orgs("allow_orgs"),
        deny=given.orgs("deny_orgs"),
        percent=given.percent("percent"),
        bucket_by=BucketBy[given.choice("bucket_by", ("org", "session")).upper()],
        salt=given.salt(),
        shadow_percent=given.percent("shadow_percent"),
        shadow_limit=given.whole("shadow_limit", 1, MOST_SHADOWS, 10),
        fallback=_rules(given),
        health_url=given.url("health_url"),
        targets=_targets(given),
        origin=origin,
    )
    if given.errors:
        raise InvalidArgument(given.errors)
    return made


def _rules(outer: _Given) -> FallbackRules:
    given = outer.inside("fallback", "an object such as error_rate = 0.5")
    given.known(FALLBACK_FIELDS)
    unset = FallbackRules()
    found: dict[str, Any] = {"per_org": given.flag("per_org", default=unset.per_org)}
    for name in SHARES:
        found[name] = given.number(name, 1, getattr(unset, name))
    for name, (low, high) in COUNTS.items():
        found[name] = given.whole(name, low, high, getattr(unset, name))
    for name, (low, high) in SPANS.items():
        found[name] = given.span(name, low, high, getattr(unset, name))
    found["trial_percent"] = given.number("trial_percent", 100, unset.trial_percent, above=True)
    rules = FallbackRules(**found)
    if rules.dwell > rules.dwell_max:
        # The default of either may be what is in the way: the one that was given is named.
        name = "dwell" if given.fields.get("dwell") is not None else "dwell_max"
        dwell, most = duration_text(rules.dwell), duration_text(rules.dwell_max)
        given.refuse(
            name,
            f"must be at most dwell_max, which is {most}, not {dwell}"
            if name == "dwell"
            else f"must be at least dwell, which is {dwell}, not {most}",
        )
    return rules


def _targets(outer: _Given) -> Targets:
    given = outer.inside("targets", 'an object such as p95_latency = "5s"')
    given.known(TARGET_FIELDS)
    return Targets(
        avg_latency=given.span("avg_latency", *ANY_SPAN, None),
        p95_latency=given.span("p95_latency", *ANY_SPAN, None),
        error_rate=given.number("error_rate", 1, None),
        timeout_rate=given.number("timeout_rate", 1, None),
    )


class _Given(Given):
    """What a rollout is made of."""

    def inside(self, name: str, what: str, *, required: bool = False) -> _Given:
        """Return the reader of an inner object."""
        return _Given(self.part(name, what, required=required), f"{self.prefix}{name}.", self.errors)

    def known_fields(self) -> None:
        own = [name for name in OWN_FIELDS if name in self.fields]
        for name in own:
            self.refuse(name, "is set by the daemon alone")
        self.known((*FIELDS, *own))

    def name(self, name: str, example: str) -> str:
        value = self.word(name, required=example)
        if value and not NAME.fullmatch(value):
            self.refuse(name, f"{NAME_WORDS}, unlike {shown(value)}")
            return ""
        return value

    def mode(self, name: str, example: str) -> RolloutMode:
        what = f'an object with a name, such as {{name = "{example}"}}'
        given = self.inside(name, what, required=True)
        given.known(MODE_FIELDS)
        # Said once: where there is no object, that is what is missing.
        called = given.name("name", example) if isinstance(self.fields.get(name), Mapping) else ""
        needs = given.words("required_capabilities", MOST_CAPABILITIES, _capability_problem)
        return RolloutMode(called, tuple(dict.fromkeys(needs)))

    def one_of(self, name: str, old: RolloutMode, new: RolloutMode) -> str:
        """Return the name of one of the two modes; "" when none is given."""
        value = self.word(name)
        if value and old.name and new.name and value not in {old.name, new.name}:
            self.refuse(name, f"must be {old.name} or {new.name}, not {shown(value)}")
        return value

    def orgs(self, name: str) -> frozenset[str]:
        return frozenset(self.words(name, MOST_ORGS, _name_problem))

    def percent(self, name: str) -> float:
        return self.number(name, 100, 0.0, decimals=2) or 0.0

    def salt(self) -> str:
        value = self.word("salt")
        if len(value) > SALT_CHARS:
            self.refuse("salt", f"must have at most {SALT_CHARS} characters, not {len(value):,}")
        return value

    def url(self, name: str) -> str:
        value = self.fields.get(name)
        if value is None or value == "":
            return ""
        # Only instances of models have credentials.
        problem = url_problem(value).removesuffix(": name the secret in credential")
        if problem or not isinstance(value, str):
            self.refuse(name, problem)
            return ""
        return value


def _name_problem(text: str) -> str:
    return "" if NAME.fullmatch(text) else NAME_WORDS


def _capability_problem(text: str) -> str:
    return "" if CAPABILITY.fullmatch(text) else CAPABILITY_WORDS
