"""The faults of a fake model, by option: slow or silent loads, crashes, hangs, leaks, runaway processes.

Tests wait for events, never for a number of seconds: files in `started_dir` say that work has started or was cancelled,
and gates are files that let the work go on once a test creates them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from contract.errors import EngineFailed, LoadFailed
from workers.engine import Call, Options

log = logging.getLogger(__name__)

_STEP = 0.005
"""Seconds between two checks for a gate."""


class FakeOptions(Options):
    """Faults and delays. Paths may contain `{id}`, the request's id. Times in seconds, memory in MiB."""

    # While loading
    load_seconds: float = Field(0, ge=0)  # without log lines or CPU time
    load_gate: str | None = None  # the load waits for this file
    silent_load: bool = False  # the load never ends, without log lines or CPU time
    talk_while_loading: bool = False  # a log line every 50 ms, also while it waits for the gate
    crash_at_load: int | None = None  # the process ends with this exit code
    fail_at_load: str | None = None  # the load fails with this message
    oom_at_load: bool = False
    memory_mb: int = Field(0, ge=0)  # allocated from then on, with every page touched
    fork_grandchild: Literal["child", "setsid"] | None = None  # starts a process that sleeps for a day
    ignore_term: bool = False  # neither /shutdown nor TERM ends the process
    # While answering
    answer_seconds: float = Field(0, ge=0)  # before the first word
    step_seconds: float = Field(0, ge=0)  # before every word or drawing step
    step_gate: str | None = None  # every word or drawing step after the first waits for this file
    gate: str | None = None  # the answer waits for this file
    started_dir: str | None = None  # gets a file named by the request's id, and `<id>.cancelled` on disconnect
    hang: bool = False  # never answers, and ignores cancellation
    hang_on_prompt: str | None = None  # ... to a prompt with this text
    raise_mid_answer: bool = False  # an exception after the first word
    crash_mid_answer: bool = False  # killed after the first word, or instead of a whole answer
    crash_gate: str | None = None  # ... once this file is there
    crash_on_prompt: str | None = None  # a prompt with this text kills the process
    oom_on_prompt: str | None = None  # ... runs out of memory
    break_on_prompt: str | None = None  # ... pretends to lose the GPU context
    raise_on_prompt: str | None = None  # ... makes the whole batch raise
    fail_on_prompt: str | None = None  # ... fails alone
    leak_mb_per_call: int = Field(0, ge=0)
    dimensions: int = Field(16, ge=1)  # of the embeddings
    context: int = Field(4096, ge=1)  # is only reported
    lacks: frozenset[str] = frozenset()  # features that the loaded model does not have


