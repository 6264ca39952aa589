"""Tools in conversations with images, with vision-language models of random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.demo_models.tokenizers import chat_template
from tests.support import chat_engines
from tests.support.chat_engines import ask, drawn_image, with_images
from tests.support.chat_tool_requests import STRICT, check_calls

_CALLS = (
    '{% for call in message.tool_calls or [] %}<tool_call>\n{"name": "{{ call.function.name }}", "arguments": '
    "{{ call.function.arguments | tojson }}}\n</tool_call>{% endfor %}"
)


def template_of(image: str) -> str:
    """A vision template that knows tools, as those of Qwen's vision models do."""
    plain = chat_template(image)
    return "{% if tools %}{{ tools | tojson }}{% endif %}" + plain.replace("<|im_end|>\n", _CALLS + "<|im_end|>\n", 1)


@pytest.fixture(scope="module", params=[("transformers_chat", "smolvlm"), ("mlx", "mlx_smolvlm")])
def engine(request: pytest.FixtureRequest, models: Callable[[str], Path]) -> Any:
    """A vision-language model whose template knows tools."""
    name, model = request.param
    return chat_engines.load(models(model), name, options={"chat_template": template_of("<image>")})


def test_image_is_answered_by_a_call_that_fits(engine: Any) -> None:
    content = with_images("What do you see?", drawn_image())
    fields = {"tools": STRICT, "tool_choice": "required", "temperature": 2, "seed": 1, "max_tokens": 1500}
    choice = ask(engine, content, parallel_tool_calls=False, **fields).choices[0]
    check_calls(choice.message)
    assert choice.finish_reason == "tool_calls"


def test_results_of_calls_reach_a_conversation_with_images(engine: Any) -> None:
    """The result is text, or has parts of its own; the template writes both."""
    call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    user = {"role": "user", "content": with_images("And now?", drawn_image("blue"))}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}

    def tokens(result: Any) -> int:
        messages = [user, called, {"role": "tool", "tool_call_id": "1", "content": result}]
        usage = ask(engine, "", messages=messages, tools=STRICT).usage
        assert usage is not None
        return usage.prompt_tokens

    assert tokens("It is 21 °C.") == tokens([{"type": "text", "text": "It is 21 °C."}]) > tokens("21")
