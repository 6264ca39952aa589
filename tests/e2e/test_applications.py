"""Replays what applications send, to one model with images, tools and thoughts, and reads the answers as they do."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from PIL import Image

from scripts.testbed.server import RunningServer, eventually
from tests.support import agent_model
from tests.support.agent_model import call, json_text
from tests.support.applications import agents, home_assistant, open_webui
from tests.support.applications import cameras_and_recipes as vision
from tests.support.applications.cameras_and_recipes import Recipe, Review, Tags

pytestmark = pytest.mark.timeout(300)  # the prompt of 28 tools is long for a busy machine

CLOCK = {"days_ago": 1}
LIGHT = {"name": "Kitchen light", "brightness": 40}
DRIVEWAY = {"summary": "A car.", "people": 1, "light": None, "colour": [255, 0, 0]}
READ = {"file_path": "/w/main.py"}
VERDICT = {"reason": "It only lists.", "allow": True}
FORECAST = {"output": agent_model.FORECAST}
SUM = {"input": "20 + 1"}
_RESULT = "last.role == 'tool'"

SCRIPTS = {
    **{f"task_{name}": (f"'{name}\\\": ...' in text", json_text({name: ["Weather"]})) for name in open_webui.TASKS},
    "cited": ("'<source' in text", "The pump runs at 50 Hz [1]."),
    "timestamp": (
        f"'calculate_timestamp' in names and not {_RESULT}",
        f"<think>\nWhat day is it?\n</think>\n\n{call('calculate_timestamp', CLOCK)}\n{call('list_memories', {})}",
    ),
    "light": (f"'HassLightSet' in names and 'bright' in text and not {_RESULT}", call("HassLightSet", LIGHT)),
    "done": (f"{_RESULT} and 'HassLightSet' in names", "The light is at 40 %."),
    "formatted": (f"{_RESULT} and 'format_final_json_response' in names", call("format_final_json_response", FORECAST)),
    "calculated": (f"'calculator' in names and not {_RESULT}", call("calculator", SUM)),
    "verdict": ("'respond_in_schema' in names", call("respond_in_schema", VERDICT)),
    "opencode": (f"'webfetch' in names and not {_RESULT}", call("read", {"filePath": READ["file_path"]}, 2)),
    "qwen": (f"'run_shell_command' in names and not {_RESULT}", f"I read it.\n{call('read_file', READ, 3)}"),
    "continue": (
        f"'run_terminal_command' in names and not {_RESULT}",
        call("read_file", {"filepath": READ["file_path"]}, 4),
    ),
    "fixed": (f"{_RESULT} and 'read_file' in names or 'read' in names", "I fixed it."),
    "edit": ("'SEARCH/REPLACE' in text", agents.EDIT),
    "commit": ("'+print' in text", "feat: print 2"),
    "title": ("'Fix the tests' in text", "Fixing tests"),
    "completion": ("'fim_middle' in text", "time.time()\n\nprint(now())"),
    "answered": (_RESULT, "It is Thursday."),
    "driveway": ("'driveway' in text", json_text(DRIVEWAY)),
    "review": ("'Review this' in text", json_text(vision.REVIEW)),
    "tags": ("'key tags' in text", json_text(vision.TAGS)),
    "recipe": ("'Parse this recipe' in text", json_text(vision.RECIPE)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    source = agent_model.build(tmp_path_factory.mktemp("applications"), SCRIPTS, vision=True)
    entry: dict[str, Any] = {"id": "agent", "engine": "transformers_chat", "source": str(source), "preload": True}
    entry["options"] = {"threads": 1}
    with RunningServer(tmp_path_factory.mktemp("house"), [entry]) as running:
        eventually("the model is loaded", lambda: _states(running) == ["ready"], patience=240)
        yield running


def _states(server: RunningServer) -> list[str]:
    return [worker["state"] for worker in server.workers("agent")]


@pytest.fixture(scope="module")
def client(server: RunningServer) -> OpenAI:
    return server.client


@pytest.fixture(scope="module")
def images() -> list[str]:
    uris = []
    for colour in ("red", "green", "blue"):
        file = io.BytesIO()
        Image.new("RGB", (64, 48), colour).save(file, "JPEG")
        uris.append("data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode())
    return uris


def streamed(server: RunningServer, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A streamed answer as pages sum it up: its message, and the usage."""
    response = server.post("/v1/chat/completions", body, headers={"X-OpenWebUI-Chat-Id": "1"})
    assert response.status_code == 200, response.text
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    texts: dict[str, str] = {"content": "", "reasoning_content": ""}
    calls: dict[int, dict[str, Any]] = {}
    usage: dict[str, Any] = {}
    for chunk in map(json.loads, lines[:-1]):
        usage = chunk.get("usage") or usage
        for delta in (choice["delta"] for choice in chunk["choices"]):
            for name in texts:
                texts[name] += delta.get(name) or ""
            for piece in delta.get("tool_calls", ()):
                known = calls.setdefault(piece["index"], {**piece, "function": {"name": "", "arguments": ""}})
                for part in ("name", "arguments"):
                    known["function"][part] += piece["function"].get(part) or ""
    return {**texts, "tool_calls": list(calls.values())}, usage


