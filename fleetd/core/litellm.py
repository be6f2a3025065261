"""
The model catalogue of LiteLLM as instances (spec R1): {"model": {"litellm_provider", "mode", "max_input_tokens", "input_cost_per_token", …}}.

Rows that only point at another (`alias_of`) take its values. Models that write no text (images, speech, embeddings) cannot run tasks: they are bad
rows, told after all others, for there are many of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from fleetd.core.catalogue import Catalogue, Problem, Rows
from fleetd.core.text import is_word, plain, shown
from fleetd.errors import InvalidArgument

MODES = frozenset({"chat", "completion", "responses"})
LONG_CTX = 131_072
"""Tokens from which a model gets the tag long_ctx: 128 Ki, what its makers call a long context. The catalogue has no flag for it."""

FLAG = "supports_"
TAGS: Mapping[str, str] = {"response_schema": "json_schema", "pdf_input": "pdf", "audio_input": "audio"}
"""Tags whose names differ from their flags; the others are the flag without supports_."""

MILLION = 1_000_000


def litellm(data: object, *, source: str = "catalogue") -> Catalogue:
    """
    Return what a LiteLLM catalogue defines: one instance "provider:model" for each model; a context of 0 or none is unknown.

    Raises:
        InvalidArgument: for field `data`, when it has another form.
    """
    if not isinstance(data, Mapping):
        raise InvalidArgument([("data", 'must be an object: {"model": {"litellm_provider": ...}}')])
    rows = Rows(source)
    other: list[Problem] = []
    for name, row in data.items():
        whole = _unaliased(row, data)
        if isinstance(whole, str):
            rows.problem(name, whole)
            continue
        mode = whole.get("mode")
        if isinstance(mode, str) and is_word(mode) and mode not in MODES:
            other.append(
                Problem(plain(name), f"mode: {shown(mode)} writes no text; {', '.join(sorted(MODES))} do")
            )
        else:
            _add(rows, name, whole)
    return rows.catalogue(other)


def _unaliased(row: object, data: Mapping[str, object]) -> Mapping[str, object] | str:
    """Return the row with the values of the one it points at, or what is bad about it."""
    if not isinstance(row, Mapping):
        return f"must be an object, not {shown(row)}"
    alias = row.get("alias_of")
    if alias is None:
        return row
    target = data.get(alias) if isinstance(alias, str) else None
    if not isinstance(target, Mapping) or target.get("alias_of") is not None:
        return f"alias_of: must be the name of a row that is no alias itself, not {shown(alias)}"
    return {**target, **row}


def _add(rows: Rows, name: str, row: Mapping[str, object]) -> None:
    provider = row.get("litellm_provider")
    mode = row.get("mode")
    errors: list[tuple[str, str]] = []
    if not isinstance(provider, str) or not is_word(provider) or ":" in provider:
        errors.append(
            ("litellm_provider", f"must be a name without blanks and colons, not {shown(provider)}")
        )
        provider = "unknown"
    if mode is not None and not (isinstance(mode, str) and is_word(mode)):
        errors.append(("mode", f"must be one word, such as chat, not {shown(mode)}"))
    flags = {flag.removeprefix(FLAG): value for flag, value in row.items() if flag.startswith(FLAG)}
    errors += [
        (FLAG + plain(flag), f"must be true or false, not {shown(value)}")
        for flag, value in flags.items()
        if not isinstance(value, bool | None)
    ]
    # Where only max_tokens is given it is the whole context, and at worst the answer's part of it: never too much.
    tokens = "max_input_tokens" if row.get("max_input_tokens") is not None else "max_tokens"
    ctx = row.get(tokens)
    tags = [TAGS.get(flag, flag) for flag, value in flags.items() if value is True]
    if isinstance(ctx, int | float) and ctx >= LONG_CTX:
        tags.append("long_ctx")
    model = name.removeprefix(f"{provider}/")
    fields = {
        "id": f"{provider}:{model}",
        "tags": tags,
        "ctx": ctx,
        "model": model,
        "input_cost_per_mtok": _per_million(row.get("input_cost_per_token")),
        "output_cost_per_mtok": _per_million(row.get("output_cost_per_token")),
        "deprecation_date": row.get("deprecation_date"),
    }
    terms = {
        "ctx": tokens,
        "input_cost_per_mtok": "input_cost_per_token",
        "output_cost_per_mtok": "output_cost_per_token",
    }
    rows.add(name, fields, terms=terms, errors=errors)


def _per_million(cost: object) -> object:
    """Return the price of a million tokens; what is no price stays as it is, to be refused."""
    if (
        isinstance(cost, bool)
        or not isinstance(cost, int | float)
        or (isinstance(cost, float) and not math.isfinite(cost))
    ):
        return cost
    # Nine digits are a billionth of a dollar a million tokens; more would only show how binary fractions end.
    return round(cost * MILLION, 9)
