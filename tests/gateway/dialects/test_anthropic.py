"""Conversations of Anthropic's API become chats."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.errors import InvalidField, UnsupportedFeature
from contract.media import ImageInput
from contract.status import ModelStatus
from contract.tasks.chat import ChatRequest
from contract.validation import invalid_request
from gateway.dialects.anthropic import ANTHROPIC
from gateway.dialects.anthropic.request import CountTokensRequest, MessagesRequest
from gateway.forwarding.model_table import ModelTable
from tests.support.sample_images import png

MODEL = ModelStatus(id="m", engine="fake", tasks=("chat",))
THINKER = ModelStatus(id="thinker", engine="fake", tasks=("chat",), features=("reasoning",))
TABLE = ModelTable([MODEL, THINKER])
[ROUTE] = [route for route in ANTHROPIC.routes if route.path == "/v1/messages"]
IMAGE = ImageInput(png(8, 8)).as_text()
IMAGE_BLOCK = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}


def request(*messages: Any, **fields: Any) -> MessagesRequest:
    return MessagesRequest.model_validate({"model": "m", "max_tokens": 9, "messages": list(messages), **fields})


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def chat(*messages: Any, **fields: Any) -> dict[str, Any]:
    """The chat that a conversation becomes, as it is sent to the worker."""
    [query] = ROUTE.to_task(request(*(messages or [user({"type": "text", "text": "Hi"})]), **fields), TABLE)
    sent: ChatRequest = query.request
    return sent.model_dump(exclude_unset=True)


def test_text_system_and_limits_become_a_chat() -> None:
    fields = {"temperature": 0.5, "top_k": 3, "top_p": 0.9, "stop_sequences": ["END"], "stream": True}
    system = [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]
    assert chat({"role": "user", "content": "Hi"}, system=system, **fields) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 9,
        "stop": ["END"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_k": 3,
        "top_p": 0.9,
    }


def test_tools_calls_and_results_make_a_round() -> None:
    thinking = {"type": "thinking", "thinking": "I look.", "signature": "x"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "blue"}
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no eyes", "is_error": True}
    sent = chat(
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": [thinking, {"type": "redacted_thinking", "data": "…"}, call]},
        user(result, failed, {"type": "text", "text": "And?"}),
        tools=[TOOL],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    function = {"name": "look", "arguments": {"at": "sky"}}
    assert sent["messages"] == [
        {"role": "user", "content": "Look"},
        {"role": "assistant", "content": None, "reasoning_content": "I look.",
         "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "blue"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no eyes"},
        {"role": "user", "content": "And?"},
    ]  # fmt: skip
    described = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
    assert sent["tools"] == [{"type": "function", "function": described}]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)


def test_images_of_results_come_in_the_users_message() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "A shot."}, IMAGE_BLOCK]}
    bare = {"type": "tool_result", "tool_use_id": "u", "content": [IMAGE_BLOCK]}
    [first, second, said] = chat(user(result, bare, {"type": "text", "text": "Well?"}))["messages"]
    assert (first["content"], second["content"]) == ("A shot.", "The image is in the next message.")
    assert [part["type"] for part in said["content"]] == ["image_url", "image_url", "text"]


def test_images_by_base64_and_url_are_images() -> None:
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    [message] = chat(user(IMAGE_BLOCK, linked, {"type": "text", "text": "Same?"}))["messages"]
    urls = [part["image_url"]["url"] for part in message["content"][:2]]
    assert urls == [IMAGE, "https://example.com/a.png"]


def test_documents_and_search_results_are_text() -> None:
    document = {
        "type": "document",
        "title": "Rules",
        "source": {"type": "text", "media_type": "text/plain", "data": "1"},
    }
    found = {"type": "search_result", "source": "a.txt", "title": "A", "content": [{"type": "text", "text": "b"}]}
    [message] = chat(user(document, found))["messages"]
    assert [part["text"] for part in message["content"]] == ["Rules", "1", "A\na.txt\nb"]


def test_messages_of_one_role_in_a_row_are_one() -> None:
    said = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    [message] = chat(*said)["messages"]
    assert [part["text"] for part in message["content"]] == ["a", "b"]


def test_beginning_of_the_answer_is_continued() -> None:
    sent = chat({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "He"})
    assert sent["continue_final_message"] is True
    assert sent["messages"][-1] == {"role": "assistant", "content": "He"}


@pytest.mark.parametrize(
    ("model", "fields", "effort"),
    [
        ("m", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, "medium"),
        ("m", {"thinking": {"type": "enabled"}, "output_config": {"effort": "high"}}, "high"),
        ("m", {"thinking": {"type": "disabled"}}, "none"),
        ("m", {"thinking": {"type": "adaptive"}}, None),
        ("m", {"output_config": {"effort": "low"}}, None),
        ("thinker", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low"),
    ],
)
def test_thinking_is_an_effort(model: str, fields: dict[str, Any], effort: str | None) -> None:
    assert chat(model=model, **fields).get("reasoning_effort") == effort


def test_form_of_the_answer_is_a_strict_schema() -> None:
    form = {"type": "json_schema", "schema": {"type": "object"}}
    schema = {"name": "answer", "schema": {"type": "object"}, "strict": True}
    for fields in ({"output_config": {"format": form}}, {"output_format": form}):
        assert chat(**fields)["response_format"] == {"type": "json_schema", "json_schema": schema}


def test_what_has_no_effect_is_named() -> None:
    asked = request(
        user({"type": "text", "text": "Hi"}),
        tools=[{"type": "web_search_20250305", "name": "web_search"}, TOOL],
        thinking={"type": "enabled", "budget_tokens": 1024},
        output_config={"effort": "low"},
        metadata={"user_id": "u"},
        context_management={"edits": []},
        odd=1,
    )
    warnings = " ".join(asked.warnings())
    for name in ("`tools`: 'web_search'", "`thinking.budget_tokens`", "`context_management`", "`odd`"):
        assert name in warnings
    assert "metadata" not in warnings
    plain = request(user({"type": "text", "text": "Hi"}), output_config={"effort": "low"})
    assert "`output_config.effort` had no effect" in ROUTE.to_task(plain, TABLE)[0].warnings[0]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "type 'file'"),
        ({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": ""}}, "documents"),
        ({"type": "container_upload", "file_id": "f"}, "'container_upload'"),
    ],
)
def test_unreadable_content_is_refused_by_name(block: dict[str, Any], words: str) -> None:
    with pytest.raises(UnsupportedFeature, match=words):
        chat(user(block))


def test_servers_of_tools_are_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="`mcp_servers`"):
        request(user({"type": "text", "text": "Hi"}), mcp_servers=[{"url": "https://example.com"}]).refuse()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [user({"type": "text"})]}, "messages.0.content.0.text"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [{"name": "look"}]}, "tools.0"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(ValidationError) as caught:
        request(user({"type": "text", "text": "Hi"}), **fields)
    assert invalid_request(caught.value).param == param


@pytest.mark.parametrize("fields", [{}, {"system": "Be kind."}])
def test_messages_without_content_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidField) as error:
        chat(user(), **fields)
    assert error.value.param == "messages"


def test_tokens_are_counted_of_the_whole_prompt() -> None:
    [route] = [route for route in ANTHROPIC.routes if route.path == "/v1/messages/count_tokens"]
    fields = {"system": "Be kind.", "messages": [user(IMAGE_BLOCK)], "tools": [TOOL], "tool_choice": {"type": "any"}}
    asked = CountTokensRequest.model_validate({"model": "m", **fields, "thinking": {"type": "disabled"}})
    [query] = route.to_task(asked, TABLE)
    assert query.task.name == "tokenize"
    assert query.request.model_fields_set == {"model", "messages", "tools", "reasoning_effort"}
    assert [message.role for message in query.request.messages] == ["system", "user"]
    assert {feature for _, feature in query.request.requirements()} == {"images", "tools"}


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look"}])
def test_choice_of_a_tool_needs_tools(choice: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        chat(tool_choice=choice)
    assert invalid_request(error.value).param == "tool_choice"
    chat(tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    chat(tool_choice={"type": "none"})
    left_out = {"type": "web_search_20250305", "name": "web_search"}
    assert "tool_choice" not in chat(tools=[left_out], tool_choice=choice)
