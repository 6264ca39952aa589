"""One fake manager and one gateway for all tests that do not change them."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.support.gateway_processes import Gateway, Manager, configuration, run_gateway, run_manager


@pytest.fixture(scope="session")
def manager() -> Iterator[Manager]:
    with run_manager() as manager:
        yield manager


@pytest.fixture(scope="session")
def gateway(manager: Manager, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that asks for no key."""
    with run_gateway(tmp_path_factory.mktemp("gateway"), configuration(manager.port)) as gateway:
        gateway.wait_ready()
        yield gateway


@pytest.fixture
def sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """The OpenAI SDK, told nothing but the address."""
    with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key="any", max_retries=0) as client:
        yield client
