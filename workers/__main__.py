"""A worker's life: born without a model, told by one line on stdin which one it is, serving until it is ended.

`python -m workers --socket FD --report FD --imports a,b:C`. What happens is reported as JSON lines on `--report`.
Exit codes: 0 ended in order, 1 the engine's thread broke, 3 the model could not be loaded, -9 the manager is gone.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import uvicorn
import uvicorn.protocols.http.httptools_impl  # with uvloop: what uvicorn would import when the model is asked for
import uvloop  # noqa: F401

from contract.asgi import serve
from contract.asgi.base import Base
from contract.config import ModelSpec
from workers.app import App
from workers.batcher import Batcher
from workers.engine import Device, Engine, find, tasks_of_loaded
from workers.failures import describe, is_certain, is_out_of_memory, of_loading
from workers.orphan import Lifeline
from workers.report import Report

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class Birth:
    """What a worker is told: which model, where, and the token that its manager will show."""

    name: str
    spec: ModelSpec
    device: Device
    token: str
    environment: dict[str, str]

    @classmethod
    def read(cls, line: bytes) -> Birth:
        """The birth certificate from its line of JSON."""
        told = json.loads(line)
        spec, device = ModelSpec.model_validate(told["spec"]), Device(**told["device"])
        return cls(told["name"], spec, device, told["token"], told.get("environment") or {})


class Server(uvicorn.Server):
    """A server whose process decides itself what signals mean."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


class Worker:
    """One model in this process: its engine on a thread of its own, HTTP on the main thread."""

    def __init__(self, engine: Engine, birth: Birth, report: Report) -> None:
        self._engine, self._birth, self._report = engine, birth, report
        options = engine.Options.model_validate(birth.spec.options)
        self._batcher = Batcher(engine, options, lambda: report("out_of_memory"))
        self._terminations = 0
        self._idle = False  # loaded, and to be waited for at the end
        self._app = App(engine, birth.spec, self._batcher, birth.token, self.stop)
        config = serve.server(Base(self._app), graceful=birth.spec.stop_grace).config
        config.lifespan = "off"
        self._server = Server(config)

    def run(self, sock: socket.socket) -> None:
        """Load and serve until `stop`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        thread = threading.Thread(target=self._work, name="engine", daemon=True)
        thread.start()
        self._server.run(sockets=[sock])
        self._batcher.stop()
        if self._idle and not self._batcher.busy:
            thread.join()  # it closes the engine; a thread that is stuck in a call is not waited for

    def stop(self) -> None:
        """Take no more requests, finish those in hand, end."""
        self._server.should_exit = True

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._terminations += 1
        if self._terminations > 1:
            os._exit(128 + number)
        self.stop()

    def _work(self) -> None:
        """The engine's thread: everything that touches the model happens here."""
        try:
            self._engine.load(self._birth.spec, self._birth.device)
        except BaseException as error:
            fail(self._report, error, self._birth.spec)
        gc.freeze()  # the weights' many objects live as long as the process: no collection need look at them
        self._idle = True
        tasks = tasks_of_loaded(self._birth.spec, self._engine)
        self._app.keep_to(tasks)
        self._report("ready", features=sorted(self._engine.features_of()), tasks=tasks)
        try:
            self._batcher.run()
            self._engine.close()
        except BaseException:
            log.critical("the engine's thread broke", exc_info=True)
            end(1)


def fail(report: Report, error: BaseException, spec: ModelSpec | None = None) -> NoReturn:
    """Say why the model cannot be served, to the manager in a sentence and to the log in full, and end."""
    certain, out_of_memory = is_certain(error), is_out_of_memory(error)
    message = of_loading(error, spec.source, spec.engine) if spec else of_loading(error, None)
    report("failed", message=message, certain=certain, out_of_memory=out_of_memory)
    log.error("the model could not be loaded", exc_info=error)
    end(3)


def end(code: int) -> NoReturn:
    """End at once: a library's threads and exit hooks must not keep the memory one moment longer."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def import_all(names: str) -> None:
    """Import `module` or `module:attribute` for each name; what is missing is told when a model needs it."""
    for name in filter(None, names.split(",")):
        module, _, attribute = name.partition(":")
        try:
            value = importlib.import_module(module)
            if attribute:
                getattr(value, attribute)
        except Exception as error:
            log.warning("cannot import %s: %s", name, describe(error))


def main() -> NoReturn:
    """Be born, wait, live."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of a listening TCP socket")
    parser.add_argument("--report", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--imports", default="", help="modules to import before the model is known")
    arguments = parser.parse_args()
    lifeline, report = Lifeline(), Report(arguments.report)
    faulthandler.enable()  # a crash in native code leaves its stack in the log
    gc.disable()  # importing makes many objects that stay
    serve.log_to_stderr()
    logging.getLogger("access").setLevel(logging.WARNING)  # gateway and manager have each request's line
    sock = socket.socket(fileno=arguments.socket)
    sock.set_inheritable(False)
    import_all(arguments.imports)
    gc.freeze()
    gc.enable()
    report("born")
    try:
        birth = Birth.read(lifeline.first_line())
        os.environ.update(birth.environment)
        worker = Worker(find(birth.spec.engine)(), birth, report)
    except Exception as error:
        fail(report, error)
    log.info("%s: %s on %s (%s)", birth.name, birth.spec.engine, birth.device.kind, birth.device.dtype)
    worker.run(sock)
    end(0)


if __name__ == "__main__":
    main()