def called(message: dict[str, Any]) -> list[tuple[str, Any]]:
    """The names and the parsed arguments of a message's calls."""
    functions = [call["function"] for call in message["tool_calls"]]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


def whole(server: RunningServer, body: dict[str, Any]) -> dict[str, Any]:
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert "warnings" not in answer, answer["warnings"]
    return answer


def text_of(answer: dict[str, Any]) -> str:
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "stop"
    return str(choice["message"]["content"])


def test_open_webui_calls_its_built_in_tools(server: RunningServer) -> None:
    assert len(open_webui.TOOLS) == 28
    messages: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
    message, usage = streamed(server, open_webui.chat("agent", messages))
    assert called(message) == [("calculate_timestamp", CLOCK), ("list_memories", {})]
    assert message["reasoning_content"].strip() == "What day is it?"
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    messages += open_webui.next_messages(message["content"], message["tool_calls"], message["reasoning_content"])
    message, _ = streamed(server, open_webui.chat("agent", messages))
    assert message["content"] == "It is Thursday."


@pytest.mark.parametrize("name", open_webui.TASKS)
def test_open_webui_reads_json_of_its_tasks(server: RunningServer, name: str) -> None:
    text = text_of(whole(server, open_webui.task("agent", name)))
    assert json.loads(text[text.index("{") : text.rindex("}") + 1]) == {name: ["Weather"]}


def test_open_webui_cites_sources(server: RunningServer) -> None:
    message, _ = streamed(server, open_webui.with_sources("agent"))
    assert message["content"].endswith("[1].")


@pytest.mark.parametrize("fields", [home_assistant.OF_CORE, home_assistant.OF_LOCAL, home_assistant.OF_EXTENDED])
def test_home_assistant_sets_a_light(server: RunningServer, fields: dict[str, Any]) -> None:
    spoken: list[dict[str, Any]] = [{"role": "user", "content": "Set the kitchen light to a brightness of 40"}]
    message, _ = streamed(server, home_assistant.assist("agent", spoken, **fields))
    assert called(message) == [("HassLightSet", LIGHT)]
    spoken += agents.after_call(message, '{"success": true}', content=None)  # no content at all in one integration
    message, _ = streamed(server, home_assistant.assist("agent", spoken, **fields))
    assert message["content"] == "The light is at 40 %."


