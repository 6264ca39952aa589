"""Runs the gateway: `python -m gateway`, configured by ENGINEHOUSE_CONFIG and ENGINEHOUSE_HOME."""

from __future__ import annotations

import ctypes
import gc
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract import config
from contract.asgi import serve

log = logging.getLogger("gateway")


def main() -> int:
    """Serve until told to stop; 2 when the configuration or the port does not allow it."""
    serve.log_to_stderr()
    try:
        settings = config.load()
        sock = serve.listen(settings.gateway.host, settings.gateway.port)
        from gateway.app import build

        app = build(settings, config.home())
    except (config.ConfigError, OSError) as error:
        log.error("the gateway cannot start: %s", error)
        return 2
    server = serve.server(app)
    # A signal ends the server in good order, also one that comes before the server listens to signals itself; its
    # default action must not follow when the server hands it on at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    _return_large_blocks()
    gc.freeze()  # what is there now stays: no collection needs to look at it again
    host, port = sock.getsockname()[:2]
    with _address_file(config.home() / "gateway" / "address", host, port):
        log.info("listening on %s:%s", host, port)
        server.run(sockets=[sock])
    return 0


def _return_large_blocks() -> None:
    """Have glibc give what large bodies took back to the system at once.

    By itself it raises the size from which on it does so with the first large block that is freed, and keeps the next.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**20)


_M_MMAP_THRESHOLD = -3


@contextmanager
def _address_file(path: Path, host: str, port: int) -> Iterator[None]:
    """Say where the gateway listens, for as long as it does."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    address = f"http://{host}:{port}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"address.{port}")
        fresh.write_text(address, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:  # a container's home may be read-only; nobody in it reads the file
        log.warning("the address is not written: %s", error)
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == address:
                path.unlink()


if __name__ == "__main__":
    sys.exit(main())
