"""Environments of clients for tests: each client's own packages, installed once."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.packages.installer import ROOT, run_pip

FOLDER = ROOT / "data" / "clients"
NEEDS_NODE = not (shutil.which("node") and shutil.which("npm"))


def python_with(name: str, packages: Sequence[str]) -> Path:
    """The Python of an environment that has these packages and nothing of ours."""
    folder = FOLDER / name
    wanted = "\n".join(packages)
    mark = folder / "packages.txt"
    with _locked(FOLDER / f"{name}.lock"):
        if not mark.exists() or mark.read_text() != wanted:
            venv.create(folder, clear=True, symlinks=True)
            # Python compiles what is imported; compiling all of LiteLLM takes three times as long as the rest.
            run_pip("install", "--no-compile", *packages, into=folder)
            mark.write_text(wanted)
    return folder / "bin" / "python"


def node_folder_with_packages(folder: Path) -> Path:
    """The folder, after the packages in its package.json are installed in it."""
    pins = json.loads((folder / "package.json").read_text())["dependencies"]
    with _locked(folder / "package.json"):
        if any(_installed_version(folder / "node_modules" / name) != pin for name, pin in pins.items()):
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
    return folder


def _installed_version(package: Path) -> str | None:
    description = package / "package.json"
    return json.loads(description.read_text())["version"] if description.exists() else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits while another run installs the same packages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
