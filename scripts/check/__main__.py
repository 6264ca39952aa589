"""`python -m scripts.check [--write]`: check docs, sizes, words and lock; `--write` makes the docs' tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scripts.check import documents, sizes, words
from scripts.packages import locked


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 when anything is wrong."""
    if "--write" in arguments:
        documents.write()
    found = [*documents.problems(), *sizes.problems(), *words.problems(), *locked.problems()]
    for problem in found:
        print(problem)
    print(
        f"docs, sizes, words and lock: {len(found)} to mend" if found else "docs, sizes, words and lock: all in order"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
