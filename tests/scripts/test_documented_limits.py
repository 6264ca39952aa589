"""Limits that the docs state in sentences and tables are those of the code."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping

import pytest

from contract.asgi.connections import ConnectionLimits
from scripts.packages.choice import EXTRAS
from tests.support.doc_examples import ROOT

MIB = 2**20
CONFIGURATION: Mapping[str, str] = {
    "objects, lists and fields in a JSON body | {:,}": "contract.json_bounds.MAX_PARTS",
    "values in the lists of a JSON body | {:,}": "contract.json_bounds.MAX_VALUES",
    "names of fields included | {:,}": "contract.json_bounds.MAX_STRINGS",
    "of those that are long | {:,}": "contract.json_parser._NAMES",
    "in a JSON body of more than {/1024} KiB | 4 MiB": "contract.json_bounds._LARGE",
    "in a JSON body of more than 256 KiB | {/1048576} MiB": "contract.json_bounds.MAX_OUTSIDE",
    "characters of a number in such a body | {}": "contract.json_bounds.MAX_NUMBER",
    "parts of a form | {:,}": "contract.multipart.MAX_PARTS",
    "items in a list of a request | {:,}": "contract.limits.MAX_ITEMS",
    "such as a prompt or a message | {:,}": "contract.limits.MAX_TEXT",
    "if the body has more than 256 KiB | {:,}": "contract.limits.MAX_WIDE",
    "such as `model` or `user` | {:,}": "contract.limits.MAX_NAME",
    "characters of an image's URL | {:,}": "contract.media._MAX_URL",
}
OPERATIONS: Mapping[str, str] = {
    "the manager: {/1024} KiB in memory and the rest in files": "manager.spool.IN_MEMORY",
    "{:,} at most | the gateway takes fewer connections": "contract.asgi.connections._DESCRIPTORS",
    "Bodies of up to {/1024} KiB do not count": "contract.asgi.body_memory.SMALL",
    "not JSON: beyond {/1048576} MiB, these are in temporary files": "gateway.forwarding.spooled_body.IN_MEMORY",
    "inside an event of more than {/1048576} MiB breaks off": "gateway.forwarding.event_stream.MAX_EVENT",
    "lists the last {} requests since the gateway started": "gateway.request_log.KEPT",
    "A page looks at {/1048576} MiB of the file": "manager.log_pages.MAX_SCAN",
    "the last {} starts of workers": "manager.recent_work.MAX_STARTS",
    "The {} largest shares of workers in each point": "manager.history.rings.MAX_SHARES",
    "or {/1073741824} GiB if it is smaller": "manager.memory.start_history.MIN_WORK_ROOM",
}
JOBS: Mapping[str, str] = {
    "from 200 to 299 within {} seconds": "gateway.jobs.webhooks.TIMEOUT",
    "names the first {} lines that are wrong": "gateway.jobs.batch.MAX_ERRORS",
    "a duration of up to {/86400} days": "gateway.routes.batches._LONGEST_WINDOW",
    "At most {} requests of a batch wait or run": "gateway.jobs.batches.WINDOW",
    "are listed for {/86400} days after": "gateway.jobs.batches._KEEP",
    "shows every {:g} seconds that it lives": "gateway.jobs.leases.BEAT",
    "After {:g} seconds of silence": "gateway.jobs.leases.SILENCE",
    "after {} times the job has failed": "gateway.jobs.leases.MAX_INTERRUPTIONS",
    "above {/1024} KiB are files next to it": "gateway.jobs.payloads.LARGE",
}
CHAT: Mapping[str, str] = {
    "in chunks of {} tokens": "workers.engines.mlx.prompt_scores.CHUNK",
    "yes, up to `max_batch` ({}), if the model allows it": "workers.engines.transformers_chat._MAX_BATCH",
    "but never fewer than {}.": "workers.engines.transformers_chat.chunk_sizer.SHORTEST",
    "in {} levels, 200,000 characters": "workers.toolkit.chat.constraints.schema_limits._MAX_DEPTH",
    "of up to {:,} characters; the schemas": "workers.toolkit.chat.constraints.schema_limits._MAX_PATTERN_LENGTH",
    "at most {} patterns and formats may differ": "workers.toolkit.chat.constraints.schema_limits._MAX_COMBINED",
    "The {} schemas that were used last": "workers.toolkit.chat.constraints.compiler._KEPT",
    "({:,} characters together)": "workers.toolkit.chat.constraints.compiler._KEPT_CHARACTERS",
}
OTHERS: Mapping[tuple[str, str], str] = {
    ("docs/rerank.md", "There may be {:,} documents"): "contract.tasks.rerank.MAX_DOCUMENTS",
    ("docs/tools.md", "more than {:,} characters are sent"): "workers.toolkit.chat.tool_formats.call_pieces.LONG",
    ("docs/crawl.md", "up to {:,} pixels high"): "workers.engines.crawl.visit.MAX_SCREENSHOT_HEIGHT",
    ("docs/crawl.md", "up to {} times"): "workers.engines.crawl.navigation.MAX_NAVIGATIONS",
    ("docs/images.md", "at most {} times the pixels"): "workers.toolkit.drawing.limits.LARGEST",
    ("docs/speech.md", "`pcm`: {:,} samples a second"): "workers.toolkit.speech.audio_writer.PCM_RATE",
    ("docs/vision.md", "up to {/1000000} million"): "contract.media.MAX_PIXELS",
}
PAGES = {"configuration": CONFIGURATION, "operations": OPERATIONS, "jobs": JOBS, "chat": CHAT}
CLAIMS = {(f"docs/{page}.md", phrase): name for page, claims in PAGES.items() for phrase, name in claims.items()}


def words_of(page: str) -> str:
    return " ".join((ROOT / page).read_text().split())


@pytest.mark.parametrize(("claim", "name"), [*CLAIMS.items(), *OTHERS.items()], ids=str)
def test_page_states_the_limit_of_the_code(claim: tuple[str, str], name: str) -> None:
    page, phrase = claim
    module, _, constant = name.rpartition(".")
    value = getattr(importlib.import_module(module), constant)
    if unit := re.search(r"\{/(\d+)\}", phrase):
        phrase, value = phrase.replace(unit[0], "{:g}"), value / int(unit[1])
    assert phrase.format(value) in words_of(page)


def test_pages_state_the_delays_of_webhooks() -> None:
    from gateway.jobs.webhooks import DELAYS

    assert "after 5 s, 1 min, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h and 20 h" in words_of("docs/jobs.md")
    assert list(DELAYS) == [5, 60, 300, 1800, *(hours * 3600 for hours in (2, 5, 10, 14, 20))]


def test_pages_state_the_limits_of_connections() -> None:
    limits = ConnectionLimits()
    head = f"{limits.headers}, and {limits.head_bytes // 1024} KiB"
    assert f"| headers | {head} with the request line |" in words_of("docs/configuration.md")
    assert f"| headers | {head} together with the request line |" in words_of("docs/operations.md")
    arrival = f"| time until the head has arrived | {limits.head_seconds:g} s |"
    for page in ("docs/configuration.md", "docs/operations.md"):
        assert arrival in words_of(page)
    rate = f"{limits.least_rate / 1024:g} KiB/s, after the first {limits.grace:g} s"
    assert rate in words_of("docs/operations.md")


def test_readme_lists_what_engines_accepts() -> None:
    listed = ", ".join(f"`{extra}`" for extra in EXTRAS)
    assert f"ENGINES accepts {listed}, and the names of the engines" in words_of("README.md")
