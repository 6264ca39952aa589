"""Open WebUI: a chat of its page with all built-in tools, and the tasks that it does in the background.

Source: open-webui, backend/open_webui/tools/builtin.py, routers/tasks.py, routers/openai.py and utils/middleware.py.
"""

from __future__ import annotations

from typing import Any


def _or_null(type_: str, default: Any = None) -> dict[str, Any]:
    return {"anyOf": [{"type": type_}, {"type": "null"}], "default": default}


_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "default": 5}
_PERIOD: dict[str, Any] = {"start_timestamp": _or_null("integer"), "end_timestamp": _or_null("integer")}
_SEARCH: dict[str, Any] = {"query": _TEXT, "count": _COUNT}
_CONTENT: dict[str, Any] = {"type": "string", "description": "The content, in Markdown."}

BUILT_IN: dict[str, dict[str, Any]] = {
    "get_current_timestamp": {},
    "calculate_timestamp": {
        f"{unit}_ago": {"type": "integer", "default": 0} for unit in ("days", "weeks", "months", "years")
    },
    "search_web": {"query": _TEXT, "count": _or_null("integer")},
    "fetch_url": {"url": _TEXT},
    "generate_image": {"prompt": _TEXT},
    "edit_image": {"prompt": _TEXT, "image_urls": {"type": "array", "items": _TEXT}},
    "execute_code": {"code": _TEXT},
    "search_memories": _SEARCH,
    "add_memory": {"content": _TEXT},
    "replace_memory_content": {"memory_id": _TEXT, "content": _TEXT},
    "delete_memory": {"memory_id": _TEXT},
    "list_memories": {},
    "search_notes": {**_SEARCH, **_PERIOD},
    "view_note": {"note_id": _TEXT},
    "write_note": {"title": _TEXT, "content": _CONTENT},
    "replace_note_content": {"note_id": _TEXT, "content": _CONTENT, "title": _or_null("string")},
    "search_chats": {**_SEARCH, **_PERIOD},
    "view_chat": {"chat_id": _TEXT},
    "search_channels": _SEARCH,
    "search_channel_messages": {**_SEARCH, **_PERIOD},
    "view_channel_message": {"message_id": _TEXT},
    "view_channel_thread": {"parent_message_id": _TEXT},
    "list_knowledge_bases": {"count": _COUNT, "skip": {"type": "integer", "default": 0}},
    "search_knowledge_bases": {**_SEARCH, "skip": {"type": "integer", "default": 0}},
    "search_knowledge_files": {**_SEARCH, "knowledge_id": _or_null("string")},
    "query_knowledge_files": {"query": _TEXT, "knowledge_ids": _or_null("array"), "count": _COUNT},
    "view_file": {"file_id": _TEXT, "offset": {"type": "integer", "default": 0}, "max_chars": _or_null("integer")},
    "view_skill": {"name": _TEXT},
}
"""The 28 tools of a new installation, with the properties of their arguments."""


def _tool(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    required = [field for field, schema in properties.items() if "default" not in schema]
    described = {
        field: {"description": f"The {field.replace('_', ' ')}.", **schema} for field, schema in properties.items()
    }
    parameters = {"type": "object", "properties": described, "required": required}
    description = f"{name.replace('_', ' ').capitalize()}, and return what was found as JSON."
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [_tool(name, properties) for name, properties in BUILT_IN.items()]


def chat(model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A turn of the page. A model's settings add fields such as `temperature`."""
    return {
        "stream": True,
        "model": model,
        "messages": messages,
        "tools": TOOLS,
        "stream_options": {"include_usage": True},
    }


def next_messages(text: str, calls: list[dict[str, Any]], thoughts: str) -> list[dict[str, Any]]:
    """What the page adds to the conversation after calls: them, with the thoughts, and a result for each."""
    turn: dict[str, Any] = {"role": "assistant", "content": text, "tool_calls": calls}
    if thoughts:
        turn["reasoning_content"] = thoughts
    results = [{"role": "tool", "tool_call_id": call["id"], "content": '{"current_timestamp": 1}'} for call in calls]
    return [turn, *results]


_HISTORY = "### Chat History:\n<chat_history>\nUSER: hi\nASSISTANT: Hello!\n</chat_history>"

TASKS = {
    "title": ("### Task:\nSummarize the chat in 3-5 words with an emoji, as JSON.", {"max_completion_tokens": 1000}),
    "tags": ("### Task:\nFind 1-3 broad tags for the chat, as JSON.", {}),
    "follow_ups": ("### Task:\nSuggest 3-5 follow-up questions, as JSON.", {}),
    "queries": ("### Task:\nWrite search queries for the last question, as JSON.", {}),
}
"""The tasks in the background: what they ask, and further fields. The model answers each with a key of its name."""


def task(model: str, name: str) -> dict[str, Any]:
    """A task in the background."""
    prompt, fields = TASKS[name]
    form = f'### Output:\nJSON format: {{ "{name}": ... }}'
    message = {"role": "user", "content": f"{prompt}\n{form}\n{_HISTORY}"}
    return {"model": model, "messages": [message], "stream": False, **fields}


def with_sources(model: str) -> dict[str, Any]:
    """A question about a document: found passages come as tags in the last message."""
    source = '<source id="1" name="manual.pdf">The pump runs at 50 Hz.</source>'
    prompt = f"### Task:\nAnswer with citations such as [1].\n<context>\n{source}\n</context>\n\nHow fast is the pump?"
    return {**chat(model, [{"role": "user", "content": prompt}]), "tools": None}
