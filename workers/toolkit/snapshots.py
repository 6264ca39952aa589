"""Chooses which files of a hub repository a model needs, and turns an entry's `source` into a local folder with them.

A model that is completely in the cache is used without contacting the hub, so that a start needs no network. `revision`
pins a version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath

from contract import catalogue
from contract.errors import LoadFailed, ModelGated
from contract.hub_cache import cut_files, listed_sizes, repository_folder, split_source, unverified_mark
from workers.toolkit import sources
from workers.toolkit.hub_downloads import DownloadProgress, FileChoice, Wanted

_UNUSED = (
    "*.gguf", "*.onnx", "*.onnx_data", "onnx/*", "openvino*", "*.h5", "*.msgpack", "*.ot", "*.tflite", "*.mlmodel",
    "*.mlpackage/*", "consolidated*.safetensors", "coreml/*", "original/*", "*.pth", "*.png", "*.jpg", "*.gif", "*.mp4",
    "*.fp16.safetensors", "*.fp16-*.safetensors", "*.fp16.bin", "*.non_ema.safetensors", "*.non_ema.bin",
)  # fmt: skip
"""The same weights for other libraries or in variants that no engine asks for, and images of model cards."""

_PICKLED = ("*.bin", "*.pt", "*.ckpt")
"""Weights that are downloaded only if there are no safetensors."""

_ONNX = "onnx/model.onnx"
"""The weights of a repository that has none in another format."""

_CONFIG_PATTERNS = ("*.json", "*.txt", "*.model")
"""Configuration files and tokenizers."""

_UNAUTHORIZED = 401
_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".ckpt"})


def folder(source: str, revision: str | None = None) -> Path:
    """The folder (or file) of a local path, an installed package or a hub id, downloaded if needed.

    Raises LoadFailed, saying what to do, if it does not exist or may not be accessed; ConnectionError if the hub cannot
    be reached, since a later retry may succeed.
    """
    local = Path(sources.resolve(source))
    if local.exists():
        return local
    with explained(source, revision):
        path = _cached(source, revision, ignore=(*_UNUSED, *_PICKLED))
        if path is None or not any(path.rglob("*.safetensors")):
            path = _cached(source, revision, ignore=_UNUSED)
        return path or Wanted(source, revision, _weights).fetch()


def config_files(source: str, revision: str | None = None) -> Path:
    """The folder of a model, downloading configuration files only. Raises like `folder`."""
    local = Path(sources.resolve(source))
    if local.exists():
        return local
    with explained(source, revision):
        path = _cached(source, revision, allow=_CONFIG_PATTERNS)
        return path or Wanted(source, revision, partial(_filtered, allow=_CONFIG_PATTERNS)).fetch()


def file(source: str, revision: str | None = None) -> Path:
    """One file of a repository, written as `organisation/model/path/to/file`. Raises like `folder`."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repository, name = split_source(source)
    assert name is not None
    with explained(source, revision):
        try:
            found = Path(hf_hub_download(repository, name, revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            found = None
        if found and not _is_unverified(repository, found) and name not in _cut_files(_snapshot_of(repository, found)):
            return found
        return wanted(source, revision).fetch() / name


def wanted(source: str, revision: str | None = None, progress: DownloadProgress | None = None) -> Wanted:
    """What a hub id, or a file of a repository, takes to be downloaded."""
    repository, name = split_source(source)
    choose: FileChoice = _weights if name is None else partial(_only, source, name)
    return Wanted(repository, revision, choose, progress or DownloadProgress())


def _weights(paths: Sequence[str]) -> Sequence[str]:
    """What an engine reads: configuration, tokenizers and weights in one format.

    The weights of a pipeline are in the folders of its parts; those beside the folders are for other programs.
    """
    needed = _filtered(paths, ignore=(*_UNUSED, *_PICKLED))
    if not any(path.endswith(".safetensors") for path in needed):
        needed = _filtered(paths, ignore=_UNUSED)
    if _ONNX in paths and not any(_is_weights(path) for path in needed):
        needed = [*needed, _ONNX]
    if "model_index.json" not in paths:
        return needed
    return [path for path in needed if "/" in path or PurePosixPath(path).suffix not in _WEIGHTS]


def _is_weights(path: str) -> bool:
    """Whether a file has weights; those of a speaking model's voices do not count."""
    return PurePosixPath(path).suffix in _WEIGHTS and not path.startswith("voices/")


def _only(source: str, name: str, paths: Sequence[str]) -> Sequence[str]:
    if name not in paths:
        raise LoadFailed(f"The hub has no file {source}: correct the entry's `source`.")
    return [name]


def _filtered(paths: Sequence[str], *, allow: Sequence[str] = ("*",), ignore: Sequence[str] = ()) -> list[str]:
    """The paths that match one of `allow` and none of `ignore`, as the hub's client would choose them."""

    def matches(path: str, patterns: Sequence[str]) -> bool:
        return any(fnmatch(path, pattern) for pattern in patterns)

    return [path for path in paths if matches(path, allow) and not matches(path, ignore)]


def _cached(
    source: str, revision: str | None, *, allow: Sequence[str] = ("*",), ignore: Sequence[str] = ()
) -> Path | None:
    """The snapshot's folder if all chosen files are there and verified."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = snapshot_download(
            source, revision=revision, local_files_only=True, allow_patterns=list(allow), ignore_patterns=list(ignore)
        )
    except LocalEntryNotFoundError:
        return None
    return None if _is_unverified(source, Path(path)) or _cut_files(Path(path)) else Path(path)


def _is_unverified(repository: str, path: Path) -> bool:
    """Whether a path in a snapshot belongs to one whose download has not ended."""
    snapshot = _snapshot_of(repository, path)
    return unverified_mark(snapshot.parents[1], snapshot.name).exists()


def _cut_files(snapshot: Path) -> list[str]:
    return cut_files(snapshot, listed_sizes(snapshot))


def _snapshot_of(repository: str, path: Path) -> Path:
    """The folder of the snapshot that a path is in."""
    from huggingface_hub import constants

    snapshots = repository_folder(Path(constants.HF_HUB_CACHE), repository).resolve() / "snapshots"
    return snapshots / path.absolute().relative_to(snapshots).parts[0]


@contextmanager
def explained(source: str, revision: str | None) -> Iterator[None]:
    """Turn the errors of the hub's client into LoadFailed, which says what to do, and ConnectionError."""
    from huggingface_hub import errors

    try:
        with _token_refused():
            yield
    except errors.HFValidationError:
        raise LoadFailed(
            f"`source: {source}` is neither a local path nor a hub id such as organisation/model. Correct it."
        ) from None
    except errors.GatedRepoError:
        raise _gated(source) from None
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
        raise _unreachable(source, error.__cause__ or error) from error
    except errors.EntryNotFoundError:
        raise LoadFailed(f"The hub has no file {source}: correct the entry's `source`.") from None
    except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled) as error:
        raise _unreachable(source, error) from error
    except Exception as error:
        # The HTTP library of the hub's client differs between its versions, so it is not imported here.
        if type(error).__module__.partition(".")[0] in {"httpx", "httpx2"}:
            raise _unreachable(source, error) from error
        raise


@contextmanager
def _token_refused() -> Iterator[None]:
    """Explain a token that the hub does not know. Without a token, the same status means a private or gated model."""
    from huggingface_hub import constants, errors, get_token

    try:
        yield
    except errors.HfHubHTTPError as error:
        if error.response.status_code != _UNAUTHORIZED or not get_token():
            raise
        raise LoadFailed(
            f"The hub refuses the token that is set: it has expired, or it was revoked. Set HF_TOKEN to a new one from "
            f"{constants.ENDPOINT}/settings/tokens, or remove it: models that are public need none."
        ) from None


def _unreachable(source: str, reason: object) -> ConnectionError:
    return ConnectionError(
        f"{source} is not completely downloaded, and the hub cannot be reached ({reason}). "
        "Check the network, HF_ENDPOINT and HF_HUB_OFFLINE, or put the model into a folder and name that."
    )


def _gated(source: str) -> ModelGated:
    """Which terms are to be accepted, where, and which token is missing."""
    from huggingface_hub import constants, get_token

    repository, _ = split_source(source)
    known = catalogue.load().find(repository)
    terms = f"its terms ({known.licence})" if known else "its terms"
    token = (
        "The token that is set belongs to an account that has not accepted them, or it may not read gated models."
        if get_token()
        else "No token is set: set HF_TOKEN to one of that account."
    )
    page = f"{constants.ENDPOINT}/{repository}"
    message = f"{source} is gated: accept {terms} at {page} with an account of the hub. {token}"
    details = {"terms": known.licence if known else None, "page": page, "token": "set" if get_token() else "missing"}
    return ModelGated(message, details={**details, "variable": "HF_TOKEN"})
