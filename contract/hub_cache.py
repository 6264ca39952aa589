"""Where the Hugging Face cache keeps a repository, and how a download there is marked until its files are verified."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

PARTIAL = ".incomplete"
"""The suffix of a file that is not received completely."""
_RESUMABLE = f".enginehouse{PARTIAL}"


def split_source(source: str) -> tuple[str, str | None]:
    """A hub id, and the path of the one file that is meant if the source goes on after `organisation/model`."""
    parts = source.split("/", 2)
    return "/".join(parts[:2]), parts[2] if len(parts) > 2 else None


def repository_folder(cache: Path, repository: str) -> Path:
    """The folder of a repository in the cache: `refs`, `blobs` and `snapshots` are below it."""
    return cache / ("models--" + repository.replace("/", "--"))


def unverified_mark(folder: Path, commit: str) -> Path:
    """A file that exists while files of a snapshot have been downloaded, and not yet compared with their checksums.

    It survives a crash, so that what may be damaged never counts as downloaded.
    """
    return folder / f".unverified-{commit}"


def partial_files(folder: Path, blob: str = "") -> Iterator[Path]:
    """The files of a repository, or of one of its blobs, that are not received completely."""
    return (folder / "blobs").glob(f"{blob}*{PARTIAL}")


def resumable_file(folder: Path, blob: str) -> Path:
    """The partial file of a blob that the next attempt continues. Other programs have names of their own."""
    return folder / "blobs" / (blob + _RESUMABLE)


def is_resumable(partial: Path) -> bool:
    """Whether a partial file is one of ours, which the next attempt continues."""
    return partial.name.endswith(_RESUMABLE)


def download_lock(folder: Path) -> Path:
    """The file whose lock a program holds that downloads a repository, or removes it."""
    return folder.parent / ".locks" / folder.name / "enginehouse.lock"


def listed_sizes(snapshot: Path) -> Mapping[str, int]:
    """The bytes of each file of a snapshot's commit, as the hub's client has saved them; older clients save none."""
    listing = snapshot.parents[1] / "trees" / f"{snapshot.name}.json"
    try:
        files = json.loads(listing.read_text(encoding="utf-8"))["files"]
        return {name: entry["size"] for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def cut_files(snapshot: Path, sizes: Mapping[str, int]) -> list[str]:
    """The files of a snapshot that have another size than the hub states: the machine or a copy of it broke off."""
    paths = ((name, size, snapshot / name) for name, size in sizes.items())
    return [name for name, size, path in paths if path.exists() and path.stat().st_size != size]
