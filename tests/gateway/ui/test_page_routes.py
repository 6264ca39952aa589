"""How the page is served, without a browser; `tests/e2e/ui` opens it in one."""

from __future__ import annotations

import gzip
import re

import pytest

from gateway.ui.page_files import FOLDER
from tests.support.gateway_processes import GatewayProcess

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def address_of(gateway: GatewayProcess, name: str) -> str:
    found = re.search(r"ui/\w+", gateway.http.get("/ui").text)
    assert found
    return f"/{found[0]}/{name}"


@pytest.mark.parametrize("path", ["/ui", "/"])
def test_page_and_its_files_need_no_key(secured: GatewayProcess, path: str) -> None:
    page = secured.http.get(path, headers=BROWSER)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    links.remove("v1/system/status")
    assert len(links) > 10
    for link in links:
        assert link.startswith("ui/")
        assert secured.http.get(f"/{link}").status_code == 200, link
    assert secured.http.get("/v1/system/access").status_code == 401


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_programs_get_json_at_the_root(gateway: GatewayProcess, accept: str) -> None:
    answer = gateway.http.get("/", headers={"accept": accept})
    assert answer.json()["page"] == "/ui"
    assert answer.headers["vary"] == "accept"


def test_policy_allows_this_server_only(gateway: GatewayProcess) -> None:
    for path in ("/ui", address_of(gateway, "app.js")):
        headers = gateway.http.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert {source for sources in policy.values() for source in sources.split()} == {
            "'self'",
            "'none'",
            "data:",
            "blob:",
        }
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"


def test_files_are_compressed_for_those_that_accept_it(gateway: GatewayProcess) -> None:
    path = address_of(gateway, "lib/api.js")
    plain = gateway.http.get(path, headers={"accept-encoding": "identity"})
    assert plain.content == (FOLDER / "lib" / "api.js").read_bytes()
    with gateway.http.stream("GET", path, headers={"accept-encoding": "gzip"}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content


def test_files_stay_in_browsers_and_the_page_is_asked_for_again(gateway: GatewayProcess) -> None:
    page = gateway.http.get("/ui")
    assert page.headers["cache-control"] == "no-cache"
    again = gateway.http.get("/ui", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "immutable" in gateway.http.get(address_of(gateway, "app.js")).headers["cache-control"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2F..%2Froutes.py", "%2e%2e/%2e%2e/routes.py", "index.html"])
def test_no_other_files_are_served(gateway: GatewayProcess, name: str) -> None:
    assert gateway.http.get(address_of(gateway, name)).status_code == 404


def test_file_of_another_version_says_to_reload(gateway: GatewayProcess) -> None:
    answer = gateway.http.get("/ui/0123456789abcdef/app.js")
    assert answer.status_code == 404
    assert "Reload the page" in answer.json()["error"]["message"]


def test_access_says_what_a_key_may_do(gateway: GatewayProcess, secured: GatewayProcess) -> None:
    def access(server: GatewayProcess, key: str = "none") -> object:
        return server.http.get("/v1/system/access", headers={"authorization": f"Bearer {key}"}).json()

    assert access(gateway) == {"key": None, "admin": True, "rate_limit": None}
    assert access(secured, "gateway-key") == {"key": "gateway", "admin": True, "rate_limit": None}
    assert access(secured, "limited-key") == {"key": "limited", "admin": False, "rate_limit": "1000/hour"}
