"""Finds a model's files on this machine, and how large its weights are, without loading anything."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from contract.config import ModelSpec, home
from contract.hub_cache import repository_folder, split_source

FORMATS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".npz")
"""Suffixes of weight files, in order of preference: of several formats in one folder an engine loads one."""

OTHER_FORMATS = frozenset({"onnx", "openvino", "original", "coreml", "gguf"})
"""Folders in which a hub repository keeps copies of its weights for other programs."""

PACKAGE = "package:"
"""`package:<module>[/subfolder]` means weights inside an installed Python package."""

_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's weights: `size` in bytes, 0 if they are not on this machine, and a `version` that changes when they do.

    The version is the hub's commit, else a digest of the files' names, sizes and times; before a download, it is the
    revision that the entry asks for.
    """

    version: str
    size: int


def locate(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The model's folder or file; None if it is not on this machine, or in another Python environment."""
    if not spec.source:
        return None
    if spec.source.startswith(PACKAGE):
        return _in_package(spec.source.removeprefix(PACKAGE))
    local = Path(spec.source).expanduser()
    return local.resolve() if local.exists() else _snapshot(spec, environ)


def size(path: Path) -> int:
    """Bytes of the weights in a file or a folder, each tensor counted once; 0 if there are none."""
    return sum(_bytes(file) for file in weight_files(path))


def weight_files(path: Path, depth: int = 3) -> list[Path]:
    """The files that an engine would load: one format per folder, and the largest of several variants.

    A path to one shard means its whole set. No known layout has weights in folders deeper than `depth`.
    """
    if path.is_file():
        shards = (file for file in _entries(path.parent) if file.suffix == path.suffix and file != path)
        return [path, *(file for file in shards if _SHARD.sub("", file.stem) == _SHARD.sub("", path.stem))]
    own = _chosen_files(path)
    skipped = OTHER_FORMATS if own else frozenset()
    subfolders = (folder for folder in _entries(path) if depth and folder.is_dir() and folder.name not in skipped)
    return own + [file for folder in subfolders for file in weight_files(folder, depth - 1)]


def find(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> Weights:
    """The size and version of a model's weights on this machine. Takes a few file operations per weight file."""
    path = locate(spec, environ)
    if path is None:
        return Weights(spec.revision or "main", 0)
    return Weights(_version(path), size(path))


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The Hugging Face cache: as its own variables say, else in the user's home folder, else in our state folder."""
    if explicit := environ.get("HF_HUB_CACHE"):
        return Path(explicit).expanduser()
    usual = Path("~/.cache/huggingface").expanduser()
    default = usual if usual.exists() else home(environ) / "models"
    return Path(environ.get("HF_HOME") or default).expanduser() / "hub"


def _snapshot(spec: ModelSpec, environ: Mapping[str, str]) -> Path | None:
    repository, file = split_source(spec.source)
    folder = repository_folder(hub_cache({**environ, **spec.env}), repository)
    revision = spec.revision or "main"
    if _COMMIT.match(revision):
        commit = revision
    else:
        try:
            commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
        except OSError:
            return None
    snapshot = folder / "snapshots" / commit
    if not commit or not snapshot.is_dir():
        return None
    return snapshot if file is None else _existing(snapshot / file)


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _version(path: Path) -> str:
    if path.parent.name == "snapshots":
        return path.name
    lines = "\n".join(_stamp(file) for file in sorted(weight_files(path)))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def _in_package(name: str) -> Path | None:
    """Looks up the top-level package only, since finding a subpackage would import its parents."""
    module, _, folder = name.partition("/")
    top, *inner = module.split(".")
    try:
        package = importlib.util.find_spec(top) if top else None
    except (ImportError, ValueError):
        return None
    locations = [Path(location, *inner, folder) for location in (package and package.submodule_search_locations) or ()]
    return next((location for location in locations if location.exists()), None)


def _chosen_files(folder: Path) -> list[Path]:
    files = [file for file in _entries(folder) if file.suffix in FORMATS and file.is_file()]
    preferred = next((suffix for suffix in FORMATS if any(file.suffix == suffix for file in files)), "")
    variants: dict[str, dict[str, list[Path]]] = {}
    for file in files:
        if file.suffix == preferred:
            variant = _SHARD.sub("", file.stem)
            variants.setdefault(_base_name(variant), {}).setdefault(variant, []).append(file)
    return [f for shards in variants.values() for f in max(shards.values(), key=lambda files: sum(map(_bytes, files)))]


def _base_name(variant: str) -> str:
    """`model.fp16` and `model.non_ema` are variants of `model`."""
    return variant.partition(".")[0]


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
