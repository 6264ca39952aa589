"""A web site on this machine, for the tests of what fetches pages and images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from aiohttp import web

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def site(**pages: Page) -> AsyncIterator[str]:
    """Run a web site with these pages in this event loop; yields its address. `robots` is /robots.txt."""
    app = web.Application()
    for name, page in pages.items():
        app.router.add_get("/robots.txt" if name == "robots" else f"/{name}", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Answer:
    """What a page of a `WebSite` answers with."""

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class WebSite:
    """A web site in threads of its own. `pages` may be changed at any time; `asked` are the requests so far."""

    address: str
    pages: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def port(self) -> str:
        return self.address.rpartition(":")[2]

    def html(self, path: str, body: str, head: str = "<title>Title</title>") -> str:
        """Add a page of HTML; returns its URL."""
        content = f"<!doctype html><html lang=en><head><meta charset=utf-8>{head}</head><body>{body}</body></html>"
        self.pages[path] = Answer(content, headers={"content-type": "text/html; charset=utf-8"})
        return self.url + path

    def redirect(self, path: str, target: str) -> str:
        """Add a redirect; returns its URL."""
        self.pages[path] = Answer(status=302, headers={"location": target.encode().decode("latin-1")})
        return self.url + path


@contextmanager
def web_site(host: str = "127.0.0.1") -> Iterator[WebSite]:
    """Run a web site, at any free port of an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append(self.path)
            running.agents.add(self.headers.get("user-agent", ""))
            answer = running.pages.get(self.path, Answer("missing", 404))
            body = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            for name, value in {"content-type": "text/plain", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    running = WebSite(f"{host}:{server.server_address[1]}")
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
