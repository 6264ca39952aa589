"""Which models there are, and which one a request means; pure decisions over the manager's last word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from contract import catalogue
from contract.errors import InvalidField, ModelNotFound, UnsupportedFeature, UnsupportedTask
from contract.status import ModelStatus
from contract.tasks import Request

EVERYTHING = "*"
"""The feature of a foreign server: it judges its requests itself."""
SHOWN = 8
"""Names that a sentence may list."""


class ModelTable:
    """The models as they were when the manager was last asked; replaced whole, never changed."""

    def __init__(self, models: Iterable[ModelStatus]) -> None:
        self.models = tuple(models)
        self._named = {name: model for model in self.models for name in (*model.aliases, model.id)}
        self._default = {task: model for model in self.models for task in model.default}
        self._features = {model.id: frozenset(model.features) for model in self.models}

    def get(self, name: str) -> ModelStatus:
        """The model with this id or alias. Raises ModelNotFound, which names the nearest and all others."""
        model = self._named.get(name)
        if model is None:
            raise self._unknown(name)
        return model

    def find(self, name: str) -> ModelStatus | None:
        """The model with this id or alias, if there is one."""
        return self._named.get(name)

    def choose(self, task: str, name: str | None) -> ModelStatus:
        """The model that is to do `task`. Raises ModelNotFound, UnsupportedTask, or InvalidField (none named)."""
        if not name:
            return self._default.get(task) or self._only_one(task)
        model = self.get(name)
        if task not in model.tasks:
            raise self._wrong_task(task, model)
        return model

    def takes_everything(self, model: ModelStatus) -> bool:
        """Whether the model is a foreign server, which gets whatever is sent."""
        return EVERYTHING in self._features[model.id]

    def check_features(self, task: str, model: ModelStatus, request: Request) -> None:
        """Refuse what the engine would have to ignore. Raises UnsupportedFeature, naming the field."""
        needs = request.required_features()
        if not needs or needs <= self._features[model.id] or self.takes_everything(model):
            return
        missing = min(needs - self._features[model.id])
        others = [m.id for m in self.models if task in m.tasks and self._offers(m, needs)]
        hint = f" or ask {_listed(others)}" if others else ""
        message = (
            f"`{missing}`: the model {model.id} (engine {model.engine}) has no support for it. Leave it out{hint}."
        )
        raise UnsupportedFeature(
            message, param=missing, details={"model": model.id, "features": sorted(model.features)}
        )

    def _offers(self, model: ModelStatus, needs: frozenset[str]) -> bool:
        return needs <= self._features[model.id] or self.takes_everything(model)

    def _serving(self, task: str) -> list[str]:
        return [model.id for model in self.models if task in model.tasks]

    def _only_one(self, task: str) -> ModelStatus:
        serving = self._serving(task)
        if len(serving) == 1:
            return self._named[serving[0]]
        if not serving:
            message = f"No model in the configuration does {task}. Add one under `models:` with tasks: [{task}]."
            raise ModelNotFound(message, param="model", details={"available_models": self._ids()})
        message = f"`model` is missing and no model is the default for {task}. Name one of {_listed(serving)}."
        raise InvalidField(message, param="model", details={"available_models": serving})

    def _unknown(self, name: str) -> ModelNotFound:
        details = {"model_id": name, "available_models": self._ids()}
        if kept := catalogue.load().find(name):
            told = f"The house knows the model {kept.id!r}, but config.yaml has no entry for it: "
            told += f"`make models MODEL={kept.id}` shows one to paste under `models:`; then `make reload`."
            return ModelNotFound(told, param="model", details=details)
        near = difflib.get_close_matches(name, self._named, n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        known = f"Available: {_listed(self._ids())}." if self.models else "None is configured: add one under `models:`."
        return ModelNotFound(f"There is no model {name[:200]!r}. {guess}{known}", param="model", details=details)

    def _wrong_task(self, task: str, model: ModelStatus) -> UnsupportedTask:
        serving = self._serving(task)
        hint = f" For {task} ask {_listed(serving)}." if serving else ""
        message = f"The model {model.id} does not do {task}; it does {_listed(model.tasks)}.{hint}"
        return UnsupportedTask(message, param="model", details={"model": model.id, "tasks": list(model.tasks)})

    def _ids(self) -> list[str]:
        return [model.id for model in self.models]


def _listed(names: Iterable[str]) -> str:
    """The names for a sentence; of many, the first ones."""
    names = list(names)
    rest = f" and {len(names) - SHOWN} more, which GET /v1/models lists" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest if names else "nothing"
