"""The wheel in an empty environment is a whole Enginehouse: it serves, and its command is answered.

The libraries are those of the environment that runs the tests; nothing is fetched. Our own code comes from the wheel.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from contract.config import ENVIRONMENT
from scripts.testbed.http import local_client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "command", "contract", "gateway", "manager", "scripts", "workers")
NOT_INSTALLED = {"gateway/Dockerfile"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, because building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        "dist",
        ".",
    ]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment that has the wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # which reads no .pth there: not our code
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    options = ["--no-deps", "--no-index", "--force-reinstall", str(wheel)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def environment(folder: Path) -> dict[str, str]:
    """That of a user whose home is `folder`, and who has set nothing."""
    kept = {k: v for k, v in os.environ.items() if k not in {*ENVIRONMENT, "API_KEYS"}}
    kept = {k: v for k, v in kept.items() if not k.startswith(("ENGINEHOUSE", "XDG", "PYTHON", "VIRTUAL"))}
    return {**kept, "HOME": str(folder), "MANAGER_PORT": "0", "COLUMNS": "160"}


def test_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {name for name in listed.stdout.splitlines() if not name.endswith(".sh")} - NOT_INSTALLED
    assert tracked
    assert tracked - set(zipfile.ZipFile(wheel).namelist()) == set()


@pytest.fixture
def url(programs: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server that `enginehouse serve` started, elsewhere than in a clone."""
    command = [programs / "enginehouse", "serve", "--host", "127.0.0.1", "--port", "0"]
    with (tmp_path / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert serving.stdout is not None
    line = ""
    while "ready" not in line:
        line = serving.stdout.readline()
        assert serving.poll() is None, (tmp_path / "serve.log").read_text()
    with serving:
        yield line.split()[4].removesuffix("/v1.")
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(120) == 0


def test_installed_server_answers_the_installed_command(programs: Path, url: str, tmp_path: Path) -> None:
    def enginehouse(*arguments: str) -> str:
        command = [programs / "enginehouse", *arguments, "--url", url]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = subprocess.run(
        [programs / "python", "-c", "import gateway; print(gateway.__file__)"],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(programs.parent)
    image = Image.new("RGB", (640, 120), "white")
    ImageDraw.Draw(image).text((30, 30), "Enginehouse", "black", ImageFont.load_default(60))
    image.save(tmp_path / "sign.png")
    assert "enginehouse" in enginehouse("run", "ocr", "sign.png").lower()
    assert "minilm" in enginehouse("models")
    assert "ocr#1" in enginehouse("status")
    with local_client(base_url=url) as http:
        assert "sam3" in http.get("/api/models").text, "the catalogue"
        assert "swagger" in http.get("/docs").text
