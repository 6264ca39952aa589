"""Whatever the docs refer to exists: linked files and headings, named tests, paths of the repository."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from scripts.check import sources

_FENCED = re.compile(r"(?ms)^```.*?^```")


def problems() -> Iterable[str]:
    """One line for each reference to something that does not exist."""
    for path in sources.pages():
        text = path.read_text()
        missing = [*_links(path, text), *_tests(text), *_paths(text)]
        yield from (f"{path.relative_to(sources.ROOT)}: {target} does not exist" for target in missing)


def _links(page: Path, text: str) -> Iterable[str]:
    for file, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", text):
        target = page.parent / file if file else page
        if not target.exists():
            yield file
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target.read_text())):
            yield f"{file}#{anchor}"


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page.

    Lower case, spaces become hyphens, other punctuation goes; a repeated heading gets -1, -2 and so on at its end.
    """
    seen: Counter[str] = Counter()
    result = set()
    for heading in re.findall(r"(?m)^#{1,6} +(.+?)(?: +#+)? *$", _FENCED.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        result.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return result


def _tests(text: str) -> Iterable[str]:
    for file, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        path = sources.ROOT / file
        if not path.exists():
            yield file
        elif test and not re.search(rf"(?m)^\s*(async )?(def|class) {test}\b", path.read_text()):
            yield f"{file}::{test}"


def _paths(text: str) -> Iterable[str]:
    folders = "|".join((*sources.PACKAGES, "deploy", "docs", "tests"))
    for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", text):
        is_test_file = path.startswith("tests/") and path.endswith(".py")  # see _tests
        if not is_test_file and not (sources.ROOT / path).exists():
            yield path
