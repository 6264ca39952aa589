"""Says, before any worker starts, what each entry of a configuration offers and whether it is valid.

`python -m workers.describe` reads a JSON list of entries on stdin and prints JSON: by id, what each entry offers, with
an `error`, a sentence or null. It imports only the engines of these entries, and no model library, so it takes half a
second.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Container
from typing import Any

from pydantic import ValidationError

from contract.config import ConfigError, ModelSpec, explain
from contract.tasks import all_tasks
from workers import defaults, presets
from workers.engine import Engine
from workers.registry import UnknownEngine, engine_names, find_engine
from workers.served_tasks import served_by, tasks_of

log = logging.getLogger(__name__)


def engines() -> dict[str, dict[str, Any]]:
    """What each engine offers, by name. An engine that cannot be imported is logged and left out."""
    descriptions: dict[str, dict[str, Any]] = {}
    for name in engine_names():
        try:
            engine = find_engine(name)
        except Exception:
            log.warning("the engine %s is broken", name, exc_info=True)
            continue
        doc = (engine.__doc__ or "").strip().partition("\n")[0]
        descriptions[name] = {**_offer(engine), "tasks": _in_order(served_by(engine)), "doc": doc}
    return descriptions


def entry(spec: ModelSpec) -> dict[str, Any]:
    """What an entry offers, or in `error` the sentence that says what is wrong with it."""
    try:
        engine = find_engine(spec.engine)
        check(spec, engine)
    except (ConfigError, UnknownEngine) as error:
        return _invalid(str(error))
    except Exception as error:  # the engine's file cannot even be imported
        return _invalid(f"the engine {spec.engine} is broken: {type(error).__name__}: {error}")
    return {**_offer(engine), "tasks": _in_order(tasks_of(spec, engine)), "error": None}


def check(spec: ModelSpec, engine: type[Engine]) -> None:
    """Raises ConfigError, with what to write instead, when the engine cannot serve the entry."""
    if engine.needs_source and not spec.source:
        raise ConfigError("`source` is missing; write a hub id, a folder or a file")
    if engine.needs_source and spec.source.startswith(("http://", "https://")):
        name = "/".join(spec.source.split("/")[3:5]) or "organisation/model"
        raise ConfigError(f"`source` is a URL; write the model's name at the hub, such as {name}, a folder or a file")
    try:
        engine.Options.model_validate(spec.options)
    except ValidationError as error:
        explanations = "; ".join(explain(problem, engine.Options) for problem in error.errors())
        raise ConfigError(f"options: {explanations}") from None
    served = served_by(engine)
    for name in spec.tasks:
        if name not in served:
            available = ", ".join(_in_order(served))
            raise ConfigError(f"the engine {spec.engine} does not serve the task {name!r}; it serves: {available}")
    tasks = tasks_of(spec, engine)
    for name in spec.default:
        if name not in tasks:
            raise ConfigError(f"it is the default for {name!r}, which it does not serve; its tasks: {', '.join(tasks)}")
    device_kind = spec.device.partition(":")[0]
    if device_kind not in {"auto", *engine.devices}:
        devices = ", ".join(engine.devices)
        raise ConfigError(f"the engine {spec.engine} does not run on {device_kind}; write one of: {devices}")
    # What is asked via chat takes chat's parameters as well as its own.
    accepting = [task.task for name in tasks for task in (served[name], served[name].via_chat) if task]
    defaults.check(accepting, spec.defaults, engine.features)
    presets.check(spec, tasks, accepting, engine.features)
    if spec.presets and "*" in engine.features:
        raise ConfigError("an external server cannot have `presets`: its requests pass unread; use an entry of ours")


def _offer(engine: type[Engine]) -> dict[str, Any]:
    lists = {"features": sorted(engine.features), "imports": list(engine.imports), "devices": list(engine.devices)}
    return {**lists, "early_standby": engine.early_standby, "needs_source": engine.needs_source}


def _in_order(tasks: Container[str]) -> list[str]:
    return [name for name in all_tasks() if name in tasks]


def _invalid(error: str) -> dict[str, Any]:
    return {
        "tasks": [],
        "features": [],
        "imports": [],
        "devices": [],
        "early_standby": False,
        "needs_source": True,
        "error": error,
    }


def main() -> None:
    """Read entries from stdin and print what they offer."""
    gc.disable()  # the process ends before garbage would matter
    logging.basicConfig(stream=sys.stderr)
    specs = [ModelSpec.model_validate(fields) for fields in json.load(sys.stdin)]
    json.dump({spec.id: entry(spec) for spec in specs}, sys.stdout)


if __name__ == "__main__":
    main()
