"""One browser for each file of tests. Each file starts the server that it needs, once, as the fixture `server`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripts.testbed.server import RunningServer
from tests.e2e.ui.browsing import OpenPage, running_browser

Opener = Callable[..., OpenPage]
"""Opens a window: `opener()`, with the arguments of `OpenPage`."""


@pytest.fixture(name="browser", scope="module")
def browser_fixture() -> Iterator[Any]:
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


@pytest.fixture(scope="module")
def shared_window(browser: Any, server: RunningServer) -> Iterator[OpenPage]:
    window = OpenPage(browser, server.url)
    yield window
    window.close()


@pytest.fixture(name="window")
def window_fixture(shared_window: OpenPage) -> Iterator[OpenPage]:
    """A window that all tests of a file share, because the first load takes longest; each test loads the page again."""
    shared_window.start_over()
    yield shared_window
    shared_window.check()
