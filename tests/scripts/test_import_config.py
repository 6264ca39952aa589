"""A configuration of the homelab API becomes one of ours, and what cannot be carried over is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract.config import ConfigError, Settings, load
from scripts.import_config import reading

DIGEST = "ab" * 32
PRINTED = f"""
models:
  image_caption:
    - id: blip-base
      hf_model: Salesforce/blip-image-captioning-base
      enabled: true
      default: true
    - id: llava
      hf_model: llava-hf/llava-1.5-7b-hf
      enabled: false

  text_embedding:
    - id: minilm
      hf_model: sentence-transformers/all-MiniLM-L6-v2
      dimensions: 384
      enabled: true
      default: true
    - id: mpnet
      hf_model: sentence-transformers/all-mpnet-base-v2
      dimensions: 768
      enabled: false

resources:
  max_gpu_memory_gb: 8
  max_concurrent_requests: 4
  model_keep_alive_minutes: 30

security:
  auth_enabled: true
  api_keys:
    - key_hash: "{DIGEST}"
      name: "my-app"
  ip_allowlist:
    - 192.168.1.0/24
    - 127.0.0.1
"""


def convert(document: Any) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    return reading.converted(document, notes.append), notes


def test_printed_configuration_is_carried_over() -> None:
    settings, notes = convert(yaml.safe_load(PRINTED))

    blip, minilm = settings.pop("models")
    assert settings == {
        "memory": {"max_gpu_memory_gb": 8},
        "resources": {"max_concurrent_requests": 4},
        "manager": {"idle_timeout": 1800},
        "security": {
            "api_keys": [{"name": "my-app", "key_hash": f"sha256:{DIGEST}"}],
            "ip_allowlist": ["192.168.1.0/24", "127.0.0.1"],
        },
    }
    assert blip.items() >= {
        "id": "blip-base", "engine": "blip", "source": "Salesforce/blip-image-captioning-base", "default": ["caption"],
    }.items()  # fmt: skip
    assert (minilm["id"], minilm["engine"], minilm["default"]) == ("minilm", "sentence_transformers", ["embeddings"])
    assert [note.partition(": it is disabled")[0] for note in notes] == [
        "models.image_caption: llava",
        "models.text_embedding: mpnet",
    ]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"resources": {"max_batch": 3}}, "resources.max_batch"),
        ({"models": {}, "docker": {}}, "docker"),
        ({"models": {"speech": [{"id": "whisper"}]}}, "speech"),
        ({"models": {"ocr": [{"hf_model": "a/b"}]}}, "it has no id"),
        ({"models": {"image_caption": [{"id": "x", "hf_model": "a/b"}]}}, "a/b for caption"),
        ({"models": {"ocr": [{"id": "x", "hf_model": "a/b", "beams": 2}]}}, "beams"),
        ({"security": {"api_keys": [{"key_hash": "sha256_hash", "name": "a"}]}}, "API_KEYS"),
        ({"security": {"auth_enabled": False, "api_keys": [{"key_hash": DIGEST}]}}, "auth_enabled is false"),
        ({"security": {"sso": True}}, "security.sso"),
    ],
)
def test_says_what_it_leaves_out(document: dict[str, Any], expected: str) -> None:
    _, notes = convert(document)

    assert [expected in note for note in notes] == [True], notes


def test_unknown_models_run_by_their_tasks_engine() -> None:
    settings, _ = convert({"models": {"text_embedding": [{"id": "e5", "hf_model": "intfloat/e5-base"}]}})

    assert settings["models"] == [{"id": "e5", "engine": "sentence_transformers", "source": "intfloat/e5-base"}]


@pytest.mark.parametrize(
    "document", [None, [], {"gateway": {}}, {"models": [1]}, {"resources": {"max_gpu_memory_gb": -1}}]
)
def test_other_files_are_refused(document: Any) -> None:
    with pytest.raises(ConfigError):
        convert(document)


def test_output_is_a_valid_configuration(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text(PRINTED)
    run = subprocess.run(
        [sys.executable, "-m", "command", "import-config", str(tmp_path / "homelab.yaml")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (tmp_path / "config.yaml").write_text(run.stdout)

    settings: Settings = load(tmp_path / "config.yaml", {})
    assert [model.id for model in settings.models] == ["blip-base", "minilm"]
    assert run.stderr.count("not carried over: ") == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"models: [", "not valid YAML: line 1: "),
        (b"\0", ""),
        (b"other: 1", ""),
        (b"\x89PNG", "this is not a text file in UTF-8"),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    run = subprocess.run(
        [sys.executable, "-m", "command", "import-config", str(path)], capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stdout) == (1, "")
    assert str(path) in run.stderr
    assert words in run.stderr


def test_llama_swap_becomes_external_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "/models")
    document = yaml.safe_load("""
