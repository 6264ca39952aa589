"""Classifies an engine's exceptions, whatever library they come from, without importing that library."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from contract.config import ConfigError
from contract.errors import EngineFailed, OutOfMemory, ServeError
from contract.validation import invalid_request
from workers.registry import UnknownEngine

_MEMORY_PHRASES = (
    "out of memory",  # torch on CUDA and MPS, cuBLAS, MLX
    "can't allocate memory",  # torch on the CPU
    "not enough memory",
    "failed to allocate memory",  # onnxruntime
    "bad_alloc",
    "cublas_status_alloc_failed",
)
_FATAL_PHRASES = ("cuda error", "device-side assert", "illegal memory access", "unspecified launch failure")
_PERMANENT = (
    ServeError, ConfigError, UnknownEngine, ImportError, FileNotFoundError, NotADirectoryError, PermissionError,
    TypeError, ValueError, LookupError, AttributeError, NotImplementedError,
)  # fmt: skip
_PERMANENT_NAMES = {"RepositoryNotFoundError", "GatedRepoError", "RevisionNotFoundError", "SafetensorError"}
_DAMAGED_FILE_NAMES = {"SafetensorError", "JSONDecodeError", "UnpicklingError", "BadZipFile"}
_TEMPORARY_NAMES = {"LocalEntryNotFoundError", "ConnectionError", "HfHubHTTPError"}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine ran out of memory."""
    return any(_is_memory_error(cause) for cause in _causes(error))


def is_fatal(error: BaseException) -> bool:
    """Whether the device's context is lost, so that every later call in this process would fail too."""
    lost = any(phrase in str(cause).lower() for cause in _causes(error) for phrase in _FATAL_PHRASES)
    return lost and not is_out_of_memory(error)


def is_permanent(error: BaseException) -> bool:
    """Whether an immediate retry would fail the same way: a wrong name or a missing file, but not the network."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _PERMANENT_NAMES:
        return True
    return not names & _TEMPORARY_NAMES and isinstance(error, _PERMANENT)


def summarize(error: BaseException) -> str:
    """The message of a ServeError; type and message of any other exception, as `ValueError: odd`."""
    if isinstance(error, ServeError):
        return error.message
    message = str(error).strip() or "no message"
    return f"{type(error).__name__}: {message[:2000]}"


def own_code_message(source: str | None) -> str:
    """Says what to do about a model that needs code of its own, which its entry does not allow to run."""
    return (
        f"{source} comes with Python code of its own, which was not run: it would run on this machine with all of "
        "Enginehouse's permissions. If you have read the code and trust it, set `trust_remote_code: true` in the "
        "model's entry, and `revision` to the version that you have read."
    )


def load_failure_message(error: BaseException, source: str | None, engine: str = "all") -> str:
    """Why a model could not be loaded, in sentences for the operator. Its entry names `source` and `engine`."""
    if isinstance(error, ServeError):
        return error.message
    summary = summarize(error).removesuffix(".")
    if isinstance(error, ImportError):
        return f"{summary}. A library that this engine needs is missing: `make setup ENGINES={engine}` installs it."
    if "trust_remote_code" in str(error):  # the libraries' advice names an argument of their functions
        return own_code_message(source)
    if "Unsupported global" in str(error):  # torch's refusal of a pickle with objects of its own
        return (
            f"A file of {source} is not read, because it contains more than weights, and reading it could run code. "
            "Use a model whose weights are safetensors."
        )
    if _DAMAGED_FILE_NAMES & {kind.__name__ for kind in type(error).__mro__}:
        return f"A file of {source} is damaged ({summarize(error)}). Download it again."
    return f"{summary}."


def to_serve_error(error: BaseException) -> ServeError:
    """The error that the client gets when its call failed with this exception."""
    if isinstance(error, ServeError):
        return error
    if is_out_of_memory(error):
        message = f"The model ran out of memory ({summarize(error)}). Send a smaller request, or try again later."
        return OutOfMemory(message, retry_after=1)
    if isinstance(error, ValidationError):  # the engine's own answer, or an object that it made for a library
        problem = invalid_request(error).message
        return EngineFailed(f"The engine made an answer that is not valid: {problem} The worker's log has the details.")
    return EngineFailed(f"The model failed on this request: {summarize(error)}. The worker's log has the details.")


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _MEMORY_PHRASES)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
