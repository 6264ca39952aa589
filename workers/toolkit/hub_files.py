"""Files of a hub repository: received from the byte at which an earlier attempt has ended, and hashed as the hub does.

The hub's client names its partial files at random: a process that is killed leaves one that no other continues. Ours
have the name of their blob. Whoever receives files holds the lock of the repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from contract.hub_cache import resumable_file

_PIECE = 4 * 2**20
_AT_ONCE = 8
"""Files that are received at the same time, as many as the hub's client receives."""


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file of a repository. `blob` is its name in the cache: its SHA-256 if it is `large`, else git's hash of it."""

    path: str
    size: int
    blob: str
    large: bool

    def hash_of(self, file: Path, on_bytes: Callable[[int], None]) -> str:
        """The hash that a copy of it has, computed as the hub does. `on_bytes` gets the number of bytes read."""
        digest = hashlib.sha256() if self.large else hashlib.sha1(usedforsecurity=False)
        if not self.large:
            digest.update(b"blob %d\0" % file.stat().st_size)
        with file.open("rb", buffering=0) as opened:
            while piece := opened.read(_PIECE):
                digest.update(piece)
                on_bytes(len(piece))
        return digest.hexdigest()


def receive(repository: str, commit: str, folder: Path, files: Sequence[WantedFile]) -> None:
    """Put blobs into the repository's folder in the cache. Raises the errors of huggingface_hub, and OSError.

    Files of more than 50 GB are left to the hub's client, which receives them by another protocol than HTTP.
    """
    from huggingface_hub import constants

    ordered = sorted((file for file in files if file.size <= constants.MAX_HTTP_DOWNLOAD_SIZE), key=lambda f: f.size)
    receive_one = partial(_receive, repository, commit, folder)
    for file in ordered[:1]:  # alone: a hub that refuses one file refuses all
        receive_one(file)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        results = [pool.submit(receive_one, file) for file in ordered[1:]]
        try:
            for result in results:
                result.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _receive(repository: str, commit: str, folder: Path, file: WantedFile) -> None:
    """Receive what is missing of one file, and give it its name once it is complete."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but re-exported lazily

    # Compressed, a file could not be continued: a range counts bytes as they are sent.
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    received = resumable_file(folder, file.blob)
    received.parent.mkdir(parents=True, exist_ok=True)
    with received.open("ab", buffering=0) as opened:
        if opened.tell() > file.size:
            opened.truncate(0)
            opened.seek(0)
        url = hf_hub_url(repository, file.path, revision=commit)
        http_get(url, opened, resume_size=opened.tell(), headers=headers, expected_size=file.size)
    received.replace(folder / "blobs" / file.blob)
