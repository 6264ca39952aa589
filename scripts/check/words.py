"""Words that have no place here: unfinished work, addresses of registries, folders of somebody's machine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from scripts.check.sizes import tracked
from scripts.check.tables import ROOT

# Written so that this file does not hold the words itself.
_FORBIDDEN = {
    r"\b(TO[D]O|FIX[M]E|X[X]X)\b": "finish it, or open an issue",
    r"\bpy[p]i\.org|\bfiles\.python[h]osted|registry\.np[m]js": "installers know their registries; name none",
    r"/wor[k]/|/hom[e]/\w+/|/User[s]/\w+/": "a path of somebody's machine",
}
_VAGUE = re.compile(r"(^|_)(utils?|common|helpers?|misc)(_|\.|$)")
_KEPT_BY_OTHERS = {"package-lock.json"}


def problems() -> Iterable[str]:
    """Each use, and each file whose name says nothing."""
    for path in tracked():
        name = path.relative_to(ROOT)
        if any(_VAGUE.search(part) for part in name.parts):
            yield f"{name}: name it for what is in it"
        if path.name not in _KEPT_BY_OTHERS:
            yield from _forbidden(path)


def _forbidden(path: Path) -> Iterable[str]:
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return  # a picture
    for pattern, why in _FORBIDDEN.items():
        for found in re.finditer(pattern, text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}: {found[0]!r}: {why}"
