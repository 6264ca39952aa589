"""Words that do not belong in code or docs, each with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from scripts.check import sources

# The patterns are written so that they do not match themselves.
_EVERYWHERE = {
    r"\b(TO[D]O|FIX[M]E|X[X]X)\b": "finish it, or open an issue",
    r"\bpy[p]i\.org|\bfiles\.python[h]osted|registry\.np[m]js": "installers know their registries; name none",
    r"wait_for_functio[n]\b": "page.evaluate in eventually(): the page's policy forbids Playwright's polling",
    r"/wor[k]/|/hom[e]/\w+/|/User[s]/\w+/": "a path of one person's machine",
}
_PROSE = {
    r"(?i)\b(the|this|another|our|real|running|one) hous[e]\b|\bhous[e]'?s\b": "Enginehouse, or the server",
    r"(?i)\b(is|are|was|were|be|been) tol[d]\b": "gets, learns, or is reported",
    r"(?i)\bane[w]\b": "again",
    r"(?i)(?<![\"'`._\w])bor[n]\b(?![\"'`:=\]])|\bbirth[s]?\b": "started, created, or assigned",
    r"(?i)\bforeig[n] (server|process|program|model)s?\b": "external server, other process",
    r"(?i)\bstrange[r]s?\b": "another program, or an unknown client",
    r"(?i)\b(lie[s]?|la[y]) (in|on|below|beside|there|here|under)\b": "is in",
    r"(?i)\bstan[d]s? (in|at|on|beside|behind|between|above|below|under)\b(?! for\b)": "is in",
    r"(?i)\b(no|some)bod[y]\b": "no request, no client, nothing; a client, another process",
    r"(?i)\bwh[o] (asks?|asked|leaves?|waits?|comes?|goes)\b": "name it: a client, a request, a model",
    r"(?i)\"\"\"The sam[e][,:]": "say it again: a docstring is read alone",
    r"(?i)\bmen[d](s|ed)?\b": "fix",
    r"(?i)\bunaske[d]\b": "by default, without a request",
    r"(?i)\bon (its|their) wa[y]\b|\bway throug[h]\b": "being sent; the path of a request",
    r"(?i)\bki[n]\b": "and similar",
    r"(?i)\broste[r]\b|\binbo[x]\b": "supervisor; request body",
}
_NAMES = {r"(?i)pictur[e]": "image"}
"""Words that no name has either. What the changelog says of the past keeps them."""
_TEXT = {".md", ".py", ".yaml", ".yml", ".sh", ".toml", ".service", ".plist", ".mjs", ".js", ".css", ".html", ""}
_PAST = {"CHANGELOG.md"}
_WRITTEN_BY_OTHERS = {"package-lock.json", "requirements.lock", "LICENSE"}


def problems() -> Iterable[str]:
    """One line for each use, with what to write instead."""
    for path in sources.tracked():
        if path.name not in _WRITTEN_BY_OTHERS and path.parent not in sources.LIBRARIES:
            yield from _uses(path, _EVERYWHERE)
            if path.suffix in _TEXT:
                yield from _uses(path, _PROSE if path.name in _PAST else _PROSE | _NAMES)


def _uses(path: Path, forbidden: dict[str, str]) -> Iterable[str]:
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return  # an image
    for pattern, instead in forbidden.items():
        for use in re.finditer(pattern, text):
            line = text.count("\n", 0, use.start()) + 1
            yield f"{path.relative_to(sources.ROOT)}:{line}: {use[0]!r}: {instead}"
