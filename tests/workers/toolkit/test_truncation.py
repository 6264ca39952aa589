"""Conversations that are too long lose their oldest exchanges, and never a call without its results."""

from __future__ import annotations

from typing import Any

import pytest

from contract.errors import ContextTooLong
from contract.tasks.chat import ChatRequest
from workers.engine import Call
from workers.toolkit.chat.truncation import droppable, fitting_prompt

SYSTEM = {"role": "system", "content": "S"}
LATE_SYSTEM = {"role": "developer", "content": "D"}


def user(text: str = "u") -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str = "a") -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(*names: str) -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(name: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": name, "content": name}


def asked(messages: list[Any], **fields: Any) -> ChatRequest:
    return ChatRequest.model_validate({"messages": messages, "truncation": "auto", "max_tokens": 1, **fields})


def fitted(messages: list[Any], context: int, **fields: Any) -> tuple[str, list[str]]:
    """The texts of the messages that fit into a context of as many characters, and the warnings."""
    call = Call(asked(messages, **fields))
    text = fitting_prompt(call, lambda request: "".join(str(m.content or "c") for m in request.messages), len, context)
    return text, call.warnings


@pytest.mark.parametrize(
    ("messages", "groups"),
    [
        ([user()], []),
        ([SYSTEM], []),
        ([SYSTEM, user(), said(), LATE_SYSTEM, user()], [[1, 2]]),
        ([said(), user(), said(), user(), said()], [[0], [1, 2]]),
        ([user(), called("x", "y"), result("x"), result("y"), said(), user()], [[0, 1, 2, 3, 4]]),
        ([user(), called("x"), result("x"), called("y"), result("y"), called("z"), result("z")], [[1, 2], [3, 4]]),
        ([user(), called("x"), result("x"), user("its image"), called("y"), result("y")], [[1, 2, 3]]),
    ],
    ids=["question", "instructions", "late-instructions", "greeting", "parallel-calls", "steps", "image-of-result"],
)
def test_oldest_exchanges_then_oldest_steps_may_go(messages: list[Any], groups: list[list[int]]) -> None:
    assert droppable(asked(messages).messages) == groups


def test_as_few_messages_as_possible_are_left_out() -> None:
    messages = [SYSTEM, *(turn for n in range(9) for turn in (user(str(n)), said("a"))), user("?")]
    whole = "S0a1a2a3a4a5a6a7a8a?"
    for context in range(4, 21):
        text, warnings = fitted(messages, context)
        pairs = min(9, (context - 3) // 2)  # beside the instructions, the question and a token of the answer
        assert text == "S" + whole[-1 - 2 * pairs :]
        assert len(warnings) == (pairs < 9)
    text, warnings = fitted(messages, 6)
    assert "16 of 20 messages" in warnings[0]


def test_answer_gets_room_for_its_limit_but_at_most_a_quarter() -> None:
    messages = [user("1" * 5), user("2" * 5), user("3" * 5)]
    assert fitted(messages, 16, max_tokens=1) == ("1" * 5 + "2" * 5 + "3" * 5, [])
    assert fitted(messages, 16, max_tokens=4)[0] == "2" * 5 + "3" * 5
    assert fitted(messages, 16, max_tokens=1000)[0] == "2" * 5 + "3" * 5
    assert fitted(messages, 16, max_tokens=None)[0] == "2" * 5 + "3" * 5


def test_what_cannot_be_shortened_is_left_to_the_engine() -> None:
    assert fitted([SYSTEM, user("?" * 30)], 16)[0] == "S" + "?" * 30
    assert fitted([user("1"), user("?" * 30)], 16)[0] == "?" * 30


def test_images_that_alone_are_too_many_count_as_too_long() -> None:
    def read(request: ChatRequest) -> str:
        if len(request.messages) > 2:
            raise ContextTooLong("too many images")
        return "prompt"

    call = Call(asked([user(str(n)) for n in range(7)]))
    assert fitting_prompt(call, read, len, 100) == "prompt"
    assert "5 of 7" in call.warnings[0]


@pytest.mark.parametrize("fields", [{"truncation": "disabled"}, {"truncation": None}])
def test_nothing_is_left_out_unless_asked_for(fields: dict[str, Any]) -> None:
    assert fitted([user("1" * 20), user("2")], 16, **fields) == ("1" * 20 + "2", [])
