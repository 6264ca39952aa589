"""The map in ARCHITECTURE.md names every module of our packages, and nothing that does not exist.

A line of the map is one or more names, then a description. Two spaces of indentation put it into the folder above.
The line of a folder stands for its `__init__.py`. In folders that are searched for files, such as `workers/engines/`,
`*.py` stands for all files and `*/` for all packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from scripts.check import sources

_MAP = re.compile(r"(?ms)^## The map$.*?^```\n(.*?)^```$")
_NAME = re.compile(r"[\w*]+(?:/|\.py|\.yaml)(?= |$)")


def problems() -> Iterable[str]:
    """One line for each module that the map lacks, and for each name of the map that matches no file."""
    code_map = _MAP.search((sources.ROOT / "ARCHITECTURE.md").read_text())
    names = list(mapped(code_map[1])) if code_map else []
    modules = [str(path.relative_to(sources.ROOT)) for path in sources.modules()]
    for module in modules:
        if not any(_covers(name, module) for name in names):
            yield f"ARCHITECTURE.md: the map does not name {module}"
    files = [str(path.relative_to(sources.ROOT)) for path in sources.tracked()]
    for name in names:
        if not any(_covers(name, file) or file.startswith(name) for file in files):
            yield f"ARCHITECTURE.md: the map names {name}, which does not exist"


def mapped(text: str) -> Iterable[str]:
    """The paths that a map names; those of folders end with a slash."""
    folders: list[str] = []
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        parent = "".join(folders[:depth])
        rest = line.strip()
        while name := _NAME.match(rest):
            yield parent + name[0]
            if name[0].endswith("/") and "*" not in name[0]:
                folders[depth:] = [name[0]]
                parent += name[0]
            rest = rest[name.end() :].lstrip()


def _covers(name: str, path: str) -> bool:
    """Whether a name of the map stands for this file. A `*` at the end of a folder's name stands for all in it."""
    if name.endswith("*/"):
        return fnmatchcase(path, f"{name}*")
    if name.endswith("/"):
        return path == f"{name}__init__.py"
    folder, _, file = name.rpartition("/")
    path_folder, _, path_file = path.rpartition("/")
    return folder == path_folder and fnmatchcase(path_file, file)
