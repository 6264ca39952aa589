"""`python -m scripts.check [--write]`: check docs, sizes and words; with `--write`, make the docs' tables first."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scripts.check import documents, sizes, words


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 when anything is wrong."""
    if "--write" in arguments:
        documents.write()
    found = [*documents.problems(), *sizes.problems(), *words.problems()]
    for problem in found:
        print(problem)
    print(f"docs, sizes and words: {len(found)} to mend" if found else "docs, sizes and words: all in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
