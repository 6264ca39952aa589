"""Calls transformers' own `generate`, one prompt after another, on one thread: `python -m scripts.bench.generate`.

Its arguments are a model's folder and a JSON file of chat requests. For each line of stdin, a number of seconds, it
generates for so long and prints the tokens per second.
"""

from __future__ import annotations

import base64
import importlib
import io
import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(folder: str, requests: str) -> None:
    """Measure for each line of stdin."""
    answer = _answers(folder)
    bodies = itertools.cycle(json.loads(Path(requests).read_text()))
    for line in sys.stdin:
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < float(line):
            count += answer(next(bodies))
        print(count / (time.perf_counter() - started), flush=True)


def _answers(folder: str) -> Callable[[dict[str, Any]], int]:
    """A function that answers a request and returns the number of its tokens."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    torch.set_num_threads(1)
    processor, model = AutoProcessor.from_pretrained(folder), AutoModelForImageTextToText.from_pretrained(folder).eval()

    def answer(body: dict[str, Any]) -> int:
        inputs = processor.apply_chat_template(
            [{**message, "content": _content(message["content"])} for message in body["messages"]],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        tokens = model.generate(**inputs, max_new_tokens=body["max_tokens"], do_sample=False)
        return int(tokens.shape[-1] - inputs["input_ids"].shape[-1])

    return answer


def _content(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a message in transformers' format."""
    return [
        {"type": "image", "image": _open(part["image_url"]["url"])} if part["type"] == "image_url" else part
        for part in parts
    ]


def _open(uri: str) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


if __name__ == "__main__":
    main(*sys.argv[1:])
