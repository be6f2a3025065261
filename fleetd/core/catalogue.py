"""
Files that define instances, already parsed from JSON: providers and the failover list (spec R1, F1); core.litellm reads a third form.

A row is good and becomes an instance, or it is bad and becomes one problem that names its bad fields; a bad row never keeps others out. Fields
nobody here knows are left alone: the file may serve other programs too.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fleetd.core.definition import OWN, SHARED, instance, state
from fleetd.core.instance import Instance, InstanceState
from fleetd.core.text import plain, shown
from fleetd.errors import InvalidArgument

NAME_CHARS = 256
NEAREST = 50
"""Names that are compared with all known ones for the nearest; the 51st bad one says that the file is another's, not that somebody mistyped."""


class Problem(NamedTuple):
    """A bad row by name; `problem` says "field: what would be right" for each bad field, joined by "; "."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What a file defines. `states` holds the states it gives, by id; instances without one begin as `first_condition` says."""

    instances: tuple[Instance, ...] = ()
    problems: tuple[Problem, ...] = ()
    states: Mapping[str, InstanceState] = field(default_factory=dict)


def parse(data: bytes | str) -> object:
    """Return the JSON value of a file's text. Raises InvalidArgument for field `data`."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        right = f"must be JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    except (ValueError, RecursionError) as error:
        right = f"must be JSON: {plain(str(error))}"
    raise InvalidArgument([("data", right)])


class Rows:
    """Gathers good and bad rows; of two with the same id the first holds."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._instances: dict[str, Instance] = {}
        self._problems: list[Problem] = []
        self._states: dict[str, InstanceState] = {}

    def problem(self, name: str, text: str) -> None:
        self._problems.append(Problem(plain(name)[:NAME_CHARS], text))

    def add(
        self,
        name: str,
        fields: Mapping[str, object],
        *,
        failover: bool = False,
        terms: Mapping[str, str] | None = None,
        errors: Iterable[tuple[str, str]] = (),
    ) -> Instance | None:
        """
        Take a row and return it as an instance, or note what is bad about it.

        `terms` are the file's own names of fields where they differ; `errors` what is known to be bad, as (field, what would be right).
        """
        bad = list(errors)
        made = initial = None
        try:
            made = instance({**fields, "failover": failover}, source=self._source)
        except InvalidArgument as error:
            bad += [((terms or {}).get(path, path), right) for path, right in error.fields]
        if fields.get("state") is not None:
            try:
                initial = state(fields["state"])
            except ValueError as error:
                bad.append(("state", str(error)))
        if made is None or bad:
            self.problem(name, "; ".join(f"{path}: {right}" for path, right in bad))
            return None
        if made.id in self._instances:
            same = self._instances[made.id] == made
            self.problem(
                name,
                f"id: {made.id} repeats an earlier row {'word for word' if same else 'with other values'}; the first one holds",
            )
            return None
        self._instances[made.id] = made
        if initial is not None:
            self._states[made.id] = initial
        return made

    def catalogue(self, last: Iterable[Problem] = ()) -> Catalogue:
        return Catalogue(tuple(self._instances.values()), (*self._problems, *last), self._states)

    def put(self, made: Instance) -> None:
        """Replace an instance that was added."""
        self._instances[made.id] = made


def providers(data: object, *, source: str = "file") -> Catalogue:
    """
    Return what {"providers": [{"provider_id", "instances": [{"id", "metadata": {"tags", "ctx", "model"}}]}]} defines.

    Raises:
        InvalidArgument: for field `data`, when it has another form.
    """
    entries = data.get("providers") if isinstance(data, Mapping) else None
    if not isinstance(entries, list):
        raise InvalidArgument([("data", 'must be an object with a list: {"providers": [...]}')])
    rows = Rows(source)
    for place, entry in enumerate(entries):
        _add_provider(rows, f"providers[{place}]", entry)
    return rows.catalogue()


def _add_provider(rows: Rows, place: str, entry: object) -> None:
    if not isinstance(entry, Mapping):
        rows.problem(place, f"must be an object, not {shown(entry)}")
        return
    provider_id = entry.get("provider_id")
    if not isinstance(provider_id, str) or not provider_id or ":" in provider_id:
        rows.problem(place, f"provider_id: is required: a name without a colon, not {shown(provider_id)}")
        return
    listed = entry.get("instances")
    if listed is None:
        # A provider that tells no instances apart is one itself.
        rows.add(provider_id, _fields(provider_id, entry))
        return
    if not isinstance(listed, list):
        rows.problem(provider_id, f"instances: must be a list, not {shown(listed)}")
        return
    shared = {name: entry[name] for name in SHARED if entry.get(name) is not None}
    try:
        # Checked once, or a bad value would be told for every instance. A probe is whole only together with its instance.
        instance({"id": provider_id, **shared, "probe": None, "probe_url": None})
    except InvalidArgument as error:
        rows.problem(provider_id, f"{error.message}; its {len(listed):,} instances are skipped")
        return
    for number, each in enumerate(listed):
        _add_instance(rows, provider_id, f"{provider_id}[{number}]", shared, each)


