"""`enginehouse keys`: keys come and go in the configuration, and everything else in it stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from command.keys import KEYS
from contract import config
from contract.config import hash_key
from contract.yaml_lists import UneditableYaml, with_entry, without_entry
from tests.support.terminal import EnginehouseCommand

ENTRY = {"name": "new", "key_hash": hash_key("a-long-key"), "scopes": ["admin"]}
LONG = f"  - name: old\n    key_hash: {hash_key('another-key')}\n"
OLD = f"{{name: old, key_hash: '{hash_key('another-key')}'}}"
FILES = {
    "no section": "# mine\ngateway: {port: 0}   # any\nmodels: []\n",
    "section without keys": "security:\n  allow_localhost: true  # here\nmodels: []\n",
    "empty list": "security:\n  api_keys: []   # none yet\n  allow_localhost: true\n",
    "list in brackets": f"security:\n  api_keys: [{OLD}]\n",
    "list of lines": f"security:\n    api_keys:   # mine\n      # the first\n      - {OLD}\nmodels: []  # none\n",
    "list of long lines": f"security:\n  api_keys:\n{LONG}\nmodels: []\n",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_keys_come_and_go_and_all_else_stays(tmp_path: Path, text: str) -> None:
    def names(content: str) -> list[str]:
        (tmp_path / "config.yaml").write_text(content)
        return [key.name for key in config.load(tmp_path / "config.yaml", {}).security.api_keys]

    before = names(text)
    longer = with_entry(text, KEYS, ENTRY, one_line=True)
    assert sorted(names(longer)) == sorted([*before, "new"])
    for comment in ("# mine", "# any", "# here", "# none yet", "# the first", "# none"):
        assert (comment in longer) == (comment in text)
    shorter = without_entry(longer, KEYS, "new")
    assert shorter is not None
    assert names(shorter) == before
    if before:
        emptied = without_entry(shorter, KEYS, "old")
        assert emptied is not None
        assert names(emptied) == []
    assert without_entry(longer, KEYS, "nope") is None


@pytest.mark.parametrize(
    "text", ["security:\n", "security: {allow_localhost: true}\n", "security:\n  api_keys: 1\n", "a: [\n"]
)
def test_unusable_forms_are_refused(text: str) -> None:
    with pytest.raises(UneditableYaml):
        with_entry(text, KEYS, ENTRY, one_line=True)


def test_keys_from_the_command(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    enginehouse = EnginehouseCommand(environ={"ENGINEHOUSE_CONFIG": str(file), "ENGINEHOUSE_HOME": str(tmp_path)})
    assert "`enginehouse serve` writes one" in enginehouse("keys", "list").stderr
    file.write_text(FILES["no section"])
    assert "write one such as 60/minute" in enginehouse("keys", "new", "app", "--rate-limit", "often").stderr
    assert file.read_text() == FILES["no section"]
    key = enginehouse.json("keys", "new", "app", "--admin", "--rate-limit", "60/minute")["key"]
    (stored,) = config.load(file, {}).security.api_keys
    assert (stored.key_hash, stored.scopes, stored.rate_limit) == (hash_key(key), ("admin",), "60/minute")
    assert key not in file.read_text()
    assert "already" in enginehouse("keys", "new", "app").stderr
    assert [row["name"] for row in enginehouse.json("keys", "list")] == ["app"]
    assert "is removed" in enginehouse("keys", "revoke", "app").stdout
    assert enginehouse.json("keys", "list") == []
    again = enginehouse("keys", "revoke", "app")
    assert (again.returncode, "no key 'app'" in again.stderr) == (1, True)
