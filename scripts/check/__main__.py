"""`python -m scripts.check [--write]`: checks docs, names, words, imports, the lock; `--write` updates tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

from scripts.check import api_document, circles, code_map, documents, links, names, sizes, words
from scripts.packages import lock_file

CHECKS: tuple[Callable[[], Iterable[str]], ...] = (
    documents.problems,
    api_document.problems,
    links.problems,
    code_map.problems,
    names.problems,
    sizes.problems,
    words.problems,
    circles.problems,
    lock_file.problems,
)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 if there is any problem."""
    if "--write" in arguments:
        documents.write()
        api_document.write()
    problems = [problem for check in CHECKS for problem in check()]
    for problem in problems:
        print(problem)
    print(f"docs, names, sizes, words, circles and lock: {f'{len(problems)} problems' if problems else 'ok'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
