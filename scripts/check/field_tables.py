"""The tables of fields in the docs: what happens to each field that clients send."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from contract.known_fields import NOTHING, FieldTable, KnownField
from contract.tasks.chat.fields import FIELDS as CHAT_FIELDS
from contract.tasks.completions.fields import OWN_FIELDS as COMPLETION_FIELDS
from contract.tasks.image_generation import FIELDS as IMAGE_FIELDS
from contract.tasks.rerank import RerankRequest
from workers import describe

HEADER = ("Fields", "Of", "What happens", "Note")
_TREATMENTS = {
    "honoured": "honoured",
    "neutral": "accepted: it asks for nothing that could be denied",
    "ignored": "accepted, with a warning in the answer",
    "refused": "refused",
}


def chat() -> list[Sequence[str]]:
    """The rows for chat."""
    return _rows(CHAT_FIELDS)


def completions() -> list[Sequence[str]]:
    """The rows for the fields of completions that a chat does not have."""
    return _rows(COMPLETION_FIELDS)


def rerank() -> list[Sequence[str]]:
    """The rows for the ranking of documents."""
    return _rows(RerankRequest.known_fields)


def images() -> list[Sequence[str]]:
    """The rows for the generation of images, edits and variations."""
    return _rows(IMAGE_FIELDS)


def _rows(table: FieldTable) -> list[Sequence[str]]:
    return [_row(list(group)) for _, group in groupby(table.values(), key=_alike)]


def _alike(known: KnownField) -> tuple[str, ...]:
    feature = known.feature if known.treatment == "honoured" else ""
    return known.treatment, known.origins, feature, known.hint, json.dumps(known.neutral)


def _row(group: list[KnownField]) -> Sequence[str]:
    known = group[0]
    names = ", ".join(f"`{known.name}`" for known in group)
    return names, known.origins, _TREATMENTS[known.treatment] + _engines(known), " ".join(_notes(known))


def _engines(known: KnownField) -> str:
    """The engines that honour a field, if not all do."""
    if known.treatment != "honoured" or not known.feature:
        return ""
    engines = [name for name, offer in describe.engines().items() if known.feature in offer["features"]]
    return f" by {', '.join(f'`{name}`' for name in engines) or 'no engine yet'} (`{known.feature}`)"


def _notes(known: KnownField) -> list[str]:
    more = [f"`{json.dumps(value)}`" for value in known.neutral if value not in NOTHING]
    values = [f"{' and '.join(more)} {'asks' if len(more) == 1 else 'ask'} for nothing."] if more else []
    return [*values, *([known.hint] if known.hint else [])]
