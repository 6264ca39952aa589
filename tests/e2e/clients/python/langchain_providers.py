"""Runs LangChain's ChatOllama and ChatAnthropic with tools, schemas, streams and images: URL of the API, image."""

import json
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings
from pydantic import BaseModel

URL, IMAGE = sys.argv[1:]
ROOT = URL.removesuffix("/v1")


class Forecast(BaseModel):
    """How the weather will be."""

    city: str
    days: int


cities: list[str] = []


@tool
def get_weather(city: str) -> str:
    """Look at the weather."""
    cities.append(city)
    return "21 °C"


def said(content: Any) -> str:
    """The text of a message, whose content may be blocks."""
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


def answers(model: BaseChatModel, thinking: BaseChatModel) -> dict[str, Any]:
    loop = create_agent(model, [get_weather])
    whole = loop.invoke({"messages": [("user", "Weather?")]})["messages"][-1]
    pieces = [piece for piece, _ in loop.stream({"messages": [("user", "Weather?")]}, stream_mode="messages")]
    streamed = [piece for piece in pieces if piece.type == "AIMessageChunk"]
    image = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    thoughts = thinking.bind_tools([get_weather]).invoke("Weather?")
    return {
        "agent": said(whole.content),
        "streamed": "".join(said(piece.content) for piece in streamed),
        "structured": model.with_structured_output(Forecast).invoke("A forecast as JSON").model_dump(),
        "image": said(model.invoke([HumanMessage(image)]).content),
        "counted": whole.usage_metadata["output_tokens"] > 0,
        "thought": next(
            (block["reasoning"].strip() for block in thoughts.content_blocks if block["type"] == "reasoning"), None
        ),
    }


def failure(model: BaseChatModel) -> bool:
    try:
        model.invoke("Hi")
    except Exception as error:
        return "There is no model 'llama3'" in str(error)
    return False


claude = {"base_url": ROOT, "api_key": "none", "max_retries": 0, "max_tokens": 500}
results = {
    "ollama": answers(
        ChatOllama(model="agent", base_url=ROOT), ChatOllama(model="agent", base_url=ROOT, reasoning=True)
    ),
    "anthropic": answers(
        ChatAnthropic(model="agent", **claude),
        ChatAnthropic(model="agent", thinking={"type": "enabled", "budget_tokens": 400}, **claude),
    ),
    "errors": [failure(ChatOllama(model="llama3", base_url=ROOT)), failure(ChatAnthropic(model="llama3", **claude))],
    "vectors": [len(v) for v in OllamaEmbeddings(model="minilm", base_url=ROOT).embed_documents(["a", "b"])],
    "cities": cities,
}
print(json.dumps(results))
