"""Ollama's requests become chats; chats, whole and streamed, become its answers and lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from contract.errors import InvalidField, ModelNotFound, UnsupportedFeature, WorkerDied
from contract.media import ImageInput
from contract.status import ModelFacts, ModelStatus, Status, WorkerStatus
from contract.tasks.chat import ChatChunk, ChatResponse
from contract.tasks.embeddings import EmbeddingsResponse
from gateway.dialects.dialect import StreamEvent, TaskAnswer
from gateway.dialects.error_forms import form_of, form_of_route
from gateway.dialects.ollama import OLLAMA, models
from gateway.dialects.ollama.answer import OllamaEvents
from gateway.dialects.ollama.errors import OLLAMA_ERRORS
from gateway.dialects.ollama.request import ShowRequest
from gateway.forwarding.model_table import ModelTable
from tests.support.sample_images import png

FACTS = ModelFacts(context_length=4096, quantization="4bit")
MODEL = ModelStatus(
    id="m", engine="fake", tasks=("chat", "embeddings"), features=("images", "tools"), facts=FACTS, presets=("pirate",)
)
SHORTENER = ModelStatus(id="shortener", engine="mlx", tasks=("chat",), features=("truncation",))
TABLE = ModelTable([MODEL, ModelStatus(id="tagged:latest", engine="fake", tasks=("chat",))])
ROUTES = {route.path: route for route in OLLAMA.routes}
IMAGE = ImageInput(png(8, 8)).as_text()
SAID = [{"role": "user", "content": "Hi"}]


def read(path: str, **fields: Any) -> Any:
    return ROUTES[path].request.model_validate({"model": "m:latest", **fields})


def chat(path: str = "/api/chat", **fields: Any) -> dict[str, Any]:
    """The chat that a request becomes, as it is sent to the worker."""
    body = fields if path == "/api/generate" else {"messages": SAID, **fields}
    [query] = ROUTES[path].to_task(read(path, **body), TABLE)
    sent: dict[str, Any] = query.request.model_dump(exclude_unset=True)
    return sent


def test_streams_unless_the_client_declines() -> None:
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    assert chat() == {"model": "m", "messages": SAID, **streamed}
    assert chat(stream=False) == {"model": "m", "messages": SAID}


def test_tag_latest_means_the_model_without_it() -> None:
    assert chat(model="m")["model"] == chat(model="m:latest")["model"] == "m"
    assert chat(model="tagged:latest")["model"] == "tagged:latest"


def test_options_form_and_thinking_are_the_chats() -> None:
    options = {"num_predict": 5, "temperature": 0.5, "top_k": 3, "stop": ["END"], "seed": 7, "num_ctx": 2048}
    sent = chat(stream=False, options=options, format={"type": "object"}, think="low", keep_alive="5m")
    assert {name: sent[name] for name in ("max_tokens", "temperature", "top_k", "stop", "seed", "think")} == {
        "max_tokens": 5, "temperature": 0.5, "top_k": 3, "stop": ["END"], "seed": 7, "think": "low",
    }  # fmt: skip
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert chat(format="json")["response_format"] == {"type": "json_object"}
    assert "max_tokens" not in chat(options={"num_predict": -1})


def test_text_system_and_images_become_a_conversation() -> None:
    system, said = chat("/api/generate", prompt="Look", system="Be kind.", images=[IMAGE])["messages"]
    assert system == {"role": "system", "content": "Be kind."}
    assert [part["type"] for part in said["content"]] == ["image_url", "text"]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_truncate_is_left_to_engines_that_can(path: str) -> None:
    body: dict[str, Any] = {"prompt": "Hi"} if path == "/api/generate" else {"messages": SAID}
    for model, truncate, cuts, warns in (
        ("shortener", True, True, False), ("shortener", False, False, False), ("shortener", None, False, False),
        ("m", True, False, True), ("m", False, False, False),
    ):  # fmt: skip
        request = read(path, **body, model=model, truncate=truncate)
        [query] = ROUTES[path].to_task(request, ModelTable([MODEL, SHORTENER]))
        assert (query.request.truncation == "auto") is cuts
        assert any("too long" in warning for warning in (*query.warnings, *request.warnings())) is warns


@pytest.mark.parametrize("path", ["/api/embed", "/api/embeddings"])
def test_long_texts_are_cut_unless_the_entry_says_otherwise(path: str) -> None:
    fields: dict[str, Any] = {"engine": "fake", "tasks": ("embeddings",), "features": ("truncate",)}
    cuts, keeps = ModelStatus(id="cuts", **fields), ModelStatus(id="keeps", defaults={"truncate": False}, **fields)
    table = ModelTable([cuts, keeps, MODEL])
    body = {"input" if path == "/api/embed" else "prompt": "a"}
    for model, asked, wanted in (
        ("cuts:latest", None, True), ("cuts", False, False), ("keeps", None, None), ("keeps", True, True),
        ("m", None, None),
    ):  # fmt: skip
        request = read(path, **body, model=model, truncate=asked)
        [query] = ROUTES[path].to_task(request, table)
        assert query.request.truncate is wanted


def test_results_are_joined_to_the_calls_of_their_tools() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"function": {"name": name, "arguments": {"at": "sky"}}}

    messages = [
        *SAID,
        {"role": "assistant", "content": "", "tool_calls": [call("look"), call("hear")]},
        {"role": "tool", "content": "silence", "tool_name": "hear"},
        {"role": "tool", "content": "blue"},
    ]
    _, asked, heard, seen = chat(messages=messages)["messages"]
    assert [made["id"] for made in asked["tool_calls"]] == ["call_0", "call_1"]
    assert (heard["tool_call_id"], heard["name"], seen["tool_call_id"]) == ("call_1", "hear", "call_0")


def test_what_has_no_effect_is_named_and_the_rest_refused() -> None:
    asked = read("/api/chat", messages=SAID, options={"num_ctx": 1, "num_gpu": 1, "odd": 1})
    first, second = asked.warnings()
    assert ("`options.num_ctx`" in first, "`options.odd`" in second) == (True, True)
    for fields in ({"options": {"mirostat": 1}}, {"context": [1]}, {"raw": True, "system": "x"}):
        with pytest.raises(UnsupportedFeature):
            read("/api/generate", prompt="Hi", **fields).refuse()
    with pytest.raises(UnsupportedFeature):
        read("/api/chat", messages=SAID, raw=True).refuse()


def answered(path: str, reason: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    response = {"id": "1", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    asked = read(path, messages=SAID, prompt="Hi", stream=False)
    answer = ROUTES[path].from_task(asked, [TaskAnswer(ChatResponse.model_validate(response), MODEL)])
    return answer.model_dump()


def test_whole_answers_have_message_or_response() -> None:
    calls = [{"id": "c", "function": {"name": "look", "arguments": '{"at": "sky"}'}}]
    written = answered("/api/chat", "tool_calls", content=None, reasoning_content="Hm.", tool_calls=calls)
    assert written["message"] == {
        "role": "assistant", "content": "", "thinking": "Hm.",
        "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": {"at": "sky"}}}],
    }  # fmt: skip
    assert (written["done"], written["done_reason"], written["model"]) == (True, "stop", "m:latest")
    assert (written["created_at"], written["prompt_eval_count"], written["eval_count"]) == (
        "1970-01-01T00:00:01Z",
        4,
        2,
    )
    cut = answered("/api/generate", "length", content="Well")
    assert (cut["response"], cut["done_reason"]) == ("Well", "length")


def chunk(delta: dict[str, Any] | None, reason: str | None = None, usage: Any = None) -> ChatChunk:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return ChatChunk.model_validate({"id": "1", "created": 1, "model": "m", "choices": choices, "usage": usage})


def lines(events: Iterable[StreamEvent]) -> list[dict[str, Any]]:
    return [event.data.model_dump() for event in events if not isinstance(event.data, str)]


def test_stream_has_pieces_whole_calls_and_a_last_line() -> None:
    call: dict[str, Any] = {"index": 0, "id": "c", "function": {"name": "look"}}
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    translator = OllamaEvents(read("/api/chat", messages=SAID))
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "Hm"}),
        chunk({"content": "We"}),
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"at": '}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"sky"}'}}]}),
        chunk({"tool_calls": [{**call, "index": 1, "id": "d"}]}),
        chunk({}, "tool_calls"),
        chunk(None, usage=usage),
    ]
    thought, text, first, second, last = lines(
        [*(event for piece in chunks for event in translator.chunk(piece)), *translator.close()]
    )
    assert (thought["message"]["thinking"], text["message"]["content"]) == ("Hm", "We")
    assert [line["message"]["tool_calls"][0]["id"] for line in (first, second)] == ["c", "d"]
    assert first["message"]["tool_calls"][0]["function"]["arguments"] == {"at": "sky"}
    assert [line["done"] for line in (thought, text, first, second, last)] == [False] * 4 + [True]
    assert (last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == ("stop", 4, 2)


def test_stream_of_nothing_is_its_last_line() -> None:
    [last] = lines(OllamaEvents(read("/api/generate", prompt="Hi")).close())
    assert (last["done"], last["response"]) == (True, "")


def test_stream_that_breaks_off_ends_in_an_error() -> None:
    translator = OllamaEvents(read("/api/chat", messages=SAID))
    assert lines(translator.fail(WorkerDied("It died."), "r")) == [{"error": "It died."}]


def test_texts_are_embedded_in_order() -> None:
    vectors = [{"index": i, "embedding": [i, 0.5]} for i in range(2)]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    reply = TaskAnswer(EmbeddingsResponse.model_validate({"model": "m", "data": vectors, "usage": usage}), MODEL)
    route, asked = ROUTES["/api/embed"], read("/api/embed", input=["a", "b"], dimensions=2)
    [query] = route.to_task(asked, TABLE)
    assert (query.request.model, query.request.input, query.request.dimensions) == ("m", ["a", "b"], 2)
    assert route.from_task(asked, [reply]).model_dump()["embeddings"] == [[0.0, 0.5], [1.0, 0.5]]
    old = ROUTES["/api/embeddings"]
    assert old.from_task(read("/api/embeddings", prompt="a"), [reply]).model_dump() == {"embedding": [0.0, 0.5]}


def status() -> Status:
    workers = [WorkerStatus(worker="m#1", model="m", state="ready", memory_bytes=9)]  # type: ignore[arg-type]
    rest: dict[str, Any] = {"version": "x", "uptime": 1, "seq": 1, "waiting": 0, "leases": 0, "devices": []}
    return Status(**rest, workers=workers, models=list(TABLE.models))


def test_models_are_listed_with_a_tag() -> None:
    assert [model.name for model in models.tags(None, status()).models] == [
        "m:latest", "pirate:latest", "tagged:latest",
    ]  # fmt: skip
    [running] = models.ps(None, status()).models
    assert (running.name, running.size, running.context_length) == ("m:latest", 9, 4096)


def test_shown_model_says_what_it_can() -> None:
    shown = models.show(ShowRequest(name="m"), status())
    assert shown.capabilities == ["completion", "tools", "vision", "embedding"]
    assert shown.model_info["enginehouse.context_length"] == 4096
    assert shown.details.quantization_level == "4bit"
    with pytest.raises(ModelNotFound):
        models.check_shown(ShowRequest(model="none"), TABLE)
    with pytest.raises(InvalidField):
        models.check_shown(ShowRequest(), TABLE)


def test_paths_without_sense_here_say_what_to_do() -> None:
    refused = [control for control in OLLAMA.controls if control.summary.startswith("Refused")]
    names = ("copy", "create", "push")
    assert {control.path for control in refused} == {f"/api/{name}" for name in names}
    for control in refused:
        with pytest.raises(UnsupportedFeature):
            control.to_actions(None, TABLE)


def test_errors_are_sentences_and_a_shared_path_goes_by_its_body() -> None:
    error = InvalidField("`model`: this field is required.", param="model")
    assert b'"error": "`model`: this field is required."' in OLLAMA_ERRORS.body(error, "r")
    assert form_of({"path": "/api/chat", "headers": []}) is OLLAMA_ERRORS
    assert form_of({"path": "/api/embed", "headers": []}) is not OLLAMA_ERRORS
    assert form_of_route(ROUTES["/api/embed"]) is OLLAMA_ERRORS
