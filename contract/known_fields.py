"""What happens to each field that clients send: honoured, without effect on purpose, refused, or unknown.

A task's table names every field of the APIs that its clients are written for. A field that changes the answer is either
honoured or refused by name, never dropped; a field that asks for nothing that could be denied passes. Unknown fields
pass too, and the answer has a warning about each.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

Treatment = Literal["honoured", "neutral", "ignored", "refused"]
Requirement = tuple[str, str]
"""A field of the request, and the feature that it needs."""

Values = tuple[Any, ...]

NOTHING: Values = (None, False, 0, "", [], {})
"""Values with which most fields ask for nothing."""
_MAX_WARNINGS = 16
_MAX_SHOWN = 64
"""Characters of an unknown field's name that a warning shows."""


@dataclass(frozen=True, slots=True)
class KnownField:
    """A field of an API. `origins` are the APIs and servers that have it; `hint` is a sentence about it.

    With one of the values `neutral` a field asks for nothing. With another value it needs the engine's `feature`, if it
    has one; a refused field needs one that no engine of ours has.
    """

    name: str
    treatment: Treatment
    origins: str
    feature: str = ""
    neutral: Values = NOTHING
    hint: str = ""

    def asks(self, value: Any) -> bool:
        """Whether the field with this value asks for something."""
        return value not in self.neutral


FieldTable = Mapping[str, KnownField]


def honoured(origins: str, names: str, *, feature: str = "", also: Values = (), hint: str = "") -> FieldTable:
    """Fields that do what they say, where the engine has the `feature`. `also` are more neutral values."""
    values = (*NOTHING, *also)
    return {name: KnownField(name, "honoured", origins, feature, values, hint) for name in names.split()}


def neutral(origins: str, names: str, *, hint: str = "") -> FieldTable:
    """Fields that ask for nothing that could be denied."""
    return {name: KnownField(name, "neutral", origins, hint=hint) for name in names.split()}


def ignored(origins: str, names: str, *, also: Values = (), hint: str = "") -> FieldTable:
    """Fields that have no effect, of which the answer warns. `also` are more neutral values."""
    values = (*NOTHING, *also)
    return {name: KnownField(name, "ignored", origins, "", values, hint) for name in names.split()}


def refused(origins: str, names: str, *, also: Values = (), only: Values | None = None, hint: str = "") -> FieldTable:
    """Fields that change the answer and that no engine of ours honours; external servers may.

    `also` are more neutral values; `only` are all of them.
    """
    values = (*NOTHING, *also) if only is None else only
    return {name: KnownField(name, "refused", origins, name, values, hint) for name in names.split()}


def requirements(request: BaseModel, table: FieldTable) -> list[Requirement]:
    """The fields of a request that need a feature, in the table's order, each with the feature."""
    sent = request.model_fields_set
    asking = (table[name] for name in table.keys() & sent if table[name].feature)
    needs = {known.name: known.feature for known in asking if known.asks(getattr(request, known.name))}
    return [(name, needs[name]) for name in table if name in needs] if needs else []


def refused_in(fields: Any, table: FieldTable) -> list[str]:
    """The fields in a body that no engine of ours honours, whatever else is wrong with it."""
    sent = fields if isinstance(fields, Mapping) else {}
    refused_ones = (known for name, known in table.items() if known.treatment == "refused" and name in sent)
    return [known.name for known in refused_ones if known.asks(sent[known.name])]


def warnings(request: BaseModel, table: FieldTable, also_known: frozenset[str] = frozenset()) -> list[str]:
    """A sentence about each field that had no effect. `also_known` are fields that the engine reads."""
    sentences = [
        f"`{name}` had no effect. {known.hint}".strip()
        for name, known in table.items()
        if known.treatment == "ignored" and name in request.model_fields_set and known.asks(getattr(request, name))
    ]
    unknown = [name for name in request.model_extra or () if name not in table and name not in also_known]
    declared = [*type(request).model_fields, *table]
    sentences += [_unknown(name, declared) for name in unknown[:_MAX_WARNINGS]]
    if len(unknown) > _MAX_WARNINGS:
        sentences.append(f"{len(unknown) - _MAX_WARNINGS} more unknown fields had no effect.")
    return sentences


def _unknown(name: str, declared: list[str]) -> str:
    shown = name[:_MAX_SHOWN]
    similar = difflib.get_close_matches(shown, declared, n=1, cutoff=0.8)
    guess = f" Did you mean `{similar[0]}`?" if similar else ""
    return f"`{shown}` is not a known field and had no effect.{guess}"


def in_words(missing: list[Requirement], table: FieldTable) -> tuple[str, str]:
    """The fields of requirements that an engine lacks, for the beginning of a sentence, and the hints about them."""
    names = dict.fromkeys(f"`{field}`" if field == feature else f"`{field}` ({feature})" for field, feature in missing)
    hints = dict.fromkeys(f" {table[field].hint}" for field, _ in missing if field in table and table[field].hint)
    return ", ".join(names), "".join(hints)
