"""One browser for each file of tests. Each file starts the server that it needs, once, as the fixture `server`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.testbed.server import RunningServer
from tests.e2e.ui.browsing import OpenPage, running_browser

Opener = Callable[..., OpenPage]
"""Opens a window: `opener()`, with the arguments of `OpenPage`."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_browser() as browser:
        yield browser


@pytest.fixture
def opener(browser: Any, server: RunningServer) -> Iterator[Opener]:
    """Opens windows with the page; at the end of the test, each must be free of complaints."""
    opened: list[OpenPage] = []

    def open_page(url: str | None = None, **options: Any) -> OpenPage:
        opened.append(OpenPage(browser, url or server.url, **options))
        return opened[-1]

    yield open_page
    for window in opened:
        window.check()
        window.close()
