"""Ollama's requests without a text load or unload models, and texts without a template are completions."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import ModelNotFound
from contract.tasks.completions import CompletionResponse
from gateway.dialects.dialect import ModelAction, TaskAnswer
from tests.gateway.dialects.test_ollama import MODEL, ROUTES, SAID, TABLE, chat, lines, read


@pytest.mark.parametrize(
    ("path", "empty", "answer"),
    [
        ("/api/generate", {}, {"response": "", "done_reason": "load"}),
        ("/api/generate", {"prompt": "", "stream": False}, {"response": "", "done": True}),
        ("/api/chat", {"messages": []}, {"message": {"role": "assistant", "content": ""}, "done_reason": "load"}),
        ("/api/embed", {"input": []}, {"embeddings": []}),
        ("/api/embed", {"input": ""}, {"embeddings": []}),
        ("/api/embeddings", {"prompt": ""}, {"embedding": []}),
    ],
)
def test_requests_without_a_text_load_the_model(path: str, empty: dict[str, Any], answer: dict[str, Any]) -> None:
    act = ROUTES[path].to_action
    assert act is not None
    loaded = act(read(path, **empty, keep_alive="10m"), TABLE)
    assert loaded is not None
    assert loaded.action == ModelAction("load", "m", keep_alive=600)
    assert loaded.response(0.0).model_dump().items() >= answer.items()
    unloaded = act(read(path, **empty, keep_alive=0), TABLE)
    assert unloaded is not None
    assert unloaded.action == ModelAction("unload", "m")
    assert unloaded.response(0.0).model_dump().get("done_reason", "unload") == "unload"
    with pytest.raises(ModelNotFound):
        act(read(path, **empty, model="none"), TABLE)
    text: dict[str, Any] = {"prompt": "Hi", "input": "Hi", "messages": SAID}
    assert act(read(path, **text, keep_alive=0), TABLE) is None


def test_raw_text_is_a_completion() -> None:
    fields = {"prompt": "def f(", "options": {"num_predict": 5, "temperature": 0, "stop": ["x"]}, "stream": False}
    raw = chat("/api/generate", raw=True, think=False, **fields)
    assert raw == {"model": "m", "prompt": "def f(", "max_tokens": 5, "temperature": 0, "stop": ["x"]}
    assert chat("/api/generate", suffix="return", **fields) == {**raw, "suffix": "return"}
    assert chat("/api/generate", raw=True, prompt="a")["max_tokens"] == -1


def test_completion_is_answered_whole_and_in_lines() -> None:
    asked, route = read("/api/generate", prompt="a", raw=True), ROUTES["/api/generate"]
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    whole: dict[str, Any] = {"id": "1", "created": 1, "model": "m", "usage": usage}
    choice = {"index": 0, "text": "b", "finish_reason": "length"}
    response = CompletionResponse.model_validate({**whole, "choices": [choice]})
    answer = route.from_task(asked, [TaskAnswer(response, MODEL)]).model_dump()
    assert (answer["response"], answer["done_reason"], answer["eval_count"]) == ("b", "length", 2)
    assert route.events is not None
    translator = route.events(asked)
    first, last = lines([*translator.chunk(response), *translator.close()])
    assert (first["response"], first["done"]) == ("b", False)
    assert (last["response"], last["done_reason"], last["prompt_eval_count"]) == ("", "length", 4)
