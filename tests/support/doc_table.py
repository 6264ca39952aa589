"""Where each block of the documentation is run: every block of every page has its place, and nothing else is listed."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.doc_examples import ADDRESS, ROOT, Block, blocks

PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")))

STAND_INS: Mapping[str, str] = {
    "docs/vision.md": "",
    "docs/rerank.md": "",
    "docs/python-client.md": "",
    "docs/dialects.md": "Depth Anything V2 server|Vision models server|Homelab AI Services API|Ollama API",
}
"""Pages (and their sections; all without) whose examples need models that are downloaded: tiny ones replace them."""

Key = tuple[str, str]
"""A page, and what the first line of a block begins with."""

ELSEWHERE: Mapping[Key, str] = {
    ("README.md", "{"): "tests/e2e/test_readme.py",
    ("docs/adding-a-model.md", ""): "tests/scripts/test_adding_a_model.py",
    ("docs/adding-an-engine.md", ""): "tests/scripts/test_docs.py",
    ("docs/dialects.md", "from anthropic"): "tests/e2e/chat_dialects/test_anthropic_client.py",
    ("docs/dialects.md", "from huggingface_hub"): "tests/e2e/test_text_embeddings_inference.py",
    ("docs/dialects.md", "from openai"): "tests/e2e/chat_dialects/test_responses_client.py",
    ("docs/jobs.md", "import base64, hashlib"): "tests/gateway/routes/test_job_restarts.py",
    ("docs/models.md", "curl localhost:8000/api/models"): "tests/e2e/test_model_downloads.py",
    ("docs/speech.md", "curl"): "tests/e2e/test_speech.py",
    ("docs/speech.md", "from"): "tests/e2e/test_speech.py",
}
"""Blocks that need a server of their own: the test that runs them."""

NOT_RUN: Mapping[Key, str] = {
    ("docs/command.md", "pipx install"): "needs pipx; tests/e2e/test_wheel.py installs the package and runs it",
    ("docs/completions.md", "lm_eval"): "LM Evaluation Harness downloads its tasks",
    ("docs/crawl.md", "curl"): "asks a page on the internet; tests/e2e/test_crawl.py asks one on this machine",
    ("docs/dialects.md", "curl localhost:8000/infer"): "needs a checkpoint; tests/e2e/test_model_folders.py has one",
    ("docs/dialects.md", "export"): "sets variables of other programs",
    ("docs/dialects.md", "import cohere"): "needs Cohere's package; make e2e installs it for tests/e2e/clients",
    ("docs/images.md", "cp ~/Downloads"): "needs a checkpoint; tests/e2e/test_model_folders.py has one",
    ("docs/installing.md", "pipx upgrade"): "needs pipx and a package that it has installed",
    ("docs/installing.md", "docker build"): "needs a Docker engine; scripts/e2e/docker.sh runs these commands",
    (
        "docs/installing.md",
        "pip install open-webui",
    ): "large; tests/e2e/test_applications.py sends what Open WebUI sends",
    ("docs/operations.md", "scripts/e2e"): "starts a whole system; make e2e runs it as root on Debian",
    ("docs/operations.md", "entryPoints:"): "Traefik's own configuration",
    ("docs/operations.md", "ai.example.com"): "Caddy's own configuration",
}
"""Blocks that cannot run here, and why."""


def all_blocks() -> list[Block]:
    """Every block of every page, in order."""
    return [block for page in PAGES for block in blocks(page)]


def listed(block: Block, table: Mapping[Key, str]) -> Key | None:
    """The key of a table that a block has."""
    return next((key for key in table if key[0] == block.page and block.first_line.startswith(key[1])), None)


def of_language(*languages: str) -> list[Block]:
    """The blocks in these languages that are run where their language is, and not listed."""
    blocks = (block for block in all_blocks() if block.language in languages)
    return [block for block in blocks if not (listed(block, ELSEWHERE) or listed(block, NOT_RUN))]


def needs_stand_ins(block: Block) -> bool:
    """Whether an example needs models that the shipped configuration would download."""
    sections = STAND_INS.get(block.page)
    return sections is not None and (not sections or block.title in sections.split("|"))


def is_example(block: Block) -> bool:
    """Whether a block is a program that asks a running server."""
    return bool(ADDRESS.search(block.text)) or "house." in block.text


EXAMPLES = [block for block in of_language("bash", "python") if is_example(block)]
SHIPPED_EXAMPLES = [block for block in EXAMPLES if not needs_stand_ins(block)]
"""The examples that run against a server with the configuration that ships."""
STAND_IN_EXAMPLES = [block for block in EXAMPLES if needs_stand_ins(block)]
