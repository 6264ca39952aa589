"""Says, cheaply and before anything starts, what engines offer and whether the entries of a configuration can work.

`python -m workers.describe` reads a JSON list of entries on stdin and prints JSON: `engines` by name, `entries` by id,
the latter with `error`, a sentence or null. No model library is imported.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from pydantic import ValidationError

from contract.config import ConfigError, ModelSpec, explain
from contract.tasks import all_tasks
from workers import defaults
from workers.engine import Engine
from workers.registry import UnknownEngine, engine_names, find_engine
from workers.served_tasks import served_by, tasks_of

log = logging.getLogger(__name__)


def engines() -> dict[str, dict[str, Any]]:
    """What each engine offers."""
    found: dict[str, dict[str, Any]] = {}
    for name in engine_names():
        try:
            engine = find_engine(name)
        except Exception:
            log.warning("the engine %s is broken", name, exc_info=True)
            continue
        doc = (engine.__doc__ or "").strip().partition("\n")[0]
        found[name] = {**_offer(engine), "tasks": _in_order(served_by(engine)), "doc": doc}
    return found


def entry(spec: ModelSpec) -> dict[str, Any]:
    """What an entry offers, or in `error` the sentence that says what is wrong with it."""
    try:
        engine = find_engine(spec.engine)
        check(spec, engine)
    except (ConfigError, UnknownEngine) as error:
        return _broken(str(error))
    except Exception as error:  # an engine's file that does not even import
        return _broken(f"the engine {spec.engine} is broken: {type(error).__name__}: {error}")
    return {**_offer(engine), "tasks": _in_order(tasks_of(spec, engine)), "error": None}


def check(spec: ModelSpec, engine: type[Engine]) -> None:
    """Raises ConfigError, with what to write instead, when the engine cannot serve the entry as it stands."""
    try:
        engine.Options.model_validate(spec.options)
    except ValidationError as error:
        said = "; ".join(explain(e, engine.Options) for e in error.errors())
        raise ConfigError(f"options: {said}") from None
    served = served_by(engine)
    for name in spec.tasks:
        if name not in served:
            there = ", ".join(_in_order(served))
            raise ConfigError(f"the engine {spec.engine} does not serve the task {name!r}; it serves: {there}")
    tasks = tasks_of(spec, engine)
    for name in spec.default:
        if name not in tasks:
            raise ConfigError(f"it is the default for {name!r}, which it does not serve; its tasks: {', '.join(tasks)}")
    kind = spec.device.partition(":")[0]
    if kind not in {"auto", *engine.devices}:
        raise ConfigError(f"the engine {spec.engine} does not run on {kind}; write one of: {', '.join(engine.devices)}")
    asked = [one.task for name in tasks for one in (served[name], served[name].via_chat) if one]
    defaults.check(asked, spec.defaults)


def _offer(engine: type[Engine]) -> dict[str, Any]:
    return {"features": sorted(engine.features), "imports": list(engine.imports), "devices": list(engine.devices)}


def _in_order(tasks: Any) -> list[str]:
    return [name for name in all_tasks() if name in tasks]


def _broken(error: str) -> dict[str, Any]:
    return {"tasks": [], "features": [], "imports": [], "devices": [], "error": error}


def main() -> None:
    """Read entries, print what they and the engines offer."""
    logging.basicConfig(stream=sys.stderr)
    specs = [ModelSpec.model_validate(told) for told in json.load(sys.stdin)]
    offers = {"engines": engines(), "entries": {spec.id: entry(spec) for spec in specs}}
    json.dump(offers, sys.stdout)


if __name__ == "__main__":
    main()
