"""Brings a hub model onto this machine: an entry's `source` becomes the local folder with its files.

What the cache has in full is used without asking the hub, so that a start needs no network; `revision` pins a version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from contract.errors import LoadFailed
from workers.toolkit import sources

_BESIDE = (
    "*.gguf", "*.onnx", "*.onnx_data", "onnx/*", "openvino*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.mlmodel",
    "*.mlpackage/*", "consolidated*.safetensors", "coreml/*", "original/*", "*.pth", "*.png", "*.jpg", "*.gif", "*.mp4",
)  # fmt: skip
"""The same weights for other libraries, and pictures of model cards."""

_PICKLED = ("*.bin", "*.pt", "*.ckpt")
"""Weights that are only fetched where there are no safetensors."""

_SETTINGS = ("*.json", "*.txt", "*.model")
"""Configurations and tokenizers."""


def folder(source: str, revision: str | None = None) -> Path:
    """The folder (or file) of a local path, an installed package or a hub id, downloaded if need be.

    Raises LoadFailed, with what to do, for what is not there or not open to us; ConnectionError when the hub cannot
    be reached, since trying again later may help.
    """
    where = sources.resolve(source)
    if Path(where).exists():
        return Path(where)
    path = _snapshot(source, revision, ignore=(*_BESIDE, *_PICKLED))
    if any(path.rglob("*.safetensors")):
        return path
    return _snapshot(source, revision, ignore=_BESIDE)


def config_files(source: str, revision: str | None = None) -> Path:
    """Like `folder`, but of a hub id only what says how the model is built comes, no weights."""
    where = sources.resolve(source)
    return Path(where) if Path(where).exists() else _snapshot(source, revision, allow=_SETTINGS)


def file(source: str, revision: str | None = None) -> Path:
    """One file of a repository, written as `organisation/model/path/to/file`. Raises like `folder`."""
    from huggingface_hub import hf_hub_download

    organisation, name, path = source.split("/", 2)
    return _from_cache_or_hub(source, revision, partial(hf_hub_download, f"{organisation}/{name}", path))


def _snapshot(
    source: str, revision: str | None, *, allow: Sequence[str] | None = None, ignore: Sequence[str] | None = None
) -> Path:
    from huggingface_hub import snapshot_download

    patterns = {"allow_patterns": allow and list(allow), "ignore_patterns": ignore and list(ignore)}
    return _from_cache_or_hub(source, revision, partial(snapshot_download, source, **patterns))


def _from_cache_or_hub(source: str, revision: str | None, fetch: Callable[..., str]) -> Path:
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _explained(source, revision):
        try:
            return Path(fetch(revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(fetch(revision=revision))


@contextmanager
def _explained(source: str, revision: str | None) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError:
        raise LoadFailed(
            f"`source: {source}` is neither a path on this machine nor a hub id such as organisation/model. Correct it."
        ) from None
    except errors.GatedRepoError:
        raise LoadFailed(
            f"{source} is gated: accept its terms on its page at the hub, and set HF_TOKEN to a token of that account."
        ) from None
    except errors.RevisionNotFoundError:
        raise LoadFailed(
            f"{source} has no revision {revision!r}: correct the entry's `revision`, or leave it out for the newest."
        ) from None
    except errors.RepositoryNotFoundError:
        raise LoadFailed(
            f"The hub has no model {source}, or it is private: correct the entry's `source`, or set HF_TOKEN to a "
            "token that may read it."
        ) from None
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{source} is not (wholly) on this machine and the hub cannot be reached ({error.__cause__ or error}). "
            "Check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or put the model into a folder and name that."
        ) from error
    except errors.EntryNotFoundError:
        raise LoadFailed(f"The hub's repository has no file {source}: correct the entry's `source`.") from None
