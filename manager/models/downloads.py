"""Says which models are completely downloaded, from the Hugging Face cache alone, without network access."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath

from pydantic import ValidationError

from contract import catalogue
from contract.config import ModelSpec
from contract.hub_cache import cut_files, listed_sizes, repository_folder, split_source, unverified_mark
from contract.status import LocalCopy
from manager.models.weights import OTHER_FORMATS, PACKAGE, hub_cache, locate, size, weight_files

_LONGEST_HUB_ID = 96
"""Characters of a repository's name; the hub accepts no longer ones."""
_HUB_NAME = re.compile(r"\b[\w.-]+\b", re.ASCII)
_SHARD = re.compile(r"^(?P<set>.+)-\d{5}-of-(?P<count>\d{5})$")


def downloaded(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> bool | None:
    """Whether this model starts without a download. None for an external server: only it knows what it needs.

    A local path or an installed package counts as soon as it exists, a hub snapshot once it is complete.
    """
    if spec.is_external:
        return None
    if not spec.source:
        return True  # the weights come with the engine
    try:
        path = locate(spec, environ)
        if path is None or _is_unverified(spec, path, environ):
            return False
        return path.parent.name != "snapshots" or _is_complete(path)
    except OSError:  # a folder that this user may not read
        return False


def of_catalogue(environ: Mapping[str, str] = os.environ) -> dict[str, bool]:
    """By id, whether each model of the catalogue starts without a download in at least one of its variants."""
    return {known.id: any(downloaded(spec, environ) for spec in known.specs) for known in catalogue.load()}


def copies_of_catalogue(environ: Mapping[str, str] = os.environ) -> dict[str, LocalCopy]:
    """By id, what is on this machine of each model of the catalogue: of the variant that is most complete."""
    copies = {known.id: [local_copy(spec, environ) for spec in known.specs] for known in catalogue.load()}
    return {
        id_: max(variants, key=lambda copy: (bool(copy.downloaded), copy.disk_bytes))
        for id_, variants in copies.items()
    }


def local_copy(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> LocalCopy:
    """What of a model is on this machine. Reads the disk."""
    return LocalCopy(downloaded=downloaded(spec, environ), disk_bytes=_disk_bytes(spec, environ))


def _disk_bytes(spec: ModelSpec, environ: Mapping[str, str]) -> int:
    """Bytes of a model's files; of a hub repository, those of all that the cache has of it."""
    try:
        if (folder := cache_folder(spec, environ)) and folder.is_dir():
            return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
        path = None if spec.is_external else locate(spec, environ)
        return size(path) if path else 0
    except OSError:  # a file that was removed meanwhile, or a folder that this user may not read
        return 0


def cache_folder(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where the hub's cache keeps, or would keep, the repository of an entry; None if its source is not a hub id."""
    if not is_hub_id(spec):
        return None
    repository, _ = split_source(spec.source)
    return repository_folder(hub_cache({**environ, **spec.env}), repository)


def missing_path(spec: ModelSpec) -> str | None:
    """What to say of a `source` that is a path of this machine and does not exist; None for any other."""
    if not spec.source.startswith(("/", "~", "./", "../")) or Path(spec.source).expanduser().exists():
        return None
    return f"{spec.source} does not exist: put the model there, or correct the entry's `source`."


def is_hub_id(spec: ModelSpec) -> bool:
    """Whether an entry's source names a repository of the hub, or a file in one, and nothing on this machine."""
    if spec.is_external or spec.source.startswith(PACKAGE) or not _has_form_of_hub_id(spec.source):
        return False
    try:
        return not Path(spec.source).expanduser().exists()
    except OSError:  # a name that is longer than any file's
        return False


def _has_form_of_hub_id(source: str) -> bool:
    """Whether this could be a repository, or a file in one, by the rules of `huggingface_hub.utils.validate_repo_id`.

    They are repeated here because the import of the library takes longer than the start of this program may.
    """
    repository, file = split_source(source)
    if "--" in repository or ".." in repository or repository.endswith(".git"):
        return False
    names = repository.split("/")
    in_repository = file is None or all(part not in {"", ".", ".."} for part in file.split("/"))
    return in_repository and all(_HUB_NAME.fullmatch(name) for name in names)


def spec_of_hub(name: str) -> ModelSpec | None:
    """An entry without an engine for a hub id; None if the name is none."""
    try:
        spec = ModelSpec(id=name, engine="", source=name)
    except ValidationError:
        return None
    return spec if is_hub_id(spec) and len(split_source(name)[0]) <= _LONGEST_HUB_ID else None


def _is_unverified(spec: ModelSpec, path: Path, environ: Mapping[str, str]) -> bool:
    """Whether a download into the snapshot that the path is in has not ended well."""
    folder = cache_folder(spec, environ)
    if folder is None or not path.is_relative_to(folder / "snapshots"):
        return False
    return unverified_mark(folder, path.relative_to(folder / "snapshots").parts[0]).exists()


def _is_complete(snapshot: Path) -> bool:
    """Whether there are weights: every shard of each set, and every weight file that the repository's lists name.

    An interrupted download leaves the files that it finished, and nothing that marks it as incomplete.
    """
    files = weight_files(snapshot)
    if not files or any(present < needed for present, needed in _shards(files)):
        return False
    if any(file.is_symlink() and not file.exists() for file in snapshot.rglob("*")):
        return False  # a link whose blob is missing
    sizes = listed_sizes(snapshot)
    if cut_files(snapshot, sizes):
        return False
    formats = {file.suffix for file in files}
    present = {_name(file.relative_to(snapshot)) for file in snapshot.rglob("*") if file.suffix in formats}
    return _listed(sizes, formats) <= present and _indexed(files)


def _shards(files: Iterable[Path]) -> Iterable[tuple[int, int]]:
    """For each set of shards: how many are present, and how many their names ask for (`model-00001-of-00004`)."""
    names = (_SHARD.match(str(file.with_suffix(""))) for file in files)
    sets = Counter((name["set"], int(name["count"])) for name in names if name)
    return ((present, needed) for (_, needed), present in sets.items())


def _name(file: PurePath) -> tuple[str, str]:
    """A weight file's folder and name, which its shards and variants share: `model.fp16-00001-of-00002` is `model`."""
    shard = _SHARD.match(file.stem)
    return file.parent.as_posix(), (shard["set"] if shard else file.stem).partition(".")[0]


def _indexed(files: Iterable[Path]) -> bool:
    """Whether every file that an index of weights names is there: its shards may have names without a count."""
    for folder, suffix in {(file.parent, file.suffix) for file in files}:
        for index in folder.glob(f"*{suffix}.index.json"):
            with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
                names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
                if not all((folder / name).exists() for name in names):
                    return False
    return True


def _listed(names: Iterable[str], formats: set[str]) -> set[tuple[str, str]]:
    """The weight files of these formats that the repository has, from the file list that hub clients save.

    A pipeline loads its weights from the folders of its parts; files beside those folders are for other programs, and
    so are consolidated ones. Older clients save no list; then nothing is known to be missing.
    """
    paths = [PurePosixPath(name) for name in names]
    weights = {_name(path) for path in paths if path.suffix in formats and not OTHER_FORMATS & set(path.parts[:-1])}
    skipped = "." if PurePosixPath("model_index.json") in paths else None
    return {(folder, name) for folder, name in weights if folder != skipped and not name.startswith("consolidated")}
