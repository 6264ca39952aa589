"""`python -m scripts.demo_models FOLDER` builds the demo models in that folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

KINDS = ("chat", "image")
_LIBRARIES = {"chat": "transformers", "image": "diffusers"}
LABEL = """# {name}: a demonstration, not a model

This {kind} model was built on this machine by `python -m scripts.demo_models`. Its weights are random numbers, so its
answers mean nothing. It serves demos and tests of Enginehouse without downloads.
Add a real model to config.yaml to get real answers.
"""


def build(folder: Path, kind: str) -> Path:
    """Build `folder`/demo-`kind`, with a label in its README.md, unless it exists. Returns its path."""
    path = folder / f"demo-{kind}"
    label = path / "README.md"
    if not label.exists():  # it is written last, so the model is complete
        path.mkdir(parents=True, exist_ok=True)
        importlib.import_module(f"scripts.demo_models.{kind}").build(path)
        label.write_text(LABEL.format(name=path.name, kind=kind), encoding="utf-8")
    return path


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 2
    for kind in KINDS:
        if find_spec(_LIBRARIES[kind]):  # only some engines may be installed
            print(f"Making the model demo-{kind}: tiny, with random weights.", flush=True)
            build(Path(arguments[0]), kind)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
