"""What is looked at when the configuration is read."""

from __future__ import annotations

import logging

import pytest

from contract.config import ConfigError, ModelSpec, Settings
from manager.models.configured import check_margin, read_facts
from manager.state.model import Capabilities, Model


def test_margin_beyond_the_machines_memory_is_refused() -> None:
    check_margin(Settings())
    with pytest.raises(ConfigError, match=r"memory\.safety_margin_gb` is 1e\+06 GiB, and this machine has"):
        check_margin(Settings.model_validate({"memory": {"safety_margin_gb": 1e6}}))


def test_path_that_does_not_exist_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    specs = {
        id_: ModelSpec(id=id_, engine="x", source=source) for id_, source in (("a", "/no/such"), ("b", "a/hub-id"))
    }
    with caplog.at_level(logging.WARNING):
        read_facts(Model(spec, Capabilities()) for spec in specs.values())
    [record] = caplog.records
    assert record.getMessage() == (
        "model a: /no/such does not exist: put the model there, or correct the entry's `source`."
    )
