"""GET /docs and /redoc: the API reference as a page, with all its files from this server.

Swagger UI (Apache-2.0, npm package swagger-ui-dist) and ReDoc (MIT, npm package redoc) are in `gateway/reference/`,
unchanged, with their licences.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from contract.errors import NotFound

FOLDER = Path(__file__).parents[1] / "reference"

SCRIPTS = {"docs": "swagger-ui-5.35.0.js", "redoc": "redoc-2.5.4.js"}
STYLES = "swagger-ui-5.35.0.css"

# Both pages set styles from their scripts, and nothing can make them run scripts or load files of other servers.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; media-src blob:; worker-src blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
_FILES = frozenset(path.name for path in FOLDER.iterdir())
_YEAR = 365 * 24 * 3600

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Enginehouse API</title>
<link rel="icon" href="docs/favicon.png">
{styles}
</head>
<body>
<div id="page"></div>
<script src="docs/{library}"></script>
<script src="docs/{start}"></script>
</body>
</html>
"""


def router() -> APIRouter:
    """The two pages, and the files that they load. Their links are relative, so they work below any prefix."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def swagger_ui() -> HTMLResponse:
        styles = f'<link rel="stylesheet" href="docs/{STYLES}">'
        return _page(styles=styles, library=SCRIPTS["docs"], start="start-swagger-ui.js")

    @routes.get("/redoc")
    async def redoc() -> HTMLResponse:
        return _page(styles="", library=SCRIPTS["redoc"], start="start-redoc.js")

    @routes.get("/docs/{name}")
    async def file(request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in _FILES:
            raise NotFound(f"There is no file {name[:100]} here. The API reference is at /docs and /redoc.")
        # Names of large files have the version in them.
        age = _YEAR if any(character.isdigit() for character in name) else 300
        return FileResponse(FOLDER / name, headers={"cache-control": f"public, max-age={age}", **_HEADERS})

    return routes


def _page(**parts: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(**parts), headers=_HEADERS)
