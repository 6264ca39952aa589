"""The models that the house knows by name: what each does, may be used for, needs, and the entry that runs it.

They stand in catalogue.yaml beside this file. Being in the catalogue makes a model neither configured nor downloaded.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from contract.config import Frozen, ModelSpec

PATH = Path(__file__).with_name("catalogue.yaml")

Precision = Literal["float32", "bfloat16", "8bit", "4bit"]

BITS: dict[Precision, float] = {"float32": 32, "bfloat16": 16, "8bit": 8.5, "4bit": 4.5}
"""Bits of one weight by precision. Quantised ones carry their scales, about half a bit each."""

OVERHEAD = 1.2
"""What a model takes over its weights alone: activations and caches of one request, as for models never measured."""


PROCESS_GIB = 0.5
"""GiB that a process takes before it has a model: interpreter, libraries, the context of its device."""


class AppleVariant(Frozen):
    """The same model as the engine `mlx` runs it on Apple silicon; `precision` is that of its weights' files."""

    size_mb: int = Field(gt=0)
    precision: Precision = "bfloat16"
    entry: dict[str, Any]

    @property
    def memory_gb(self) -> float:
        """The least memory in GiB: its files are loaded as they are."""
        return _memory(self.size_mb * 1e6, PROCESS_GIB)


class KnownModel(Frozen):
    """One model. `parameters` in millions; `size_mb` is its download in 10^6 bytes; both rounded.

    `licence` and `gated` (terms to accept at the hub before a download) are as its page there tells. `dimensions` are
    those of its vectors, `precisions` those in which its engine runs it (8bit and 4bit by `options.quantization`), and
    `working_gb` is what its process takes in GiB beside the weights and their share.
    """

    id: str
    name: str
    family: str
    team: str
    hub: str | None
    tasks: tuple[str, ...] = Field(min_length=1)
    licence: str
    gated: bool = False
    parameters: float = Field(gt=0)
    size_mb: int = Field(gt=0)
    dimensions: int | None = Field(None, gt=0)
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    working_gb: float = PROCESS_GIB
    note: str | None = None
    entry: dict[str, Any]
    apple: AppleVariant | None = None

    @model_validator(mode="before")
    @classmethod
    def _stands_where_its_source_says(cls, data: Any) -> Any:
        """The hub id is the entry's source, unless it is told."""
        return {"hub": data.get("entry", {}).get("source"), **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _entries_are_entries(self) -> KnownModel:
        for entry in self.entries:
            if ModelSpec.model_validate(entry).id != self.id:
                raise ValueError(f"{self.id}: its entry has the id {entry['id']!r}")
        return self

    @property
    def engine(self) -> str:
        """Who runs it where it is not Apple's."""
        return str(self.entry["engine"])

    @property
    def entries(self) -> tuple[dict[str, Any], ...]:
        """What may stand for it under `models:` in config.yaml, the one for Apple silicon last."""
        return (self.entry, self.apple.entry) if self.apple else (self.entry,)

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The same, read."""
        return tuple(ModelSpec.model_validate(entry) for entry in self.entries)

    @property
    def memory_gb(self) -> dict[Precision, float]:
        """The least memory in GiB by precision: weights, a fifth over them, and the process; rounded up."""
        weights = self.parameters * 1e6 / 8
        return {precision: _memory(weights * BITS[precision], self.working_gb) for precision in self.precisions}

    @property
    def sources(self) -> frozenset[str]:
        """Its id on the hub and what its entries name; empty where the weights come with the engine."""
        named = (self.hub, *(entry.get("source") for entry in self.entries))
        return frozenset(source for source in named if source)

    @property
    def aliases(self) -> frozenset[str]:
        """Other names that its entries give it."""
        return frozenset(alias for entry in self.entries for alias in entry.get("aliases", ()))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of them, in the order of the file."""

    models: tuple[KnownModel, ...]

    def __iter__(self) -> Iterator[KnownModel]:
        return iter(self.models)

    def find(self, name: str) -> KnownModel | None:
        """The model of that id, else the one with that source or alias."""
        by_id = (model for model in self if model.id == name)
        otherwise = (model for model in self if name in model.sources | model.aliases)
        return next(by_id, None) or next(otherwise, None)

    def identify(self, engine: str, source: str) -> KnownModel | None:
        """The model that an entry with this engine and source runs, under whatever name."""
        if source:
            return next((model for model in self if source in model.sources), None)
        return next((model for model in self if model.engine == engine and not model.sources), None)


def _memory(weights: float, working: float) -> float:
    """GiB, rounded up to a tenth, of a process with so many bytes of weights."""
    return math.ceil(10 * (weights / 2**30 * OVERHEAD + working)) / 10


def nearest(name: str, known: list[str], count: int = 3) -> list[str]:
    """Names that resemble one that is not known, the nearest first; case and the team's part count for nothing."""
    bare = {full.rpartition("/")[2].casefold(): full for full in reversed(known)}
    wanted = name.rpartition("/")[2].casefold()
    inside = [key for key in bare if wanted and wanted in key]
    near = dict.fromkeys([*difflib.get_close_matches(wanted, bare, n=count), *inside])
    return [bare[key] for key in near][:count]


@cache
def load() -> Catalogue:
    """The catalogue, read once."""
    told = yaml.load(PATH.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - it is a safe one
    return Catalogue(tuple(KnownModel.model_validate(model) for model in told["models"]))


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same safe loader in C, where it was built: some ten times faster."""
