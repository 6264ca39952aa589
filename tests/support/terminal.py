"""Runs the command `enginehouse`, as a process of its own or in this one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from command import app
from contract.config import ENVIRONMENT

ROOT = Path(__file__).parents[2]


class EnginehouseCommand:
    """The command for one server, without the keys and ports that our own environment may have for another."""

    def __init__(self, url: str | None = None, environ: Mapping[str, str] | None = None) -> None:
        ours = {k: v for k, v in os.environ.items() if k not in {*ENVIRONMENT, "API_KEYS"} and "ENGINEHOUSE" not in k}
        address = {"ENGINEHOUSE_URL": url} if url else {}
        self.environ = {**ours, "COLUMNS": "160", "PYTHONPATH": str(ROOT), **address, **(environ or {})}

    def __call__(self, *arguments: str, text: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run it to its end in this process, which saves a second each time. One at a time: it redirects our output."""
        out, err = io.StringIO(), io.StringIO()
        with ExitStack() as stack:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for name in set(os.environ) - set(self.environ):
                patch.delenv(name)
            for name, value in self.environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.StringIO(text))
            stack.enter_context(chdir(cwd or ROOT))
            stack.enter_context(redirect_stdout(out))
            stack.enter_context(redirect_stderr(err))
            code = app.run(list(arguments))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def json(self, *arguments: str) -> Any:
        """What it prints with `--json`."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start it as a process, and go on."""
        command = [sys.executable, "-u", "-m", "command", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=cwd or ROOT, env=self.environ, stdout=pipe, stderr=pipe, text=True)
