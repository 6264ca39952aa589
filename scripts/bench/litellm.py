"""LiteLLM's proxy as an optional peer, if it is installed in an environment of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.bench.servers import ROOT, free_port, running, upstream_command

ENVIRONMENT = ROOT / "data" / "bench" / "litellm"
_CONFIG = """
model_list:
  - model_name: upstream
    litellm_params: {{model: openai/upstream, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
"""


def program() -> Path | None:
    """The proxy's command, if it is installed."""
    path = ENVIRONMENT / "bin" / "litellm"
    return path if path.exists() else None


@contextmanager
def chain(folder: Path, key: str) -> Iterator[str]:
    """The proxy, with a required key, and its upstream server."""
    folder.mkdir(parents=True, exist_ok=True)
    upstream, port = free_port(), free_port()
    config = folder / "config.yaml"
    config.write_text(_CONFIG.format(port=upstream, key=key))
    argv = [str(program()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with running(upstream_command(str(upstream)), upstream), running(argv, port) as url:
        yield url
