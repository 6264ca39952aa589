"""Tests of turns as chat templates take them."""

from __future__ import annotations

import pytest

from contract.errors import UnsupportedFeature
from contract.tasks.chat import Message
from workers.toolkit.chat.template_probe import TurnForms
from workers.toolkit.chat.turns import Turns

_RESULT = Message(role="tool", tool_call_id="1", content="")
_TEXT = {"type": "text", "text": "21 °C"}
_IMAGE = {"type": "image", "image": None}


def test_images_in_results_are_refused_by_templates_for_text() -> None:
    turns = Turns("", TurnForms())
    assert turns.write([_RESULT], lambda _: [_TEXT])[0]["content"] == "21 °C"
    with pytest.raises(UnsupportedFeature, match="only text as the result of a tool"):
        turns.write([_RESULT], lambda _: [_TEXT, _IMAGE])


def test_images_in_results_reach_templates_for_parts() -> None:
    turns = Turns("", TurnForms(content_is_parts=True))
    assert turns.write([_RESULT], lambda _: [_TEXT, _IMAGE])[0]["content"] == [_TEXT, _IMAGE]
