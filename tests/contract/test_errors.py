"""The error envelope."""

from __future__ import annotations

from contract.errors import BY_CODE, NeverFits, from_envelope


def test_envelope_recreates_the_error() -> None:
    error = NeverFits("No.", param="model", details={"needs_bytes": 1})
    copy = from_envelope(error.envelope("id"))
    assert (type(copy), copy.message, copy.param, copy.details) == (NeverFits, "No.", "model", {"needs_bytes": 1})
    assert copy.headers == {"x-should-retry": "false"}


def test_every_code_belongs_to_its_class() -> None:
    assert all(error_class.code == code for code, error_class in BY_CODE.items())
