"""Coding agents and n8n: turns with tools, edits as text, side questions that must be answered by a call.

Sources: Aider-AI/aider, aider/models.py and coders; sst/opencode, packages/opencode/src/session/llm; QwenLM/qwen-code,
packages/core/src/core/openaiContentGenerator; continuedev/continue, core/llm/openaiTypeConverters.ts; n8n-io/n8n,
nodes-langchain/nodes/llms/LMChatOpenAi and nodes/agents.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_DRAFT = "http://json-schema.org/draft-07/schema#"
_SAFE = 9007199254740991
"""The largest integer of JavaScript, which zod writes as a bound of every integer."""
_LINE = {"type": "integer", "exclusiveMinimum": 0, "maximum": _SAFE}

Tool = dict[str, Any]


def _tool(name: str, properties: dict[str, Any], required: list[str], **schema: Any) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": required, **schema}
    return {"type": "function", "function": {"name": name, "description": f"Runs {name}.", "parameters": parameters}}


def _zod_tool(name: str, properties: dict[str, Any], *required: str) -> Tool:
    schema = {"additionalProperties": False, "$schema": _DRAFT}
    return _tool(name, properties, list(required) or list(properties), **schema)


def after_call(message: dict[str, Any], result: Any, **turn: Any) -> list[dict[str, Any]]:
    """What a client adds after a call: the model's turn as it keeps it, and the result."""
    calls = message["tool_calls"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": result} for call in calls]
    return [{"role": "assistant", "content": "", "tool_calls": calls, **turn}, *results]


_TODO = {
    "type": "object",
    "properties": {"content": _TEXT, "status": {"type": "string", "enum": ["pending", "completed"]}, "id": _TEXT},
    "required": ["content", "status", "id"],
    "additionalProperties": False,
}
OPENCODE_TOOLS = [
    _zod_tool("bash", {"command": _TEXT, "timeout": {"type": "number"}, "description": _TEXT}, "command"),
    _zod_tool("edit", {"filePath": _TEXT, "oldString": _TEXT, "newString": _TEXT, "replaceAll": {"type": "boolean"}}),
    _zod_tool("glob", {"pattern": _TEXT, "path": _TEXT}, "pattern"),
    _zod_tool("read", {"filePath": _TEXT, "offset": _LINE, "limit": _LINE}, "filePath"),
    _zod_tool("todowrite", {"todos": {"type": "array", "items": _TODO}}),
    _zod_tool("webfetch", {"url": _TEXT, "format": {"default": "markdown", "anyOf": [{"const": "markdown"}, _TEXT]}}),
]


def opencode_turn(model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A turn of opencode, through the AI SDK. Its `max_tokens` is larger than the context of many local models."""
    system = [{"role": "system", "content": "You are opencode."}, {"role": "system", "content": "<env>\n</env>"}]
    return {
        "model": model,
        "max_tokens": 32_000,
        "messages": [*system, *messages],
        "tools": OPENCODE_TOOLS,
        "tool_choice": "auto",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def opencode_title(model: str) -> dict[str, Any]:
    """The title of a session, for which opencode sends no tools."""
    asked = ["Generate a title for this conversation:\n", "Fix the tests"]
    messages = [{"role": "system", "content": "You write titles."}, *({"role": "user", "content": a} for a in asked)]
    return {"model": model, "max_tokens": 32_000, "temperature": 0.5, "messages": messages, "stream": True}


QWEN_TOOLS = [
    _tool("read_file", {"file_path": _TEXT, "offset": {"type": "number"}, "limit": {"type": "number"}}, ["file_path"]),
    _tool("run_shell_command", {"command": _TEXT, "is_background": {"type": "boolean"}}, ["command", "is_background"]),
    _tool("list_mcp_resources", {}, []),
]


def qwen_turn(model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A turn of Qwen Code, with the reasoning that a provider's settings may ask for."""
    return {
        "model": model,
        "messages": [{"role": "system", "content": "You are Qwen Code."}, *messages],
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "max_tokens": 8000,
        "reasoning": {"effort": "medium"},
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": QWEN_TOOLS,
    }


def qwen_side_question(model: str) -> dict[str, Any]:
    """A question whose answer must be a call, within few tokens and without thoughts."""
    verdict = {"reason": _TEXT, "allow": {"type": "boolean"}}
    return {
        "model": model,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Is `ls` harmless?"}]}],
        "max_tokens": 256,
        "stream": False,
        "tools": [_tool("respond_in_schema", verdict, list(verdict))],
        "tool_choice": "required",
        "chat_template_kwargs": {"enable_thinking": False},
    }


CONTINUE_TOOLS = [
    _tool("read_file", {"filepath": _TEXT}, ["filepath"]),
    _tool("run_terminal_command", {"command": _TEXT, "waitForCompletion": {"type": "boolean"}}, ["command"]),
    _tool("view_diff", {}, []),
]


def continue_turn(model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """A turn of Continue's agent."""
    return {
        "messages": [{"role": "system", "content": "You are in agent mode."}, *messages],
        "model": model,
        "max_tokens": 4096,
        "stream": True,
        "tools": CONTINUE_TOOLS,
        "parallel_tool_calls": False,
        "stream_options": {"include_usage": True},
    }


def continue_completion(model: str) -> dict[str, Any]:
    """Continue's completion while typing, which many strings end."""
    prompt = "<|fim_prefix|>def now():\n    return <|fim_suffix|>\n<|fim_middle|>"
    stop = [
        "<|endoftext|>",
        "<|fim_prefix|>",
        "<|fim_middle|>",
        "<|fim_suffix|>",
        "<|fim_pad|>",
        "\n\n",
        "/src/",
        "```",
    ]
    messages = [{"role": "user", "content": prompt}]
    fields = {"max_tokens": 4096, "temperature": 0.01, "stream": True, "stop": stop}
    return {"messages": messages, "model": model, **fields, "stream_options": {"include_usage": True}}


EDIT = "main.py\n```python\n<<<<<<< SEARCH\nprint(1)\n=======\nprint(2)\n>>>>>>> REPLACE\n```"
"""An edit as aider reads it: the name of a file, and a block with what is replaced by what."""


def aider_edit(model: str) -> dict[str, Any]:
    """A request for an edit, behind an example in turns of its own; aider sends no tools."""
    example = [
        {"role": "user", "content": "Change get_factorial() to use math.factorial"},
        {"role": "assistant", "content": "To make this change we need to modify `mathweb/flask/app.py`."},
    ]
    reminder = {"role": "system", "content": "# *SEARCH/REPLACE block* Rules:\nEvery block must use this format."}
    asked = {"role": "user", "content": "Print 2, with a SEARCH/REPLACE block."}
    messages = [{"role": "system", "content": "Act as an expert software developer."}, *example, reminder, asked]
    return {"model": model, "messages": messages, "temperature": 0, "stream": True}


def aider_commit_message(model: str) -> dict[str, Any]:
    """The message of a commit, from the diff."""
    messages = [{"role": "system", "content": "You write commit messages."}, {"role": "user", "content": "+print(2)"}]
    return {"model": model, "messages": messages, "temperature": 0, "stream": False, "reasoning_effort": None}


N8N_TOOLS = [
    _zod_tool("calculator", {"input": _TEXT}),
    _zod_tool("HTTP_Request", {"URL": {"type": "string", "description": ""}}),
    _zod_tool("MCP_Client", {"query": _TEXT, "limit": {"type": "integer", "minimum": -_SAFE, "maximum": _SAFE}}),
]
N8N_FORMAT = _zod_tool(
    "format_final_json_response",
    {
        "output": {
            "type": "object",
            "properties": {"city": _TEXT, "days": {"type": "number"}},
            "additionalProperties": False,
        }
    },
)


def n8n_turn(model: str, messages: list[dict[str, Any]], *, has_parser: bool, **fields: Any) -> dict[str, Any]:
    """A turn of n8n's AI agent, through LangChain. With an output parser, it reads the answer from a call."""
    return {
        "model": model,
        "temperature": 0.7,
        "top_p": 1,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "response_format": {"type": "text"},
        "tools": [*N8N_TOOLS, *([N8N_FORMAT] if has_parser else [])],
        "messages": [{"role": "system", "content": "You are a helpful assistant"}, *messages],
        **fields,
    }
