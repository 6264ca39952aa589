"""What `workers.describe` says about engines and entries, without importing their libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contract.config import ModelSpec
from tests.support.model_libraries import MODEL_LIBRARIES
from workers import describe
from workers.describe import entry
from workers.registry import engine_names

ROOT = Path(__file__).parents[2]


def described(entries: list[dict[str, Any]]) -> dict[str, Any]:
    specs = [ModelSpec.model_validate(one).model_dump(mode="json") for one in entries]
    run = subprocess.run(
        [sys.executable, "-m", "workers.describe"],
        input=json.dumps(specs), cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(run.stdout)


def error(**fields: Any) -> str:
    return str(entry(ModelSpec.model_validate({"id": "m", "engine": "fake", **fields}))["error"])


def test_engines_say_their_tasks_imports_and_purpose() -> None:
    said = describe.engines()
    assert sorted(said) == engine_names()
    assert said["rapidocr"]["tasks"] == ["ocr"]
    assert "rapidocr:RapidOCR" in said["rapidocr"]["imports"]
    assert all(offer["doc"].endswith(".") for offer in said.values())


def test_the_program_describes_entries() -> None:
    said = described(
        [{"id": "good", "engine": "fake", "tasks": ["chat"]}, {"id": "bad", "engine": "fak", "source": "x"}]
    )
    assert said["good"] == {
        "tasks": ["chat"],
        "features": ["images", "languages"],
        "imports": [],
        "devices": ["cuda", "mps", "mlx", "cpu"],
        "early_standby": True,
        "needs_source": False,
        "error": None,
    }
    assert "unknown engine 'fak'" in said["bad"]["error"]


def test_describing_imports_the_named_engines_only() -> None:
    program = (
        "import sys; from workers import describe; describe.main();"
        "print(*(module for module in sys.modules if module.startswith('workers.engines.')), file=sys.stderr)"
    )
    entries = json.dumps([ModelSpec(id="m", engine="rapidocr").model_dump(mode="json")])
    run = subprocess.run(
        [sys.executable, "-c", program], input=entries, cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {name.split(".")[2] for name in run.stderr.split()} == {"rapidocr"}


def test_describing_imports_no_slow_library() -> None:
    program = (
        "import sys; from workers import describe; describe.main();"
        "print(*{module.partition('.')[0] for module in sys.modules}, file=sys.stderr)"
    )
    entries = [ModelSpec(id=name, engine=name, source="x").model_dump(mode="json") for name in engine_names()]
    run = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(entries), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len(json.loads(run.stdout)) == len(entries)
    assert set(run.stderr.split()) & {*MODEL_LIBRARIES, "aiohttp"} == set()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"options": {"answer_second": 1}}, "options: unknown key `answer_second`; did you mean `answer_seconds`?"),
        ({"options": {"memory_mb": "much"}}, "`memory_mb`"),
        ({"engine": "rapid_ocr"}, "unknown engine 'rapid_ocr'; did you mean `rapidocr`? Available engines: blip, "),
        (
            {"engine": "xyz"},
            "unknown engine 'xyz'; a new engine is a file in workers/engines/. Available engines: blip",
        ),
        (
            {"engine": "transformers_chat", "source": "https://huggingface.co/organisation/name"},
            "`source` is a URL; write the model's name at the hub, such as organisation/name, a folder or a file",
        ),
        ({"tasks": ["depth"]}, "does not serve the task 'depth'; it serves: analyze, caption, chat, completions"),
        ({"tasks": ["chat"], "default": ["ocr"]}, "default for 'ocr', which it does not serve"),
        ({"engine": "rapidocr", "device": "cuda:1"}, "does not run on cuda; write one of: cpu"),
        ({"defaults": {"step": 4}}, "unknown key `defaults.step`; did you mean `steps`?"),
        ({"defaults": {"steps": "many"}}, "`defaults.steps`"),
        ({"defaults": {"temperature": 3}}, "`defaults.temperature`"),
        ({"tasks": ["ocr"], "defaults": {"temperature": 1}}, "unknown key `defaults.temperature`"),
        ({"defaults": {"model": "other"}}, "unknown key `defaults.model`"),
        ({"defaults": {"top_k": 5}}, "`defaults.top_k`: the engine does not support it"),
        ({"defaults": {"verbosity": "low"}}, "`defaults.verbosity`: the engine does not support it"),
        ({"presets": {"calm": {"defaults": {"min_p": 0.1}}}}, "presets.calm: `defaults.min_p`"),
        ({"engine": "rapidocr", "defaults": {"image": "a.png"}}, "unknown key `defaults.image`"),
        (
            {"engine": "transformers_segment", "source": "x", "defaults": {"detector": "finder"}},
            "unknown key `defaults.detector`",
        ),
        ({"engine": "transformers_chat"}, "`source` is missing"),
        ({"engine": "command"}, "`cmd`"),
        ({"engine": "command", "options": {"cmd": "serve"}}, "write ${PORT}"),
        (
            {"engine": "command", "options": {"cmd": "serve ${PORT}", "ready": "health"}},
            "must be a path that begins with /",
        ),
    ],
)
def test_invalid_entry_gets_a_helpful_error(fields: dict[str, Any], sentence: str) -> None:
    assert sentence in error(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"defaults": {"steps": 4, "temperature": 0.5, "size": "512x512"}},
        {"defaults": {"top_k": -1, "user": "x"}},
        {"engine": "transformers_chat", "source": "x", "defaults": {"top_k": 5, "min_p": 0.1}},
        {"device": "cuda:1"},
        {"tasks": ["caption"], "defaults": {"temperature": 0, "max_tokens": 60}},  # through chat, with chat's defaults
        {"engine": "command", "tasks": ["chat"], "options": {"cmd": "serve --port ${PORT}", "model_name": "x"}},
    ],
)
def test_valid_entry_has_no_error(fields: dict[str, Any]) -> None:
    assert error(**fields) == "None"


def test_external_server_takes_every_field() -> None:
    offer = entry(ModelSpec(id="m", engine="command", tasks=("chat",), options={"cmd": "serve ${PORT}"}))
    assert (offer["tasks"], offer["features"]) == (["chat"], ["*"])


def test_wrong_presets_are_refused_by_name() -> None:
    assert error(presets={"x": {"system": "Hi.", "defaults": {"temperature": 0}}}) == "None"
    assert "presets.x: unknown key `defaults.temprature`; did you mean `temperature`?" in error(
        presets={"x": {"defaults": {"temprature": 0}}}
    )
    assert "presets.x: `system` is for chat" in error(tasks=["embeddings"], presets={"x": {"system": "Hi."}})
    external = {"engine": "command", "options": {"cmd": "serve ${PORT}"}}
    assert "cannot have `presets`" in error(**external, presets={"x": {}})
