"""Runs Ollama's client with tools, schemas, streams, images and embeddings: URL of the API, image. Prints JSON."""

import base64
import json
import sys

from ollama import Client, ResponseError

URL, IMAGE = sys.argv[1:]
client = Client(host=URL.removesuffix("/v1"))
cities = []


def get_weather(city: str) -> str:
    """Look at the weather.

    Args:
        city: The city.
    """
    cities.append(city)
    return "21 °C"


def agent(stream: bool) -> dict:
    messages = [{"role": "user", "content": "Weather?"}]
    thoughts = []
    while True:
        answer = client.chat("agent", messages, tools=[get_weather], stream=stream)
        parts = list(answer) if stream else [answer]
        assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
        thoughts += [part.message.thinking or "" for part in parts]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        text = "".join(part.message.content or "" for part in parts)
        if not calls:
            return {"said": text, "thought": "".join(thoughts).strip()}
        messages.append({"role": "assistant", "content": text, "tool_calls": calls})
        for call in calls:
            result = get_weather(**call.function.arguments)
            messages.append({"role": "tool", "tool_name": call.function.name, "content": result})


SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
results = {"agent": agent(stream=False), "streamed": agent(stream=True)}
results["structured"] = json.loads(client.generate("agent", "A forecast as JSON.", format=SCHEMA).response)
image = base64.b64decode(IMAGE.partition(",")[2])
results["image"] = client.generate("agent", "What is this?", images=[image]).response
results["vectors"] = [len(vector) for vector in client.embed("minilm", ["a", "b"]).embeddings]
results["models"] = [model.model for model in client.list().models]
results["running"] = {"agent:latest", "minilm:latest"} <= {model.model for model in client.ps().models}
results["vision"] = "vision" in client.show("agent").capabilities
try:
    client.chat("llama3", [{"role": "user", "content": "Hi"}])
except ResponseError as error:
    results["error"] = [error.status_code, "There is no model" in error.error]
results["cities"] = cities
print(json.dumps(results))
