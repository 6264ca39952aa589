"""Brings a hub model onto this machine: an entry's `source` becomes the local folder with its files.

What the cache has in full is used without asking the hub, so that a start needs no network; `revision` pins a version.
"""

from __future__ import annotations

from pathlib import Path

from contract.errors import LoadFailed
from workers import sources

_BESIDE = (
    "*.gguf", "*.onnx", "*.onnx_data", "onnx/*", "openvino*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.mlmodel",
    "*.mlpackage/*", "consolidated*.safetensors", "coreml/*", "original/*", "*.pth", "*.png", "*.jpg", "*.gif", "*.mp4",
)  # fmt: skip
"""The same weights for other libraries, and pictures of model cards."""

_PICKLED = ("*.bin", "*.pt", "*.ckpt")
"""Weights that are only fetched where there are no safetensors."""


def folder(source: str, revision: str | None = None) -> Path:
    """The folder (or file) of a local path, an installed package or a hub id, downloaded if need be.

    Raises LoadFailed, with what to do, for what is not there or not open to us; ConnectionError when the hub cannot
    be reached, since trying again later may help.
    """
    where = sources.resolve(source)
    if Path(where).exists():
        return Path(where)
    path = _snapshot(source, revision, (*_BESIDE, *_PICKLED))
    if any(path.rglob("*.safetensors")):
        return path
    return _snapshot(source, revision, _BESIDE)


def _snapshot(source: str, revision: str | None, ignore: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, ignore_patterns=list(ignore), local_files_only=True))
    except HFValidationError:
        raise LoadFailed(
            f"`source: {source}` is neither a path on this machine nor a hub id such as organisation/model. Correct it."
        ) from None
    except LocalEntryNotFoundError:
        return _download(source, revision, ignore)


def _download(source: str, revision: str | None, ignore: tuple[str, ...]) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(source, revision=revision, ignore_patterns=list(ignore)))
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
