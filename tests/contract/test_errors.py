"""The error envelope."""

from __future__ import annotations

import pytest

from contract.errors import BY_CODE, NeverFits, ShuttingDown, from_envelope


def test_envelope_recreates_the_error() -> None:
    error = NeverFits("No.", param="model", details={"needs_bytes": 1})
    copy = from_envelope(error.envelope("id"))
    assert (type(copy), copy.message, copy.param, copy.details) == (NeverFits, "No.", "model", {"needs_bytes": 1})
    assert copy.headers == {"x-should-retry": "false"}


def test_every_code_belongs_to_its_class() -> None:
    assert all(error_class.code == code for code, error_class in BY_CODE.items())


@pytest.mark.parametrize(
    ("header", "seconds"), [("5", 5), (None, None), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)]
)
def test_copy_of_an_error_keeps_when_to_retry(header: str | None, seconds: float | None) -> None:
    copy = from_envelope(ShuttingDown("Wait.", retry_after=5).envelope("id"), header)
    assert copy.retry_after == seconds
