"""PostgreSQL for the tests of the store, where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from tests.support.postgres import PostgresServer, programs, run_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if programs() is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL or psycopg is not installed")
    with run_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.e2e)])
def url(request: pytest.FixtureRequest) -> str | None:
    """The address of an empty database of PostgreSQL; None means SQLite."""
    if request.param == "sqlite":
        return None
    server: PostgresServer = request.getfixturevalue("postgres")
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS enginehouse CASCADE")
    return server.url