class Faults:
    """Causes the faults that the options ask for."""

    def __init__(self, options: FakeOptions) -> None:
        self._options = options
        self._allocated: list[bytearray] = []

    def at_load(self) -> None:
        """Everything that can happen while a model loads."""
        options = self._options
        if options.ignore_term:
            # From C, because Python sets signal handlers on its main thread only, and load runs on another.
            ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))  # SIG_IGN
        if options.fork_grandchild:
            self._fork(own_session=options.fork_grandchild == "setsid")
        while options.silent_load:
            time.sleep(3600)
        self._load_slowly()
        if options.crash_at_load is not None:
            log.error("crashing at load, as configured")
            os._exit(options.crash_at_load)
        if options.fail_at_load:
            raise LoadFailed(options.fail_at_load)
        if options.oom_at_load:
            raise MemoryError("out of memory at load, as configured")
        self._allocate(options.memory_mb)

    def at_close(self) -> None:
        """Never return if `ignore_term` is set, so that the worker has to be killed."""
        while self._options.ignore_term:
            time.sleep(3600)

    def at_start(self, calls: Iterable[Call[Any]], prompt: Callable[[Any], str]) -> None:
        """Everything that can happen before a batch's first answer."""
        options = self._options
        for call in calls:
            self._touch(call.id)
            self._fail_on_prompt(prompt(call.request))
        self._allocate(options.leak_mb_per_call)
        while options.hang:
            time.sleep(3600)
        self.wait(calls, options.answer_seconds)
        self._wait_for_gates(calls)

    def failure(self, prompt: str) -> EngineFailed | None:
        """The error for a call that fails alone, or None."""
        if _contains(prompt, self._options.fail_on_prompt):
            return EngineFailed("The fake fails this request, as configured.")
        return None

    def step(self, calls: Iterable[Call[Any]], number: int) -> None:
        """Take the time of a word or a drawing step, and wait for its gate. `number` is 0 for the first."""
        self.wait(calls, self._options.step_seconds)
        if number and self._options.step_gate:
            _await_file(self._options.step_gate, lambda: all(call.cancelled for call in calls))

    def mid_answer(self) -> None:
        """Raise or crash after the first word, if the options say so."""
        options = self._options
        if options.raise_mid_answer:
            raise RuntimeError("raised mid-answer, as configured")
        if not options.crash_mid_answer:
            return
        if options.crash_gate:
            _await_file(options.crash_gate, lambda: False)
        else:
            time.sleep(0.2)  # lets the first word reach the client
        os.kill(os.getpid(), signal.SIGKILL)

    def cancelled(self, call: Call[Any]) -> bool:
        """Whether the call is cancelled; also records it in `started_dir`."""
        if call.cancelled:
            self._touch(f"{call.id}.cancelled")
        return call.cancelled

    def wait(self, calls: Iterable[Call[Any]], seconds: float) -> None:
        """Wait until the time is over or all calls are cancelled."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not all(call.cancelled for call in calls):
            time.sleep(min(left, _STEP))

    def _wait_for_gates(self, calls: Iterable[Call[Any]]) -> None:
        for call in calls if self._options.gate else ():
            _await_file(
                str(self._options.gate).replace("{id}", _safe(call.id)), lambda: all(c.cancelled for c in calls)
            )

    def _load_slowly(self) -> None:
        options = self._options
        gate = Path(options.load_gate) if options.load_gate else None
        began = time.monotonic()
        while (left := began + options.load_seconds - time.monotonic()) > 0 or (gate and not gate.exists()):
            if options.talk_while_loading:
                time.sleep(0.05)
                log.info("still loading, for %.2f s", time.monotonic() - began)
            else:
                time.sleep(left if left > 0 else _STEP)

    def _fail_on_prompt(self, prompt: str) -> None:
        options = self._options
        if _contains(prompt, options.crash_on_prompt):
            log.error("killed by a prompt, as configured")
            os.kill(os.getpid(), signal.SIGKILL)
        while _contains(prompt, options.hang_on_prompt):
            time.sleep(3600)
        if _contains(prompt, options.oom_on_prompt):
            raise MemoryError("out of memory in this request, as configured")
        if _contains(prompt, options.break_on_prompt):
            raise RuntimeError("CUDA error: device-side assert triggered, as configured")
        if _contains(prompt, options.raise_on_prompt):
            raise RuntimeError("raised by a prompt, as configured")

    def _allocate(self, mib: int) -> None:
        if mib:
            self._allocated.append(bytearray(b"\x01") * (mib * 2**20))

    def _fork(self, *, own_session: bool) -> None:
        child = subprocess.Popen(["sleep", "86400"], start_new_session=own_session)
        self._touch("grandchild", str(child.pid))

    def _touch(self, name: str, text: str = "") -> None:
        if self._options.started_dir:
            # Renamed into place, so that whoever sees the file sees its text too.
            path = Path(self._options.started_dir) / _safe(name)
            path.with_suffix(".new").write_text(text)
            path.with_suffix(".new").rename(path)


def _safe(name: str) -> str:
    """A file name from a request's id. The client chooses the id, so it must not lead out of the folder."""
    return re.sub(r"[^\w.-]|^\.+", "_", name)


def _contains(prompt: str, marker: str | None) -> bool:
    return bool(marker) and str(marker) in prompt


def _await_file(path: str, give_up: Callable[[], bool]) -> None:
    while not Path(path).exists() and not give_up():
        time.sleep(_STEP)
