"""The tests of a folder with one server run in one process of a parallel run; a second process would start another."""

from __future__ import annotations

import pytest

from tests.conftest import SHARED, SharedServerScheduling


@pytest.mark.parametrize("test", ["test_a.py::test", "test_a.py::test[/pc]", "test_b.py::test[http://localhost/v1]"])
def test_shared_server_keeps_its_tests_in_one_process(test: str) -> None:
    assert {scope(f"{folder}/{test}") for folder in SHARED} == set(SHARED)


def test_other_files_run_in_any_process() -> None:
    assert scope("tests/e2e/test_a.py::test[/pc]") == "tests/e2e/test_a.py"


def scope(test: str) -> str:
    scheduling = SharedServerScheduling.__new__(SharedServerScheduling)  # a whole one needs a run
    return scheduling._split_scope(test)
