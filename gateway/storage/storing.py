"""Errors of a database or of the state folder, as clients see them."""

from __future__ import annotations

from contract.errors import Unavailable
from gateway.storage.database import DatabaseFailed, NewerDatabase
from gateway.storage.sqlite import FOLDER_HINT


class storing:  # noqa: N801 - reads as what it does
    """Raises Unavailable where the enclosed code cannot use the database or the state folder, such as a full disk.

    `what` is stored there, in the plural.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, NewerDatabase):
            raise Unavailable(str(error)) from error
        if isinstance(error, OSError | DatabaseFailed):
            hint = getattr(error, "hint", FOLDER_HINT)
            raise Unavailable(f"{self._what} cannot be stored ({error}). {hint}", retry_after=30) from error