def _add_instance(
    rows: Rows, provider_id: str, place: str, shared: Mapping[str, object], entry: object
) -> None:
    if not isinstance(entry, Mapping):
        rows.problem(place, f"must be an object, not {shown(entry)}")
        return
    name = entry.get("id")
    if not isinstance(name, str) or not name:
        rows.problem(place, f"id: is required: a name within its provider, not {shown(name)}")
        return
    whole = name if name.startswith(f"{provider_id}:") else f"{provider_id}:{name}"
    metadata = entry.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        rows.problem(whole, f"metadata: must be an object, not {shown(metadata)}")
        return
    fields = {**shared, **_fields(whole, metadata or {}), **_fields(whole, entry)}
    if shared.get("enabled") is False:
        fields["enabled"] = False  # the provider's switch is the main one
    rows.add(whole, fields)


def failover(data: object, known: Iterable[Instance] = (), *, source: str = "file") -> Catalogue:
    """
    Return what [{"name", "priority", "max_retries", "timeout_sec", "enabled"}] defines: cloud providers with one instance of the same name.

    Args:
        data: the parsed file.
        known: the instances loaded otherwise. When there are any, a name that is none of their ids, providers or models is refused; a name that
            is an id keeps that instance's definition under the values given here.
        source: file or catalogue.

    Raises:
        InvalidArgument: for field `data`, when it has another form.
    """
    if not isinstance(data, list):
        raise InvalidArgument([("data", 'must be a list: [{"name": ..., "priority": 1}]')])
    definitions = {each.id: each for each in known}
    names = _names(definitions.values())
    rows = Rows(source)
    guesses = NEAREST
    for number, entry in enumerate(data):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(entry, Mapping) or not isinstance(name, str) or not name:
            what = (
                f"name: is required, not {shown(name)}"
                if isinstance(entry, Mapping)
                else f"must be an object, not {shown(entry)}"
            )
            rows.problem(f"failover[{number}]", what)
        elif names and name not in names:
            nearest = difflib.get_close_matches(name, names, n=1, cutoff=0) if guesses > 0 else []
            guesses -= 1
            what = f"; the nearest is {nearest[0]}" if nearest else ""
            rows.problem(name, f"name: is no instance, provider or model of the catalogue{what}")
        else:
            fields = {"kind": "cloud", **_fields(name, entry)}
            made = rows.add(name, fields, failover=True, terms={"id": "name"})
            if made is not None and name in definitions:
                rows.put(_overlaid(definitions[name], made, entry))
    return rows.catalogue()


_ATTRIBUTES: Mapping[str, str] = {
    **{name: name for name in (*OWN, *SHARED)},
    "timeout_sec": "timeout",
    "input_cost_per_mtok": "input_cost",
    "output_cost_per_mtok": "output_cost",
    "deprecation_date": "deprecated_at",
}
"""Attribute of Instance for each field of a file."""


def _overlaid(base: Instance, made: Instance, given: Mapping[str, object]) -> Instance:
    """Return `base` with the values of `made` that were given. It is still whoever's it was: only a definition of its own leaves with its file."""
    names = {name for name in _ATTRIBUTES if given.get(name) is not None}
    if "probe_url" in names:
        names.add("probe")  # a URL may say by its form what it is
    changes = {
        attribute: getattr(made, attribute) for name, attribute in _ATTRIBUTES.items() if name in names
    }
    return replace(base, failover=True, **changes)


def _fields(whole_id: str, entry: Mapping[str, object]) -> dict[str, object]:
    """Return the fields an entry gives for the instance of that id."""
    given = {name: entry[name] for name in (*OWN, *SHARED, "state") if entry.get(name) is not None}
    return {**given, "id": whole_id}


def _names(instances: Iterable[Instance]) -> dict[str, None]:
    """Return everything by which people call these instances: ids, providers, names within the provider, models."""
    return {
        name: None
        for each in instances
        for name in (each.id, each.provider_id, each.id.partition(":")[2], each.model)
        if name
    }
