"""The configuration file: precedence and error messages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from contract.config import ConfigError, Settings, hash_key, load
from contract.config.errors import PATTERNS
from workers import registry

MODEL = "models: [{id: m, engine: fake}]"


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_environment_overrides_dotenv_overrides_file(tmp_path: Path) -> None:
    path = write(tmp_path, "gateway: {port: 1}\nmanager: {port: 2, idle_timeout: 3}")
    (tmp_path / ".env").write_text("MANAGER_PORT=20\nIDLE_TIMEOUT=30\n")
    settings = load(path, {"IDLE_TIMEOUT": "300"})
    assert (settings.gateway.port, settings.manager.port, settings.manager.idle_timeout) == (1, 20, 300)


def test_gateway_port_overrides_port(tmp_path: Path) -> None:
    assert load(write(tmp_path, MODEL), {"PORT": "1", "GATEWAY_PORT": "2"}).gateway.port == 2


def test_reads_lists_and_keys_from_the_environment(tmp_path: Path) -> None:
    settings = load(write(tmp_path, MODEL), {"CORS_ORIGINS": "http://a, http://b", "API_KEYS": "key-one-, key-two-"})
    assert settings.gateway.cors_origins == ("http://a", "http://b")
    assert [key.key_hash for key in settings.security.api_keys] == [hash_key("key-one-"), hash_key("key-two-")]


def test_trims_keys_and_checks_those_of_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, 'manager: {token: "12345678\\n"}')
    settings = load(path, {"GATEWAY_API_KEY": " gateway-key\n"})
    assert (settings.gateway.api_key, settings.manager.token) == ("gateway-key", "12345678")
    for environment in ({"GATEWAY_API_KEY": "\t"}, {"API_KEYS": "long-enough,x"}):
        with pytest.raises(ConfigError):
            load(path, environment)


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("{}", True),
        ("gateway: {api_key: change-me}", True),
        ("gateway: {host: 127.0.0.1}", False),
        ("gateway: {api_key: long-enough}", False),
        ("security: {jwt_secret: long-enough}", False),
        ("security: {ip_allowlist: [10.0.0.0/8]}", False),
    ],
)
def test_knows_whether_the_gateway_is_open(tmp_path: Path, text: str, is_open: bool) -> None:
    assert load(write(tmp_path, text), {}).is_open is is_open


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gatewy: {}", "unknown key `gatewy`; did you mean `gateway`?"),
        ("manager: {idle_timout: 3}", "did you mean `idle_timeout`?"),
        ("models: [{id: m, engine: fake, pined: true}]", "did you mean `pinned`?"),
        ("gateway: {port: many}", "`gateway.port`"),
        ("gateway: {trusted_proxies: [10.0.0.0/99]}", "`gateway.trusted_proxies`"),
        ("gateway: {api_key: x}", "fewer than 8"),
        ('gateway: {api_key: "  "}', "blank"),
        ('manager: {token: "two\\nlines"}', "header"),
        ("security: {jwt_secret: zu-schön-kurz}", "header"),
        ("gateway: {port: 70000}", "`gateway.port`"),
        ("models: [{id: a b, engine: fake}]", "model a b: `id` must be a name without spaces"),
        ("models: [{id: m, engine: fake}, {id: n, engine: fake, aliases: [m]}]", "'m' is used twice"),
        (
            "models: [{id: m, engine: fake, default: [chat]}, {id: n, engine: fake, default: [chat]}]",
            "several defaults, m and n; keep one",
        ),
        ("models: [{id: m, engine: fake, device: tpu}]", "model m: `device` must be auto, cpu, cuda"),
        ("models: [{id: m, engine: fake, dtype: fp8}]", "model m: `dtype` must be 'auto', 'float32'"),
        ("models: [{idd: m, engine: fake}]", "entry 1 of `models`: unknown key `idd`; did you mean `id`?"),
        ("models: [{id: m, engine: fake, default: 5}]", "model m: `default` must be a list, such as [a, b], not 5"),
        (
            "models: [{id: m, engine: fake, presets: {a: 5}}]",
            "model m: `presets.a` must be a mapping, such as",
        ),
        ("models: [7]", "entry 1 of `models` must be a mapping, such as {key: value}, not 7"),
        ("models: [{id: m, engine: fake, replicas: 0}]", "model m: `replicas`: write how many workers there may be"),
        ("models: [{id: m, engine: fake, idle_timeout: soon}]", "`idle_timeout`: write seconds such as 300, or a time"),
        ("gateway: {port: yes}", "`gateway.port`: write a number, not true; YAML reads yes and on as true"),
        (
            "gateway: {hosts: [https://ai.example.com/]}",
            "`gateway.hosts`: write the name alone, such as ai.example.com",
        ),
        ("security: {api_keys: [{name: app, key_hash: x}]}", "key app: `key_hash` must be `sha256:` and what `printf"),
        ("jobs: {database: sqlite}", "`jobs.database` must be the URL of a PostgreSQL database, such as postgresql://"),
        ("text", "must contain sections such as `gateway:` and `models:`, not a text"),
        ("models:\n\t- id: m", "line 2: found character '\\t' that cannot start any token; indent with spaces"),
        ("models:\n  - id:m\n    engine: fake", "line 3: mapping values are not allowed here; put a space after"),
        ("models: [{id: m, engine: fake}", "line 1: expected ',' or ']', but got '<stream end>'; a comma or a closing"),
        ("models: [{id: m, engine: fake, memory_gb: lots}]", "write a number of GiB such as 8, or a size such as 8GB"),
        ("memory: {safety_margin_gb: -1}", "`memory.safety_margin_gb` must be at least 0"),
        ("gateway: {cors_origins: [ai.example.com]}", "such as https://ai.example.com"),
        ("gateway: {cors_origins: [https://ai.example.com/page]}", "such as https://ai.example.com"),
        ("- a list", "must contain sections"),
        ("a: [", "is not valid YAML"),
        ("models: []\n\nmodels: [{id: m, engine: fake}]", "the key `models` is in line 1 and again in line 3"),
        ("gateway:\n  port: 1\n  host: x\n  port: 2", "the key `port` is in line 2 and again in line 4"),
        ("models:\n- id: m\n  engine: fake\n  id: n", "the key `id` is in line 2 and again in line 4"),
    ],
)
def test_error_names_the_key_and_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml") as error:
        load(write(tmp_path, text), {})
    assert words in str(error.value)


def test_unreadable_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})
    path = tmp_path / "config.yaml"
    path.write_bytes(b"models:\n- caf\xe9\n")
    with pytest.raises(ConfigError, match=r"config\.yaml is not UTF-8 text, as line 2 shows; save it as UTF-8"):
        load(path, {})


@pytest.mark.parametrize(
    "text",
    [
        "jobs: {database: mysql://me:open-sesame@host/jobs}",
        "gateway: {api_key: [open-sesame]}",
        "security: {jwt_secret: [open-sesame]}",
        "manager: {token: [open-sesame]}",
        "security: {api_keys: [{name: a, key_hash: open-sesame}]}",
        "models: [{id: m, engine: fake, env: {TOKEN: [open-sesame]}}]",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, text), {})
    assert "sesame" not in str(error.value)


def test_every_pattern_has_words() -> None:
    models = [Settings, *(registry.find_engine(name).Options for name in registry.engine_names())]
    schemas = json.dumps([model.model_json_schema() for model in models])
    patterns = set(re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', schemas))
    assert {json.loads(f'"{pattern}"') for pattern in patterns} == PATTERNS.keys()


@pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("-1", -1)])
def test_times_may_have_units(tmp_path: Path, written: str, seconds: float) -> None:
    text = f"manager: {{idle_timeout: {written}}}\nmodels: [{{id: m, engine: fake, idle_timeout: {written}}}]"
    settings = load(write(tmp_path, text), {})
    assert (settings.manager.idle_timeout, settings.models[0].idle_timeout) == (seconds, seconds)


@pytest.mark.parametrize(("written", "seconds"), [("off", None), ("null", None), ("2.5", 2.5)])
def test_stream_wait_can_be_off(tmp_path: Path, written: str, seconds: float | None) -> None:
    assert load(write(tmp_path, f"gateway: {{stream_wait: {written}}}"), {}).gateway.stream_wait == seconds


@pytest.mark.parametrize(
    ("written", "gigabytes"),
    [("8", 8), ("8GB", 8), ('"8 GiB"', 8), ('"8"', 8), ("1.5g", 1.5), ("512MB", 0.5), ("1TB", 1024)],
)
def test_sizes_may_have_units(tmp_path: Path, written: str, gigabytes: float) -> None:
    text = f"memory: {{max_ram_gb: {written}}}\nmodels: [{{id: m, engine: fake, memory_gb: {written}}}]"
    settings = load(write(tmp_path, text), {})
    assert (settings.memory.max_ram_gb, settings.models[0].memory_gb) == (gigabytes, gigabytes)


def test_sizes_in_megabytes_may_have_units(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "gateway: {max_body_mb: 1GB}\nlogs: {max_mb: 5MB}"), {})
    assert (settings.gateway.max_body_mb, settings.logs.max_mb) == (1024, 5)
