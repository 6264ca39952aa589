"""Calls with long arguments: they are passed on while the model writes them, and are the same whole and in pieces."""

from __future__ import annotations

import json

import pytest

from tests.workers.toolkit.test_tool_formats import SCHEMAS, Calls, fold, parser
from workers.toolkit.chat.output_parser import OutputPiece
from workers.toolkit.chat.tool_formats.call_pieces import LONG, ArgumentsPiece, CallEnd, CallStart

_LONG_CITY = 'Zürich 🌦 "<|end|>" \\ {[' * 200
_JSON = json.dumps({"city": _LONG_CITY, "days": 3}, ensure_ascii=False)
_CALL: Calls = [("get_weather", {"city": _LONG_CITY, "days": 3})]
_NOW: Calls = [("now", {})]
_BOTH = _CALL + _NOW
_OBJECT = f'{{"name": "get_weather", "arguments": {_JSON}}}'

_WRITTEN: list[tuple[str, str, Calls]] = [
    ("hermes", f"Look.<tool_call>\n{_OBJECT}\n</tool_call>\n<tool_call>\n" '{"name": "now"}\n</tool_call>', _BOTH),
    ("granite", f'<|tool_call|>[{_OBJECT}, {{"name": "now"}}]', _BOTH),
    ("command", f'<|START_ACTION|>[\n  {{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {_JSON}}}'
     "\n]<|END_ACTION|>", _CALL),
    ("llama3", f'{{"name": "get_weather", "parameters": {_JSON}}}; {{"name": "now", "parameters": {{}}}}', _BOTH),
    ("mistral", f"[TOOL_CALLS][{_OBJECT}]", _CALL),
    ("mistral", f"[TOOL_CALLS]get_weather[ARGS]{_JSON}[TOOL_CALLS]now[ARGS]{{}}", _BOTH),
    ("deepseek", f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{_JSON}\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", _CALL),
    ("deepseek", f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{_JSON}<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>", _CALL),
    ("kimi", f"<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
     f"<|tool_call_argument_begin|>{_JSON}<|tool_call_end|><|tool_calls_section_end|>", _CALL),
    ("apertus", f'<|tools_prefix|>[{{"get_weather": {_JSON}}}, {{"now": {{}}}}]<|tools_suffix|>', _BOTH),
    ("gigachat", f"<|message_sep|>\n\nfunction call<|role_sep|>\n{_OBJECT}", _CALL),
    ("gigachat3_1", f"<|function_call|>{_OBJECT}", _CALL),
    ("functionary", f"<function=get_weather>{_JSON}</function><function=now>{{}}</function>", _BOTH),
    ("solar_open", "<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>get_weather<|tool_call:args|>"
     f"{_JSON}<|tool_call:end|><|calls|>", _CALL),
    ("command_r", f'Action:\n```json\n[\n{{"tool_name": "get_weather", "parameters": {_JSON}}}\n]```', _CALL),
    ("harmony", f"<|channel|>commentary to=functions.get_weather json<|message|>{_JSON}<|call|>", _CALL),
]  # fmt: skip


def pieces_of(name: str, text: str, size: int) -> list[OutputPiece]:
    """What a format's reader makes of text that comes in pieces of a size."""
    reader = parser(name)
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    return [piece for part in parts for piece in reader.push(part)] + list(reader.flush())


@pytest.mark.parametrize(("name", "written", "calls"), _WRITTEN)
def test_long_arguments_come_in_pieces(name: str, written: str, calls: Calls) -> None:
    whole, split = (pieces_of(name, written, size) for size in (len(written), 7))
    assert fold(whole) == fold(split) == ("Look." if name == "hermes" else "", calls)
    arguments = [piece.text for piece in split if isinstance(piece, ArgumentsPiece)]
    assert len(arguments) > 100
    assert all(len(text) < 2 * LONG for text in arguments)


def test_raw_line_breaks_become_json() -> None:
    broken = _OBJECT.replace("Zürich", "Zürich\n\t")
    text, calls = fold(pieces_of("hermes", f"<tool_call>{broken}</tool_call>", 5))
    assert (text, calls) == ("", [("get_weather", {"city": _LONG_CITY.replace("Zürich", "Zürich\n\t"), "days": 3})])


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_long_call_that_is_cut_off_ends(size: int) -> None:
    pieces = pieces_of("hermes", f"<tool_call>{_OBJECT[:2000]}", size)
    assert isinstance(pieces[0], CallStart)
    assert isinstance(pieces[-1], CallEnd)
    assert _JSON.startswith("".join(piece.text for piece in pieces if isinstance(piece, ArgumentsPiece)))


@pytest.mark.parametrize("size", [1, 50, 100_000])
def test_text_behind_long_malformed_arguments_is_text(size: int) -> None:
    pieces = pieces_of("hermes", f"<tool_call>{_OBJECT[:-2]} oops; more", size)
    calls = [piece for piece in pieces if isinstance(piece, CallStart | CallEnd)]
    assert [type(piece) for piece in calls] == [CallStart, CallEnd]
    assert fold(pieces, strict=False)[0].endswith("; more")


def test_tool_that_was_not_offered_is_not_passed_on() -> None:
    unknown = _OBJECT.replace("get_weather", "unknown")
    assert "unknown" not in SCHEMAS
    assert not any(isinstance(piece, CallStart) for piece in pieces_of("hermes", f"<tool_call>{unknown}", 5))
