"""The list of models in the form of Anthropic's API. Source: platform.claude.com/docs/en/api/models-list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from contract.errors import InvalidField
from contract.status import ModelStatus

VERSION_HEADER = b"anthropic-version"
"""The header that Anthropic's clients send with every request."""
_PAGE = 20
_LONGEST_PAGE = 1000


def entry(model: ModelStatus, name: str | None = None) -> dict[str, Any]:
    """One model, under its id or another of its names."""
    return {
        "type": "model",
        "id": name or model.id,
        "display_name": name or model.id,
        "created_at": datetime.fromtimestamp(model.created, UTC).isoformat(),
        "lifecycle": "active",
        "max_input_tokens": model.facts.context_length,
        "max_tokens": model.facts.context_length,
    }


def page(models: Sequence[ModelStatus], query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the models that chat, and of their presets, as the query asks: `limit`, `after_id`, `before_id`.

    Raises InvalidField.
    """
    names = [(model, name) for model in models if "chat" in model.tasks for name in (model.id, *model.presets)]
    ids = [name for _, name in names]
    limit = _limit(query.get("limit"))
    start, stop = 0, len(ids)
    if after := query.get("after_id"):
        start = _position(ids, after, "after_id") + 1
    if before := query.get("before_id"):
        stop = _position(ids, before, "before_id")
        start = max(start, stop - limit)
        has_more = start > 0
    else:
        has_more = stop - start > limit
    shown = names[start : min(stop, start + limit)]
    return {
        "data": [entry(model, name) for model, name in shown],
        "has_more": has_more,
        "first_id": shown[0][1] if shown else None,
        "last_id": shown[-1][1] if shown else None,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return _PAGE
    if not (text.isdecimal() and 1 <= int(text) <= _LONGEST_PAGE):
        raise InvalidField(f"`limit` must be a number from 1 to {_LONGEST_PAGE}.", param="limit")
    return int(text)


def _position(ids: Sequence[str], name: str, param: str) -> int:
    if name not in ids:
        raise InvalidField(f"`{param}`: there is no model {name[:200]!r} in the list.", param=param)
    return ids.index(name)