def test_home_assistant_injects_a_result_without_a_call(server: RunningServer) -> None:
    spoken = [home_assistant.INJECTED, {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    message, _ = streamed(server, home_assistant.assist("agent", spoken))
    assert message["content"] == agent_model.PLAIN


def test_home_assistant_gets_the_structure_of_its_task(server: RunningServer, images: list[str]) -> None:
    message, _ = streamed(server, home_assistant.ai_task("agent", images[0]))
    assert json.loads(message["content"]) == DRIVEWAY


def test_frigate_reviews_and_describes(server: RunningServer, client: OpenAI, images: list[str]) -> None:
    text = text_of(whole(server, vision.frigate_review("agent", images)))
    assert Review.model_validate_json(text) == Review.model_validate(vision.REVIEW)
    assert text_of(whole(server, vision.frigate_description("agent", images))) == agent_model.PLAIN
    [model] = client.models.list().data
    assert model.max_model_len == 65_536  # type: ignore[attr-defined]


def test_frigate_finds_out_what_a_llama_cpp_server_can_do(server: RunningServer) -> None:
    """Its provider `llamacpp` reads one entry and its properties, and chats with some fields of that server."""
    props = server.get("/props", params={"model": "agent"}).json()
    assert props["chat_template_caps"]["supports_tools"]
    assert props["modalities"]["vision"]
    [model] = server.get("/v1/models").json()["data"]
    assert model["architecture"]["input_modalities"] == ["image", "text"]
    assert model["meta"]["n_ctx"] == 65_536
    assert text_of(whole(server, vision.frigate_llama_cpp("agent"))) == agent_model.PLAIN
    message, usage = streamed(server, {**vision.frigate_llama_cpp("agent"), **vision.FRIGATE_STREAM})
    assert message["content"] == agent_model.PLAIN
    assert usage["prompt_tokens"] > 0


@pytest.mark.parametrize("form", vision.KARAKEEP_FORMS)
@pytest.mark.parametrize("has_image", [False, True])
def test_karakeep_gets_tags(server: RunningServer, images: list[str], form: str, has_image: bool) -> None:
    answer = whole(server, vision.karakeep_tags("agent", form, images[0] if has_image else None))
    assert Tags.model_validate_json(text_of(answer)) == Tags.model_validate(vision.TAGS)
    assert answer["usage"]["total_tokens"] > 0


def test_mealie_reads_a_recipe(client: OpenAI, images: list[str]) -> None:
    messages: Any = vision.mealie_messages(images[0])
    parsed = client.chat.completions.parse(model="agent", messages=messages, response_format=Recipe)
    assert parsed.choices[0].message.parsed == Recipe.model_validate(vision.RECIPE)


TURNS = [agents.opencode_turn, agents.qwen_turn, agents.continue_turn]


@pytest.mark.parametrize("turn", TURNS)
def test_coding_agent_reads_a_file_and_answers(server: RunningServer, turn: Any) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Fix main.py"}]
    message, usage = streamed(server, turn("agent", messages))
    [(name, arguments)] = called(message)
    assert name in ("read", "read_file")
    assert list(arguments.values()) == ["/w/main.py"]
    assert usage["completion_tokens"] > 0
    if turn is agents.continue_turn:
        messages += agents.after_call(message, "print(1)", content=" ")
    elif turn is agents.qwen_turn:
        assert message["content"].strip() == "I read it."
        messages += agents.after_call(message, [{"type": "text", "text": "print(1)"}], content=message["content"])
    else:
        messages += agents.after_call(message, "<file>\n00001| print(1)\n</file>")
    message, _ = streamed(server, turn("agent", messages))
    assert message["content"] == "I fixed it."


def test_coding_agents_ask_on_the_side(server: RunningServer) -> None:
    [choice] = whole(server, agents.qwen_side_question("agent"))["choices"]
    assert called(choice["message"]) == [("respond_in_schema", VERDICT)]
    assert streamed(server, agents.opencode_title("agent"))[0]["content"] == "Fixing tests"
    assert streamed(server, agents.continue_completion("agent"))[0]["content"] == "time.time()"


def test_aider_edits_and_commits(server: RunningServer) -> None:
    assert streamed(server, agents.aider_edit("agent"))[0]["content"] == agents.EDIT
    assert text_of(whole(server, agents.aider_commit_message("agent"))) == "feat: print 2"


@pytest.mark.parametrize("has_parser", [False, True])
def test_n8n_agent_calculates(server: RunningServer, has_parser: bool) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "How much is 20 + 1?"}]
    [choice] = whole(server, agents.n8n_turn("agent", messages, has_parser=has_parser))["choices"]
    assert called(choice["message"]) == [("calculator", SUM)]
    messages += agents.after_call(choice["message"], "21")
    fields = {"stream": True, "stream_options": {"include_usage": True}}
    message, _ = streamed(server, agents.n8n_turn("agent", messages, has_parser=has_parser, **fields))
    if has_parser:
        assert called(message) == [("format_final_json_response", FORECAST)]
    else:
        assert message["content"] == "It is Thursday."
