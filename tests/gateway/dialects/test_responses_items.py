"""Items of conversations that began elsewhere are read as calls of functions, or left out with a warning."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contract.validation import invalid_request
from tests.gateway.dialects.test_responses import chat, request


def test_conversations_that_began_with_openais_models_go_on() -> None:
    """Codex sends them with the items of tools that other models do not have."""
    items = [
        {"role": "user", "content": "Fix it"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"},
        {"type": "local_shell_call", "call_id": "c2", "status": "completed", "action": {"command": ["ls"]}},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
        {"type": "function_call_output", "call_id": "c2", "output": "a.py"},
        {"type": "compaction", "encrypted_content": "gAAAA"},
    ]
    sent = chat(input=items)["messages"]
    assert [turn["role"] for turn in sent] == ["user", "assistant", "tool", "tool"]
    assert [call["function"] for call in sent[1]["tool_calls"]] == [
        {"name": "apply_patch", "arguments": '{"input": "*** Begin"}'},
        {"name": "local_shell", "arguments": '{"command": ["ls"]}'},
    ]
    [warning] = request(input=items).warnings()
    assert "web_search_call, compaction was left out" in warning


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        ({"role": "user", "content": [{"type": "input_text"}]}, "`input.0.content.0.text`: this field is required"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "an image needs its address or data URL"),
        ({"role": "user", "content": [{"type": "input_image", "image_url": 5}]}, "`input.0.content.0.image_url`"),
        ({"role": "user"}, "`input.0.content`: this field is required"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "`input.0.call_id`: this field is required"),
        ({"type": "function_call_output", "call_id": "c"}, "`input.0.output`: this field is required"),
    ],
)
def test_incomplete_item_is_named_by_what_it_lacks(item: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValidationError) as error:
        request(input=[item])
    assert wrong in invalid_request(error.value).message
