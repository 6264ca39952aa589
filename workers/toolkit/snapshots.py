"""Downloads models: an entry's `source` becomes a local folder with the model's files.

A model that is completely in the cache is used without contacting the hub, so that a start needs no network. `revision`
pins a version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from contract.errors import LoadFailed
from workers.toolkit import sources

_UNUSED = (
    "*.gguf", "*.onnx", "*.onnx_data", "onnx/*", "openvino*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.mlmodel",
    "*.mlpackage/*", "consolidated*.safetensors", "coreml/*", "original/*", "*.pth", "*.png", "*.jpg", "*.gif", "*.mp4",
)  # fmt: skip
"""The same weights for other libraries, and images of model cards."""

_PICKLED = ("*.bin", "*.pt", "*.ckpt")
"""Weights that are downloaded only if there are no safetensors."""

_CONFIG_PATTERNS = ("*.json", "*.txt", "*.model")
"""Configuration files and tokenizers."""


def folder(source: str, revision: str | None = None) -> Path:
    """The folder (or file) of a local path, an installed package or a hub id, downloaded if needed.

    Raises LoadFailed, saying what to do, if it does not exist or may not be accessed; ConnectionError if the hub cannot
    be reached, since a later retry may succeed.
    """
    local = Path(sources.resolve(source))
    if local.exists():
        return local
    path = _snapshot(source, revision, ignore=(*_UNUSED, *_PICKLED))
    if any(path.rglob("*.safetensors")):
        return path
    return _snapshot(source, revision, ignore=_UNUSED)


def config_files(source: str, revision: str | None = None) -> Path:
    """The folder of a model, downloading configuration files only. Raises like `folder`."""
    local = Path(sources.resolve(source))
    return local if local.exists() else _snapshot(source, revision, allow=_CONFIG_PATTERNS)


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
            f"`source: {source}` is neither a local path nor a hub id such as organisation/model. Correct it."
        ) from None
    except errors.GatedRepoError:
        raise LoadFailed(
            f"{source} is gated: accept its terms on its page on the hub, and set HF_TOKEN to a token of that account."
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
            f"{source} is not completely downloaded, and the hub cannot be reached ({error.__cause__ or error}). "
            "Check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or put the model into a folder and name that."
        ) from error
    except errors.EntryNotFoundError:
        raise LoadFailed(f"The hub has no file {source}: correct the entry's `source`.") from None
