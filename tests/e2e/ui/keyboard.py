"""The keyboard of a user without a pointer."""

from __future__ import annotations

from typing import Any

from scripts.testbed.server import eventually
from tests.e2e.ui.browsing import expect

MOST_STEPS = 120


class Keyboard:
    """Presses keys, as a user without a pointer."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.press = page.keyboard.press

    def reach(self, element: Any, key: str = "Tab") -> None:
        """Move the focus with Tab until the element has it, in sight and with a visible outline."""
        element.wait_for()
        expect(element).to_be_enabled()
        for _ in range(MOST_STEPS):
            if element.evaluate("element => element === document.activeElement"):
                break
            self.press(key)
        expect(element).to_be_focused()
        expect(element).to_be_in_viewport()
        has_outline = "one => [one, one.parentElement].some(one => getComputedStyle(one).outlineStyle !== 'none')"
        assert element.evaluate(has_outline), "the focus cannot be seen"

    def use(self, element: Any, key: str = "Enter") -> None:
        """Reach an element, and press a key there."""
        self.reach(element)
        self.press(key)

    def choose(self, choice: Any, value: str) -> None:
        """Reach a list of options, and choose one with arrow keys: letters typed slowly begin several searches."""
        self.reach(choice)
        has_option = "(choice, value) => [...choice.options].some((option) => option.value === value)"
        eventually(f"{value} is one of the options", lambda: choice.evaluate(has_option, value))
        self.press("Home")
        for _ in range(MOST_STEPS):
            if choice.input_value() == value:
                break
            self.press("ArrowDown")
        expect(choice).to_have_value(value)

    def go(self, view: str) -> None:
        """Open a view from the navigation."""
        self.use(self.page.get_by_role("navigation", name="Views").get_by_role("link", name=view))
        expect(self.page.get_by_role("heading", level=1)).to_have_text(view)
