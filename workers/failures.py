"""Tells what an engine's exception means, whatever library it comes from and without importing that library."""

from __future__ import annotations

from collections.abc import Iterator

from contract.config import ConfigError
from contract.errors import EngineFailed, OutOfMemory, ServeError
from workers.engine import UnknownEngine

_MEMORY_PHRASES = (
    "out of memory",  # torch on CUDA and MPS, cuBLAS, MLX
    "can't allocate memory",  # torch on the CPU
    "not enough memory",
    "failed to allocate memory",  # onnxruntime
    "bad_alloc",
    "cublas_status_alloc_failed",
)
_BREAKING_PHRASES = ("cuda error", "device-side assert", "illegal memory access", "unspecified launch failure")
_CERTAIN = (
    ServeError, ConfigError, UnknownEngine, ImportError, FileNotFoundError, NotADirectoryError, PermissionError,
    TypeError, ValueError, LookupError, AttributeError, NotImplementedError,
)  # fmt: skip
_CERTAIN_NAMES = {"RepositoryNotFoundError", "GatedRepoError", "RevisionNotFoundError", "SafetensorError"}
_DAMAGE_NAMES = {"SafetensorError", "JSONDecodeError", "UnpicklingError", "BadZipFile"}
_UNCERTAIN_NAMES = {"LocalEntryNotFoundError", "ConnectionError", "HfHubHTTPError"}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine had no memory left."""
    return any(_names_memory(cause) for cause in _causes(error))


def breaks_the_process(error: BaseException) -> bool:
    """Whether the device's context is lost: every later call in this process would fail as well."""
    broken = any(phrase in str(cause).lower() for cause in _causes(error) for phrase in _BREAKING_PHRASES)
    return broken and not is_out_of_memory(error)


def is_certain(error: BaseException) -> bool:
    """Whether doing the same again at once would end alike: a wrong name or a missing file, but not the network."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _CERTAIN_NAMES:
        return True
    return not names & _UNCERTAIN_NAMES and isinstance(error, _CERTAIN)


def describe(error: BaseException) -> str:
    """One line for a person: the sentence of our own errors, type and message of all others."""
    if isinstance(error, ServeError):
        return error.message
    message = str(error).strip() or "no message"
    return f"{type(error).__name__}: {message[:2000]}"


def of_loading(error: BaseException, source: str | None, engine: str = "all") -> str:
    """Why a model could not be loaded, as sentences for who runs the house. Its entry names `source` and `engine`."""
    if isinstance(error, ServeError):
        return error.message
    if isinstance(error, ImportError):
        said = describe(error).removesuffix(".")
        return f"{said}. A library that this engine needs is missing: `make setup ENGINES={engine}` installs it."
    if _DAMAGE_NAMES & {kind.__name__ for kind in type(error).__mro__}:
        return f"A file of {source} is damaged ({describe(error)}). Download it again."
    return describe(error).removesuffix(".") + "."


def as_answer(error: BaseException) -> ServeError:
    """What a client is told when a call has ended in this exception."""
    if isinstance(error, ServeError):
        return error
    if is_out_of_memory(error):
        message = f"The model ran out of memory in this request ({describe(error)}). Ask for less, or try again later."
        return OutOfMemory(message, retry_after=1)
    return EngineFailed(f"The model failed in this request: {describe(error)}. The worker's log has the details.")


def _names_memory(error: BaseException) -> bool:
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
