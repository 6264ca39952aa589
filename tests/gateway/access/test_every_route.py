"""Every route of the gateway has a decision: which clients may send it, and that no web page of another origin may.

A new route fails here until it has one. Tasks and dialects' requests for models need none: every key may run models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from starlette.routing import BaseRoute, Route

from contract.config import Settings
from contract.tasks import all_tasks
from gateway.access.auth import OPEN_PATHS
from gateway.app import build
from gateway.dialects import all_dialects
from tests.support.gateway_processes import GatewayProcess

ADMIN = {
    "POST /v1/system/reload",
    "POST /v1/system/evict/{alias:path}",
    "GET /v1/system/requests",
    "GET /v1/system/requests/{id:path}",
    "GET /v1/system/requests/events",
    "GET /v1/system/logs",
    "GET /v1/system/keys",
    "POST /v1/system/keys",
    "PATCH /v1/system/keys/{name:path}",
    "DELETE /v1/system/keys/{name:path}",
    "GET /v1/system/configuration",
    "PUT /v1/system/configuration",
    "POST /v1/system/configuration/check",
    "GET /v1/system/logs/{name:path}",
    "GET /v1/system/log-pages/{name:path}",
    "POST /api/models",
    "DELETE /api/models/{id:path}",
    "POST /api/models/download",
    "DELETE /api/models/downloads/{id}",
    "POST /api/pull",
    "DELETE /api/delete",
    "POST /models/unload",
    "POST /models/unload-all",
    "POST /models/pin",
    "POST /models/unpin",
}
"""Those that change what others use, or show what others did."""
OF_OWNERS = {
    "POST /jobs/submit/{model_type:path}",
    "GET /jobs",
    "GET /jobs/{job_id}",
    "DELETE /jobs/{job_id}",
    "GET /jobs/{job_id}/request",
    "GET /jobs/{job_id}/result",
    "GET /jobs/{job_id}/events",
    "POST /v1/files",
    "GET /v1/files",
    "GET /v1/files/{file_id}",
    "DELETE /v1/files/{file_id}",
    "GET /v1/files/{file_id}/content",
    "POST /v1/batches",
    "GET /v1/batches",
    "GET /v1/batches/{batch_id}",
    "POST /v1/batches/{batch_id}/cancel",
    "GET /v1/responses/{response_id}",
    "DELETE /v1/responses/{response_id}",
    "POST /v1/responses/{response_id}/cancel",
    "GET /v1/responses/{response_id}/input_items",
}
"""Those that show each key its own."""
EVERY_KEY = {
    "GET /v1/system/access",
    "GET /v1/system/status",
    "GET /v1/system/events",
    "GET /v1/system/history",
    "GET /metrics",
    "GET /v1/models",
    "GET /v1/models/{model_id:path}",
    "GET /v1/tasks",
    "GET /v1/tasks/{task}",
    "GET /info",
    "GET /props",
    "GET /v1/audio/voices",
    "GET /api/models",
    "GET /api/models/{model_or_task:path}",
    "GET /api/models/downloads",
    "GET /api/models/downloads/{id}",
    "GET /models/status",
    "POST /models/load",
    "GET /api/status",
    "GET /api/tags",
    "GET /api/ps",
    "GET /api/version",
    "POST /api/show",
    # Refused to all, with a sentence that says why.
    "POST /api/copy",
    "POST /api/create",
    "POST /api/push",
    # Any method and path of an external server, never its control paths.
    "ANY /upstream/{path:path}",
}
OPEN = {"GET /docs/{name}", "GET /ui/{version}/{path:path}", *(f"GET {path}" for path in OPEN_PATHS)}
PROTECTED = ADMIN | OF_OWNERS | EVERY_KEY


def leaves(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    """All routes, those of included routers too."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner:
            yield from leaves(inner.routes)
        else:
            assert isinstance(route, Route), f"{route} is of a kind that this test does not know"
            yield route


def runs_models() -> set[str]:
    """The paths behind which models run."""
    dialects = {route.path for dialect in all_dialects().values() for route in dialect.routes}
    return {f"POST {path}" for path in dialects | {task.path for task in all_tasks().values()}}


