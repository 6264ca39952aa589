"""Configurations of the Homelab AI Services API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from contract import catalogue
from contract.config import ConfigError
from scripts.import_config import Note

TASKS = {
    "image_caption": "caption",
    "caption": "caption",
    "text_embedding": "embeddings",
    "embedding": "embeddings",
    "image_ocr": "ocr",
    "ocr": "ocr",
}
"""The task of each kind of model in the file."""

_ENGINES = {"embeddings": "sentence_transformers", "ocr": "transformers_ocr"}
"""What runs models of a task that the catalogue does not know."""

_MODEL_KEYS = {"id", "hf_model", "enabled", "default", "dimensions", "name", "team", "size_mb"}
_SECTIONS = {"models", "resources", "security"}


def converted(document: Any, note: Note) -> dict[str, Any]:
    """The configuration of Enginehouse for the content of such a file. Raises ConfigError if it is none."""
    if not isinstance(document, dict) or not _SECTIONS & document.keys():
        raise ConfigError("this is no configuration that Enginehouse knows: it has no models, resources or security")
    for name in document.keys() - _SECTIONS:
        note(f"{name}: Enginehouse has no such section; see docs/configuration.md for what it has")
    resources, security = (_section(document, name) for name in ("resources", "security"))
    return {
        **_resources(resources, note),
        **({"security": kept} if (kept := _security(security, note)) else {}),
        "models": list(_models(_section(document, "models"), note)),
    }


def _section(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = document.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"{name}: write it as `name: value` lines, not as a {type(section).__name__}")
    return section


def _resources(section: Mapping[str, Any], note: Note) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in section.items():
        match name:
            case "max_gpu_memory_gb":
                kept["memory"] = {"max_gpu_memory_gb": value}
            case "max_concurrent_requests":
                kept["resources"] = {"max_concurrent_requests": value}
            case "model_keep_alive_minutes" if isinstance(value, int | float):
                kept["manager"] = {"idle_timeout": value * 60}
            case _:
                note(f"resources.{name}: Enginehouse has no such setting")
    return kept


def _security(section: Mapping[str, Any], note: Note) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    enabled = section.get("auth_enabled", True)
    keys = [key for key in section.get("api_keys") or [] if isinstance(key, dict)]
    if keys and not enabled:
        note("security.api_keys: auth_enabled is false, so they are left out; in Enginehouse a key here is required")
    elif keys:
        kept["api_keys"] = [entry for index, key in enumerate(keys, 1) if (entry := _key(index, key, note))]
    for name in ("ip_allowlist", "allow_localhost"):
        if name in section:
            kept[name] = section[name]
    for name in section.keys() - {"auth_enabled", "api_keys", "ip_allowlist", "allow_localhost"}:
        note(f"security.{name}: Enginehouse has no such setting")
    return kept


def _key(index: int, key: Mapping[str, Any], note: Note) -> dict[str, Any] | None:
    digest = re.sub("^sha256[:_]", "", str(key.get("key_hash", ""))).lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        note(f"security.api_keys: the hash of key {index} is no SHA-256 in hexadecimal; add the key to API_KEYS")
        return None
    rest = {"rate_limit": key["rate_limit"]} if key.get("rate_limit") else {}
    return {"name": str(key.get("name") or f"key-{index}"), "key_hash": f"sha256:{digest}", **rest}


def _models(section: Mapping[str, Any], note: Note) -> Iterator[dict[str, Any]]:
    for kind, entries in section.items():
        for entry in entries if isinstance(entries, list) else []:
            where = f"models.{kind}: {entry.get('id') if isinstance(entry, dict) else entry}"
            if kind not in TASKS:
                note(f"{where}: Enginehouse does not know what {kind} is; add an entry as docs/models.md shows")
            elif not isinstance(entry, dict) or not entry.get("id"):
                note(f"{where}: it has no id")
            elif not entry.get("enabled", True):
                note(f"{where}: it is disabled, so it is left out")
            elif model := _model(TASKS[kind], entry, where, note):
                yield model


def _model(task: str, entry: Mapping[str, Any], where: str, note: Note) -> dict[str, Any] | None:
    for name in entry.keys() - _MODEL_KEYS:
        note(f"{where}: Enginehouse has no setting {name}")
    source = str(entry.get("hf_model") or "")
    known = catalogue.load().find(source or entry["id"])
    if known and task in known.tasks:
        model = {key: value for key, value in known.entry.items() if key not in {"id", "aliases", "default"}}
    elif task in _ENGINES and source:
        model = {"engine": _ENGINES[task], "source": source}
    else:
        note(f"{where}: no engine is known to run {source or entry['id']} for {task}; docs/adding-a-model.md helps")
        return None
    return {"id": entry["id"], **model, **({"default": [task]} if entry.get("default") else {})}
