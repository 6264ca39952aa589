"""Home Assistant: Assist with tools, and AI tasks with a structure, as its integrations for such servers send them.

Source: home-assistant/core, components/open_router and helpers/llm.py; the integrations hass_local_openai_llm and
extended_openai_conversation.
"""

from __future__ import annotations

from typing import Any

_NAMES: dict[str, Any] = {"name": {"type": "string"}, "area": {"type": "string"}, "floor": {"type": "string"}}
_DOMAINS: dict[str, Any] = {"domain": {"type": "array", "items": {"type": "string"}}}
_LIGHT: dict[str, Any] = {
    "color": {"type": "string"},
    "temperature": {"type": "integer", "minimum": 0},
    "brightness": {"type": "integer", "minimum": 0, "maximum": 100, "description": "The brightness in percent."},
}
_TIMER: dict[str, Any] = {unit: {"type": "integer", "minimum": 0} for unit in ("hours", "minutes", "seconds")}
_TOOLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "HassTurnOn": ("Turns on a device.", _NAMES | _DOMAINS, []),
    "HassTurnOff": ("Turns off a device.", _NAMES | _DOMAINS, []),
    "HassLightSet": ("Sets the brightness or colour of a light.", _NAMES | _DOMAINS | _LIGHT, []),
    "HassSetPosition": ("Sets a position.", {**_NAMES, "position": {"type": "integer", "maximum": 100}}, ["position"]),
    "HassStartTimer": ("Starts a timer.", {"name": {"type": "string"}, **_TIMER}, []),
    "HassCancelAllTimers": ("Cancels all timers.", {"area": {"type": "string"}}, []),
    "todo_get_items": (
        "Reads a list.",
        {
            "todo_list": {"type": "string", "enum": ["Shopping"]},
            "status": {"type": "string", "enum": ["needs_action", "completed", "all"], "default": "needs_action"},
        },
        ["todo_list"],
    ),
    "GetDateTime": ("Tells the date and time.", {}, []),
    "GetLiveContext": ("Tells the state of devices.", {}, []),
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }
    for name, (description, properties, required) in _TOOLS.items()
]
_SYSTEM = (
    "You are a voice assistant for Home Assistant.\nAnswer in plain text.\n"
    "Static Context:\n- names: Kitchen light\n  domain: light\n  areas: Kitchen\n"
)


def assist(model: str, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """A sentence to Assist, in a stream."""
    system = {"role": "system", "content": _SYSTEM}
    return {"model": model, "messages": [system, *messages], "tools": TOOLS, "stream": True, **fields}


OF_CORE: dict[str, Any] = {
    "user": "01JQ5S7VZ3",
    "provider": {"require_parameters": True},
}
OF_LOCAL: dict[str, Any] = {
    "temperature": 0.6,
    "parallel_tool_calls": True,
    "chat_template_kwargs": {"enable_thinking": True},
}
OF_EXTENDED: dict[str, Any] = {
    "tool_choice": "auto",
    "stream_options": {"include_usage": True},
    "max_tokens": 150,
    "temperature": 0.5,
    "top_p": 1,
}
"""The further fields of the three integrations."""

INJECTED = {"role": "tool", "tool_call_id": "injected_content", "content": "Today is Thursday."}
"""What hass_local_openai_llm can put before the user's message: the result of a tool that was never called."""

_STRUCTURE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "description": "What is in the image."},
        "people": {"type": ["integer", "null"], "minimum": 0},
        "light": {"type": ["string", "null"], "format": "entity_id"},
        "colour": {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3, "format": "RGB"},
    },
    "required": ["summary", "colour", "people", "light"],
    "strict": True,
    "additionalProperties": False,
}
"""A structure with selectors for a text, a number, an entity and a colour; some integrations add `strict` inside."""


def ai_task(model: str, image: str) -> dict[str, Any]:
    """An AI task with an attached image and a structure."""
    content = [
        {"type": "image_url", "image_url": {"url": image, "detail": "auto"}},
        {"type": "text", "text": "Describe the driveway."},
    ]
    form = {"type": "json_schema", "json_schema": {"name": "Driveway", "strict": True, "schema": _STRUCTURE}}
    messages = [{"role": "system", "content": "You are an expert."}, {"role": "user", "content": content}]
    return {"model": model, "messages": messages, "response_format": form, "stream": True}
