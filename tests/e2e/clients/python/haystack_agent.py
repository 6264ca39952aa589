"""Runs Haystack's agent and structured output, and prints the results as JSON: URL of the API, image."""

import json
import sys

from haystack.components.agents import Agent
from haystack.components.embedders import OpenAITextEmbedder
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from pydantic import BaseModel

URL, _ = sys.argv[1:]
KEY = Secret.from_token("none")


class Forecast(BaseModel):
    """How the weather will be."""

    city: str
    days: int


cities: list[str] = []


def get_weather(city: str) -> str:
    """Look at the weather."""
    cities.append(city)
    return "21 °C"


def generator(**options: object) -> OpenAIChatGenerator:
    return OpenAIChatGenerator(model="agent", api_base_url=URL, api_key=KEY, max_retries=0, **options)


def run_agent(**options: object) -> str:
    agent = Agent(chat_generator=generator(**options), tools=[create_tool_from_function(get_weather)])
    return agent.run(messages=[ChatMessage.from_user("Weather?")])["last_message"].text


structured = generator(generation_kwargs={"response_format": Forecast})
answer = structured.run([ChatMessage.from_user("A forecast as JSON")])["replies"][0]
pieces: list[str] = []
results = {
    "agent": run_agent(),
    "streamed": run_agent(streaming_callback=lambda chunk: pieces.append(chunk.content)),
    "structured": json.loads(answer.text),
    "vectors": [len(OpenAITextEmbedder(model="minilm", api_base_url=URL, api_key=KEY).run("one")["embedding"])],
    "cities": cities,
}
print(json.dumps(results))
