"""Thoughts in each family's own form, apart from the answer, and together with calls of tools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.toolkit.chat.framed_text import FramedText
from workers.toolkit.chat.harmony import HarmonyReader
from workers.toolkit.chat.output_parser import CallReader, OutputParser, PlainText, TextPiece, ThoughtReader
from workers.toolkit.chat.reasoning_formats import REASONING_FORMATS, find_reasoning_format
from workers.toolkit.chat.tool_formats import FORMATS

SCHEMAS = {"now": {"type": "object"}}
CALL = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'

Result = tuple[str, str, list[str]]


def read(name: str, pieces: list[str], prompt: str = "", *, tools: bool = False) -> Result:
    """The thoughts, the answer and the names of called tools in pieces of text that follow a prompt."""
    own = None if name in ("kimi_k3", "solar_open") else FORMATS.get(name)
    form = own or FORMATS["hermes"]  # a few models have a form of their own for both
    reader: OutputParser = CallReader(form, SCHEMAS) if tools else PlainText()
    if name == "harmony":
        reader = HarmonyReader(SCHEMAS)
    elif name:
        written = REASONING_FORMATS[name]
        reader = FramedText(written.frame, reader) if written.frame else reader
        reader = ThoughtReader(written, reader, is_thinking=written.is_open_in(prompt))
    items = [item for piece in pieces for item in reader.push(piece)] + list(reader.flush())
    texts = [item for item in items if isinstance(item, TextPiece)]
    assert all(item.text for item in texts)
    thoughts, answer = ("".join(t.text for t in texts if t.is_thought is wanted) for wanted in (True, False))
    return thoughts, answer, [item.name for item in items if not isinstance(item, TextPiece)]


WRITTEN: list[tuple[str, str, str, Result]] = [
    ("think", "<think>\nHm, 2 < 3. 안녕\n</think>\n\nYes.\n", "", ("Hm, 2 < 3. 안녕", "Yes.\n", [])),
    ("think", "Hm.\n\nSo.</think>Yes.", "user: Hi\nassistant: <think>\n", ("Hm.\n\nSo.", "Yes.", [])),
    ("think", "\n Yes, <think> is a mark.</think>", "", ("", "\n Yes, <think> is a mark.</think>", [])),
    ("think", "<think>\n\n</think>\n\nYes.", "", ("", "Yes.", [])),
    ("think", "<think>Cut off", "", ("Cut off", "", [])),
    ("think", "<think>Cut off</thi", "", ("Cut off</thi", "", [])),
    ("think", "<thi", "", ("", "<thi", [])),
    ("think", "<think>Hm.</think>\n\n" + CALL, "", ("Hm.", "", ["now"])),
    ("think", f"<think>Hm.</think>\nI look.\n{CALL}\n{CALL}", "", ("Hm.", "I look.", ["now", "now"])),
    ("think", f"<think>{CALL}</think>Yes.", "", (CALL, "Yes.", [])),
    ("mistral", "[THINK]Hm.[/THINK]Yes.", "", ("Hm.", "Yes.", [])),
    ("command", "<|START_THINKING|>Hm.<|END_THINKING|>Yes.", "", ("Hm.", "Yes.", [])),
    ("gemma4", "<|channel>thought\nHm.\n<channel|>Yes.", "", ("Hm.", "Yes.", [])),
    ("granite", "Here is my thought process: Hm. Here is my response: Yes.", "", ("Hm.", "Yes.", [])),
    ("hunyuan", "Hm.</think:opensource>Yes.", "<think:opensource>", ("Hm.", "Yes.", [])),
    ("minimax_m3", "<mm:think>Hm.</mm:think>Yes.", "", ("Hm.", "Yes.", [])),
    ("minimax_m3", "</mm:think>Yes.", "", ("", "Yes.", [])),
    ("minimax_m3", "</mm", "", ("", "</mm", [])),
    ("apertus", "<|inner_prefix|>Hm.<|inner_suffix|>Yes.", "", ("Hm.", "Yes.", [])),
    ("kimi_k3", "Hm.<|close|>think<|sep|><|open|>response<|sep|>Yes.\n<|close|>response<|sep|><|close|>message<|sep|>",
     "<|open|>message<|sep|><|open|>think<|sep|>", ("Hm.", "Yes.\n", [])),
    ("kimi_k3", "Yes.<|close|>response<|sep|>", "<|open|>response<|sep|>", ("", "Yes.", [])),
    ("kimi_k3", "<|open|>response<|sep|>1 <| 2<|close|>resp", "", ("", "1 <| 2<|close|>resp", [])),
    ("kimi_k3", "<|close|>think<|sep|><|open|>response<|sep|>I look.<|close|>response<|sep|>" + CALL,
     "<|open|>think<|sep|>", ("", "I look.", ["now"])),
    ("solar_open", "<|think|>Hm.<|end|><|begin|>assistant<|content|>Yes.<|flush|>", "", ("Hm.", "Yes.", [])),
    ("solar_open", "<|content|>I look.<|end|><|begin|>assistant" + CALL, "", ("", "I look.", ["now"])),
    ("solar_open", "<|think|>Hm.<|end|><|begin|>assistant" + CALL, "", ("Hm.", "", ["now"])),
    ("harmony", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "",
     ("Hm.", "Yes.", [])),
    ("harmony", "<|channel|>analysis<|message|>Hm", "", ("Hm", "", [])),
    ("", "<think>Hm.</think>Yes.", "", ("", "<think>Hm.</think>Yes.", [])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "written", "prompt", "result"), WRITTEN)
def test_thoughts_come_apart_from_the_answer(name: str, written: str, prompt: str, result: Result) -> None:
    assert read(name, [written], prompt, tools=CALL in written) == result
    assert read(name, list(written), prompt, tools=CALL in written) == result


def test_call_within_a_thought_ends_it() -> None:
    written = '<|inner_prefix|>I look.\n<|tools_prefix|>[{"now": {}}]<|tools_suffix|>'
    for pieces in ([written], list(written)):
        assert read("apertus", pieces, tools=True) == ("I look.", "", ["now"])


@given(st.sampled_from(WRITTEN), st.data())
def test_splitting_the_text_changes_nothing(example: tuple[str, str, str, Result], data: st.DataObject) -> None:
    name, written, prompt, result = example
    cuts = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=6)))
    pieces = [written[start:end] for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    assert read(name, pieces, prompt, tools=CALL in written) == result


def test_a_closed_thought_in_the_prompt_is_not_open() -> None:
    """Templates write an empty thought where thinking is switched off."""
    assert not REASONING_FORMATS["think"].is_open_in("assistant: <think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{% if enable_thinking is false %}<think>\n\n</think>{% endif %}", "think"),
        ("{{ content.split('</think>')[-1] }}", "think"),
        ("[THINK]{{ thought }}[/THINK]", "mistral"),
        ("<|start|>assistant<|channel|>analysis<|message|>", "harmony"),
        ("{{ message.content }}", None),
    ],
)
def test_format_of_thoughts_is_found_by_the_template(template: str, name: str | None) -> None:
    found = find_reasoning_format(template)
    assert (found and found.name) == name
