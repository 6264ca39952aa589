"""Options in any place, and what a session does with errors."""

from __future__ import annotations

import pytest

from client import ServerError
from command.exit_codes import exit_code
from command.session import hoisted


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        (["status", "--json"], ["--json", "status"]),
        (["run", "m", "--url", "u", "hi"], ["--url", "u", "run", "m", "hi"]),
        (["run", "m", "--key=k", "--", "--json"], ["--key=k", "run", "m", "--", "--json"]),
        (["status", "--url"], ["--url", "", "status"]),
    ],
)
def test_global_options_may_be_anywhere(given: list[str], parsed: list[str]) -> None:
    assert hoisted(given) == parsed


def test_exit_codes_follow_the_status() -> None:
    codes = {0: 3, 400: 2, 401: 4, 403: 4, 404: 5, 413: 2, 429: 6, 500: 1, 502: 1, 503: 6, 504: 6}
    assert {status: exit_code(ServerError("", status)) for status in codes} == codes
    assert exit_code(ServerError("", 200, "model_load_failed")) == 6  # it ended a stream
    assert exit_code(ServerError("", 503, "model_load_failed", details={"permanent": True})) == 1
