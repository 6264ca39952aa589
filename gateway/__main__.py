"""Runs the gateway: `python -m gateway`, configured by ENGINEHOUSE_CONFIG and ENGINEHOUSE_HOME."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from contract import config
from contract.asgi import serve
from contract.asgi.connections import ConnectionLimits, raise_descriptor_limit
from contract.asgi.draining import RequestsInProgress
from contract.log_files import rotate_stderr
from contract.long_texts import return_large_blocks
from contract.starter import end_with_starter
from contract.startup_errors import explain
from contract.state_lock import lock_home
from gateway.access.allowlist import Allowlist, is_loopback

log = logging.getLogger("gateway")


def main() -> int:
    """Serve until a signal arrives. Returns the exit code: 2 when the configuration or the port is unusable."""
    gc.disable()  # imports create many objects that stay, so collecting now is wasted work
    end_with_starter()
    serve.log_to_stderr()
    try:
        settings = config.load()
        with _locked(config.home()):
            rotate_stderr(config.home() / "logs" / "gateway.log", settings.logs)
            return _run(settings)
    except (config.ConfigError, OSError) as error:
        log.error("the gateway cannot start: %s", explain(error))
        return 2


def _run(settings: config.Settings) -> int:
    """Listen and serve. Raises ConfigError or OSError, before it serves, if it cannot."""
    sock = serve.listen(settings.gateway.host, settings.gateway.port)
    from gateway.app import build

    requests = RequestsInProgress()
    app = build(settings, config.home(), requests)
    server = serve.server(
        app,
        requests=requests,
        graceful=settings.resources.shutdown_timeout + 1,  # later than the manager, whose errors are relayed
        trusted_proxies=settings.gateway.trusted_proxies,
        limits=_limits(settings.gateway),
    )
    # Signals shut the server down cleanly, even before it installs its own handlers.
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: setattr(server, "should_exit", True))
    return_large_blocks()
    gc.freeze()  # these objects live as long as the process; collections need not visit them
    gc.enable()
    host, port = sock.getsockname()[:2]
    with _address_file(config.home() / "gateway" / "address", host, port):
        log.info("listening on %s:%s", host, port)
        if settings.is_open:
            log.warning(config.OPEN_WARNING)
        server.run(sockets=[sock])
    return 0


def _limits(settings: config.GatewaySettings) -> ConnectionLimits:
    """Limits for connections: each takes descriptors for the client and the manager, and one is kept for a refusal."""
    possible = max(16, (raise_descriptor_limit() - 64) // 3)
    proxies = Allowlist(settings.trusted_proxies) if settings.trusted_proxies else None
    return ConnectionLimits(
        connections=min(settings.max_connections, possible),
        per_address=settings.max_connections_per_address,
        is_exempt=lambda address: is_loopback(address) or bool(proxies and proxies.allows(address)),
        send_seconds=settings.send_timeout,
        check_every=min(5, settings.send_timeout / 4),
    )


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Lock the state folder. Raises BlockingIOError if another gateway uses it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_home(home, "gateway"))
        except BlockingIOError:
            raise
        except OSError as error:  # in a container the state folder may be read-only, and no other gateway is in it
            log.warning("the state folder cannot be locked: %s", error)
        yield


@contextmanager
def _address_file(path: Path, host: str, port: int) -> Iterator[None]:
    """Write the gateway's address to a file while it runs."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    address = f"http://{host}:{port}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"address.{port}")
        temporary.write_text(address, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:  # in a container the state folder may be read-only, and nothing reads the file
        log.warning("cannot write the address file: %s", error)
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == address:
                path.unlink()


if __name__ == "__main__":
    sys.exit(main())
