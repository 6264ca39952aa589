"""How the form of a model's calls is found by its chat template, and in which form earlier calls reach the template.

The templates do what real ones do: those of DeepSeek V3.2, Granite 3, Llama 4, LFM2, Kimi K2, Cohere, gpt-oss, Apertus,
GigaChat 3, Hunyuan 3, functionary, Kimi K3, Solar Open, MiniCPM5 and Command R.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from contract.errors import UnsupportedFeature
from contract.tasks.chat import ChatRequest, Message
from workers.toolkit.chat.dialect import Dialect, find_dialect
from workers.toolkit.chat.template_probe import Render

_TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"
_TURNS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}CALLS{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
_EACH = "{% for c in m.tool_calls %}CALL{% endfor %}"
_JSON = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}'


def template_with(calls: str, *, tools: str = _TOOLS, turns: str = _TURNS) -> str:
    """A chat template that writes the calls of a turn in some way."""
    return f"{tools}{turns.replace('CALLS', calls)}<assistant>"


_DSML = (
    "{% set t = '｜DSML｜' %}{{ '<' + t + 'function_calls>' }}"
    + _EACH.replace(
        "CALL",
        "{{ '<' + t + 'invoke name=\"' + c.function.name + '\">' }}{% for k, v in c.function.arguments.items() %}"
        "{{ '<' + t + 'parameter name=\"' + k + '\" string=\"true\">' + v + '</' + t + 'parameter>' }}{% endfor %}"
        "{{ '</' + t + 'invoke>' }}",
    )
    + "{{ '</' + t + 'function_calls>' }}"
)
_PYTHON = (
    "[" + _EACH.replace("CALL", "{{ c.function.name }}({% for k, v in c.function.arguments.items() %}"
                        '{{ k }}="{{ v }}"{% endfor %})') + "]"
)  # fmt: skip
_KIMI = (
    "<|tool_calls_section_begin|>"
    + _EACH.replace(
        "CALL",
        "<|tool_call_begin|>{{ c.id }}<|tool_call_argument_begin|>{{ c.function.arguments | tojson }}<|tool_call_end|>",
    )
    + "<|tool_calls_section_end|>"
)
_APERTUS = _EACH.replace("CALL", '{"{{ c.function.name }}": {{ c.function.arguments | tojson }}}')
_HUNYUAN = (
    "{% macro tag(name) %}<{{ name }}{{ ':open' + 'source' }}>{% endmacro %}{{ tag('tool_calls') }}\n"
    + _EACH.replace(
        "CALL",
        "{{ tag('tool_call') }}{{ c.function.name }}{{ tag('tool_sep') }}\n"
        "{% for k, v in c.function.arguments.items() %}"
        "{{ tag('arg_key') }}{{ k }}{{ tag('/arg_key') }}\n{{ tag('arg_value') }}{{ v }}{{ tag('/arg_value') }}\n"
        "{% endfor %}{{ tag('/tool_call') }}\n",
    )
    + "{{ tag('/tool_calls') }}"
)
_FUNCTION_TAG = _EACH.replace("CALL", "<function={{ c.function.name }}>{{ c.function.arguments | tojson }}</function>")
_RECIPIENTS = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% if m.content %}>>>all\n{{ m.content }}"
    "{% endif %}{% for c in m.tool_calls or [] %}{{ '>>>' + c.function.name + '\n' + c.function.arguments }}"
    "{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}{% if messages[-1].role != 'assistant' %}<assistant>>>>{% endif %}"
)
_KIMI_K3 = (
    "<|open|>response<|sep|>{{ m.content }}<|close|>response<|sep|><|open|>tools<|sep|>"
    + _EACH.replace(
        "CALL",
        """<|open|>call tool="{{ c.function.name }}" index="{{ loop.index }}"<|sep|>"""
        "{% for k, v in c.function.arguments.items() %}"
        """<|open|>argument key="{{ k }}" type="string"<|sep|>{{ v }}<|close|>argument<|sep|>{% endfor %}"""
        "<|close|>call<|sep|>",
    )
    + "<|close|>tools<|sep|>"
)
_SOLAR = (
    "<|tool_calls|>"
    + _EACH.replace(
        "CALL",
        "<|tool_call:begin|>{{ c.id }}<|tool_call:name|>{{ c.function.name }}<|tool_call:args|>"
        "{{ c.function.arguments | tojson }}<|tool_call:end|>",
    )
    + "<|calls|>"
)
_SOLAR_2 = _EACH.replace(
    "CALL",
    "<|tool_call:start|>{{ c.function.name }}\n{% for k, v in c.function.arguments.items() %}"
    "<|tool_arg:start|>{{ k }}<|tool_arg:value|>{{ v }}<|tool_arg:end|>\n{% endfor %}<|tool_call:end|>",
)
_MINICPM = _EACH.replace(
    "CALL",
    """<function name="{{ c.function.name }}">{% for k, v in c.function.arguments.items() %}"""
    """<param name="{{ k }}">{{ v }}</param>{% endfor %}</function>""",
)
_COMMAND_R = (
    "\nAction:\n```json\n[\n"
    + _EACH.replace("CALL", _JSON.replace('"name"', '"tool_name"').replace('"arguments"', '"parameters"'))
    + "\n]```\n"
)
_NO_PLACE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (template_with(f"<tool_call>\n{_EACH.replace('CALL', _JSON)}\n</tool_call>"), "hermes"),
        (template_with(f"<|tool_call|>[{_EACH.replace('CALL', _JSON)}]"), "granite"),
        (template_with(f"<|tool_call|>[{_EACH.replace('CALL', _JSON)}]<|/tool_call|>"), "phi"),
        (template_with(f"[{_EACH.replace('CALL', _JSON)}]"), "llama3"),
        (template_with(_DSML), "deepseek_v3_2"),
        (template_with(_DSML.replace("function_calls", "tool_calls")), "deepseek_v4"),
        (template_with(_PYTHON), "pythonic"),
        (template_with(_KIMI), "kimi"),
        (template_with(f"<|tools_prefix|>[{_APERTUS}]<|tools_suffix|>"), "apertus"),
        (template_with(f"<|message_sep|>\n\nfunction call<|role_sep|>\n{_EACH.replace('CALL', _JSON)}"), "gigachat"),
        (template_with(f"<|function_call|>{_EACH.replace('CALL', _JSON)}"), "gigachat3_1"),
        (template_with(_HUNYUAN), "hunyuan"),
        (template_with(_FUNCTION_TAG), "functionary"),
        (template_with(_KIMI_K3), "kimi_k3"),
        (template_with(_SOLAR), "solar_open"),
        (template_with(_SOLAR_2), "solar_open2"),
        (template_with(_MINICPM), "minicpm5"),
        (template_with(_COMMAND_R), "command_r"),
        (_TOOLS + _RECIPIENTS, "recipients"),
        (template_with("", turns=_NO_PLACE, tools=_TOOLS + "<|tool_call|>"), "granite"),
        (template_with("", turns=_NO_PLACE, tools="List of tools: [{{ tools | tojson }}]"), "lfm"),
        (template_with(_PYTHON, tools=_TOOLS.replace("tools", "xml_tools")), "pythonic"),
    ],
)
def test_format_is_the_one_that_reads_the_templates_call(template: str, name: str) -> None:
    found = dialect_of(template).tools
    assert found is not None
    assert found.name == name


def test_form_that_no_format_reads_is_unknown() -> None:
    """Words alone mislead: this template has the mark of another family in it."""
    calls = f"<tool_call>{_EACH.replace('CALL', '<call {{ c.function.name }}>{{ c.function.arguments | tojson }}')}"
    dialect = dialect_of(template_with(calls))
    assert dialect.tools is None
    with pytest.raises(UnsupportedFeature, match="form of its calls is unknown"):
        dialect.variables(_request())


def test_mode_of_a_template_switches_thinking() -> None:
    dialect = dialect_of("{{ '<mm:think>' if thinking_mode != 'disabled' else '</mm:think>' }}")
    for effort, mode in (("none", "disabled"), ("high", "enabled")):
        fields = {"messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": effort}
        request = ChatRequest.model_validate(fields)
        assert dialect.variables(request) == {"thinking_mode": mode}
        assert dialect.warnings(request) == []


def test_degree_of_thinking_has_the_template_s_name() -> None:
    dialect = dialect_of("<think></think>{% if thinking %}{{ thinking_effort }}{% endif %}")
    for effort, variables in (
        ("none", {"thinking": False}),
        ("minimal", {"thinking": True, "thinking_effort": "low"}),
        ("high", {"thinking": True, "thinking_effort": "high"}),
        ("xhigh", {"thinking": True, "thinking_effort": "max"}),
    ):
        fields = {"messages": [{"role": "user", "content": "Hi"}], "reasoning_effort": effort}
        assert dialect.variables(ChatRequest.model_validate(fields)) == variables


def test_refusal_of_the_template_is_named() -> None:
    dialect = dialect_of(template_with("{{ raise_exception('No tools on Sundays') }}"))
    assert "No tools on Sundays" in dialect.why_no_tools


def test_calls_without_a_place_become_content() -> None:
    template = template_with("", turns=_NO_PLACE, tools="List of tools: [{{ tools | tojson }}]")
    text = rendered(template, content="I look.")
    assert "<assistant>I look.<|tool_call_start|>[get_weather(city='Bern')]<|tool_call_end|><tool>21" in text


def test_ids_have_the_names_that_the_template_reads() -> None:
    assert "<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>" in rendered(template_with(_KIMI))


def test_text_before_calls_is_cohere_s_plan() -> None:
    call = _JSON.replace('"name"', '"tool_name"').replace('"arguments"', '"parameters"')
    calls = "{{ m.tool_plan }}" + f"<|START_ACTION|>[{_EACH.replace('CALL', call)}]<|END_ACTION|>"
    assert "<assistant>I look.<|START_ACTION|>" in rendered(template_with(calls), content="I look.")


def test_turn_with_two_calls_is_split_where_one_is_lost() -> None:
    first = _EACH.replace("CALL", _JSON).replace("in m.tool_calls", "in m.tool_calls[:1]")
    template = template_with(f"<tool_call>{first}</tool_call>")
    assert rendered(template, calls=2).count('"city": "Bern"') == 2


@dataclass(frozen=True)
class _Options:
    tool_format: str | None = None
    reasoning_format: str | None = None


def dialect_of(template: str) -> Dialect:
    """The dialect of a model with this template."""
    return find_dialect(template, renderer(template), _Options(), vision=False)


def renderer(template: str) -> Render:
    """Renders conversations as the library does."""
    from transformers.utils.chat_template_utils import render_jinja_template

    def render(conversation: list[dict[str, Any]], **variables: Any) -> str:
        texts, _ = render_jinja_template([conversation], chat_template=template, **variables)
        return str(texts[0])

    return render


def _request(*, content: str | None = None, calls: int = 1) -> ChatRequest:
    function = {"name": "get_weather", "arguments": json.dumps({"city": "Bern"})}
    ids = [f"call_{number}" for number in range(calls)]
    written = [{"id": id_, "type": "function", "function": function} for id_ in ids]
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": content, "tool_calls": written},
        *({"role": "tool", "tool_call_id": id_, "content": "21"} for id_ in ids),
    ]
    tool = {"type": "function", "function": {"name": "get_weather"}}
    return ChatRequest.model_validate({"messages": messages, "tools": [tool]})


def rendered(template: str, *, content: str | None = None, calls: int = 1) -> str:
    """A conversation with calls and their results, as the model gets to see it."""
    dialect, request = dialect_of(template), _request(content=content, calls=calls)
    turns = dialect.turns.write(request.messages, _text)
    return renderer(template)(turns, **dialect.variables(request))


def _text(message: Message) -> str:
    return "".join(part.text for part in message.parts if hasattr(part, "text"))
