"""Calls of tools in each family's own form: read whole, and from text in pieces of any length."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.toolkit.chat.call_readers import TOOL_FORMATS, call_reader
from workers.toolkit.chat.output_parser import OutputParser, OutputPiece, TextPiece
from workers.toolkit.chat.tool_formats import FORMATS
from workers.toolkit.chat.tool_formats.base import WrittenCall
from workers.toolkit.chat.tool_formats.call_pieces import ArgumentsPiece, CallEnd, CallStart

SCHEMAS: dict[str, dict[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "units": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "where": {"$ref": "#/$defs/place"},
            "hours": {"type": "array", "items": {"type": "integer"}},
        },
        "$defs": {"place": {"type": "object"}},
    },
    "now": {"type": "object", "properties": {}},
}
WEATHER = ("get_weather", {"city": 'Zürich 🌦 "x"', "days": 3, "where": {"lat": [1.5, -2]}})
NOW = ("now", {})

Calls = list[tuple[str, dict[str, Any]]]


def parser(name: str) -> OutputParser:
    """The reader for a format's calls."""
    return call_reader(TOOL_FORMATS[name], SCHEMAS)


def read(name: str, pieces: list[str]) -> tuple[str, Calls]:
    """The text and the calls that a format's reader finds in pieces of text."""
    reader = parser(name)
    return fold([item for piece in pieces for item in reader.push(piece)] + list(reader.flush()))


def fold(pieces: list[OutputPiece], *, strict: bool = True) -> tuple[str, Calls]:
    """The text and the calls in what a reader found. Without `strict`, arguments may be no JSON."""
    text, calls, arguments = "", [], ""
    for piece in pieces:
        match piece:
            case TextPiece():
                text += "" if piece.is_thought else piece.text
            case WrittenCall():
                calls.append((piece.name, piece.arguments))
            case CallStart():
                calls.append((piece.name, {}))
                arguments = ""
            case ArgumentsPiece():
                arguments += piece.text
            case CallEnd() if strict:
                calls[-1] = calls[-1][0], json.loads(arguments)
    return text, calls


JSON = '{"city": "Zürich 🌦 \\"x\\"", "days": 3, "where": {"lat": [1.5, -2]}}'

