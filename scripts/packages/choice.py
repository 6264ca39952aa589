"""Which engines are installed: turns the words of `make setup ENGINES="chat ocr"` into extras, and remembers them."""

from __future__ import annotations

import ast
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
"""The extras that ENGINES takes, and what they install. It takes the names of engines as well."""

ENGINES = Path(__file__).parents[2] / "workers" / "engines"
BASE = ("gateway", "manager", "demo")
"""Gateway, manager, and the clients of demo and benchmark: small, and always there."""
TESTS = "dev"
WITH_TORCH = {*EXTRAS, TESTS} - {"ocr"}
_BRINGS = {"embeddings": ("embeddings", "minilm")}
_FILE = ".extras"


class UnknownWord(Exception):
    """ENGINES names what is neither an extra nor an engine; the message lists the right words."""


def extras(words: Iterable[str]) -> set[str]:
    """The extras that the words stand for. A word may hold several, separated by commas. Raises UnknownWord."""
    by_engine = engines()
    named: set[str] = set()
    for word in re.split(r"[,\s]+", " ".join(words).strip()):
        name = word.lower()
        if name in EXTRAS:
            named.add(name)
        elif name.replace("-", "_") in by_engine:
            named.update(by_engine[name.replace("-", "_")])
        elif name:
            raise UnknownWord(_unknown(word))
    return named


def engines(folder: Path = ENGINES) -> dict[str, tuple[str, ...]]:
    """The extras that each engine declares, by the engine's name.

    The files are parsed, not imported: nothing that they import is installed yet.
    """
    files = {path.stem: path for path in folder.glob("[!_]*.py")}
    files |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    return {name: _declared_extras(files[name]) for name in sorted(files)}


def _declared_extras(file: Path) -> tuple[str, ...]:
    """The value of `extras` in the engine's class; empty for an engine that needs no libraries of its own."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id == "Engine" for base in node.bases
        ):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "extras":
                    assert line.value is not None
                    return tuple(ast.literal_eval(line.value))
    return ()


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
    width = max(map(len, EXTRAS))
    known = "\n".join(f"  {name:{width}}  {content}" for name, content in EXTRAS.items())
    return f"ENGINES does not take {word!r}. It takes:\n{known}\nor an engine:\n  {', '.join(engines())}"
