"""Loads a chat model in a process that has already imported everything: `python -m scripts.bench.weights MODEL`."""

from __future__ import annotations

import importlib
import json
import sys
import time


def main(source: str) -> None:
    """Print the seconds of three loads as a JSON list."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    from transformers import AutoModelForImageTextToText, AutoProcessor

    importlib.import_module("workers.engines.transformers_chat.warm")  # loads and runs another model
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        AutoProcessor.from_pretrained(source)
        AutoModelForImageTextToText.from_pretrained(source).eval()
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1])
