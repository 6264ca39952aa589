"""Items of conversations that began elsewhere are read as calls of functions, or left out with a warning."""

from __future__ import annotations

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
