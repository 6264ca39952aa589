"""Remembers across restarts which models were pinned or unpinned at run time."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from manager.state.model import Model
from manager.state.worker import Worker

log = logging.getLogger(__name__)


def pin(model: Model, workers: Iterable[Worker], pinned: bool) -> None:
    """Note whether a model's workers, and those that start later, stay until they are evicted by request."""
    model.pin = None if pinned == model.spec.pinned else pinned
    for worker in workers:
        worker.pinned = pinned


class Pins:
    """A small file, by model: whether it is pinned. What a model's entry says already is not in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def restore(self, models: Mapping[str, Model]) -> None:
        """Pin and unpin models as before the restart."""
        try:
            pins = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("%s cannot be read, so only the configuration pins models: %s", self._path, error)
            return
        for id_, pin in pins.items() if isinstance(pins, dict) else ():
            if (model := models.get(id_)) and isinstance(pin, bool) and pin != model.spec.pinned:
                model.pin = pin

    def save(self, models: Iterable[Model]) -> None:
        """Write a new file, then put it in the old one's place."""
        pins = {model.id: model.pin for model in models if model.pin is not None}
        new = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            new.write_text(json.dumps(pins, indent=1, sort_keys=True), encoding="utf-8")
            new.replace(self._path)
        except OSError as error:
            log.warning("which models are pinned could not be saved in %s: %s", self._path, error)
