"""Which tasks an engine, a model's entry and a loaded model serve: by methods of the engine, or by asking its chat."""

from __future__ import annotations

from contract.config import ModelSpec
from contract.tasks import all_tasks
from contract.tasks.chat import CHAT
from workers.engine import Engine, ServedTask
from workers.vision_by_chat import conversions

_VISION = "images"
"""The feature of a chat engine that sees images."""


def served_by(engine: type[Engine]) -> dict[str, ServedTask]:
    """Every task that an engine serves, by name. A chat engine that sees also serves the vision tasks via its chat."""
    methods = engine.served()
    chat = methods.get(CHAT.name)
    if chat is None or _VISION not in engine.features:
        return methods
    by_chat = {
        name: ServedTask(conversion.task, "", max_batch=1, group=None, via_chat=chat)
        for name, conversion in conversions().items()
    }
    return by_chat | methods


def tasks_of(spec: ModelSpec, engine: type[Engine]) -> tuple[str, ...]:
    """The tasks that an entry serves: those it lists, else all of its engine's but the `opt_in_tasks`."""
    return spec.tasks or tuple(name for name in all_tasks() if name in served_by(engine).keys() - engine.opt_in_tasks)


def tasks_of_loaded(spec: ModelSpec, engine: Engine) -> tuple[str, ...]:
    """Those of an entry's tasks that its loaded model can do: a model without vision does none via chat."""
    served, sees = served_by(type(engine)), _VISION in engine.loaded_features()
    return tuple(name for name in tasks_of(spec, type(engine)) if sees or not served[name].via_chat)
