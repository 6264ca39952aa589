"""Keys and the configuration over the API, on a running server: what is saved is in force at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client import Client, ServerError
from contract.configuration_text import HIDDEN
from scripts.testbed.server import RunningServer, fake_model

ADMIN = "the-key-of-the-admin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("administration"), [fake_model("m")]) as it:
        yield it


def test_keys_and_configuration(server: RunningServer) -> None:
    """On one server, since the first key changes it for good."""
    with Client(server.url) as anyone:
        with pytest.raises(ServerError, match="first key must have the scope admin"):
            anyone.make_key("app")
        admin_key = anyone.make_key("boss", admin=True).key
        with pytest.raises(ServerError, match="needs an API key"):
            anyone.keys()
    with Client(server.url, admin_key) as admin:
        check_keys(server, admin)
        check_configuration(server, admin)


def check_keys(server: RunningServer, admin: Client) -> None:
    made = admin.make_key("my app-2", rate_limit="2/hour")
    assert made.key
    assert made.key not in server.config.read_text()
    with pytest.raises(ServerError, match="such as 60/minute"):
        admin.make_key("other", rate_limit="often")
    with pytest.raises(ServerError) as conflict:
        admin.make_key(made.name)
    assert (conflict.value.status, conflict.value.code) == (409, "key_conflict")
    with Client(server.url, made.key) as app:
        assert app.chat("hello", model="m").text == "hello"
        for refused in (app.keys, app.configuration, lambda: app.revoke_key("boss"), app.requests, app.log_files):
            with pytest.raises(ServerError) as error:
                refused()
            assert error.value.status in {403, 429}
        assert admin.change_key(made.name, rate_limit=None, scopes=["admin"]).scopes == ["admin"]
        assert [key.name for key in list(app.keys())] == ["boss", made.name]
        assert admin.requests(key=made.name)[0].key == made.name
        assert admin.revoke_key(made.name) == made.name
        with pytest.raises(ServerError, match="unknown"):
            app.keys()
    for name, words in (("boss", "key of this request"), ("nope", "no key 'nope'")):
        with pytest.raises(ServerError, match=words):
            admin.revoke_key(name)
    with pytest.raises(ServerError, match="the only one with the scope admin"):
        admin.change_key("boss", scopes=[])


def check_configuration(server: RunningServer, admin: Client) -> None:
    page = admin.configuration()
    assert HIDDEN in page.text
    assert "sha256:" not in page.text + str(page.settings)
    wrong = page.text.replace("engine: fake", "engine: fka")
    checked = admin.check_configuration(wrong)
    assert not checked.valid
    assert wrong.splitlines()[checked.problems[0]["line"] - 1] == "- id: m"
    assert "-  engine: fake\n+  engine: fka" in checked.diff
    with pytest.raises(ServerError, match="unknown engine 'fka'"):
        admin.save_configuration(wrong, page.etag)
    assert HIDDEN not in server.config.read_text()
    second = "- id: second\n  engine: fake\n"
    new = page.text.replace("models:\n", f"models:\n{second}")
    assert admin.check_configuration(new).valid
    before = server.config.read_text()
    assert admin.save_configuration(new, page.etag) == ["second"]
    assert server.config.read_text() == before.replace("models:\n", f"models:\n{second}")
    assert admin.chat("hi", model="second").text == "hi"
    with pytest.raises(ServerError) as lost:
        admin.save_configuration(page.text, page.etag)
    assert (lost.value.status, lost.value.code) == (412, "configuration_changed")
    with pytest.raises(ServerError, match="If-Match"):
        admin.request("PUT", "/v1/system/configuration", {"text": new})
    again = admin.configuration()
    with pytest.raises(ServerError, match="only the file itself may change it"):
        admin.save_configuration(again.text.replace(second, second + "  python: /bin/other\n"), again.etag)
    limit = again.text.replace("scopes:", "rate_limit: often, scopes:")
    assert "rate_limit" in str(admin.check_configuration(limit).problems)
    assert server.config.read_text().count("id: second") == 1