WRITTEN: list[tuple[str, str, str, Calls]] = [
    ("hermes", f'Let me see.\n\n<tool_call>\n{{"name": "get_weather", "arguments": {JSON}}}\n</tool_call>',
     "Let me see.", [WEATHER]),
    ("hermes", f'<tool_call>{{"name": "get_weather", "arguments": {JSON}}}</tool_call>\n<tool_call>\n'
     '{"name": "now", "arguments": {}}\n</tool_call>\nDone.', "Done.", [WEATHER, NOW]),
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "</tool_call> {\\\\"}}\n</tool_call>', "",
     [("get_weather", {"city": "</tool_call> {\\"})]),
    ("hermes", '<tool_call>{"name": "now", "arguments": "{}"}', "", [NOW]),
    ("granite", f'<|tool_call|>[{{"name": "get_weather", "arguments": {JSON}}}, {{"name": "now"}}]', "",
     [WEATHER, NOW]),
    ("phi", f'<|tool_call|>[{{"name": "get_weather", "arguments": {JSON}}}]<|/tool_call|>', "", [WEATHER]),
    ("nemotron", f'<TOOLCALL>[{{"name": "get_weather", "arguments": {JSON}}}]</TOOLCALL>', "", [WEATHER]),
    ("jamba", f'<tool_calls>[\n{{"name": "get_weather", "arguments": {JSON}}}\n]</tool_calls>', "", [WEATHER]),
    ("command", f'<|START_ACTION|>[\n  {{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {JSON}}},\n'
     '  {"tool_call_id": "1", "tool_name": "now", "parameters": {}}\n]<|END_ACTION|>', "", [WEATHER, NOW]),
    ("llama3", f'{{"name": "get_weather", "parameters": {JSON}}}', "", [WEATHER]),
    ("llama3", f'<|python_tag|>{{"name": "get_weather", "parameters": {JSON}}}; {{"name": "now", "parameters": {{}}}}',
     "", [WEATHER, NOW]),
    ("llama3", '<|python_tag|>brave_search.call(query="Zürich")', "", [("brave_search", {"query": "Zürich"})]),
    ("pythonic", '[get_weather(city="Zürich 🌦 \\"x\\"", days=3, where={"lat": [1.5, -2]}), now()]', "",
     [WEATHER, NOW]),
    ("pythonic", "[get_weather(city='it\\'s (', units=None, hours=[1, 2], where={'on': true})]", "",
     [("get_weather", {"city": "it's (", "units": None, "hours": [1, 2], "where": {"on": True}})]),
    ("lfm", 'Checking.<|tool_call_start|>[get_weather(city="Bern", days=-1)]<|tool_call_end|>Soon.',
     "Checking.Soon.", [("get_weather", {"city": "Bern", "days": -1})]),
    ("mistral", f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {JSON}}}, {{"name": "now", "arguments": {{}}}}]',
     "", [WEATHER, NOW]),
    ("mistral", f"Sure.[TOOL_CALLS]get_weather[ARGS]{JSON}[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{{}}", "Sure.",
     [WEATHER, NOW]),
    ("mistral", f" [TOOL_CALLS] get_weather{JSON}", "", [WEATHER]),
    ("deepseek", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n" + JSON
     + "\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>", "", [WEATHER, NOW]),
    ("deepseek", "Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>" + JSON
     + "<｜tool▁call▁end｜><｜tool▁calls▁end｜>", "Hm.", [WEATHER]),
    ("deepseek_v3_2", '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n'
     '<｜DSML｜parameter name="city" string="true">12</｜DSML｜parameter>\n'
     '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n'
     '</｜DSML｜function_calls>', "", [("get_weather", {"city": "12", "days": 3})]),
    ("kimi", f"<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{JSON}"
     "<|tool_call_end|><|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
     "<|tool_calls_section_end|>", "", [WEATHER, NOW]),
    ("gemma4", '<|tool_call>call:get_weather{city:<|"|>Zürich 🌦 "x"<|"|>,days:3,where:{lat:[1.5,-2]}}<tool_call|>'
     "<|tool_call>call:now{}<tool_call|>", "", [WEATHER, NOW]),
    ("function_gemma", "<start_function_call>call:get_weather{city:<escape>a, b: {c}<escape>,hours:[1,2]}"
     "<end_function_call>", "", [("get_weather", {"city": "a, b: {c}", "hours": [1, 2]})]),
    ("qwen3_coder", "I look.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich\n 1 < 2\n</parameter>\n"
     '<parameter=days>\n3\n</parameter>\n<parameter=where>\n{"lat": 1}\n</parameter>\n<parameter=units>\nnull\n'
     "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>", "I look.",
     [("get_weather", {"city": "Zürich\n 1 < 2", "days": 3, "where": {"lat": 1}, "units": None}), NOW]),
    ("qwen3_coder", "<function=get_weather>\n<parameter=city>\n007\n</parameter>\n</function>", "",
     [("get_weather", {"city": "007"})]),
    ("seed", "<seed:tool_call>\n<function=get_weather>\n<parameter=city>Bern</parameter>\n</function>\n"
     "</seed:tool_call>", "", [("get_weather", {"city": "Bern"})]),
    ("glm", "Ok.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Zürich</arg_value>\n"
     "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now\n</tool_call>", "Ok.",
     [("get_weather", {"city": "Zürich", "days": 3}), NOW]),
    ("minimax", '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Zürich</parameter>\n'
     '<parameter name="hours">[1, 2]</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>', "",
     [("get_weather", {"city": "Zürich", "hours": [1, 2]}), NOW]),
    ("apertus", f'I look.<|tools_prefix|>[{{"get_weather": {JSON}}}, {{"now": {{}}}}]<|tools_suffix|>', "I look.",
     [WEATHER, NOW]),
    ("minimax_m3", ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="get_weather">]<]minimax[>[<city>Zürich < 1'
     "]<]minimax[>[</city>]<]minimax[>[<days>3]<]minimax[>[</days>]<]minimax[>[<where>]<]minimax[>[<lat>]<]minimax[>["
     "<item>1.5]<]minimax[>[</item>]<]minimax[>[<item>-2]<]minimax[>[</item>]<]minimax[>[</lat>]<]minimax[>[</where>"
     "]<]minimax[>[<hours>]<]minimax[>[</hours>]<]minimax[>[</invoke>\n]<]minimax[>[<invoke name=\"now\">"
     "]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>", "",
     [("get_weather", {"city": "Zürich < 1", "days": 3, "where": {"lat": [1.5, -2]}, "hours": []}), NOW]),
    ("gigachat", f'I look.<|message_sep|>\n\nfunction call<|role_sep|>\n{{"name": "get_weather", "arguments": {JSON}}}',
     "I look.", [WEATHER]),
    ("gigachat", '<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "now", "arguments": {}}<|message_sep|>\n\n',
     "", [NOW]),
    ("gigachat", "No call.<|message_sep|>\n\n", "No call.", []),
    ("gigachat3_1", f'I look.<|function_call|>{{"name": "get_weather", "arguments": {JSON}}}', "I look.", [WEATHER]),
    ("functionary", f"I look.<function=get_weather>{JSON}</function><function=now>{{}}</function>", "I look.",
     [WEATHER, NOW]),
    ("hunyuan", "Ok.<tool_calls:opensource>\n<tool_call:opensource>get_weather<tool_sep:opensource>\n"
     "<arg_key:opensource>city</arg_key:opensource>\n<arg_value:opensource>Zürich <1></arg_value:opensource>\n"
     "<arg_key:opensource>days</arg_key:opensource>\n<arg_value:opensource>3</arg_value:opensource>\n"
     "</tool_call:opensource>\n<tool_call:opensource>now<tool_sep:opensource>\n</tool_call:opensource>\n"
     "</tool_calls:opensource>", "Ok.", [("get_weather", {"city": "Zürich <1>", "days": 3}), NOW]),
    ("harmony", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look."
     "<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>" + JSON
     + "<|call|>", "I look.", [WEATHER]),
    ("recipients", f"all\nI look.\n>>>get_weather\n{JSON}>>>now\n{{}}", "I look.", [WEATHER, NOW]),
    ("recipients", f"get_weather\n{JSON}", "", [WEATHER]),
    ("recipients", "all\n>>> print(1)\n>>>unknown\n", ">>> print(1)\n>>>unknown\n", []),
    ("harmony", "<|start|>assistant to=functions.now<|channel|>commentary json<|message|>{}", "", [NOW]),
    ("harmony", '<|channel|>commentary to=functions.get_weather json<|message|>{"city": "a <|end|> \\" <|call|>"}'
     "<|call|>", "", [("get_weather", {"city": 'a <|end|> " <|call|>'})]),
    ("pythonic", '[get_weather(city="3", days="3")]', "", [("get_weather", {"city": "3", "days": 3})]),
    ("jamba", '<tool_calls>\n{"name": "get_weather", "arguments": {"days": 3}}\n{"name": "now", "arguments": {}}\n'
     "</tool_calls>", "", [("get_weather", {"days": 3}), NOW]),
    ("functools", 'functools[{"name": "now", "arguments": {}}]', "", [NOW]),
    ("llama3", '[{"name": "now", "arguments": {}}, {"name": "get_weather", "arguments": {"days": 3}}]', "",
     [NOW, ("get_weather", {"days": 3})]),
    ("deepseek_v4", '<｜DSML｜tool_calls>\n<｜DSML｜invoke name="now">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>', "",
     [NOW]),
    ("minimax", '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="where">{"a": "</parameter>"}'
     "</parameter>\n</invoke>\n</minimax:tool_call>", "", [("get_weather", {"where": {"a": "</parameter>"}})]),
    ("kimi_k3", '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>argument key="city" '
     'type="string"<|sep|>Zürich 🌦 "x"<|close|>argument<|sep|><|open|>argument key="days" type="number"<|sep|>3'
     '<|close|>argument<|sep|><|open|>argument key="where" type="object"<|sep|>{"lat": [1.5, -2]}<|close|>argument'
     '<|sep|><|close|>call<|sep|><|open|>call tool="now" index="2"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>',
     "", [WEATHER, NOW]),
    ("kimi_k3", 'I look.<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>json type="object"'
     f"<|sep|>{JSON}<|close|>json<|sep|><|close|>call<|sep|><|close|>tools<|sep|>", "I look.", [WEATHER]),
    ("kimi_k3", '<|open|>tools<|sep|><|open|>call tool="now" index="1"<|sep|><|open|>argument key="a &quot;&amp;lt;"'
     ' type="boolean"<|sep|>true<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>', "",
     [("now", {'a "&lt;': True})]),
    ("solar_open", "I look.<|tool_calls|><|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>get_weather<|tool_call:args|>"
     f"{JSON}<|tool_call:end|><|tool_call:begin|>f6g7h8i9j0<|tool_call:name|>now<|tool_call:args|>{{}}"
     "<|tool_call:end|><|calls|>", "I look.", [WEATHER, NOW]),
    ("solar_open", "<|tool_calls|><|tool_call:begin|><|tool_call:name|>now<|tool_call:args|>{}<|tool_call:end|>", "",
     [NOW]),
    ("solar_open2", "I look.\n<|tool_call:start|>get_weather\n<|tool_arg:start|>city<|tool_arg:value|>Zürich\n < 1"
     "<|tool_arg:end|>\n<|tool_arg:start|>days<|tool_arg:value|>3<|tool_arg:end|>\n<|tool_call:end|>\n"
     "<|tool_call:start|>now\n<|tool_call:end|>", "I look.",
     [("get_weather", {"city": "Zürich\n < 1", "days": 3}), NOW]),
    ("minicpm5", '<function name="get_weather"><param name="city"><![CDATA[Zürich\n <b> & ]]]></param>'
     '<param name="days">3</param><param name="where">{\'on\': True}</param></function>\n<function name="now">'
     "</function>", "", [("get_weather", {"city": "Zürich\n <b> & ]", "days": 3, "where": {"on": True}}), NOW]),
    ("minicpm5", 'I look.\n<function name="get_weather"><param name="city">a &amp; b</param><param name="units">None'
     "</param></function>", "I look.", [("get_weather", {"city": "a & b", "units": None})]),
    ("command_r", 'I will look.\nAction:\n```json\n[\n    {\n        "tool_name": "get_weather",\n'
     f'        "parameters": {JSON}\n    }},\n    {{\n        "tool_name": "now",\n        "parameters": {{}}\n    }}\n'
     "]```\n", "I will look.", [WEATHER, NOW]),
    ("command_r", 'Action: ```json\n[{"tool_name": "directly-answer", "parameters": {}}]\n```\nYes.', "Yes.", []),
    ("seed", "<seed:tool_call>\n<function=get_weather>\n<parameter=where>{'on': True}</parameter>\n</function>\n"
     "</seed:tool_call>", "", [("get_weather", {"where": {"on": True}})]),
]  # fmt: skip

