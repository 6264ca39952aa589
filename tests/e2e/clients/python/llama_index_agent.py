"""Runs LlamaIndex's agent, structured output and embeddings, and prints the results as JSON: URL of the API, image."""

import asyncio
import json
import sys

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

URL, IMAGE = sys.argv[1:]


class Forecast(BaseModel):
    """How the weather will be."""

    city: str
    days: int


cities: list[str] = []


def get_weather(city: str) -> str:
    """Look at the weather."""
    cities.append(city)
    return "21 °C"


chat = OpenAILike(
    model="agent", api_base=URL, api_key="none", max_retries=0, context_window=32_000, is_chat_model=True,
    is_function_calling_model=True,
)  # fmt: skip


async def run_agents() -> list[str]:
    agents = [FunctionAgent(tools=[get_weather], llm=chat, streaming=streaming) for streaming in (False, True)]
    return [str(await agent.run("Weather?")) for agent in agents]


question = [ChatMessage(role="user", content="A forecast as JSON")]
image = ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), ImageBlock(url=IMAGE)])
vectors = OpenAILikeEmbedding(model_name="minilm", api_base=URL, api_key="none", max_retries=0)
whole, streamed = asyncio.run(run_agents())
structured = chat.as_structured_llm(Forecast)
results = {
    "agent": whole,
    "streamed": streamed,
    "structured": structured.chat(question).raw.model_dump(),
    "structured_stream": list(structured.stream_chat(question))[-1].raw.model_dump(),
    "image": str(chat.chat([image]).message.content),
    "vectors": [len(vector) for vector in vectors.get_text_embedding_batch(["one", "two"])],
    "cities": cities,
}
print(json.dumps(results))
