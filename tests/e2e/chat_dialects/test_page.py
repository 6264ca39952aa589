"""The page's chat with an agent: it shows what the model thinks, and the tools that it calls."""

from __future__ import annotations

import json

from tests.e2e.chat_dialects.conftest import DialectServer
from tests.e2e.ui.browsing import OpenPage, expect, open_window
from tests.e2e.ui.playground_page import open_tab
from tests.support import agent_model

EVIL = "<img src=x onerror=document.title='pwned'>"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_reasoning_is_folded_and_tools_are_answered(server: DialectServer) -> None:
    with open_window(server.running.url) as window:
        talk_to_the_agent(window)


def talk_to_the_agent(window: OpenPage) -> None:
    page = open_tab(window, "chat", "agent")
    page.get_by_text("More options").click()
    page.get_by_label("Tools", exact=True).fill(json.dumps([TOOL]))
    page.get_by_role("textbox", name="Message", exact=True).fill("What is the weather?")
    page.keyboard.press("Enter")
    answers = page.locator('.message[data-role="assistant"]')
    call = answers.locator(".tool-call")
    expect(call.locator(".code")).to_contain_text(agent_model.CITY)
    thoughts = answers.locator(".reasoning p")
    expect(thoughts).to_be_hidden()
    answers.get_by_text("Reasoning", exact=True).click()
    expect(thoughts).to_have_text(agent_model.THOUGHTS)
    call.get_by_label("Result of get_weather").fill(EVIL)
    call.get_by_role("button", name="Answer").click()
    expect(answers.last.locator(".markdown")).to_have_text(agent_model.ANSWER)
    expect(answers.last.locator(".speed summary")).to_contain_text("tokens/s")
    window.check_accessible()
