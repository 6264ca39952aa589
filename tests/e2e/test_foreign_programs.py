"""The servers of docs/external-servers.md for real: each chats, streams, calls a tool, and gives its memory back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionToolParam

from contract import config
from scripts.testbed.models import mlx
from scripts.testbed.server import ROOT, RunningServer, eventually
from tests.support.chat_families import FAMILIES
from tests.support.client_environments import python_with
from tests.support.gguf_models import write_gguf

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3600)]

PLAIN = "Hello, 안녕!"
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ARGUMENTS = {"city": "Zürich 🌦"}
ADDRESS = "--host 127.0.0.1 --port ${PORT}"


def transformers_serve(folder: Path) -> dict[str, Any]:
    model = FAMILIES["hermes"].build(folder / "model", plain=PLAIN)
    command = python("from transformers.cli.transformers import main; main()")
    return entry_of(f"{command} serve {model} {ADDRESS} --device cpu", model)


def mlx_lm_server(folder: Path) -> dict[str, Any]:
    model = scripted_qwen(folder / "model")
    return entry_of(f"{python('from mlx_lm.server import main; main()')} --model {model} {ADDRESS}", model)


def mlx_vlm_server(folder: Path) -> dict[str, Any]:
    model = folder / "model"
    mlx.build_mlx_qwen2_5_vl(model)
    command = f"env PYTHONPATH={mlx_vlm_packages()} {python('from mlx_vlm.server import main; main()')}"
    return entry_of(f"{command} --model {model} {ADDRESS} --api-key ${{TOKEN}}", model)


def mlx_vlm_packages() -> Path:
    """What mlx-vlm's server imports besides our lock, which on Linux leaves out its dependencies."""
    folder = config.home() / "envs" / "mlx-vlm"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        subprocess.run([*pip, "cryptography"], check=True)
        subprocess.run([*pip, "--no-deps", "mlx-audio", "miniaudio"], check=True)
    return folder


def scripted_qwen(folder: Path) -> Path:
    """The scripted model as a Qwen, with heads of another size; mlx-lm reads its calls if the template names them."""
    from transformers import LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    llama = LlamaForCausalLM.from_pretrained(FAMILIES["hermes"].build(folder, plain=PLAIN))
    settings = llama.config.to_dict()
    names = ("model_type", "architectures", "head_dim", "rope_parameters")
    qwen = Qwen2ForCausalLM(Qwen2Config(**{name: settings[name] for name in settings if name not in names}))
    same = {name: weight for name, weight in llama.state_dict().items() if "self_attn" not in name}
    qwen.load_state_dict({**{name: weight * 0 for name, weight in qwen.state_dict().items()}, **same})
    qwen.save_pretrained(folder)
    template = folder / "chat_template.jinja"
    template.write_text("{#- tool_call.name -#}" + template.read_text())
    return folder


def python(program: str) -> str:
    """A command that does as the program's own script, next to a CPU build of torch, which torchvision refuses."""
    return f"{sys.executable} -c 'import workers.toolkit.torchvision_shim; {program}'"


def entry_of(command: str, model: Path) -> dict[str, Any]:
    return {"cmd": command, "model_name": str(model), "cwd": str(ROOT)}


def llama_server(folder: Path) -> dict[str, Any]:
    write_gguf(FAMILIES["hermes"].build(folder / "model", plain=PLAIN), folder / "model.gguf")
    command = f"{llama_program()} {ADDRESS} --api-key ${{TOKEN}} --model {folder / 'model.gguf'} --jinja"
    return {"cmd": f"{command} --ctx-size 4096"}


def llama_program() -> str:
    """The installed `llama-server`, or else the same server in a prebuilt wheel: to build the program takes an hour."""
    if installed := os.environ.get("LLAMA_SERVER") or shutil.which("llama-server"):
        return installed
    python = python_with("llama_cpp", ["xllamacpp==2026.10.11549"])
    return f"{python} {ROOT / 'tests' / 'support' / 'llama_server.py'}"


@pytest.mark.parametrize(
    ("entry", "is_scripted", "calls_tools"),
    [
        (transformers_serve, True, False),  # it reads calls of some families, to which a scripted Llama does not belong
        (mlx_lm_server, True, True),
        (mlx_vlm_server, False, False),  # random weights call nothing
        (llama_server, True, True),
    ],
)
def test_program_chats_and_gives_its_memory_back(
    tmp_path: Path, entry: Callable[[Path], dict[str, Any]], is_scripted: bool, calls_tools: bool
) -> None:
    options = {"ready": "/health", **entry(tmp_path)}
    model = {"id": "foreign", "engine": "command", "tasks": ["chat"], "memory_gb": 1, "options": options}
    with RunningServer(tmp_path / "server", [model], resources={"max_wait": 300}) as server:
        client = server.client.with_options(timeout=300)
        whole, streamed = chat(client), "".join(stream(client))
        assert whole == streamed
        if is_scripted:
            assert whole == PLAIN
        if calls_tools:
            assert call(client) == call_streamed(client) == ("get_weather", ARGUMENTS)
        (worker,) = server.workers("foreign")
        family = [psutil.Process(worker["pid"]), *psutil.Process(worker["pid"]).children(recursive=True)]
        assert worker["memory_bytes"] > 0
        last = {"model": "foreign", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        assert server.post("/v1/chat/completions", last, headers={"x-keep-alive": "0"}).status_code == 200
        eventually("it has stopped", lambda: not server.workers("foreign"))
        assert not [process for process in family if process.is_running()]
        assert server.status()["leaks"] == []


def chat(client: OpenAI) -> str:
    answer = client.chat.completions.create(
        model="foreign", messages=[{"role": "user", "content": "hi"}], max_tokens=32, temperature=0
    )
    return answer.choices[0].message.content or ""


def stream(client: OpenAI) -> list[str]:
    chunks = client.chat.completions.create(
        model="foreign", messages=[{"role": "user", "content": "hi"}], max_tokens=32, temperature=0, stream=True
    )
    return [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]


def call(client: OpenAI) -> tuple[str, Any]:
    answer = client.chat.completions.create(
        model="foreign", messages=[{"role": "user", "content": "weather?"}], tools=[TOOL], temperature=0
    )
    calls = answer.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    return calls[0].function.name, json.loads(calls[0].function.arguments)


def call_streamed(client: OpenAI) -> tuple[str, Any]:
    chunks = client.chat.completions.create(
        model="foreign", messages=[{"role": "user", "content": "weather?"}], tools=[TOOL], temperature=0, stream=True
    )
    name, arguments = "", ""
    for chunk in chunks:
        for part in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            assert part.function
            name += part.function.name or ""
            arguments += part.function.arguments or ""
    return name, json.loads(arguments)
