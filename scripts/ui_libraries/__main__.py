"""`python -m scripts.ui_libraries [--update]`: writes `gateway/ui/static/vendor` from npm packages.

`package.json` says which versions, `package-lock.json` the hashes of their archives, which npm checks. Each library
becomes one file, an ES module without further imports, so that browsers need no import map, and changing the page needs
no build step. `libraries.json` beside the files says what they are, with the SHA-256 of each. With `--update`, the lock
is written again from `package.json` first.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VENDOR = HERE.parents[1] / "gateway" / "ui" / "static" / "vendor"
FOR_TESTS = HERE.parents[1] / "tests" / "support" / "axe"
INDEX = "libraries.json"


@dataclass(frozen=True)
class Bundle:
    """A file of the page: what it exports, and the packages that are in it."""

    file: str
    packages: tuple[str, ...]
    exports: str


THREE = """
export {
  BufferAttribute, BufferGeometry, Color, Points, PerspectiveCamera, PointsMaterial, Scene, Sphere, Vector3,
  WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
"""
"""Only what draws points: three.js as a whole is three times as large."""

BUNDLES = (
    Bundle(
        "preact.js",
        ("preact", "htm"),
        'export * from "preact"; export * from "preact/hooks"; export { default as htm } from "htm";',
    ),
    Bundle("uplot.js", ("uplot",), 'export { default } from "uplot";'),
    Bundle("uplot.css", ("uplot",), '@import "uplot/dist/uPlot.min.css";'),
    Bundle(
        "markdown.js",
        ("marked", "dompurify"),
        'export { Marked } from "marked"; export { default as DOMPurify } from "dompurify";',
    ),
    Bundle("three.js", ("three",), THREE),
)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 if npm or esbuild fails."""
    try:
        if "--update" in arguments:
            _npm("install", "--package-lock-only", folder=HERE)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(HERE / file, folder)
            _npm("ci", folder=folder)
            _write(folder / "node_modules")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The libraries are not written: {error}. Node.js with npm is needed, and access to npm's registry.")
        return 1
    print(f"{VENDOR}: {len(BUNDLES)} files")
    return 0


def _npm(*command: str, folder: Path) -> None:
    subprocess.run(["npm", *command, "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)


def _write(modules: Path) -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    index = {}
    for bundle in BUNDLES:
        content = _bundle(bundle, modules)
        (VENDOR / bundle.file).write_bytes(content)
        versions = {package: _version(modules / package) for package in bundle.packages}
        index[bundle.file] = {"packages": versions, "sha256": hashlib.sha256(content).hexdigest()}
        for package in bundle.packages:
            _copy_licences(modules / package, VENDOR)
    (VENDOR / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    FOR_TESTS.mkdir(parents=True, exist_ok=True)
    shutil.copy(modules / "axe-core" / "axe.min.js", FOR_TESTS)
    _copy_licences(modules / "axe-core", FOR_TESTS)


def _bundle(bundle: Bundle, modules: Path) -> bytes:
    loader = Path(bundle.file).suffix[1:]
    command = [str(modules / ".bin" / "esbuild"), "--bundle", "--minify", "--format=esm", "--legal-comments=inline"]
    command += ["--log-level=warning", f"--loader={loader}", "--target=es2022"]
    done = subprocess.run(
        command, input=bundle.exports.encode(), cwd=modules.parent, check=True, stdout=subprocess.PIPE
    )
    return done.stdout


def _version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text())["version"])


def _copy_licences(package: Path, folder: Path) -> None:
    for licence in _licences(package):
        shutil.copy(licence, folder / f"{package.name}-{licence.stem}.txt")


def _licences(package: Path) -> Iterator[Path]:
    files = [path for path in package.iterdir() if path.name.upper().startswith("LICENSE")]
    if not files:
        raise OSError(f"{package.name} has no licence file")
    yield from files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
