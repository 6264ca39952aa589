"""Creates a separate environment for a model family whose packages conflict: `python -m scripts.environments NAME`.

The new environment falls back to Enginehouse's own for every package that it does not have itself, torch above all, so
creating it takes a few megabytes and seconds. A model's entry uses it with `python: ./data/envs/NAME/bin/python`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib import metadata
from pathlib import Path

from contract import config
from scripts.packages.installer import LOCK, ROOT, PipFailed, has_newest_versions, run_pip

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "depth-anything-3": ("depth_anything_3.model.da3", "depth_anything_3.utils.io.input_processor", "cv2"),
}
"""Environments by name, with modules that must be importable afterwards. A dependency group of the same name in
pyproject.toml lists the packages."""


def environment_folder(name: str) -> Path:
    """The folder of the environment of that name."""
    return config.home() / ("envs-latest" if has_newest_versions() else "envs") / name


def create_environment(name: str) -> Path:
    """Create the environment, replacing an older one, and return the path of its Python.

    Raises PipFailed, or CalledProcessError if its modules cannot be imported.
    """
    folder = environment_folder(name)
    venv.create(folder, clear=True, symlinks=True)
    python = folder / "bin" / "python"
    versions = [] if has_newest_versions() else ["--constraint", str(LOCK)]
    run_pip("install", "--no-deps", *versions, *_missing_packages(name), into=folder)
    _add_fallback(folder)  # after pip, which would not install packages that the fallback has
    imports = "import workers.toolkit.torchvision_shim, " + ", ".join(ENVIRONMENTS[name])
    subprocess.run([python, "-P", "-W", "ignore", "-c", imports], check=True, stdout=subprocess.DEVNULL)
    return python


def _missing_packages(name: str) -> list[str]:
    """The requirements of the group whose packages Enginehouse's own environment does not have."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    packages = {requirement: re.split(r"[^\w.-]", requirement)[0] for requirement in groups[name]}
    return [requirement for requirement, package in packages.items() if not any(metadata.distributions(name=package))]


def _add_fallback(folder: Path) -> None:
    """Let the environment import from Enginehouse's own, Enginehouse included, what it does not have itself."""
    variables = {"base": str(folder), "platbase": str(folder)}
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    Path(sysconfig.get_path("purelib", "venv", variables), "enginehouse.pth").write_text(line, encoding="utf-8")


def main() -> int:
    """Create the environment that the command line names. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.environments", description=__doc__)
    parser.add_argument("name", choices=ENVIRONMENTS)
    name = parser.parse_args().name
    try:
        python = create_environment(name)
    except (PipFailed, subprocess.CalledProcessError) as error:
        shutil.rmtree(environment_folder(name))
        print(f"Could not create the environment {name}: {error}", file=sys.stderr)
        return 1
    print(f"Created {python}. To use it for a model, add `python: ./data/envs/{name}/bin/python` to its entry.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
