"""Models of several families that say a script: calls of tools and thoughts, each in the family's own form.

The templates in `chat_templates/` are written for these tests, in the manner of those on the models' cards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.testbed.models import scripted

_FOLDER = Path(__file__).with_name("chat_templates")
_CUE = "{% if messages[-1].role == 'tool' %}<|result|>{% elif tools %}<|tools|>{% else %}<|plain|>{% endif %}"
"""What ends every prompt, and makes the model say one of its scripts."""

Calls = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class ChatFamily:
    """A template, and what its model says when it has tools, with what is in it. `marks` are control tokens."""

    template: str
    script: str
    calls: Calls
    text: str | None = None
    thoughts: str | None = None
    marks: tuple[str, ...] = ()

    def build(self, folder: Path, *, plain: str = "Hello, 안녕!") -> Path:
        """Save a model. Without tools it says `plain`, and after the result of a call that it is 21 °C."""
        scripts = {"<|tools|>": self.script, "<|result|>": "It is 21 °C.", "<|plain|>": plain}
        scripted.build(folder, scripts, template_of(self.template), self.marks)
        return folder


def template_source(name: str) -> str:
    """A template without the end that chooses a script."""
    return (_FOLDER / f"{name}.jinja").read_text().rstrip("\n")


def template_of(name: str) -> str:
    """A family's template."""
    return template_source(name) + _CUE


WEATHER: Calls = [("get_weather", {"city": "Zürich 🌦"})]
NOW: Calls = [("now", {})]

FAMILIES = {
    "hermes": ChatFamily(
        "hermes",
        'Let me see.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich 🌦"}}\n</tool_call>',
        WEATHER,
        text="Let me see.",
    ),
    "several": ChatFamily(
        "qwen3",
        '<think>\nTwo calls.\n</think>\n\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Zürich 🌦"}}\n'
        '</tool_call>\n<tool_call>{"arguments": {}, "name": "now"}</tool_call> Soon.',
        WEATHER + NOW,
        text="Soon.",
        thoughts="Two calls.",
        marks=("<think>", "</think>"),
    ),
    "malformed": ChatFamily("hermes", '<tool_call>{"name": oops}</tool_call>', [],
                            text='<tool_call>{"name": oops}</tool_call>'),
    "none": ChatFamily("hermes", "No tool needed: 1 < 2.", [], text="No tool needed: 1 < 2."),
    "llama": ChatFamily("llama", '{"name": "get_weather", "parameters": {"city": "Zürich 🌦"}}', WEATHER),
    "mistral": ChatFamily(
        "mistral", '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Zürich 🌦"}}]', WEATHER,
        marks=("[TOOL_CALLS]",),
    ),
    "deepseek": ChatFamily(
        "deepseek",
        "<think>Hm.</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
        '{"city": "Zürich 🌦"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        WEATHER,
        thoughts="Hm.",
        marks=("<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
               "<｜tool▁calls▁end｜>"),
    ),
    "gemma": ChatFamily(
        "gemma",
        "<|channel>thought\nHm.\n<channel|>I look."
        '<|tool_call>call:get_weather{city:<|"|>Zürich 🌦<|"|>}<tool_call|>',
        WEATHER,
        text="I look.",
        thoughts="Hm.",
        marks=("<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>"),
    ),
    "coder": ChatFamily(
        "coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich 🌦\n</parameter>\n</function>\n</tool_call>",
        WEATHER,
    ),
    "harmony": ChatFamily(
        "harmony",
        '<|channel|>commentary to=functions.get_weather json<|message|>{"city": "Zürich 🌦"}',
        WEATHER,
        marks=("<|channel|>", "<|message|>", "<|start|>", "<|end|>"),
    ),
}  # fmt: skip
