"""`python -m scripts.e2e.torture [answers]`: draws answers to many schemas from random weights, and checks all of them.

The model is tiny, its weights are random, and the temperature is 2. Prints how many of the answers fit their schema
(1,000 by default), and ends with 1 if any does not. `make e2e` runs it. All strings and lists of the schemas are
bounded, so that every answer ends by itself, after some hundred tokens; that of the largest schema after some thousand.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contract.config import ModelSpec
from contract.errors import ServeError
from contract.tasks.chat import ChatChunk, ChatRequest, fold
from scripts.testbed.torture_schemas import TORTURE, JsonSchema
from workers.engine import Call, Device, Engine, Feed
from workers.registry import find_engine

_MESSAGES = [{"role": "user", "content": "Hello"}]


def main(arguments: list[str]) -> int:
    """Draw the answers and count those that fit."""
    count = int(arguments[0]) if arguments else 1000
    schemas = _schemas(count)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        engine = _engine(Path(folder))
        wrong = [(name, answer) for name, schema, answer in _answers(engine, schemas) if not _fits(answer, schema)]
    for name, answer in wrong:
        print(f"{name}: {answer}")
    print(f"{count - len(wrong):,} of {count:,} answers fit their schema")
    return bool(wrong)


def _schemas(count: int) -> list[tuple[str, JsonSchema]]:
    """The schemas in turn, and at the end the largest, once for each two hundred answers.

    All rows of a batch are as wide as the longest, so that long answers beside short ones would take hours.
    """
    largest = max(TORTURE, key=lambda name: len(json.dumps(TORTURE[name])))
    others = itertools.cycle([item for item in TORTURE.items() if item[0] != largest])
    long = count // 200
    return [*itertools.islice(others, count - long), *[(largest, TORTURE[largest])] * long]


def _engine(folder: Path) -> Engine:
    from scripts.testbed.models.chat import build_lm

    build_lm(folder, max_position_embeddings=32768)
    engine = find_engine("transformers_chat")()
    entry = {"id": "tiny", "engine": "transformers_chat", "source": str(folder), "options": {"threads": 1}}
    engine.load(ModelSpec.model_validate(entry), Device("cpu", "float32"))
    return engine


def _answers(engine: Any, schemas: list[tuple[str, JsonSchema]]) -> Iterator[tuple[str, JsonSchema, str]]:
    """The name of each schema, the schema and an answer: its text, or why there is none."""
    calls = [Call(_request(schema, seed)) for seed, (_, schema) in enumerate(schemas)]
    waiting = list(reversed(calls))
    chunks: dict[int, list[ChatChunk]] = {id(call): [] for call in calls}
    errors: dict[int, ServeError] = {}
    for call, output in engine.chat(Feed(16, lambda room: [waiting.pop() for _ in range(min(room, len(waiting)))])):
        if isinstance(output, ChatChunk):
            chunks[id(call)].append(output)
        elif output is not None:
            errors[id(call)] = output
    for (name, schema), call in zip(schemas, calls, strict=True):
        error = errors.get(id(call))
        yield name, schema, str(error) if error else fold(chunks[id(call)]).choices[0].message.content or ""


def _request(schema: JsonSchema, seed: int) -> ChatRequest:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    sampling = {"temperature": 2, "seed": seed, "max_tokens": 30_000}
    return ChatRequest.model_validate({"messages": _MESSAGES, "response_format": form, **sampling})


def _fits(answer: str, schema: JsonSchema) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    try:
        value = json.loads(answer)
    except ValueError:
        return False
    return bool(validator_for(schema, Draft202012Validator)(schema).is_valid(value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
