"""Makes an environment for a model family whose packages do not go with the house's: `python -m scripts.environments`.

It lies on top of the house's own: what it does not have itself it finds there, torch above all, so that it takes a few
megabytes and seconds. An entry uses it by `python: ./data/envs/NAME/bin/python`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from contract import config


@dataclass(frozen=True, slots=True)
class Environment:
    """Packages, installed without what they ask for, and the modules that must then be importable.

    `unless_there` are packages that are installed only where the house lacks a module.
    """

    packages: tuple[str, ...]
    modules: tuple[str, ...]
    unless_there: tuple[tuple[str, str], ...] = ()


ENVIRONMENTS = {
    # The package asks for numpy below 2, xformers, open3d, moviepy, pycolmap, pre-commit …: 120 packages, with another
    # torch than the house's. Its network and image processor, which alone are used, need these.
    "depth-anything-3": Environment(
        ("depth-anything-3==0.1.1", "addict==2.4.0", "einops==0.8.2", "omegaconf==2.4.0", "imageio==2.38.1"),
        ("depth_anything_3.model.da3", "depth_anything_3.utils.io.input_processor"),
        unless_there=(("cv2", "opencv-python-headless>=4.12"),),
    ),
}


def folder_of(name: str) -> Path:
    """Where the environment of that name lies."""
    return config.home() / "envs" / name


def make(name: str) -> Path:
    """Make the environment anew. Gives its interpreter; raises CalledProcessError when something cannot be had."""
    wanted, folder = ENVIRONMENTS[name], folder_of(name)
    venv.create(folder, clear=True, symlinks=True)
    python = folder / "bin" / "python"
    missing = [package for module, package in wanted.unless_there if find_spec(module) is None]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qq", "--no-deps"]
    subprocess.run([*pip, *wanted.packages, *missing], check=True)
    _see_the_house(folder)  # after pip, which would leave out what the house has today
    imports = "import workers.toolkit.torchvision_shim, " + ", ".join(wanted.modules)
    subprocess.run([python, "-P", "-W", "ignore", "-c", imports], check=True, stdout=subprocess.DEVNULL)
    return python


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
    except subprocess.CalledProcessError as error:
        shutil.rmtree(folder_of(name))
        print(f"The environment {name} cannot be made: {error}", file=sys.stderr)
        return 1
    print(f"Made {python}. Entries of the family have `python: ./data/envs/{name}/bin/python`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
