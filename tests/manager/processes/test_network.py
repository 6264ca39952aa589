"""The ports on which workers listen."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from contract.config import Settings
from manager.processes.network import WorkerNetwork
from manager.state.process import LoadFailure


def test_without_a_range_any_free_port_is_taken() -> None:
    with WorkerNetwork().listen() as first, WorkerNetwork().listen() as second:
        assert first.getsockname()[1] != second.getsockname()[1]


def test_a_port_in_use_is_passed_over() -> None:
    with WorkerNetwork().listen() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LoadFailure, match=rf"manager\.worker_ports \({port}-{port}\).*longer range"):
            WorkerNetwork((port, port)).listen()
        with WorkerNetwork((port, min(port + 200, 65535))).listen() as next_one:
            assert next_one.getsockname()[1] > port


@pytest.mark.parametrize(("text", "pair"), [("8001-8099", (8001, 8099)), ("", None), (None, None)])
def test_the_range_is_read_from_the_configuration(text: str | None, pair: tuple[int, int] | None) -> None:
    assert Settings.model_validate({"manager": {"worker_ports": text}}).manager.worker_ports == pair


@pytest.mark.parametrize("text", ["8001", "8099-8001", "0-10", "a-b", "8001-70000", 8001])
def test_a_wrong_range_is_refused(text: object) -> None:
    with pytest.raises(ValidationError, match="8001-8099"):
        Settings.model_validate({"manager": {"worker_ports": text}})
