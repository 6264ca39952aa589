"""The client of the manager: which error a failed connection becomes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from contract.asgi.relay import UpstreamError
from contract.config import Settings
from gateway.forwarding.manager_client import ManagerClient


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EMFILE, "too_many_connections"), (errno.ECONNREFUSED, "manager_unreachable")]
)
def test_names_the_true_reason_of_a_failed_connection(tmp_path: Path, number: int, code: str) -> None:
    error = UpstreamError("ClientConnectorError", began=False)
    error.__cause__ = OSError(number, "x")
    assert ManagerClient(Settings(), tmp_path).unreachable(error).code == code
