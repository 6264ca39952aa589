"""Tables of fields: which are honoured, which have no effect, and which are refused."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from contract.errors import InvalidField
from contract.known_fields import FieldTable, honoured, ignored, in_words, neutral, refused
from contract.tasks import Request, all_tasks, decode_body
from contract.tasks.chat import CHAT, ChatRequest
from contract.tasks.image_generation import IMAGE_GENERATION
from contract.tasks.transcription import TRANSCRIPTION


class Sample(Request):
    known_fields: ClassVar[FieldTable] = {
        **honoured("ours", "depth", feature="deep", also=(-1,)),
        **neutral("ours", "label"),
        **ignored("ours", "quality", also=("auto",), hint="Send `depth`."),
        **refused("theirs", "grammar regex", hint="Send a schema."),
        **refused("theirs", "search", only=(None,)),
    }
    depth: int | None = None


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, []),
        ({"depth": 2, "label": "x", "other": 1}, [("depth", "deep")]),
        ({"depth": -1}, []),
        ({"regex": "a", "grammar": "b"}, [("grammar", "grammar"), ("regex", "regex")]),
        ({"grammar": None, "regex": ""}, []),
        ({"search": {}}, [("search", "search")]),
    ],
)
def test_fields_that_need_a_feature(fields: dict[str, Any], needs: list[tuple[str, str]]) -> None:
    assert Sample.model_validate(fields).requirements() == needs


@pytest.mark.parametrize("media", ["application/json", "multipart/form-data; boundary=b"])
def test_names_invalid_and_refused_fields_at_once(media: str) -> None:
    fields = {"depth": "deep", "grammar": "x", "regex": "", "label": "y"}
    parts = [f'--b\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{text}\r\n' for key, text in fields.items()]
    body = json.dumps(fields) if media == "application/json" else "".join(parts) + "--b--\r\n"
    with pytest.raises(InvalidField, match=r"`depth` .*\. Only an external server may support `grammar`\.$") as error:
        decode_body(Sample, "/path", media, body.encode())
    assert error.value.param == "depth"


def test_fields_that_were_not_sent_are_not_named() -> None:
    with pytest.raises(InvalidField) as error:
        decode_body(TRANSCRIPTION.request, "/path", "application/json", b'{"model": "m"}')
    assert error.value.message == "`file`: this field is required."


def test_warns_of_ignored_and_unknown_fields() -> None:
    request = Sample.model_validate({"quality": "high", "dept": 3, "label": "x", "mine": 1})
    assert request.warnings(frozenset({"mine"})) == [
        "`quality` had no effect. Send `depth`.",
        "`dept` is not a known field and had no effect. Did you mean `depth`?",
    ]
    assert Sample.model_validate({"quality": "auto"}).warnings() == []


def test_number_and_length_of_warnings_are_limited() -> None:
    request = Sample.model_validate({f"{n:03d}" + "x" * 1000: 1 for n in range(500)})
    warnings = request.warnings()
    assert len(warnings) == 17
    assert warnings[-1] == "484 more unknown fields had no effect."
    assert max(map(len, warnings)) < 200


def test_names_what_is_missing_with_hints() -> None:
    needs = [("depth", "deep"), ("grammar", "grammar"), ("regex", "regex")]
    assert in_words(needs, Sample.known_fields) == ("`depth` (deep), `grammar`, `regex`", " Send a schema.")


@pytest.mark.parametrize("task", [CHAT, IMAGE_GENERATION, all_tasks()["image-edit"], all_tasks()["image-variation"]])
def test_tables_have_every_field(task: Any) -> None:
    request: type[Request] = task.request
    assert request.model_fields.keys() <= request.known_fields.keys() | {"images"}


def test_honoured_fields_of_chat_are_declared() -> None:
    known = ChatRequest.known_fields.values()
    assert {field.name for field in known if field.treatment == "honoured"} <= ChatRequest.model_fields.keys()


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"user": "x", "metadata": {"a": 1}, "store": True, "service_tier": "flex", "prompt_cache_key": "x"}, set()),
        ({"safety_identifier": "x", "prediction": {"type": "content"}, "verbosity": "medium"}, set()),
        ({"modalities": ["text"], "audio": None}, set()),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, {"modalities", "audio"}),
        ({"guided_json": {}, "grammar": "", "regex": None, "structured_outputs": {}}, set()),
        ({"bad_words": [], "echo": False, "plugins": None}, set()),
        ({"bad_words": ["x"], "echo": True, "web_search_options": {}}, {"bad_words", "echo", "web_search_options"}),
        ({"guided_json": {"type": "object"}}, {"structured_output"}),
        ({"structured_outputs": {"json_object": True}}, {"structured_output"}),
        ({"structured_outputs": {"structural_tag": "{}"}}, {"structural_tag"}),
        ({"think": False, "enable_thinking": False, "thinking": {"type": "disabled"}}, set()),
        ({"think": True}, {"reasoning"}),
        ({"reasoning": {"max_tokens": 100}}, {"reasoning_budget"}),
    ],
)  # fmt: skip
def test_fields_of_chat(fields: dict[str, Any], names: set[str]) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    request = CHAT.decode("application/json", json.dumps(body).encode())
    assert request.required_features() == names
    assert request.warnings() == []


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"reasoning_effort": "low", "think": True}, "low"),
        ({"reasoning": {"effort": "high"}}, "high"),
        ({"reasoning": {"enabled": False, "effort": "high"}}, "none"),
        ({"reasoning": {"enabled": True}}, "medium"),
        ({"think": "high"}, "high"),
        ({"think": False}, "none"),
        ({"enable_thinking": True}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, "medium"),
    ],
)
def test_effort_of_thinking(fields: dict[str, Any], effort: str | None) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    assert CHAT.decode("application/json", json.dumps(body).encode()).effort == effort


def test_images_warn_of_quality_and_refuse_transparency() -> None:
    body = {"prompt": "x", "quality": "hd", "style": "vivid", "background": "transparent", "user": "me"}
    request = IMAGE_GENERATION.decode("application/json", json.dumps(body).encode())
    assert request.requirements() == [("background", "background")]
    assert [warning.split()[0] for warning in request.warnings()] == ["`quality`", "`style`"]
