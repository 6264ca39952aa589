"""A model that completes the loop of an agent: it calls the client's tool, reads the result, and answers.

Which of its scripts it says depends on the tools that it sees and on the last message, so that one model serves many
clients. It thinks before it calls `get_weather`, which is the tool that clients in tests offer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.testbed.models import scripted
from tests.support.chat_families import template_source

CITY = "Zürich 🌦"
THOUGHTS = "It asks for the weather."
ANSWER = "It is 21 °C."
COMMAND = "echo sunny"
PLAIN = "Hello, 안녕!"
FORECAST = {"city": "Genève 🌧", "days": 3}
"""What it answers when an object is wanted: as the arguments of a tool `Forecast`, or as JSON text."""

Scripts = Mapping[str, tuple[str, str]]
"""Scripts by name: when the model says it, as a condition in Jinja, and what."""


def json_text(value: Any, cut: int = 1) -> str:
    """JSON in pieces that end after the first `cut` characters of each string value, as held answers need them."""
    pieces = _cut(value, cut)
    return json.dumps(pieces, ensure_ascii=False).replace(json.dumps(scripted.CUT)[1:-1], scripted.CUT)


def _cut(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value[:length] + scripted.CUT + value[length:] if len(value) > length else value
    if isinstance(value, dict):
        return {name: _cut(item, length) for name, item in value.items()}
    return [_cut(item, length) for item in value] if isinstance(value, list) else value


def call(name: str, arguments: Mapping[str, Any], cut: int = 1) -> str:
    """A call of a tool in the model's own form."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json_text(arguments, cut)}}}\n</tool_call>'


_IS_AFTER_RESULT = "(last.role == 'tool' or 'Observation:' in text)"
"""Some agents send results as messages of the user."""

_CODE = f'final_answer(get_weather("{CITY}"))'

AGENT: Scripts = {
    "code_object": (
        "'\"thought\"' in first and 'final_answer' in first",
        json_text({"thought": "I look.", "code": _CODE}),
    ),
    "code": ("'<code>' in first", f"Thought: I look.\n<code>\n{_CODE}\n</code>"),
    "final_answer": (f"{_IS_AFTER_RESULT} and 'final_answer' in names", call("final_answer", {"answer": ANSWER})),
    "final_result": (
        f"'final_result' in names and ({_IS_AFTER_RESULT} or 'get_weather' not in names)",
        call("final_result", FORECAST, 2),
    ),
    "partial": ("'PartialForecast' in names", call("PartialForecast", FORECAST, 4)),
    "result": (f"{_IS_AFTER_RESULT} and 'Forecast' not in names and 'JSON' not in text", ANSWER),
    "forecast": (
        f"'Forecast' in names and ({_IS_AFTER_RESULT} or 'get_weather' not in names)",
        call("Forecast", FORECAST),
    ),
    "command": (f"'exec_command' in names and not {_IS_AFTER_RESULT}", call("exec_command", {"cmd": COMMAND})),
    "weather": (
        f"'get_weather' in names and not {_IS_AFTER_RESULT}",
        f"<think>\n{THOUGHTS}\n</think>\n\n{call('get_weather', {'city': CITY})}",
    ),
    "json": ("'JSON' in text", json_text(FORECAST, 3)),
}
"""The scripts of an agent, the first whose condition holds first."""


def build(folder: Path, scripts: Scripts = AGENT, *, vision: bool = False) -> Path:
    """Save the model. Where no condition holds, it says `PLAIN`."""
    said = {f"<|say {name}|>": script for name, (_, script) in scripts.items()} | {"<|say plain|>": PLAIN}
    template = template_source("agent") + _cue({name: condition for name, (condition, _) in scripts.items()})
    marks = ("<think>", "</think>") if any("<think>" in script for script in said.values()) else ()
    scripted.build(folder, said, template, marks, vision=vision, context=65_536)
    return folder


def _cue(conditions: Mapping[str, str]) -> str:
    """The end of the chat template, which chooses a script."""
    branches = "".join(f"{{% elif {condition} %}}<|say {name}|>" for name, condition in conditions.items())
    return (
        "{% set last = messages[-1] %}{% set text = written(last.content) | string %}"
        "{% set first = written(messages[0].content) | string %}"
        "{% set names = (tools or []) | map(attribute='function') | map(attribute='name') | list %}"
        "{% if false %}" + branches + "{% else %}<|say plain|>{% endif %}"
    )
