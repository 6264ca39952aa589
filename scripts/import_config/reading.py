"""Recognises a file, converts it, and checks the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from contract.config import ConfigError, Settings, explain
from contract.yaml_file import explain as explain_yaml
from contract.yaml_file import read_yaml
from scripts.import_config import Note, homelab, llama_swap, ollama


def convert(path: Path, note: Note) -> dict[str, Any]:
    """The configuration of Enginehouse for a file, or for Ollama's folder of models. Raises ConfigError or OSError."""
    if path.is_dir():
        return _checked(ollama.converted(ollama.all_names(path), path, note))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError("this is not a text file in UTF-8, as configurations and Ollama's lists are") from None
    if (names := ollama.names_in(text)) is not None:
        return _checked(ollama.converted(names, ollama.folder_of(), note))
    try:
        return converted(read_yaml(text), note)
    except yaml.YAMLError as error:
        raise ConfigError(f"this is not valid YAML: {explain_yaml(error)}") from None


def converted(document: Any, note: Note) -> dict[str, Any]:
    """The configuration of Enginehouse for a YAML file's content. Raises ConfigError if it is none that we know."""
    convert_document = llama_swap.converted if llama_swap.is_one(document) else homelab.converted
    return _checked(convert_document(document, note))


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    try:
        Settings.model_validate(settings)
    except ValidationError as error:
        raise ConfigError("; ".join(explain(problem, Settings) for problem in error.errors())) from None
    return settings
