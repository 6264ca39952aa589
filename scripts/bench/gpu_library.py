"""Calls the libraries themselves on the GPU, to compare with: `python -m scripts.bench.gpu_library KIND MODEL`.

For each line of stdin, a JSON list of prompts, it answers them as one batch and prints the seconds that this took. The
first line that it prints is the time of the second of two loads, in a process that has imported everything.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

TOKENS = 128
"""Tokens of every answer of the chat model."""
STEPS = 20
SIZE = 1024

BatchAnswer = Callable[[list[str]], object]


def main(kind: str, source: str) -> None:
    """BatchAnswer each line of stdin."""
    importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers
    import torch

    _LOADERS[kind](source)
    torch.cuda.empty_cache()
    seconds, answer = _timed(_LOADERS[kind], source)
    print(seconds, flush=True)
    for line in sys.stdin:
        print(_timed(answer, json.loads(line))[0], flush=True)


def _timed(function: Callable[[Any], Any], argument: Any) -> tuple[float, Any]:
    """Seconds until the GPU has done what a function began, and its result."""
    import torch

    torch.cuda.synchronize()
    started = time.perf_counter()
    result = function(argument)
    torch.cuda.synchronize()
    return time.perf_counter() - started, result


def _chat(source: str) -> BatchAnswer:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, device_map="cuda").eval()

    def answer(prompts: list[str]) -> object:
        conversations = [[{"role": "user", "content": prompt}] for prompt in prompts]
        inputs = tokens.apply_chat_template(
            conversations, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        ).to("cuda")
        return model.generate(**inputs, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False).cpu()

    return answer


def _image(source: str) -> BatchAnswer:
    import torch
    from diffusers import StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(source, torch_dtype=torch.bfloat16).to("cuda")
    pipe.set_progress_bar_config(disable=True)
    return lambda prompts: pipe(prompts, num_inference_steps=STEPS, height=SIZE, width=SIZE).images


def _embeddings(source: str) -> BatchAnswer:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(source, device="cuda", model_kwargs={"dtype": torch.bfloat16})
    return lambda prompts: model.encode(prompts, batch_size=len(prompts))


_LOADERS: dict[str, Callable[[str], BatchAnswer]] = {"chat": _chat, "image": _image, "embeddings": _embeddings}

if __name__ == "__main__":
    main(*sys.argv[1:])
