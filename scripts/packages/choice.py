"""Which engines are installed: turns the words of `make setup ENGINES="chat ocr"` into extras, and remembers them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

EXTRAS: dict[str, str] = {
    "chat": "language and vision-language models",
    "embeddings": "embeddings, with MiniLM's weights",
    "images": "image generation and editing",
    "mlx": "models for Apple's GPUs",
    "ocr": "RapidOCR",
    "quantization": "weights of 4 and 8 bits, and GGUF files",
    "vision": "captions, detection, segmentation, depth, image features",
    "all": "everything that this machine can use",
}
"""What may be named, and what it brings. Engines and tasks may be named as well."""

ENGINES: dict[str, tuple[str, ...]] = {
    "blip": ("vision",),
    "command": (),
    "depth_anything": ("vision",),
    "diffusers_image": ("images",),
    "dino": ("vision",),
    "fake": (),
    "mlx": ("mlx",),
    "moondream": ("chat", "vision"),
    "rapidocr": ("ocr",),
    "sentence_transformers": ("embeddings",),
    "transformers_chat": ("chat",),
    "transformers_detect": ("vision",),
    "transformers_ocr": ("chat", "vision"),
    "transformers_segment": ("vision",),
}
TASKS: dict[str, tuple[str, ...]] = {
    "analyze": ("chat",),
    "caption": ("chat", "vision"),
    "chat": ("chat",),
    "depth": ("vision",),
    "detect": ("vision",),
    "embeddings": ("embeddings",),
    "features": ("vision",),
    "image-edit": ("images",),
    "image-generation": ("images",),
    "image-variation": ("images",),
    "ocr": ("ocr",),
    "pointcloud": ("vision",),
    "segment": ("vision",),
}
BASE = ("gateway", "manager", "demo")
"""Gateway, manager, and the clients of demo and benchmark: small, and always there."""
TESTS = "dev"
WITH_TORCH = {*EXTRAS, TESTS} - {"ocr"}
_BRINGS = {"embeddings": ("embeddings", "minilm")}
_FILE = ".extras"


class UnknownWord(Exception):
    """ENGINES names what is neither an extra nor an engine nor a task; the message lists the right words."""


def extras(words: Iterable[str]) -> set[str]:
    """The extras that the words stand for. A word may hold several, with commas between. Raises UnknownWord."""
    named: set[str] = set()
    for word in re.split(r"[,\s]+", " ".join(words).strip()):
        name = word.lower()
        if name in EXTRAS:
            named.add(name)
        elif name.replace("-", "_") in ENGINES:
            named.update(ENGINES[name.replace("-", "_")])
        elif name.replace("_", "-") in TASKS:
            named.update(TASKS[name.replace("_", "-")])
        elif name:
            raise UnknownWord(_unknown(word))
    return named


def requirement(extras: Iterable[str]) -> str:
    """What pip is asked for: the project in this folder with those extras."""
    names = {name for extra in extras for name in _BRINGS.get(extra, (extra,))}
    return f".[{','.join([*BASE, *sorted(names)])}]"


def remembered(environment: Path) -> set[str] | None:
    """The extras that were chosen for a virtual environment before; None for a new one."""
    file = environment / _FILE
    if file.exists():
        return set(file.read_text(encoding="utf-8").split())
    return {"all"} if (environment / ".ready").exists() else None  # made before there was a choice


def chosen(environment: Path, words: Sequence[str]) -> set[str]:
    """What the environment has, and what the words add; all of it where nobody has chosen. Raises UnknownWord."""
    before = remembered(environment)
    return {"all"} if before is None and not words else (before or set()) | extras(words)


def remember(environment: Path, extras: Iterable[str]) -> None:
    """Keep the choice for the next call."""
    (environment / _FILE).write_text(" ".join(sorted(extras)) + "\n", encoding="utf-8")


def missing(environment: Path, words: Sequence[str]) -> set[str]:
    """The extras among those the words stand for that were not chosen for the environment. Raises UnknownWord."""
    there, wanted = remembered(environment) or set(), extras(words)
    return set() if there & {"all", TESTS} else wanted - there


def _unknown(word: str) -> str:
    wide = max(map(len, EXTRAS))
    known = "\n".join(f"  {name:{wide}}  {what}" for name, what in EXTRAS.items())
    return (
        f"ENGINES does not take {word!r}. It takes:\n{known}\n"
        f"or an engine:\n  {', '.join(ENGINES)}\nor a task:\n  {', '.join(TASKS)}"
    )
