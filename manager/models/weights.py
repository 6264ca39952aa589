"""Finds a model's files on this machine without loading anything: where they lie, and how large the weights are."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.config import ModelSpec, home

FORMATS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".npz")
"""Files that hold weights, by preference: of several formats in one folder an engine loads one."""

OTHER_FORMATS = frozenset({"onnx", "openvino", "original", "coreml", "gguf"})
"""Folders in which a hub repository keeps the same weights once more, for other programs."""

PACKAGE = "package:"
"""`package:<module>[/subfolder]`: weights that came inside an installed Python package."""

_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Weights:
    """`size` in bytes, 0 where they are not on this machine, and `version`, which changes when the weights do.

    That is the hub's commit, else a digest of the files' names, sizes and times; before a download, the revision asked.
    """

    version: str
    size: int


def locate(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The model's folder or file; None where it is not on this machine, or in an interpreter of its own."""
    if not spec.source:
        return None
    if spec.source.startswith(PACKAGE):
        return _in_package(spec.source.removeprefix(PACKAGE))
    local = Path(spec.source).expanduser()
    return local.resolve() if local.exists() else _snapshot(spec, environ)


def size(path: Path) -> int:
    """Bytes of the weights in a file or a folder, each tensor counted once; 0 where there are none."""
    return sum(_bytes(file) for file in weight_files(path))


def weight_files(path: Path, depth: int = 3) -> list[Path]:
    """The files that an engine would load: one format a folder, and the largest of several variants.

    A file stands for all shards of its set. Folders deeper than `depth` belong to no layout that we know.
    """
    if path.is_file():
        shards = (file for file in _entries(path.parent) if file.suffix == path.suffix and file != path)
        return [path, *(file for file in shards if _SHARD.sub("", file.stem) == _SHARD.sub("", path.stem))]
    here = _chosen(path)
    skipped = OTHER_FORMATS if here else frozenset()
    below = (folder for folder in _entries(path) if depth and folder.is_dir() and folder.name not in skipped)
    return here + [file for folder in below for file in weight_files(folder, depth - 1)]


def find(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> Weights:
    """What lies on this machine of a model's weights; takes some file operations per weight file."""
    path = locate(spec, environ)
    if path is None:
        return Weights(spec.revision or "main", 0)
    return Weights(_version(path), size(path))


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The Hugging Face cache: where its own variables say, else in the user's folder, else in ours."""
    if explicit := environ.get("HF_HUB_CACHE"):
        return Path(explicit).expanduser()
    usual = Path("~/.cache/huggingface").expanduser()
    ours = usual if usual.exists() else home(environ) / "models"
    return Path(environ.get("HF_HOME") or ours).expanduser() / "hub"


def _snapshot(spec: ModelSpec, environ: Mapping[str, str]) -> Path | None:
    folder = hub_cache({**environ, **spec.env}) / ("models--" + spec.source.replace("/", "--"))
    revision = spec.revision or "main"
    if _COMMIT.match(revision):
        commit = revision
    else:
        try:
            commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
        except OSError:
            return None
    snapshot = folder / "snapshots" / commit
    return snapshot if commit and snapshot.is_dir() else None


def _version(path: Path) -> str:
    if path.parent.name == "snapshots":
        return path.name
    lines = "\n".join(_stamp(file) for file in sorted(weight_files(path)))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _in_package(name: str) -> Path | None:
    """Only the outermost package is looked up, since finding an inner one would import those around it."""
    module, _, folder = name.partition("/")
    top, *inner = module.split(".")
    try:
        found = importlib.util.find_spec(top) if top else None
    except (ImportError, ValueError):
        return None
    places = [Path(place, *inner, folder) for place in (found and found.submodule_search_locations) or ()]
    return next((place for place in places if place.exists()), None)


def _chosen(folder: Path) -> list[Path]:
    files = [file for file in _entries(folder) if file.suffix in FORMATS and file.is_file()]
    preferred = next((suffix for suffix in FORMATS if any(file.suffix == suffix for file in files)), "")
    variants: dict[str, dict[str, list[Path]]] = {}
    for file in files:
        if file.suffix == preferred:
            whole = _SHARD.sub("", file.stem)
            variants.setdefault(_model(whole), {}).setdefault(whole, []).append(file)
    return [file for those in variants.values() for file in max(those.values(), key=lambda v: sum(map(_bytes, v)))]


def _model(stem: str) -> str:
    """`model.fp16` and `model.non_ema` are variants of `model`."""
    return stem.partition(".")[0]


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return


def _stamp(file: Path) -> str:
    try:
        stat = file.stat()
    except OSError:
        return ""
    return f"{file} {stat.st_size} {stat.st_mtime_ns}"


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # a link into the cache whose file is still being downloaded
        return 0
