"""Ollama's models: the list that `ollama list` or `GET /api/tags` prints, with the files in Ollama's folder.

Ollama stores each model as a manifest, `manifests/registry.ollama.ai/library/NAME/TAG`, whose layers name files in
`blobs`: the GGUF file of the model, and for a model with images that of its projector.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contract.config import ConfigError
from scripts.import_config import Note

_MODEL, _PROJECTOR = "application/vnd.ollama.image.model", "application/vnd.ollama.image.projector"


def folder_of(environ: Mapping[str, str] = os.environ) -> Path:
    """Where Ollama keeps its models."""
    return Path(environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")


def names_in(text: str) -> list[str] | None:
    """The models of a list, in the order of the list. None if it is none of Ollama's."""
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError:
            return None
        rows = document.get("models")
        is_list = isinstance(rows, list) and all(isinstance(row, dict) and "digest" in row for row in rows)
        return [str(row.get("model") or row.get("name")) for row in rows] if is_list else None
    lines = text.strip().splitlines()
    if not lines or not re.match(r"NAME\s+ID\s+SIZE", lines[0]):
        return None
    return [line.split()[0] for line in lines[1:] if line.strip()]


def all_names(folder: Path) -> list[str]:
    """Every model in Ollama's folder."""
    manifests = folder / "manifests" / "registry.ollama.ai"
    files = sorted(path for path in manifests.rglob("*") if path.is_file())
    parts = [path.relative_to(manifests).parts for path in files]
    return [f"{'/'.join(p[1:-1] if p[0] == 'library' else p[:-1])}:{p[-1]}" for p in parts]


def converted(names: Sequence[str], folder: Path, note: Note) -> dict[str, Any]:
    """Entries that run the models' files with llama.cpp's server. Raises ConfigError if none can be carried over."""
    models = list(_models(names, folder, note))
    if not models:
        raise ConfigError(f"none of the models is in {folder}; set OLLAMA_MODELS to Ollama's folder of models")
    return {"models": models}


def _models(names: Sequence[str], folder: Path, note: Note) -> Iterator[dict[str, Any]]:
    for name in names:
        layers = _layers(name, folder)
        if layers is None or _MODEL not in layers:
            note(f"{name}: its files are not in {folder}")
            continue
        command = f"llama-server --host 127.0.0.1 --port ${{PORT}} --jinja -m {shlex.quote(str(layers[_MODEL]))}"
        if _PROJECTOR in layers:
            command += f" --mmproj {shlex.quote(str(layers[_PROJECTOR]))}"
        tasks = ["chat"]
        if re.search(r"embed|bge|minilm", name):
            command, tasks = f"{command} --embeddings", ["embeddings"]
        short = name.removesuffix(":latest")
        aliases = {"aliases": [name]} if name != short else {}
        yield {"id": short, "engine": "command", "tasks": tasks, **aliases, "options": {"cmd": command}}


def _layers(name: str, folder: Path) -> dict[str, Path] | None:
    """The files of a model by their media type. None if it is not there."""
    model, _, tag = name.partition(":")
    parts = model.split("/") if "/" in model else ["library", model]
    path = folder.joinpath("manifests", "registry.ollama.ai", *parts, tag or "latest")
    try:
        layers = json.loads(path.read_text(encoding="utf-8"))["layers"]
        files = {layer["mediaType"]: folder / "blobs" / layer["digest"].replace(":", "-") for layer in layers}
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return {media: file for media, file in files.items() if file.exists()}
