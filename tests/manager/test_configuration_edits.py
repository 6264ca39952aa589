"""What edits over the API may not change: what lets an entry run programs."""

from __future__ import annotations

import pytest
import yaml

from contract.configuration_text import UnusableText
from manager.configuration_edits import check_host_only

KNOWN = {"id": "known", "engine": "command", "options": {"command": "llama-server"}, "env": {"A": "1"}}
OWN = {"id": "own", "engine": "fake", "python": "/opt/python"}


def text(*entries: dict[str, object]) -> str:
    return yaml.safe_dump({"models": list(entries)})


@pytest.mark.parametrize(
    "entry",
    [
        {**KNOWN, "options": {"command": "rm -rf /"}},
        {**KNOWN, "env": {"LD_PRELOAD": "x.so"}},
        {**KNOWN, "id": "another"},
        {"id": "new", "engine": "command"},
        {"id": "new", "engine": "fake", "python": "/tmp/python"},
        {"id": "new", "engine": "fake", "trust_remote_code": True},
        {"id": "new", "engine": "crawl", "options": {"executable": "/tmp/x"}},
        {"id": "new", "engine": "crawl", "options": {"allow_private": ["10.0.0.0/8"]}},
        {**OWN, "engine": "command"},
        {"id": "own", "engine": "fake", "python": "/tmp/python"},
    ],
)
def test_refuses_what_runs_programs(entry: dict[str, object]) -> None:
    old = text(KNOWN, OWN)
    with pytest.raises(UnusableText, match="only the file itself may change it") as error:
        check_host_only(text(KNOWN, OWN, entry) if entry["id"] in ("new", "another") else text(entry), old)
    assert error.value.problems[0].line


def test_allows_all_else_in_such_entries() -> None:
    old = text(KNOWN, OWN)
    check_host_only(text({**KNOWN, "idle_timeout": 5, "aliases": ["x"]}, {**OWN, "pinned": True}), old)
    check_host_only(text({"id": "new", "engine": "fake"}), old)
    check_host_only("models: 7\n", old)