TEXT: list[tuple[str, str]] = [
    *((name, 'The answer: 1 < 2, [see] {here}; it\'s "done".\n ') for name in FORMATS),
    ("hermes", '<tool_call>{"name": "now", "arguments": {}</tool_call> and more'),
    ("hermes", '<tool_call>{"name": 3, "arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "now", "argum'),
    ("hermes", "The tag <tool_call> begins a call."),
    ("hermes", "It ends in <tool_"),
    ("llama3", '{"answer": 42}'),
    ("llama3", '{"name": "unknown", "parameters": {}}'),
    ("llama3", 'Say {"name": "now", "parameters": {}}'),
    ("llama3", "<|python_tag|>print(1)"),
    ("pythonic", "[1] is a reference, [2] too"),
    ("pythonic", "[unknown(a=1)]"),
    ("pythonic", "[get_weather(__import__('os'))]"),
    ("pythonic", "[get_weather(city=open('x'))]"),
    ("mistral", "[TOOL_CALLS] is a token."),
    ("mistral", '[TOOL_CALLS][{"name": "now"'),
    ("deepseek", "<｜tool▁calls▁begin｜>none"),
    ("gemma4", "<|tool_call>now<tool_call|>"),
    ("qwen3_coder", "<function=now"),
    ("glm", "<tool_call>is a tag</tool_call>"),
    ("minimax", "<minimax:tool_call></minimax:tool_call>"),
    ("kimi", "<|tool_calls_section_begin|><|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>[]"),
    ("recipients", 'The answer: 1 < 2, [see] {here}; it\'s "done".\n '),
    ("recipients", "now\n{oops}"),
    ("recipients", "now"),
    ("minimax_m3", ']<]minimax[>[<tool_call>]<]minimax[>[<invoke name="now">oops'),
    ("minimax_m3", "]<]minimax[>[<tool_call>]<]minimax[>[</tool_call>"),
    ("apertus", "<|tools_prefix|>[]<|tools_suffix|>"),
    ("apertus", '<|tools_prefix|>[{"now": 3}]<|tools_suffix|>'),
    ("apertus", '<|tools_prefix|>["now"]<|tools_suffix|>'),
    ("gigachat3_1", '<|function_call|>{"name": 3}'),
    ("functionary", "<function=now>{oops}</function>"),
    ("functionary", "<function=now>[]</function>"),
    ("hunyuan", "<tool_calls:opensource>\n</tool_calls:opensource>"),
    ("kimi_k3", "<|open|>tools<|sep|><|close|>tools<|sep|>"),
    ("kimi_k3", '<|open|>tools<|sep|><|open|>call index="1"<|sep|><|close|>call<|sep|><|close|>tools<|sep|>'),
    ("kimi_k3", '<|open|>tools<|sep|><|open|>call tool="now" index="1"<|sep|><|open|>json type="object"<|sep|>[1]'),
    ("solar_open", "<|tool_calls|><|tool_call:begin|>a<|tool_call:name|>now<|tool_call:args|>[]<|tool_call:end|>"),
    ("solar_open", "<|tool_calls|><|calls|>"),
    ("solar_open2", "<|tool_call:start|>no w\n<|tool_call:end|>"),
    ("minicpm5", '<function name="now">oops</function>'),
    ("minicpm5", 'The tag <function name="x y"></function> begins a call.'),
    ("command_r", "Action: look up.\n```json\n[]\n```"),
    ("command_r", 'Action:\n```json\n[{"tool_name": 3}]\n```'),
    ("hunyuan", "<tool_calls:opensource>\n<tool_call:opensource>no w<tool_sep:opensource>"),
]