@pytest.fixture(name="routes", scope="module")
def _routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    app = build(Settings(), tmp_path_factory.mktemp("home"))
    found = leaves(app.routes)
    return {f"{method} {route.path}" for route in found for method in (route.methods or {"ANY"}) - {"HEAD"}}


def test_every_route_has_a_decision(routes: set[str]) -> None:
    listings = {f"GET {listing.path}" for task in all_tasks().values() for listing in task.listings}
    decided = PROTECTED | runs_models() | OPEN | listings
    assert routes - decided == set(), "decide which clients may send these"
    assert routes >= PROTECTED, "these are gone"


def request_to(route: str) -> tuple[str, str]:
    """A method and a path that the route matches."""
    method, path = route.split()
    for name in ("alias:path", "name:path", "id:path", "model_type:path", "model_id:path", "model_or_task:path"):
        path = path.replace(f"{{{name}}}", "chat")
    path = path.replace("/ui/{version}/{path:path}", "/ui/1/lib/view.js")
    path = path.replace("{path:path}", "external/v1/x")
    path = path.replace("/docs/{name}", "/docs/start-redoc.js")
    for name in ("job_id", "file_id", "batch_id", "response_id", "task", "id"):
        path = path.replace(f"{{{name}}}", "unknown")
    assert "{" not in path
    return "POST" if method == "ANY" else method, path


def send(gateway: GatewayProcess, route: str, **headers: str) -> tuple[int, str]:
    """The status of a request without a body, and the error if it is refused, in the form of the path's API."""
    method, path = request_to(route)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with gateway.http.stream(method, path, headers=named) as answer:  # some never end
        return answer.status_code, answer.read().decode() if answer.status_code >= 400 else ""


def test_every_route_needs_a_key_unless_it_is_open(secured: GatewayProcess, routes: set[str]) -> None:
    answered = {route: send(secured, route)[0] for route in routes}
    assert {route for route, status in answered.items() if status != 401} == OPEN


@pytest.mark.parametrize(
    "route",
    [
        "POST /",
        "POST /docs",
        "POST /docs/x",
        "POST /ui",
        "POST /ui/1/app.js",
        "GET /ui/",
        "GET /ui/x",
        "GET /ui/x//y",
        "GET /docs/a/b",
        "GET /docs/",
        "GET /docs//x",
        "GET /docs/a%2Fb",
        "PUT /health",
    ],
)
def test_only_reading_is_open_and_nothing_below(secured: GatewayProcess, route: str) -> None:
    """An external server could answer these: it would run for clients without a key."""
    method, path = route.split()
    answer = secured.http.request(method, f"{path}?model=external", json={"model": "external"})
    assert answer.status_code == 401, answer.text


def test_only_admins_may_send_what_concerns_others(secured: GatewayProcess) -> None:
    for route in sorted(PROTECTED):
        status, error = send(secured, route, authorization="Bearer app-key")
        refused = status == 403 and "scopes: [admin]" in error
        assert refused == (route in ADMIN), (route, status, error)


def test_no_web_page_may_change_something(secured: GatewayProcess, routes: set[str]) -> None:
    """Not even with a key: a page's own script may have one, but not the user's permission."""
    for route in routes:
        method, _ = request_to(route)
        changes = method != "GET" or route.startswith("ANY")
        for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}):
            status, error = send(secured, route, authorization="Bearer gateway-key", **headers)
            refused = status == 403 and "web page" in error.lower()
            assert refused == changes, (route, headers, status, error)


def test_no_route_answers_for_an_unknown_host(secured: GatewayProcess, routes: set[str]) -> None:
    statuses = {
        route: send(secured, route, authorization="Bearer gateway-key", host="evil.example")[0] for route in routes
    }
    assert {route for route, status in statuses.items() if status != 403} == set()


def test_configured_page_may_use_every_route(secured: GatewayProcess) -> None:
    origin = {"origin": "https://page.example", "authorization": "Bearer app-key"}
    assert send(secured, "POST /jobs/submit/{model_type:path}", **origin)[0] == 415
