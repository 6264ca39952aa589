"""Makes an environment for a model family whose packages do not go with the house's: `python -m scripts.environments`.

It lies on top of the house's own: what it does not have itself it finds there, torch above all, so that it takes a few
megabytes and seconds. An entry uses it by `python: ./data/envs/NAME/bin/python`.
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
from scripts.packages.installer import LOCK, ROOT, PipFailed, newest, pip

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "depth-anything-3": ("depth_anything_3.model.da3", "depth_anything_3.utils.io.input_processor", "cv2"),
}
"""Environments by name, which is that of a group of packages in pyproject.toml, and what must then be importable."""


def folder_of(name: str) -> Path:
    """Where the environment of that name lies."""
    return config.home() / ("envs-latest" if newest() else "envs") / name


def make(name: str) -> Path:
    """Make the environment anew. Gives its interpreter; raises PipFailed or CalledProcessError when it cannot be."""
    folder = folder_of(name)
    venv.create(folder, clear=True, symlinks=True)
    python = folder / "bin" / "python"
    versions = [] if newest() else ["--constraint", str(LOCK)]
    pip("install", "--no-deps", *versions, *_lacking(name), into=folder)
    _see_the_house(folder)  # after pip, which would leave out what the house has today
    imports = "import workers.toolkit.torchvision_shim, " + ", ".join(ENVIRONMENTS[name])
    subprocess.run([python, "-P", "-W", "ignore", "-c", imports], check=True, stdout=subprocess.DEVNULL)
    return python


def _lacking(name: str) -> list[str]:
    """The group's packages that the house does not have itself."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    names = {need: re.split(r"[^\w.-]", need)[0] for need in groups[name]}
    return [need for need, package in names.items() if not any(metadata.distributions(name=package))]


def _see_the_house(folder: Path) -> None:
    """Have the environment find the house's packages, and with them the house, after its own."""
    theirs = {"base": str(folder), "platbase": str(folder)}
    ours = sysconfig.get_path("purelib")
    line = f"import site; site.addsitedir({ours!r})\n"
    Path(sysconfig.get_path("purelib", "venv", theirs), "house.pth").write_text(line, encoding="utf-8")


def main() -> int:
    """Make the environment that is named."""
    parser = argparse.ArgumentParser(prog="python -m scripts.environments", description=__doc__)
    parser.add_argument("name", choices=ENVIRONMENTS)
    name = parser.parse_args().name
    try:
        python = make(name)
    except (PipFailed, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder_of(name))
        print(f"The environment {name} cannot be made: {error}", file=sys.stderr)
        return 1
    print(f"Made {python}. Entries of the family have `python: ./data/envs/{name}/bin/python`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
