"""Chat answers that are held to a schema, relative to free ones of the same length."""

from __future__ import annotations

import importlib.util
import random
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scripts.bench import wrk
from scripts.bench.measurement import Goal, Result, Setup, in_turns, ratio
from scripts.testbed.server import RunningServer

_CLIENTS, _TOKENS, _VOCABULARY = 16, 32, 130_000
_SHAPE = {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 4}
_PATH = "/v1/chat/completions"
_TITLE = "Answers held to a schema"
_TEXT = f"""
A Qwen2 with random weights and a vocabulary of {_VOCABULARY:,} tokens, as large models have, runs on one torch thread.
{_CLIENTS} clients send their next request as soon as they have an answer of {_TOKENS} tokens (wrk). The answers are
free, or held to a JSON schema, or every second one is. The schema's strings are long, so that no answer ends earlier.
"""
_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 400},
        "tags": {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 200},
    },
    "required": ["tags", "name"],
    "additionalProperties": False,
}


def measure(setup: Setup) -> Result:
    """Tokens per second of free and of held answers, in turns."""
    missing = wrk.MISSING if not wrk.is_installed() else ""
    missing = missing or ("" if importlib.util.find_spec("transformers") else "transformers is not installed")
    if missing:
        return Result(_TITLE, _TEXT, _goals(None, missing))
    folder = setup.folder / "structured"
    options = {"threads": 1, "prefix_cache_gb": 0}
    entry = {"id": "chat", "engine": "transformers_chat", "source": str(_model(folder / "model")), "options": options}
    with RunningServer(folder, [{**entry, "env": {"OMP_NUM_THREADS": "1"}}]) as server:
        free, held = (_bodies(form) for form in (None, {"type": "json_schema", "json_schema": {"schema": _SCHEMA}}))
        mixed = [body for pair in zip(free, held, strict=True) for body in pair]
        _check(server, [free[0], held[0]])
        variants = {"free": free, "held": held, "every second held": mixed}
        rate = partial(_rate, server, 12 if setup.quick else 20)  # several times as long as an answer takes
        measures: dict[str, Callable[[], float]] = {name: partial(rate, bodies) for name, bodies in variants.items()}
        rates = in_turns(setup.rounds(5), measures)
    rows = [(name, f"{statistics.median(values):,.0f}") for name, values in rates.items()]
    return Result(_TITLE, _TEXT, _goals(rates), ("answers", "tokens/s"), rows)


def _goals(rates: dict[str, list[float]] | None, why: str = "") -> list[Goal]:
    def goal(what: str, name: str) -> Goal:
        value = ratio(rates[name], rates["free"]) if rates else None
        return Goal(f"tokens/s of {_CLIENTS} clients, {what}, relative to free answers", 0.9, value, " ×", True, why)

    return [goal("all held", "held"), goal("every second held", "every second held")]


def _rate(server: RunningServer, seconds: float, bodies: list[dict[str, Any]]) -> float:
    return _TOKENS * wrk.run(f"{server.url}{_PATH}", bodies, clients=_CLIENTS, seconds=seconds).rate


def _bodies(form: dict[str, Any] | None) -> list[dict[str, Any]]:
    sampling = {"temperature": 1, "ignore_eos": form is None, "max_tokens": _TOKENS}
    return [
        {
            "model": "chat",
            "messages": [{"role": "user", "content": f"Tell me about the number {number}."}],
            **sampling,
            **({"response_format": form} if form else {}),
        }
        for number in range(_CLIENTS)
    ]


def _check(server: RunningServer, bodies: Sequence[dict[str, Any]]) -> None:
    """Make sure that answers have the length that is counted."""
    for body in bodies:
        answer = server.post(_PATH, body)
        answer.raise_for_status()
        assert answer.json()["usage"]["completion_tokens"] == _TOKENS, answer.text


def _model(folder: Path) -> Path:
    from scripts.demo_models.tokenizers import ENDS, byte_level, chat_template
    from scripts.testbed.models import chat  # before transformers, for its shim
    from transformers import Qwen2Config, Qwen2ForCausalLM  # isort: skip

    folder.mkdir(parents=True)
    tokens = byte_level(
        ENDS, _pieces(), eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=chat_template()
    )
    settings = Qwen2Config(
        vocab_size=len(tokens) + 64, tie_word_embeddings=True, **chat.ends(tokens), **_SHAPE, **_HEADS
    )
    chat.save(folder, Qwen2ForCausalLM(settings), tokens, tokens)
    return folder


def _pieces() -> list[bytes]:
    """Made-up tokens: most are words, also with a space before them; some are punctuation."""
    choice = random.Random(0)
    pieces: set[str] = set()
    while len(pieces) < _VOCABULARY - 260:
        letters = '{}[]":,.' if len(pieces) % 40 == 0 else "abcdefghijklmnopqrstuvwxyz"
        pieces.add(" " * choice.randint(0, 1) + "".join(choice.choices(letters, k=choice.randint(2, 9))))
    return [piece.encode() for piece in sorted(pieces)]
