"""
The definition of one instance as somebody gives it, in a file or by RPC: every field checked, everything bad named at once (spec R1).

`FIELDS` are the names of the fields in files; the RPC uses the same. A field that is None counts as not given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from urllib.parse import urljoin

from fleetd.core.instance import Instance, InstanceState, Kind, ProbeKind, provider_of
from fleetd.core.requirements import canonical
from fleetd.core.text import is_word, shown
from fleetd.core.url import hidden, is_host_and_port, is_private, url_problem
from fleetd.errors import InvalidArgument

SHARED: tuple[str, ...] = (
    "kind", "base_url", "priority", "max_retries", "timeout_sec", "enabled", "max_inflight", "input_cost_per_mtok", "output_cost_per_mtok",
    "deprecation_date", "credential", "probe", "probe_url",
)  # fmt: skip
"""Fields a provider may give for all its instances."""
OWN: tuple[str, ...] = ("tags", "ctx", "model")
"""Fields only an instance has."""
FIELDS: tuple[str, ...] = ("id", *OWN, *SHARED, "failover")

LOCAL_PROVIDERS = frozenset({"ollama", "llamacpp", "lmstudio", "vllm"})
"""Servers people run themselves; compared without . _ - in the name, for lm_studio and llama.cpp are the same ones."""

DEFAULTS = Instance("", "")
"""What holds where nothing is given."""
ID_CHARS, TAG_CHARS, TEXT_CHARS, TAGS = 256, 128, 256, 64
MOST_CTX = 10**12
MOST_PRIORITY = MOST_INFLIGHT = 1_000_000
MOST_RETRIES = 100
MOST_TIMEOUT = 86_400
MOST_COST = 1_000_000_000

CREDENTIAL = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.*[^/]")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def instance(fields: Mapping[str, object], *, source: str = "rpc") -> Instance:
    """
    Return the instance that `fields` define; names not in FIELDS are ignored.

    Args:
        fields: `id` is required and whole ("provider:instance" or a bare provider); costs in dollars a million tokens, `timeout_sec` in
            seconds, `deprecation_date` YYYY-MM-DD: the instance leaves with the first moment of that day, UTC; `probe_url` may be a path
            below the host of `base_url`.
        source: file, rpc or catalogue.

    Raises:
        InvalidArgument: naming every bad field and what would be right.
    """
    given = _Given(fields)
    whole_id = given.identifier()
    base_url = given.url("base_url")
    probe, probe_url = given.probe(base_url)
    made = Instance(
        id=whole_id,
        provider_id=provider_of(whole_id),
        kind=given.kind() or kind_of(provider_of(whole_id), base_url),
        tags=given.tags(),
        ctx=given.whole("ctx", 0, MOST_CTX, 0),
        model=given.text("model", TEXT_CHARS) or whole_id.partition(":")[2] or whole_id,
        base_url=base_url,
        priority=given.whole("priority", 0, MOST_PRIORITY, DEFAULTS.priority),
        max_retries=given.whole("max_retries", 0, MOST_RETRIES, DEFAULTS.max_retries),
        timeout=given.timeout(),
        enabled=given.flag("enabled", default=True),
        max_inflight=given.whole("max_inflight", 0, MOST_INFLIGHT, 0),
        input_cost=given.number("input_cost_per_mtok", MOST_COST),
        output_cost=given.number("output_cost_per_mtok", MOST_COST),
        deprecated_at=given.day("deprecation_date"),
        credential=given.credential(),
        probe=probe,
        probe_url=probe_url,
        failover=given.flag("failover", default=False),
        source=source,
    )
    if given.errors:
        raise InvalidArgument(given.errors)
    return made


def kind_of(provider_id: str, base_url: str) -> Kind:
    """Return the kind of an instance that does not say: LOCAL for servers people run themselves and for loopback and private addresses."""
    if re.sub(r"[._-]", "", provider_id.lower()) in LOCAL_PROVIDERS:
        return Kind.LOCAL
    return Kind.LOCAL if base_url and is_private(base_url) else Kind.CLOUD


def state(value: object) -> InstanceState:
    """Return the state a text means, whatever its case; RUNNING means READY. Raises ValueError saying what would be right."""
    name = value.strip().upper() if isinstance(value, str) else ""
    if name == "RUNNING":
        return InstanceState.READY
    if name not in InstanceState.__members__:
        raise ValueError(
            f"must be RUNNING or one of {', '.join(InstanceState.__members__)}, not {shown(value)}"
        )
    return InstanceState[name]


class _Given:
    """Reads the fields of one instance and collects what is bad as (field, what would be right)."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = fields
        self.errors: list[tuple[str, str]] = []

    def refuse(self, name: str, right: str) -> None:
        self.errors.append((name, right))

    def identifier(self) -> str:
        """Return the id; split at its first colon it must leave a provider and, when there is a colon, an instance."""
        value = self._fields.get("id")
        if not isinstance(value, str) or not value:
            right = "is required" if value is None or value == "" else f"must be a text, not {shown(value)}"
            self.refuse("id", f"{right}: provider:instance, such as ollama:qwen3-coder, or a bare provider")
            return ""
        provider, colon, rest = value.partition(":")
        if len(value) > ID_CHARS:
            self.refuse("id", f"must have at most {ID_CHARS} characters, not {len(value):,}")
        elif not is_word(value):
            self.refuse("id", f"must have no blanks or control characters, unlike {shown(value)}")
        elif not provider or (colon and not rest):
            self.refuse("id", f"must be provider:instance or a bare provider, not {shown(value)}")
        else:
            return value
        return ""

    def text(self, name: str, limit: int) -> str:
        """Return a text in one line."""
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(name, f"must be a text, not {shown(value)}")
        elif len(value) > limit:
            self.refuse(name, f"must have at most {limit:,} characters, not {len(value):,}")
        elif not value.isprintable():
            self.refuse(name, f"must have no control characters, unlike {shown(value)}")
        else:
            return value.strip()
        return ""

    def tags(self) -> tuple[str, ...]:
        """Return the tags as they are compared, sorted, each once."""
        value = self._fields.get("tags")
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.refuse("tags", f'must be a list of texts, such as ["coding"], not {shown(value)}')
            return ()
        if len(value) > TAGS:
            self.refuse("tags", f"must have at most {TAGS} entries, not {len(value):,}")
            return ()
        for place, tag in enumerate(value):
            if not isinstance(tag, str):
                self.refuse(f"tags[{place}]", f"must be a text, not {shown(tag)}")
            elif not is_word(tag.strip()) or len(tag) > TAG_CHARS or not canonical(tag):
                self.refuse(
                    f"tags[{place}]",
                    f"must have 1 to {TAG_CHARS} characters, no blanks among them, unlike {shown(tag)}",
                )
        return tuple(sorted({canonical(tag) for tag in value if isinstance(tag, str)}))

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """Return a whole number; JSON may write it 8192.0."""
        value = self._fields.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_whole(value):
            self.refuse(name, f"must be a whole number, not {shown(value)}")
        elif not low <= value <= high:
            self.refuse(name, f"must be {low:,} to {high:,}, not {shown(value)}")
        else:
            return int(value)
        return default

    def number(self, name: str, high: int) -> float:
        """Return a number from 0 on; 0 when it is not given."""
        value = self._fields.get(name)
        if value is None:
            return 0.0
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and math.isnan(value))
        ):
            self.refuse(name, f"must be a number, not {shown(value)}")
        elif not 0 <= value <= high:
            self.refuse(name, f"must be 0 to {high:,}, not {shown(value)}")
        else:
            return float(value)
        return 0.0

    def timeout(self) -> int:
        """Return the longest single try in milliseconds."""
        before = len(self.errors)
        seconds = self.number("timeout_sec", MOST_TIMEOUT)
        if self._fields.get("timeout_sec") is None or len(self.errors) > before:
            return DEFAULTS.timeout
        if round(seconds * 1_000) < 1:
            self.refuse("timeout_sec", f"must be 0.001 to {MOST_TIMEOUT:,} seconds, not {shown(seconds)}")
        return round(seconds * 1_000)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {shown(value)}")
            return default
        return value

    def kind(self) -> Kind | None:
        value = self._fields.get("kind")
        if value is None or value == "":
            return None
        if isinstance(value, Kind):
            return value
        name = value.strip().upper() if isinstance(value, str) else ""
        if name not in Kind.__members__:
            self.refuse("kind", f"must be local, cloud or paid, not {shown(value)}")
            return None
        return Kind[name]

    def day(self, name: str) -> int:
        """Return the first moment of a day in epoch milliseconds, UTC; 0 when there is none."""
        value = self._fields.get(name)
        if value is None or value == "":
            return 0
        try:
            # fromisoformat takes other forms of ISO 8601 too; files and the RPC promise one.
            day = date.fromisoformat(value) if isinstance(value, str) and DATE.fullmatch(value) else None
        except ValueError:
            day = None
        if day is None or day.year < 1970:
            self.refuse(
                name, f"must be a day from 1970 on as YYYY-MM-DD, such as 2026-11-30, not {shown(value)}"
            )
            return 0
        return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000

    def credential(self) -> str:
        """Return where the secret lies. What was given is never shown: it may be the secret itself."""
        value = self._fields.get("credential")
        if value is None or value == "":
            return ""
        good = isinstance(value, str) and len(value) <= TEXT_CHARS and value.isprintable()
        if not (good and isinstance(value, str) and CREDENTIAL.fullmatch(value)):
            self.refuse(
                "credential",
                "must name where the secret lies, as env:NAME or file:PATH; the secret itself does not belong here",
            )
            return ""
        return value

    def url(self, name: str) -> str:
        """Return an http or https URL."""
        value = self._fields.get(name)
        if value is None or value == "":
            return ""
        right = url_problem(value)
        if right:
            self.refuse(name, right)
            return ""
        return str(value)

    def probe(self, base_url: str) -> tuple[ProbeKind, str]:
        """Return what is probed and where; a URL without a kind says by its form which it is."""
        kind, good = self._probe_kind()
        value = self._fields.get("probe_url")
        if not good:
            return ProbeKind.NONE, ""
        if value is None or value == "":
            if kind:
                self.refuse("probe_url", f"is required with probe {kind.name.lower()}")
            return ProbeKind.NONE, ""
        if kind is ProbeKind.NONE:
            return kind, ""
        if not isinstance(value, str):
            self.refuse("probe_url", f"must be a text, not {shown(value)}")
            return ProbeKind.NONE, ""
        is_http = value.startswith(("http://", "https://", "/"))
        if kind is ProbeKind.TCP or (kind is None and not is_http):
            target = value.removeprefix("tcp://")
            if not is_host_and_port(target):
                self.refuse(
                    "probe_url", f"must be host:port for TCP or http://… for HTTP, not {hidden(value)}"
                )
            return ProbeKind.TCP, target
        if value.startswith("/"):
            if not base_url:
                self.refuse("probe_url", "must be a whole URL where no good base_url is given")
                return ProbeKind.NONE, ""
            value = urljoin(base_url, value)
        right = url_problem(value)
        if right:
            self.refuse("probe_url", right)
        return ProbeKind.HTTP, value

    def _probe_kind(self) -> tuple[ProbeKind | None, bool]:
        """Return the kind that is given, None when it is not, and whether it is good."""
        value = self._fields.get("probe")
        if value is None or value == "":
            return None, True
        if isinstance(value, ProbeKind):
            return value, True
        name = value.strip().upper() if isinstance(value, str) else ""
        if name not in ProbeKind.__members__:
            self.refuse("probe", f"must be http, tcp or none, not {shown(value)}")
            return None, False
        return ProbeKind[name], True


def _is_whole(value: float) -> bool:
    return isinstance(value, int) or (math.isfinite(value) and value.is_integer())
