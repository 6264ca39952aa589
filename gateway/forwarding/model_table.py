"""The configured models as the manager last reported them, and the choice of a model for a request. Does no I/O."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from contract import catalogue
from contract.errors import InvalidField, ModelNotFound, NotFound, UnsupportedFeature, UnsupportedTask
from contract.known_fields import in_words
from contract.status import ModelStatus
from contract.tasks import Request, all_tasks

ALL_FEATURES = "*"
"""The feature of external servers, which validate requests themselves."""
_BESIDE = {
    "completions": {"chat"},
    "tokenize": {"chat"},
    "detokenize": {"chat"},
    "rerank": {"chat", "embeddings"},
}
"""Tasks that external servers for others often serve as well. Only they know, so requests for them pass."""
_OF_ANY_SERVER = frozenset({"transcription", "translation", "speech"})
"""Tasks that external servers may serve whatever their entries say, because their paths were not always tasks."""
MAX_NAMES = 8
"""How many names an error message lists."""


class ModelTable:
    """An immutable snapshot of all configured models; replaced as a whole."""

    def __init__(self, models: Iterable[ModelStatus]) -> None:
        self.models = tuple(models)
        self._by_name = {name: model for model in self.models for name in (*model.presets, *model.aliases, model.id)}
        self._default_for = {task: model for model in self.models for task in model.default}
        self.longest_name = max((name.count("/") + 1 for name in self._by_name), default=0)
        """The most segments that a name has in a path."""
        self._features = {model.id: frozenset(model.features) for model in self.models}

    def with_one(self, model: ModelStatus) -> ModelTable:
        """This table with a newer state of one of its models."""
        return ModelTable(model if other.id == model.id else other for other in self.models)

    def get(self, name: str) -> ModelStatus:
        """The model with this id, alias or preset. Raises ModelNotFound, which lists similar and available names."""
        model = self._by_name.get(name)
        if model is None:
            raise self._not_found(name)
        return model

    def find(self, name: str) -> ModelStatus | None:
        """The model with this id, alias or preset, or None."""
        return self._by_name.get(name)

    def get_known(self, name: str) -> ModelStatus:
        """Like `find_known`. Raises ModelNotFound, which names the catalogue's entry to add."""
        return self.find_known(name) or self.get(name)

    def find_known(self, name: str) -> ModelStatus | None:
        """The model with this name, else one with the id or the source of the catalogue's model of this name."""
        known = None if name in self._by_name else catalogue.load().find(name)
        if known is None:
            return self.find(name)
        same = (model for model in self.models if model.source in known.sources)
        return self.find(known.id) or next(same, None)

    def choose(self, task: str, name: str | None) -> ModelStatus:
        """The model for a task: the named one, else the default or the only one.

        Raises ModelNotFound, UnsupportedTask, or InvalidField when the request must name one.
        """
        if not name:
            return self._default_for.get(task) or self._only_model(task)
        model = self.get(name)
        passes = task in _OF_ANY_SERVER or not _BESIDE.get(task, set()).isdisjoint(model.tasks)
        if task not in model.tasks and not (passes and self.is_external(model)):
            raise self._wrong_task(task, model)
        return model

    def is_external(self, model: ModelStatus) -> bool:
        """Whether the model is an external server, which gets requests unchecked."""
        return ALL_FEATURES in self._features[model.id]

    def check_features(self, task: str, model: ModelStatus, request: Request) -> None:
        """Raise UnsupportedFeature, which names all fields in use that the model's engine does not support."""
        if self.is_external(model):
            return
        requirements = request.requirements()
        missing = [need for need in requirements if need[1] not in self._features[model.id]]
        if not missing:
            return
        required = frozenset(feature for _, feature in requirements)
        fields, hints = in_words(missing, request.known_fields)
        them = "it" if len({field for field, _ in missing}) == 1 else "them"
        hint = self._alternatives(task, required, them)
        reason = f"the model {model.id} (engine {model.engine}) does not support {them}. Leave {them} out{hint}.{hints}"
        reason += _why_no_tools(model, missing)
        reason += "".join(f" {hint}" for hint in dict.fromkeys(map(request.hint, missing)) if hint)
        details = {"model": model.id, "features": sorted(model.features), "missing": [list(need) for need in missing]}
        raise UnsupportedFeature(f"{fields}: {reason}", param=missing[0][0], details=details)

    def no_such_path(self, model: ModelStatus, method: str, path: str) -> NotFound:
        """The error for a path that the model's engine does not serve; it says which ones that engine does."""
        paths = [f"{task} at POST {all_tasks()[task].path}" for task in model.tasks if task in all_tasks()]
        message = f"The model {model.id} (engine {model.engine}) does not serve {method} {path[:200]}."
        return NotFound(f"{message} It serves {_join(paths)}.", param="model", details={"model": model.id})

    def _alternatives(self, task: str, features: frozenset[str], them: str) -> str:
        """Which models have the features, for the end of a sentence; else which external servers could."""
        models = [model for model in self.models if task in model.tasks]
        if able := [model.id for model in models if features <= self._features[model.id]]:
            return f", or use {_join(able)}"
        servers = [model.id for model in models if self.is_external(model)]
        return f", or use {_join(servers)} if that server supports {them}" if servers else ""

    def _serving(self, task: str) -> list[str]:
        return [model.id for model in self.models if task in model.tasks]

    def _only_model(self, task: str) -> ModelStatus:
        # A file that is put into a folder does not make requests ambiguous which were not.
        serving = [m.id for m in self.models if task in m.tasks and not m.scanned] or self._serving(task)
        if len(serving) == 1:
            return self._by_name[serving[0]]
        if not serving:
            message = f"No configured model supports the task {task}. Add one under `models:` in config.yaml."
            raise ModelNotFound(message, param="model", details={"available_models": self._ids()})
        message = f"`model` is missing, and no model is the default for {task}. Send one of {_join(serving)}."
        raise InvalidField(message, param="model", details={"available_models": serving})

    def _not_found(self, name: str) -> ModelNotFound:
        name = name[:200]
        details = {"model_id": name, "available_models": self._ids()}
        if known := catalogue.load().find(name):
            message = f"The model {known.id!r} is in the catalogue, but config.yaml has no entry for it. "
            message += f"`make models MODEL={known.id}` shows one to paste under `models:`; then run `make reload`."
            return ModelNotFound(message, param="model", details=details | {"in_catalogue": known.id})
        close = difflib.get_close_matches(name, self._by_name, n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        available = f"Available: {_join(self._ids())}." if self.models else "Add one under `models:` in config.yaml."
        return ModelNotFound(f"There is no model {name!r}. {guess}{available}", param="model", details=details)

    def _wrong_task(self, task: str, model: ModelStatus) -> UnsupportedTask:
        serving = self._serving(task)
        hint = f" For {task}, use {_join(serving)}." if serving else ""
        if self.is_external(model):
            hint += f" Other paths of this server are below /upstream/{model.id}/."
        message = f"The model {model.id} does not support the task {task}, only {_join(model.tasks)}.{hint}"
        return UnsupportedTask(message, param="model", details={"model": model.id, "tasks": list(model.tasks)})

    def _ids(self) -> list[str]:
        return [model.id for model in self.models]


def _why_no_tools(model: ModelStatus, missing: Iterable[tuple[str, str]]) -> str:
    """Why the loaded model offers no tools, if it has said so."""
    why = (model.facts.tools or "").partition("because ")[2]
    return f" It offers no tools because {why}." if why and "tools" in {feature for _, feature in missing} else ""


def _join(names: Iterable[str]) -> str:
    """The names, separated by commas, for a message; if there are many, only the first ones."""
    names = list(names)
    rest = f" and {len(names) - MAX_NAMES} more, which GET /v1/models lists" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + rest if names else "none"
