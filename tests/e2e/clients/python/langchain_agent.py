"""Runs LangChain's agents, structured output and embeddings, and prints the results as JSON: URL of the API, image."""

import json
import sys

from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

URL, IMAGE = sys.argv[1:]
WEATHER = {"messages": [{"role": "user", "content": "Weather?"}]}


class Forecast(BaseModel):
    """How the weather will be."""

    city: str
    days: int


cities: list[str] = []


def get_weather(city: str) -> str:
    """Look at the weather."""
    cities.append(city)
    return "21 °C"


def get_json(city: str) -> str:
    """Look at the weather."""
    cities.append(city)
    return "21 °C; answer in JSON"


get_json.__name__ = "get_weather"
chat = ChatOpenAI(model="agent", base_url=URL, api_key="none", max_retries=0)
agent = create_agent(chat, [get_weather])
streamed = [chunk.text for chunk, _ in agent.stream(WEATHER, stream_mode="messages") if chunk.type == "AIMessageChunk"]
modes = ("json_schema", "function_calling", "json_mode")
image = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": IMAGE}},
]
vectors = OpenAIEmbeddings(model="minilm", base_url=URL, api_key="none", check_embedding_ctx_length=False)
results = {
    "agent": agent.invoke(WEATHER)["messages"][-1].text,
    "streamed": "".join(streamed),
    "structured": [
        chat.with_structured_output(Forecast, method=mode).invoke("A forecast as JSON").model_dump() for mode in modes
    ],
    "by_tool": create_agent(chat, [get_weather], response_format=ToolStrategy(Forecast))
    .invoke(WEATHER)["structured_response"]
    .model_dump(),
    "by_format": create_agent(chat, [get_json], response_format=ProviderStrategy(Forecast))
    .invoke(WEATHER)["structured_response"]
    .model_dump(),
    "image": chat.invoke([{"role": "user", "content": image}]).text,
    "vectors": [len(vector) for vector in vectors.embed_documents(["one", "two"])],
    "cities": cities,
}
print(json.dumps(results))
