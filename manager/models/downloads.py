"""Says which models lie whole on this machine, by the layout of the hub's cache; loads nothing and asks nobody."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from contract import catalogue
from contract.config import ModelSpec
from manager.models.weights import OTHER_FORMATS, locate, weight_files

_SHARD = re.compile(r"^(?P<set>.+)-\d{5}-of-(?P<count>\d{5})$")


def downloaded(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> bool | None:
    """Whether a start of this model would download nothing. None for a foreign server: what it needs, only it knows.

    A local path or an installed package counts as soon as it is there, a snapshot of the hub when it is whole.
    """
    if spec.engine == "command":
        return None
    if not spec.source:
        return True  # the weights come with the engine
    try:
        path = locate(spec, environ)
        return path is not None and (path.parent.name != "snapshots" or _is_whole(path))
    except OSError:  # a folder that is not open to us
        return False


def of_catalogue(environ: Mapping[str, str] = os.environ) -> dict[str, bool]:
    """The same for every model of the catalogue by its id, in whichever of its forms."""
    return {known.id: any(downloaded(spec, environ) for spec in known.specs) for known in catalogue.load()}


def _is_whole(snapshot: Path) -> bool:
    """Whether weights are there, no shard of a set is missing, and no folder of the repository lacks its own.

    A download that was broken off leaves the files that it had, and nothing that says so.
    """
    files = weight_files(snapshot)
    if not files or any(there < needed for there, needed in _shards(files)):
        return False
    if any(file.is_symlink() and not file.exists() for file in snapshot.rglob("*")):
        return False  # a link without its blob
    formats = {file.suffix for file in files}
    return _folders_with_weights(snapshot, formats) <= {file.parent.relative_to(snapshot).as_posix() for file in files}


def _shards(files: Iterable[Path]) -> Iterable[tuple[int, int]]:
    """How many shards of each set there are, and how many it has by their names (`model-00001-of-00004`)."""
    names = (_SHARD.match(str(file.with_suffix(""))) for file in files)
    sets = Counter((name["set"], int(name["count"])) for name in names if name)
    return ((there, needed) for (_, needed), there in sets.items())


def _folders_with_weights(snapshot: Path, formats: set[str]) -> set[str]:
    """The folders in which the repository has weights of these formats, from the list of files that clients leave.

    A pipeline's weights are those of its parts: what lies beside their folders is for other programs. Older clients
    leave no list; then nothing is known to be missing.
    """
    listing = snapshot.parents[1] / "trees" / f"{snapshot.name}.json"
    try:
        paths = [PurePosixPath(name) for name in json.loads(listing.read_text(encoding="utf-8"))["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    folders = {path.parent for path in paths if path.suffix in formats}
    outer = {"."} if PurePosixPath("model_index.json") in paths else set()
    return {str(folder) for folder in folders if not OTHER_FORMATS & set(folder.parts)} - outer
