"""`python -m manager`: reads the configuration, describes the models, listens, and serves until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import sys
from pathlib import Path

import uvloop

from contract import config
from contract.config import ConfigError, Settings
from contract.log_files import rotate_stderr
from contract.starter import end_with_starter
from contract.startup_errors import explain
from contract.state_lock import lock_home

log = logging.getLogger("manager")

PATIENCE_WITH_GATEWAYS = 10
"""How many times `gateway.send_timeout` a gateway may take nothing. It reads in larger steps than its slow clients, and
cuts off those that have stalled itself."""


def main() -> int:
    """Returns the exit code: 0 after an orderly shutdown, 2 when the configuration is invalid."""
    gc.disable()  # imports create many objects that stay, so collecting now is wasted work
    end_with_starter()
    home = config.home()
    try:
        (home / "manager").mkdir(parents=True, exist_ok=True)
        settings = config.load()
        uvloop.run(serve(settings, home))
    except (ConfigError, OSError) as error:
        sys.stderr.write(f"enginehouse manager: {explain(error)}\n")
        return 2
    return 0


async def serve(settings: Settings, home: Path) -> None:
    """Run the manager. Raises ConfigError or OSError, before it listens, if it cannot run."""
    from manager.models import configured
    from manager.models.folders import ModelFolders

    folders = ModelFolders(home / "manager" / "file_hashes.json", config.default_path().parent)
    folders.scan(settings.manager)  # finds the files whose hashes are known
    # The engines are described in another process while this one imports the rest.
    describing = asyncio.create_task(configured.describe(settings, folders.files))
    await asyncio.sleep(0)
    from contract.asgi import serve as asgi
    from contract.asgi.connections import ConnectionLimits, raise_descriptor_limit
    from contract.asgi.draining import RequestsInProgress
    from manager.app import build
    from manager.memory.meters import detect
    from manager.processes.children import reap
    from manager.processes.orphans import become_subreaper
    from manager.runtime import Runtime

    become_subreaper()
    asgi.log_to_stderr()
    rotate_stderr(home / "logs" / "manager.log", settings.logs)
    raise_descriptor_limit()
    with lock_home(home, "manager"):
        await asyncio.to_thread(reap, home / "manager" / "children.json")
        runtime = Runtime(await describing, home, await asyncio.to_thread(detect), folders)
        sockets = [asgi.listen(host, settings.manager.port) for host in settings.manager.listen]
        port = sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        requests = RequestsInProgress(on_exit=lambda: loop.call_soon_threadsafe(runtime.begin_shutdown))
        app = build(runtime, token(settings, home), on_start=runtime.start, requests=requests)
        limits = ConnectionLimits(send_seconds=PATIENCE_WITH_GATEWAYS * settings.gateway.send_timeout)
        graceful = settings.resources.shutdown_timeout
        server = asgi.server(app, requests=requests, graceful=graceful, limits=limits)
        loop.add_signal_handler(signal.SIGHUP, runtime.reload_in_background)
        (home / "manager" / "address").write_text(f"http://127.0.0.1:{port}\n")
        log.info("the manager listens on %s, port %d", ", ".join(settings.manager.listen), port)
        gc.freeze()  # these objects live as long as the process; collections need not visit them
        gc.enable()
        await server.serve(sockets)


def token(settings: Settings, home: Path) -> str:
    """The configured token, else the one in the state folder: made at the first start, readable by its owner only."""
    if settings.manager.token:
        return settings.manager.token
    path = home / "manager" / "token"
    with contextlib.suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
    if not path.read_text().strip():  # new, or left empty by a crash
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text().strip().partition("\n")[0].strip()


if __name__ == "__main__":
    sys.exit(main())
