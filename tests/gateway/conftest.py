"""One fake manager and one gateway for all tests that do not reconfigure them."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.support.gateway_processes import (
    FakeManagerProcess,
    GatewayProcess,
    configuration,
    key,
    run_gateway,
    run_manager,
)

JWT_SECRET = "a-secret-that-is-long-enough-for-HS256-and-HS384-alike"


@pytest.fixture(scope="session")
def manager() -> Iterator[FakeManagerProcess]:
    with run_manager() as manager:
        yield manager


@pytest.fixture(scope="session")
def gateway(manager: FakeManagerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that requires no key."""
    with run_gateway(tmp_path_factory.mktemp("gateway"), configuration(manager.port)) as gateway:
        gateway.wait_ready()
        yield gateway


@pytest.fixture(scope="session")
def secured(manager: FakeManagerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with keys, tokens, a rate limit and CORS."""
    limited = [key("slow", "slow-key", "2/hour"), key("limited", "limited-key", "1000/hour")]
    keys = [key("app", "app-key"), *limited]  # the first of these is used up by the tests of rate limits
    settings = configuration(
        manager.port,
        gateway={"api_key": "gateway-key", "cors_origins": ["https://page.example"]},
        security={"api_keys": keys, "jwt_secret": JWT_SECRET},
        jobs={"max_file_mb": 1, "max_batch_lines": 3},
    )
    with run_gateway(tmp_path_factory.mktemp("secured"), settings) as gateway:
        gateway.wait_ready()
        yield gateway


@pytest.fixture(scope="session")
def sdk(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    """The OpenAI SDK, configured with nothing but the gateway's address."""
    with openai.OpenAI(base_url=f"{gateway.address}/v1", api_key="any", max_retries=0) as client:
        yield client
