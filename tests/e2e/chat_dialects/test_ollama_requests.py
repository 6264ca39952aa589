"""Ollama's API in a running server, as its clients send and read it."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.e2e.chat_dialects.conftest import DialectServer
from tests.support.agent_model import ANSWER, CITY, FORECAST, PLAIN, THOUGHTS
from tests.support.sample_images import png

TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
QUESTION = {"role": "user", "content": "Weather?"}
IMAGE = base64.b64encode(png(32, 24)).decode()


def ask(server: DialectServer, path: str, **body: Any) -> dict[str, Any]:
    answer = server.running.post(path, {"stream": False, **body})
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def lines(server: DialectServer, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = server.running.post(path, body)
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_chat_with_an_image_is_answered_and_timed(server: DialectServer) -> None:
    said = {"role": "user", "content": "What is this?", "images": [IMAGE]}
    answer = ask(server, "/api/chat", model="agent:latest", messages=[said])
    assert (answer["message"], answer["done"]) == ({"role": "assistant", "content": PLAIN}, True)
    assert answer["model"] == "agent:latest"
    assert answer["eval_count"] > 1
    assert answer["total_duration"] >= answer["eval_duration"] > 0


def test_tools_make_a_round(server: DialectServer) -> None:
    fields: Any = {"model": "agent", "tools": [TOOL]}
    whole = ask(server, "/api/chat", messages=[QUESTION], **fields)["message"]
    streamed = lines(server, "/api/chat", messages=[QUESTION], **fields)
    [call] = [line["message"]["tool_calls"][0] for line in streamed if "tool_calls" in line["message"]]
    assert (
        call["function"] == whole["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": {"city": CITY}}
    )
    assert "".join(line["message"].get("thinking", "") for line in streamed).strip() == THOUGHTS
    result = {"role": "tool", "tool_name": "get_weather", "content": "21"}
    assert ask(server, "/api/chat", messages=[QUESTION, whole, result], **fields)["message"]["content"] == ANSWER


def test_stream_adds_up_and_ends_with_counts(server: DialectServer) -> None:
    *pieces, last = lines(server, "/api/generate", model="agent", prompt="Hi")
    assert "".join(line["response"] for line in pieces) == PLAIN
    assert [line["done"] for line in pieces] == [False] * len(pieces)
    assert (last["done"], last["done_reason"], last["eval_count"] > 0) == (True, "stop", True)
    assert last["prompt_eval_duration"] > 0


def test_answer_fits_the_schema(server: DialectServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
    schema |= {"required": ["city", "days"]}
    answer = ask(server, "/api/generate", model="agent", prompt="A forecast as JSON.", format=schema)
    assert json.loads(answer["response"]) == FORECAST


def test_raw_text_is_continued_without_a_template(server: DialectServer) -> None:
    options = {"num_predict": 2}
    body = {"model": "echo", "prompt": "Once upon a time", "max_tokens": 2}
    expected = server.running.post("/v1/completions", body).json()["choices"][0]["text"]
    assert expected
    whole = ask(server, "/api/generate", model="echo", prompt="Once upon a time", raw=True, options=options)
    assert (whole["response"], whole["eval_count"]) == (expected, 2)
    pieces = lines(server, "/api/generate", model="echo", prompt="Once upon a time", raw=True, options=options)
    assert "".join(piece["response"] for piece in pieces) == expected
    assert (pieces[-1]["done_reason"], pieces[-1]["prompt_eval_count"]) == ("length", whole["prompt_eval_count"])


def test_empty_requests_load_and_unload(server: DialectServer) -> None:
    loaded = ask(server, "/api/generate", model="echo")
    assert (loaded["response"], loaded["done"], loaded["done_reason"]) == ("", True, "load")
    assert server.running.workers("echo")
    assert server.running.post("/api/chat", {"model": "echo", "keep_alive": 0}).json()["done_reason"] == "unload"
    assert not server.running.workers("echo")
    again = ask(server, "/api/chat", model="echo", keep_alive=0)
    assert (again["message"]["content"], again["done_reason"]) == ("", "unload")


def test_embeddings_equal_the_tasks(server: DialectServer) -> None:
    own = server.running.post("/v1/embeddings", {"input": ["a", "b"], "model": "echo"}).json()["data"]
    answer = ask(server, "/api/embed", model="echo", input=["a", "b"])
    assert answer["embeddings"] == [item["embedding"] for item in own]
    assert ask(server, "/api/embeddings", model="echo", prompt="a")["embedding"] == own[0]["embedding"]
    assert "request_id" in server.running.post("/api/embed", {"texts": ["a"], "model": "echo"}).json()


def test_models_are_listed_and_shown(server: DialectServer) -> None:
    names = [model["name"] for model in server.running.get("/api/tags").json()["models"]]
    assert [name.removesuffix(":latest") for name in names] == ["agent", "short", "echo", "dies", "slow", "full"]
    shown = server.running.post("/api/show", {"model": "agent:latest"}).json()
    assert "completion" in shown["capabilities"]
    ask(server, "/api/generate", model="echo", prompt="Hi")
    assert "echo:latest" in [model["name"] for model in server.running.get("/api/ps").json()["models"]]
    assert server.running.get("/api/version").json()["version"]


def test_errors_are_sentences(server: DialectServer) -> None:
    missing = server.running.post("/api/chat", {"model": "llama3", "messages": [QUESTION]})
    assert (missing.status_code, isinstance(missing.json()["error"], str)) == (404, True)
    embed = server.running.post("/api/embed", {"model": "llama3", "input": "a"})
    assert (embed.status_code, isinstance(embed.json()["error"], str)) == (404, True)
    homelab = server.running.post("/api/embed", {"model": "llama3", "texts": ["a"]})
    assert homelab.json()["error"]["code"] == "MODEL_NOT_FOUND"
    refused = server.running.post("/api/pull", {"model": "llama3"})
    assert (refused.status_code, "There is no model" in refused.json()["error"]) == (400, True)
