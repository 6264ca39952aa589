"""Chooses the class that runs a checkpoint in engines that serve several families of models.

A family's module may import torch: it is imported when a checkpoint needs it, or by a standby process.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from contract.config import ModelSpec
from workers.engine import Engine
from workers.toolkit import pretrained
from workers.toolkit.pretrained import Checkpoint, TorchOptions

EngineOptions = TypeVar("EngineOptions", bound=TorchOptions)


@dataclass(frozen=True, eq=False, slots=True)
class ModelFamilies:
    """The families of models that an engine's package runs.

    `classes` maps each family's class (or another callable), written `module:name` relative to `package`, to the
    `model_type`s of transformers that it takes.
    """

    package: str
    classes: Mapping[str, tuple[str, ...]]

    @property
    def model_types(self) -> tuple[str, ...]:
        """Every `model_type` of every family, for `Engine.model_types`."""
        return tuple(model_type for model_types in self.classes.values() for model_type in model_types)

    @property
    def modules(self) -> tuple[str, ...]:
        """Every family's module, for `Engine.imports`."""
        return tuple(dict.fromkeys(f"{self.package}.{name.partition(':')[0]}" for name in self.classes))

    def find(self, model_type: str) -> Any:
        """The class that runs a `model_type`, imported now. Raises KeyError if no family has it."""
        for name, model_types in self.classes.items():
            if model_type in model_types:
                return pkgutil.resolve_name(f"{self.package}.{name}")
        raise KeyError(model_type)


def open_checkpoint(
    spec: ModelSpec, engine: type[Engine], options_type: type[EngineOptions]
) -> tuple[EngineOptions, Checkpoint]:
    """Validate an entry's options, set up torch accordingly, and open the checkpoint, downloading it if need be.

    Raises LoadFailed if the checkpoint is of a type that the engine does not serve.
    """
    options = options_type.model_validate(spec.options)
    pretrained.set_up_torch(options)
    return options, pretrained.checkpoint(spec, engine)
