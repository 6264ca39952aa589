"""Debian's PostgreSQL on a free port of this machine, with a database that only the tests use."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """The folder with PostgreSQL's programs; None if it is not installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = str(versions[-1]) if versions else shutil.which("initdb")
    return Path(found).parent if found else None


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class PostgresServer:
    """A server whose data is in a folder of its own. It refuses to run as root, so that root runs it as `postgres`."""

    def __init__(self, folder: Path) -> None:
        found = programs()
        assert found is not None
        self._programs = found
        self._data = folder / "data"
        self._user = "postgres" if os.getuid() == 0 else None
        self.port = _free_port()
        self.url = f"postgresql://tests@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs on the data."""
        command = [str(self._programs / program), "-D", str(self._data), *arguments]
        with (self._data.parent / "log").open("a") as log:
            subprocess.run(command, check=True, user=self._user, stdout=log, stderr=log, cwd="/", timeout=200)

    def start(self) -> None:
        """Start the server, on the same port each time."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self.run("pg_ctl", "-w", "-t", "120", "-o", options, "start")

    def stop(self) -> None:
        """End the server and its connections at once, as a crash would."""
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """A server that runs until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="enginehouse-postgres-") as name:
        folder = Path(name)
        server = PostgresServer(folder)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        server.run("initdb", "-A", "trust", "-U", "tests", "-E", "UTF8", "--no-locale")
        server.start()
        try:
            yield server
        finally:
            server.stop()
