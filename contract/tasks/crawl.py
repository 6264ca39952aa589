"""crawl: opens a web page in a browser, and returns its title, its readable text and, if asked for, a screenshot."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.limits import Name
from contract.omittable import Omittable
from contract.tasks import Request, Response, Task

MAX_URL = 8192
"""Characters of a page's URL."""
MAX_LINKS = 4096
"""Links in an answer."""


def _check_url(url: str) -> str:
    parts = urlsplit(url)  # its ValueError says what is wrong, such as a bracket without its pair
    if parts.scheme.lower() not in {"http", "https"}:
        raise ValueError("only http and https pages can be crawled; write a whole URL such as https://example.com/page")
    if not parts.hostname or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("it is not the URL of a page; write a whole URL such as https://example.com/page")
    _ = parts.port  # its ValueError names the range
    return url


PageUrl = Annotated[str, Field(max_length=MAX_URL), AfterValidator(_check_url)]


class Viewport(LazyModel):
    """The size of the browser's window, in pixels."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(1280, ge=200, le=3840)
    height: int = Field(720, ge=200, le=2160)


class CrawlRequest(Request):
    """`url` is the address of the page. All other fields are optional.

    - `wait_for_js`: run the page's scripts, and wait until they have loaded what they show. Without it, the answer is
      the page as the server sent it.
    - `wait_for`: a CSS selector; wait until such an element is visible.
    - `format`: the form of `text`: plain text, Markdown, or the page's HTML.
    - `main_content`: leave out navigation, advertisements, footers and the like. Without it: all visible text.
    - `links`: return the page's links.
    - `screenshot`: return a PNG file of the window, or with `full_page` of the whole page. `viewport` is the window.
    - `timeout`: seconds for the whole crawl.
    - `respect_robots`: obey the site's robots.txt.
    """

    no_defaults: ClassVar[frozenset[str]] = frozenset({"url"})

    url: PageUrl
    wait_for_js: bool = True
    wait_for: Name | None = None
    format: Literal["text", "markdown", "html"] = "text"
    main_content: bool = True
    links: bool = False
    screenshot: bool = False
    full_page: bool = False
    viewport: Viewport | None = None
    timeout: float = Field(30, ge=1, le=300, allow_inf_nan=False)
    respect_robots: bool = True

    @model_validator(mode="after")
    def _check_main_content(self) -> CrawlRequest:
        if self.format == "markdown" and not self.main_content:
            message = "Markdown has the main content only: use `format: text` or `html` with `main_content: false`."
            raise InvalidField(message, param="main_content")
        return self


class PageMetadata(LazyModel):
    """What the page says of itself; null where it does not. `date` is that of its publication, as YYYY-MM-DD."""

    author: str | None = None
    date: str | None = None
    description: str | None = None
    site_name: str | None = None
    language: str | None = None


class PageLink(LazyModel):
    """A link of the page, with its absolute URL and the text of the link."""

    url: str
    text: str


class CrawlResponse(Response):
    """The page. `url` is where redirects led, `status` the page's HTTP status, `fetch_time_ms` the time for it all."""

    object: Literal["page"] = "page"
    model: str
    url: str
    status: int
    title: str
    text: str
    format: Literal["text", "markdown", "html"]
    metadata: PageMetadata
    links: Omittable[list[PageLink]] = None
    screenshot_base64: Omittable[str] = None
    fetch_time_ms: int


CRAWL = Task(
    "crawl",
    "/v1/crawl",
    CrawlRequest,
    CrawlResponse,
    inputs=("text",),
    outputs=("text",),
    example={"url": "https://example.com"},
)
