"""Secrets in the configuration's text are hidden and come back; problems have the line they are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract import config
from contract.config import ConfigError
from contract.configuration_text import HIDDEN, UnusableText, hidden, problems_of, revealed, without_secrets

TEXT = """\
# mine
gateway:
  api_key: first-secret   # the key
  port: 8000
manager: {token: "second-secret", standby: 0}
security:
  jwt_secret: |-
    third-secret
  api_keys:
    - {name: a, key_hash: "sha256:fourth-secret"}
    - name: b
      key_hash: sha256:fifth-secret
jobs:
  webhook_secret: null
models:
  - id: m
    engine: fake
    env: {HF_TOKEN: sixth-secret}
    defaults: {max_tokens: 7}
"""


def test_secrets_are_hidden_and_come_back() -> None:
    shown = hidden(TEXT)
    assert "-secret" not in shown
    assert shown.count(HIDDEN) == 6
    for kept in ("# mine", "# the key", "port: 8000", "max_tokens: 7", "webhook_secret: null"):
        assert kept in shown
    assert revealed(shown, TEXT) == TEXT


def test_hidden_values_follow_their_entries() -> None:
    shown = hidden(TEXT)
    first, second = (line for line in shown.splitlines() if "name:" in line and line.strip().startswith("- "))
    moved = shown.replace(first + "\n", "").replace("jobs:\n", first + "\njobs:\n")
    assert second in moved
    assert '{name: a, key_hash: "sha256:fourth-secret"}\njobs:' in revealed(moved, TEXT)
    assert "api_key: another-key" in revealed(shown.replace(f'api_key: "{HIDDEN}"', "api_key: another-key"), TEXT)


def test_a_hidden_value_that_the_file_lacks_is_a_problem() -> None:
    renamed = hidden(TEXT).replace("name: b", "name: c")
    with pytest.raises(UnusableText) as error:
        revealed(renamed, TEXT)
    problem = error.value.problems[0]
    assert problem.line == 1 + renamed.splitlines().index(f'      key_hash: "{HIDDEN}"')
    assert "`security.api_keys.c.key_hash` is hidden" in problem.message


def test_a_secret_that_cannot_be_hidden_is_not_shown() -> None:
    with pytest.raises(UnusableText, match="cannot be hidden"):
        hidden("gateway: {api_key: &key a-secret-key}\nmanager: {token: *key}\n")


def test_settings_have_no_secrets() -> None:
    settings = {
        "gateway": {"api_key": "x", "port": 1},
        "models": [{"env": {"A": "x"}, "api_keys": [{"key_hash": "x"}]}],
    }
    hidden_settings = {"gateway": {"api_key": HIDDEN, "port": 1}}
    assert without_secrets(settings) == hidden_settings | {
        "models": [{"env": {"A": HIDDEN}, "api_keys": [{"key_hash": HIDDEN}]}]
    }
    assert without_secrets({"token": ""}) == {"token": ""}


@pytest.mark.parametrize(
    ("wrong", "line", "words"),
    [
        ("gateway:\n  host: 0.0.0.0\n  prot: 1\n", 3, "did you mean `port`"),
        ("models:\n  - id: a\n    engine: fake\n  - id: b\n    engine: fake\n    memory_gb: -1\n", 6, "more than 0"),
        ("gateway:\n  port: [\n", 3, "not valid YAML"),
        ("memory: 7\n", 1, "memory"),
    ],
)
def test_problems_have_their_line(tmp_path: Path, wrong: str, line: int, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(wrong)
    with pytest.raises(ConfigError) as error:
        config.load(file, {})
    problem = problems_of(error.value, wrong)[0]
    assert words in problem.message
    assert problem.line == line


def test_a_problem_of_an_engine_has_the_line_of_its_entry() -> None:
    text = "models:\n  - id: a\n    engine: fake\n  - {id: b, engine: nope}\n"
    assert problems_of(ConfigError("model b: unknown engine 'nope'"), text)[0].line == 4