healthCheckTimeout: 300
macros: {server: "llama-server --port ${PORT}", "folder": "${env.MODELS}"}
groups: {big: {swap: true, members: [qwen]}}
models:
  qwen:
    cmd: |
      # the large one
      ${server} \\
      -m ${folder}/qwen.gguf
    aliases: [gpt-4o]
    ttl: 600
    checkEndpoint: /ready
    env: ["CUDA_VISIBLE_DEVICES=0"]
    filters: {strip_params: temperature}
  nomic: {cmd: "${server} -m n.gguf --embeddings", ttl: 0, useModelName: nomic-v1}
  empty: {}
""")
    notes: list[str] = []
    qwen, nomic = reading.converted(document, notes.append)["models"]
    assert qwen == {
        "id": "qwen",
        "engine": "command",
        "tasks": ["chat"],
        "aliases": ["gpt-4o"],
        "idle_timeout": 600,
        "start_silence": 300,
        "env": {"CUDA_VISIBLE_DEVICES": "0"},
        "options": {"cmd": "llama-server --port ${PORT} -m /models/qwen.gguf", "ready": "/ready"},
    }
    assert (nomic["tasks"], nomic["idle_timeout"], nomic["options"]["model_name"]) == (["embeddings"], -1, "nomic-v1")
    assert [note.partition(":")[0] for note in notes] == ["groups", "models.qwen.filters", "models.empty"]
    with pytest.raises(ConfigError, match="no macro 'nope'"):
        reading.converted({"models": {"m": {"cmd": "${nope} ${PORT}"}}}, notes.append)


def test_ollamas_models_become_servers_of_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models"
    for name, layers in {"library/llava/7b": ["model", "projector"], "library/bge-m3/latest": ["model"]}.items():
        manifest = folder / "manifests" / "registry.ollama.ai" / name
        manifest.parent.mkdir(parents=True)
        kind = "application/vnd.ollama.image"
        rows = [{"mediaType": f"{kind}.{layer}", "digest": f"sha256:{layer}"} for layer in layers]
        manifest.write_text(json.dumps({"layers": rows}))
    (folder / "blobs").mkdir()
    for layer in ("model", "projector"):
        (folder / "blobs" / f"sha256-{layer}").touch()
    monkeypatch.setenv("OLLAMA_MODELS", str(folder))
    table, tags = tmp_path / "list.txt", tmp_path / "tags.json"
    table.write_text(
        "NAME         ID    SIZE    MODIFIED\nllava:7b  abc  4.7 GB  2 days ago\ngone:1b  abc  1 GB  now\n"
    )
    rows = [{"name": "llava:7b", "digest": "abc"}, {"name": "bge-m3:latest", "digest": "abc"}]
    tags.write_text(json.dumps({"models": rows}))
    notes: list[str] = []
    (llava,) = reading.convert(table, notes.append)["models"]
    blobs = folder / "blobs"
    command = f"llama-server --host 127.0.0.1 --port ${{PORT}} --jinja -m {blobs}/sha256-model"
    assert llava["options"]["cmd"] == f"{command} --mmproj {blobs}/sha256-projector"
    assert notes == [f"gone:1b: its files are not in {folder}"]
    expected = [("bge-m3", ["embeddings"]), ("llava:7b", ["chat"])]
    for source in (tags, folder):
        models = reading.convert(source, notes.append)["models"]
        assert sorted((model["id"], model["tasks"]) for model in models) == expected
