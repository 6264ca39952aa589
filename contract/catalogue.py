"""The catalogue of known models: what each does and needs, its licence, and the configuration entry that runs it.

Reads catalogue.yaml beside this file. A model in the catalogue need not be configured (that takes an entry in
config.yaml) or downloaded.
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
"""Bits per weight by precision. Quantised weights include about half a bit for their scales."""

OVERHEAD = 1.2
"""Factor from the size of the weights to the memory of a model: room for one request's activations and caches."""

PROCESS_GIB = 0.5
"""GiB that a worker takes without a model: interpreter, libraries, device context."""


class AppleVariant(Frozen):
    """A model's conversion for Apple silicon, run by an engine of MLX; `precision` is that of its weight files."""

    size_mb: int = Field(gt=0)
    precision: Precision = "bfloat16"
    entry: dict[str, Any]

    @property
    def memory_gb(self) -> float:
        """The minimum memory in GiB; the weight files are loaded as they are."""
        return _memory(self.size_mb * 1e6, PROCESS_GIB)


class KnownModel(Frozen):
    """One model of the catalogue. `parameters` is in millions, `size_mb` the download in 10^6 bytes; both are rounded.

    `licence` and `gated` (terms must be accepted on the hub before a download) are as stated on the model's hub page.
    `dimensions` is the length of its vectors. `precisions` are those in which its engine can run it (8bit and 4bit
    through `options.quantization`). `working_gb` is the memory of its process in GiB besides weights and OVERHEAD.
    `entry` is the configuration entry that runs it.
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
    def _take_hub_id_from_source(cls, data: Any) -> Any:
        """Without `hub`, the hub id is the entry's `source`."""
        return {"hub": data.get("entry", {}).get("source"), **data} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _check_entries(self) -> KnownModel:
        for entry in self.entries:
            if ModelSpec.model_validate(entry).id != self.id:
                raise ValueError(f"{self.id}: its entry has a different id, {entry['id']!r}")
        return self

    @property
    def engine(self) -> str:
        """The engine that runs it, except on Apple silicon."""
        return str(self.entry["engine"])

    @property
    def entries(self) -> tuple[dict[str, Any], ...]:
        """Entries that run it, ready for `models:` in config.yaml; the one for Apple silicon comes last."""
        return (self.entry, self.apple.entry) if self.apple else (self.entry,)

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """Its entries, parsed."""
        return tuple(ModelSpec.model_validate(entry) for entry in self.entries)

    @property
    def memory_gb(self) -> dict[Precision, float]:
        """The minimum memory in GiB by precision: weights times OVERHEAD, plus the process; rounded up to 0.1."""
        weights = self.parameters * 1e6 / 8
        return {precision: _memory(weights * BITS[precision], self.working_gb) for precision in self.precisions}

    @property
    def sources(self) -> frozenset[str]:
        """Its hub id and its entries' `source`s; empty if the engine brings the weights."""
        sources = (self.hub, *(entry.get("source") for entry in self.entries))
        return frozenset(source for source in sources if source)

    @property
    def aliases(self) -> frozenset[str]:
        """Other names, from its entries' `aliases`."""
        return frozenset(alias for entry in self.entries for alias in entry.get("aliases", ()))


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All known models, in the order of the file."""

    models: tuple[KnownModel, ...]

    def __iter__(self) -> Iterator[KnownModel]:
        return iter(self.models)

    def find(self, name: str) -> KnownModel | None:
        """The model with this id, else the one with this source or alias."""
        by_id = (model for model in self if model.id == name)
        by_other_name = (model for model in self if name in model.sources | model.aliases)
        return next(by_id, None) or next(by_other_name, None)

    def identify(self, engine: str, source: str) -> KnownModel | None:
        """The model that a configuration entry with this engine and source runs, whatever id the entry gives it."""
        if source:
            return next((model for model in self if source in model.sources), None)
        return next((model for model in self if model.engine == engine and not model.sources), None)


def missing_consent(spec: ModelSpec) -> str | None:
    """What an entry lacks so that its model can start, in a sentence, or None.

    The catalogue knows which models come with Python code.
    """
    known = load().identify(spec.engine, spec.source)
    brings_code = known is not None and any(entry.trust_remote_code for entry in known.specs)
    if spec.trust_remote_code or not brings_code:
        return None
    return (
        "This model comes with Python code, which runs with your permissions. Read it on the model's page, then add "
        f"the line `trust_remote_code: true` to the entry {spec.id} in config.yaml."
    )


def _memory(weights: float, working_gb: float) -> float:
    """Memory in GiB, rounded up to 0.1, of a process with `weights` bytes of weights."""
    return math.ceil(10 * (weights / 2**30 * OVERHEAD + working_gb)) / 10


def nearest(name: str, known: list[str], count: int = 3) -> list[str]:
    """Up to `count` of the `known` names that resemble `name`, closest first; ignores case and the part before `/`."""
    by_short_name = {full.rpartition("/")[2].casefold(): full for full in reversed(known)}
    wanted = name.rpartition("/")[2].casefold()
    containing = [short for short in by_short_name if wanted and wanted in short]
    close = dict.fromkeys([*difflib.get_close_matches(wanted, by_short_name, n=count), *containing])
    return [by_short_name[short] for short in close][:count]


@cache
def load() -> Catalogue:
    """The catalogue; the file is read once."""
    document = yaml.load(PATH.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    return Catalogue(tuple(KnownModel.model_validate(model) for model in document["models"]))


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C implementation of the safe loader where available: about ten times faster."""
