"""Which engines to install: turns the words of `make setup ENGINES="chat ocr"` into extras, and saves the choice."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

EXTRAS: dict[str, str] = {
    "audio": "what recordings say, and texts read aloud",
    "chat": "language and vision-language models",
    "crawl": "web pages, with Chromium",
    "embeddings": "embeddings, with MiniLM's weights",
    "images": "image generation and editing",
    "mlx": "models for Apple's GPUs",
    "ocr": "RapidOCR",
    "quantization": "weights of 4 and 8 bits, and GGUF files",
    "vision": "captions, detection, segmentation, depth, image features",
    "all": "everything that this machine can use",
}
"""The extras that ENGINES accepts, and what each installs. ENGINES also accepts the names of engines."""

ENGINES = Path(__file__).parents[2] / "workers" / "engines"
BASE = ("command", "gateway", "manager", "demo")
"""Extras that are always installed, because they are small: programs, the command, clients of demo and benchmarks."""
TESTS = "dev"
WITH_TORCH = {*EXTRAS, TESTS} - {"ocr", "crawl"}
_INCLUDES = {"embeddings": ("embeddings", "minilm")}
_FILE = ".extras"


class UnknownWord(Exception):
    """ENGINES contains a word that is neither an extra nor an engine; the message lists both."""


def extras_for(words: Iterable[str]) -> set[str]:
    """The extras that the words of ENGINES select.

    Each word is an extra or an engine; commas separate words too. Raises UnknownWord.
    """
    by_engine = extras_by_engine()
    selected: set[str] = set()
    for word in re.split(r"[,\s]+", " ".join(words).strip()):
        name = word.lower()
        engine = name.replace("-", "_")
        if name in EXTRAS:
            selected.add(name)
        elif engine in by_engine:
            selected.update(by_engine[engine])
        elif name:
            raise UnknownWord(_unknown_word_message(word))
    return selected


def extras_by_engine(folder: Path = ENGINES) -> dict[str, tuple[str, ...]]:
    """The extras that each engine declares, by the engine's name.

    Engines are parsed, not imported, because the libraries that they import are not installed yet.
    """
    files = {path.stem: path for path in folder.glob("[!_]*.py")}
    files |= {path.parent.name: path for path in folder.glob("*/__init__.py")}
    return {name: _declared_extras(files[name]) for name in sorted(files)}


def _declared_extras(file: Path) -> tuple[str, ...]:
    """The value of `extras` in the file's engine class; empty if the class declares none."""
    classes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)]
    for line in (line for node in classes if "Engine" in map(ast.unparse, node.bases) for line in node.body):
        if isinstance(line, ast.Assign | ast.AnnAssign) and line.value:
            target = line.target if isinstance(line, ast.AnnAssign) else line.targets[0]
            if ast.unparse(target) == "extras":
                return tuple(ast.literal_eval(line.value))
    return ()


def requirement(extras: Iterable[str]) -> str:
    """pip's requirement for the project in the current folder with these extras and those of BASE."""
    names = {name for extra in extras for name in _INCLUDES.get(extra, (extra,))}
    return f".[{','.join([*BASE, *sorted(names)])}]"


def saved_extras(environment: Path) -> set[str] | None:
    """The extras that were chosen for a virtual environment; None for a new environment."""
    file = environment / _FILE
    if file.exists():
        return set(file.read_text(encoding="utf-8").split())
    return {"all"} if (environment / ".ready").exists() else None  # made before there was a choice


def save_extras(environment: Path, extras: Iterable[str]) -> None:
    """Save the choice, for the next `make setup` and for `missing_extras`."""
    (environment / _FILE).write_text(" ".join(sorted(extras)) + "\n", encoding="utf-8")


def extras_to_install(environment: Path, words: Sequence[str]) -> set[str]:
    """The environment's saved extras and those that the words add. A new environment without words gets all.

    Raises UnknownWord.
    """
    saved = saved_extras(environment)
    return {"all"} if saved is None and not words else (saved or set()) | extras_for(words)


def missing_extras(environment: Path, words: Sequence[str]) -> set[str]:
    """The extras that the words select and the environment does not have. Raises UnknownWord."""
    saved, selected = saved_extras(environment) or set(), extras_for(words)
    return set() if saved & {"all", TESTS} else selected - saved


def _unknown_word_message(word: str) -> str:
    width = max(map(len, EXTRAS))
    known = "\n".join(f"  {name:{width}}  {content}" for name, content in EXTRAS.items())
    engines = ", ".join(extras_by_engine())
    return f"ENGINES does not accept {word!r}. It accepts:\n{known}\nand the names of engines:\n  {engines}"
