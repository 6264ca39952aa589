"""Runs the command `llm` with tools, schemas and images, and prints the results as JSON: URL of the API, image."""

import base64
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

URL, IMAGE = sys.argv[1:]
TOOL = '''
def get_weather(city: str) -> str:
    """Look at the weather."""
    return "21 °C in " + city
'''
folder = Path(tempfile.mkdtemp())
(folder / "image.png").write_bytes(base64.b64decode(IMAGE.partition(",")[2]))
# The format of the tool's own documentation, in JSON, which is YAML too.
model = {"model_id": "agent", "model_name": "agent", "api_base": URL, "api_key_name": None, "vision": True}
(folder / "extra-openai-models.yaml").write_text(
    json.dumps([{**model, "supports_tools": True, "supports_schema": True}])
)


def llm(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("llm")), "-m", "agent", *arguments]
    environment = {**os.environ, "LLM_USER_PATH": str(folder), "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


results = {
    "plain": llm("Hi"),
    "agent": llm("Weather?", "--functions", TOOL, "--no-stream"),
    "streamed": llm("Weather?", "--functions", TOOL),
    "structured": json.loads(llm("A forecast as JSON", "--schema", "city, days int")),
    "image": llm("What is this?", "-a", str(folder / "image.png")),
}
print(json.dumps(results))
