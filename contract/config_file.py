"""Changes the configuration file: whole or not at all, only to a valid configuration, and one program at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contract import config
from contract.config import ConfigError, Settings


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A new text of the file, which is written beside it and valid. `apply` puts it in the file's place."""

    settings: Settings
    _old: bytes | None
    _temporary: Path
    _path: Path

    def apply(self) -> None:
        """Replace the file. Raises ConfigError if it has changed meanwhile, or cannot be replaced."""
        if _content(self._path) != self._old:
            raise ConfigError(f"{self._path} has just been changed by another program; try again")
        try:
            self._temporary.replace(self._path)
        except OSError as error:  # such as a file that is mounted by itself
            raise ConfigError(f"{self._path} cannot be replaced: {error}; edit the file itself") from None


@contextmanager
def changing(path: Path, change: Callable[[str], str], default: str = "") -> Iterator[ConfigChange]:
    """Prepare a change of a configuration file; other programs that change it wait meanwhile.

    `change` turns the old text into the new one; `default` is the text of a file that does not exist. Raises
    ConfigError, and what `change` raises.
    """
    target = path.resolve()  # a link stays a link
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _locked(target.parent), _removed_after(temporary):
            old = _content(target)
            text = change(default if old is None else old.decode("utf-8"))
            _write(temporary, text, like=target)
            yield ConfigChange(_settings(temporary, path), old, temporary, target)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be changed: {error}") from None


@contextmanager
def _removed_after(temporary: Path) -> Iterator[None]:
    try:
        yield
    finally:
        temporary.unlink(missing_ok=True)


def _settings(temporary: Path, path: Path) -> Settings:
    """The settings in the new text, whose errors name the file that it is for."""
    try:
        return config.load(temporary)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(temporary), str(path)), error.problems) from None


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write(temporary: Path, text: str, *, like: Path) -> None:
    """Write a new file with the mode and, where we may give files away, the owner of another one."""
    temporary.unlink(missing_ok=True)
    mode = like.stat().st_mode & 0o7777 if like.exists() else 0o644
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fchmod(file.fileno(), mode)
        if like.exists():
            with suppress(OSError):
                os.fchown(file.fileno(), like.stat().st_uid, like.stat().st_gid)
        os.fsync(file.fileno())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, which leaves no file behind. The system releases that of a process that ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
