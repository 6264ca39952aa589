"""The worker process: starts without a model, reads from stdin which one to load, and serves it until it is stopped.

`python -m workers --socket FD --report FD --imports a,b:C`. Events are reported as JSON lines on `--report`.
Exit codes: 0 orderly shutdown, 1 the engine's thread crashed, 3 the model could not be loaded, -9 the manager is gone.
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
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

import uvicorn
import uvicorn.protocols.http.httptools_impl  # uvicorn would import this and uvloop only once it starts serving
import uvloop  # noqa: F401

from contract.asgi import serve
from contract.asgi.middleware import RequestMiddleware
from contract.config import ModelSpec
from workers.activity import ActivityReporter
from workers.app import App
from workers.batchers import Batchers
from workers.engine import Device, Engine
from workers.failures import is_out_of_memory, is_permanent, load_failure_message, summarize
from workers.lifeline import Lifeline
from workers.registry import find_engine
from workers.report import Report, WorkReporter
from workers.served_tasks import tasks_of_loaded

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the manager assigns to a worker: a model, its device, and the token that the manager will present."""

    name: str
    spec: ModelSpec
    device: Device
    token: str
    environment: dict[str, str]

    @classmethod
    def read(cls, line: bytes) -> Assignment:
        """Parse the assignment's line of JSON."""
        fields = json.loads(line)
        spec, device = ModelSpec.model_validate(fields["spec"]), Device(**fields["device"])
        return cls(fields["name"], spec, device, fields["token"], fields.get("environment") or {})


class SignalFreeServer(uvicorn.Server):
    """A uvicorn server that leaves signal handling to the worker."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


class ModelServer:
    """Serves one model in this process: its engine runs on a thread of its own, HTTP on the main thread."""

    def __init__(self, engine: Engine, assignment: Assignment, report: Report) -> None:
        self._engine, self._assignment, self._report = engine, assignment, report
        options = engine.Options.model_validate(assignment.spec.options)
        self._batchers = Batchers(engine, options, lambda: report("out_of_memory"))
        self._terminations = 0
        self._loaded = False
        self._app = App(engine, assignment.spec, self._batchers, assignment.token, self.stop)
        config = serve.server(RequestMiddleware(self._app), graceful=assignment.spec.stop_grace).config
        config.lifespan = "off"
        self._server = SignalFreeServer(config)

    def run(self, sock: socket.socket) -> None:
        """Load and serve until `stop`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        thread = threading.Thread(target=self._run_engine, name="engine", daemon=True)
        thread.start()
        work = WorkReporter(self._engine.meter, self._report)
        ActivityReporter(self._batchers.model, self._report)
        self._server.run(sockets=[sock])
        self._batchers.stop()
        if self._loaded and not self._batchers.model.busy:
            thread.join()  # it closes the engine; do not wait for a thread that is stuck in a call
        work.send()

    def stop(self) -> None:
        """Accept no more requests, finish those in progress, then shut down."""
        self._server.should_exit = True

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._terminations += 1
        if self._terminations > 1:
            os._exit(128 + number)
        self.stop()

    def _run_engine(self) -> None:
        """The engine's thread: everything that touches the model happens here."""
        try:
            self._engine.load(self._assignment.spec, self._assignment.device)
        except BaseException as error:
            report_failure_and_exit(self._report, error, self._assignment.spec)
        gc.freeze()  # the model's many objects live as long as the process: keep the collector from scanning them
        self._loaded = True
        tasks = tasks_of_loaded(self._assignment.spec, self._engine)
        self._app.restrict_to(tasks)
        self._log_abilities()
        joins = self._engine.joins and str(self._engine.joins)
        facts = self._engine.facts().model_dump(exclude_none=True)
        features = sorted(self._engine.loaded_features())
        self._report("ready", features=features, tasks=tasks, joins=joins, facts=facts)
        if self._batchers.has_beside:
            threading.Thread(target=self._run_beside, name="beside", daemon=True).start()
        with _exit_on_crash():
            self._batchers.model.run()
            self._engine.close()

    def _run_beside(self) -> None:
        """The thread of the tasks that do not touch the model."""
        with _exit_on_crash():
            self._batchers.beside.run()

    def _log_abilities(self) -> None:
        """Log what the loaded model can do. It is a warning if requests do not share its steps, since that is slow."""
        if self._engine.joins is not None:
            level = logging.WARNING if self._engine.joins.why_not else logging.INFO
            log.log(level, "joins: %s", self._engine.joins)
        if (facts := self._engine.facts()).tools is not None:
            log.info("tools: %s; reasoning: %s", facts.tools, facts.reasoning)


@contextmanager
def _exit_on_crash() -> Iterator[None]:
    try:
        yield
    except BaseException:
        log.critical("the engine's thread crashed", exc_info=True)
        exit_now(1)


def report_failure_and_exit(report: Report, error: BaseException, spec: ModelSpec | None = None) -> NoReturn:
    """Report to the manager in a sentence why the model cannot be served, log the traceback, and exit."""
    certain, out_of_memory = is_permanent(error), is_out_of_memory(error)
    message = load_failure_message(error, spec.source, spec.engine) if spec else load_failure_message(error, None)
    report("failed", message=message, certain=certain, out_of_memory=out_of_memory)
    log.error("the model could not be loaded", exc_info=error)
    exit_now(3)


def exit_now(code: int) -> NoReturn:
    """Exit at once: a library's threads and exit hooks must not hold the memory any longer."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def import_all(names: str) -> None:
    """Import `module` or `module:attribute` for each name. Failures are only logged: most models may not need it."""
    for name in filter(None, names.split(",")):
        module, _, attribute = name.partition(":")
        try:
            value = importlib.import_module(module)
            if attribute:
                getattr(value, attribute)
        except Exception as error:
            log.warning("cannot import %s: %s", name, summarize(error))


def main() -> NoReturn:
    """Start, wait for the assignment, load the model and serve it."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--socket", type=int, required=True, help="file descriptor of a listening TCP socket")
    parser.add_argument("--report", type=int, required=True, help="file descriptor to report on")
    parser.add_argument("--imports", default="", help="modules to import before the model is known")
    arguments = parser.parse_args()
    lifeline, report = Lifeline(), Report(arguments.report)
    faulthandler.enable()  # a crash in native code leaves its stack in the log
    gc.disable()  # imports create many objects that stay, so collecting now is wasted work
    serve.log_to_stderr()
    logging.getLogger("access").setLevel(logging.WARNING)  # gateway and manager log each request
    sock = socket.socket(fileno=arguments.socket)
    sock.set_inheritable(False)
    import_all(arguments.imports)
    gc.freeze()
    gc.enable()
    report("started")
    try:
        assignment = Assignment.read(lifeline.first_line())
        os.environ.update(assignment.environment)
        server = ModelServer(find_engine(assignment.spec.engine)(), assignment, report)
    except Exception as error:
        report_failure_and_exit(report, error)
    log.info(
        "%s: %s on %s (%s)", assignment.name, assignment.spec.engine, assignment.device.kind, assignment.device.dtype
    )
    server.run(sock)
    exit_now(0)


if __name__ == "__main__":
    main()
