"""The pages of the API reference, without a browser; `tests/e2e/test_reference_pages.py` opens them in one."""

from __future__ import annotations

import hashlib
import re

import pytest

from gateway.routes.reference import FOLDER
from tests.support.gateway_processes import GatewayProcess

HASHES = {
    "redoc-2.5.4.js": "dcaf76612bc4a3fbcc923a8966dee2f6146a5f32e5ce1b6f02dd60cbbf89500b",
    "redoc-2.5.4.js.LICENSE.txt": "eed602ec32e00b2b9df1984fbcc26a687b1b3193ec01961389c4b8439e6edf73",
    "redoc-LICENSE.txt": "d3026d549cf68ab7355bcfa85877bf8f845b3334a7efbfdc63936432fb34ff0e",
    "swagger-ui-5.35.0.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
    "swagger-ui-5.35.0.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui-5.35.0.js.LICENSE.txt": "37eb6e7e59aed57b2c1acf076574b818ea07b74265717e0bd67b59e0baf9abbb",
    "swagger-ui-LICENSE.txt": "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30",
    "swagger-ui-NOTICE.txt": "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2",
}
"""SHA-256 of the files as their npm packages (swagger-ui-dist 5.35.0, redoc 2.5.4) have them."""


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_page_and_its_files_need_no_key_and_no_other_server(secured: GatewayProcess, path: str) -> None:
    page = secured.http.get(path)
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 3
    assert not [link for link in links if link.startswith(("/", "http"))]
    assert "<script>" not in page.text
    for link in links:
        file = secured.http.get(f"/{link}")
        assert (file.status_code, file.content) == (200, (FOLDER / link.rpartition("/")[2]).read_bytes())
        assert "max-age" in file.headers["cache-control"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "https:" not in page.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e/app.py"])
def test_no_other_files_are_served(secured: GatewayProcess, name: str) -> None:
    assert secured.http.get(f"/docs/{name}").status_code in {401, 404}


def test_libraries_are_unchanged() -> None:
    files = {path.name: path for path in FOLDER.iterdir() if not path.name.startswith(("start-", "favicon"))}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == HASHES