@pytest.mark.parametrize(("name", "written", "text", "calls"), WRITTEN)
def test_calls_are_read_whole_and_token_by_token(name: str, written: str, text: str, calls: Calls) -> None:
    assert read(name, [written]) == (text, calls)
    assert read(name, list(written)) == (text, calls)


@pytest.mark.parametrize(("name", "written"), TEXT)
def test_what_is_no_call_stays_text(name: str, written: str) -> None:
    assert read(name, [written]) == (written, [])
    assert read(name, list(written)) == (written, [])


@given(st.sampled_from([*((name, text) for name, text, _, _ in WRITTEN), *TEXT]), st.data())
def test_splitting_the_text_changes_nothing(example: tuple[str, str], data: st.DataObject) -> None:
    name, written = example
    cuts = sorted(data.draw(st.sets(st.integers(0, len(written)), max_size=6)))
    pieces = [written[start:end] for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    assert read(name, pieces) == read(name, [written])


@pytest.mark.parametrize(("name", "written", "text", "calls"), WRITTEN)
def test_a_call_that_is_cut_off_loses_no_text(name: str, written: str, text: str, calls: Calls) -> None:
    for end in range(len(written)):
        cut = written[:end]
        cut_text, cut_calls = read(name, [cut])
        assert cut_calls == calls[: len(cut_calls)], cut
        if cut_calls or name in ("harmony", "recipients"):  # headers of messages are no text
            continue
        calls_nothing = not calls and "}]" in cut  # such a list is no text, also where the text behind it is cut off
        assert cut_text in (cut, written[len(written) - len(text) : end] if calls_nothing else text), cut


def test_malformed_call_does_not_hide_a_good_one() -> None:
    text, calls = read("hermes", ['<tool_call>oops</tool_call><tool_call>{"name": "now"}</tool_call>'])
    assert (text, calls) == ("<tool_call>oops</tool_call>", [NOW])
