"""Runs pydantic-ai's tools, outputs and streams, and prints the results as JSON: URL of the API, image."""

import asyncio
import base64
import json
import sys
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, PromptedOutput
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

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


model = OpenAIChatModel("agent", provider=OpenAIProvider(base_url=URL, api_key="none"))


def ask(question: Any, **options: Any) -> Any:
    return Agent(model, retries=0, **options).run_sync(question)


async def stream(question: str, **options: Any) -> Any:
    async with Agent(model, retries=0, **options).run_stream(question) as run:
        return await run.get_output()


answered = ask("Weather?", tools=[get_weather])
thoughts = [
    part.content for message in answered.all_messages() for part in message.parts if isinstance(part, ThinkingPart)
]
image = BinaryContent(base64.b64decode(IMAGE.partition(",")[2]), media_type="image/png")
results = {
    "agent": answered.output,
    "thoughts": thoughts,
    "streamed": asyncio.run(stream("Weather?", tools=[get_weather])),
    "by_tool": ask("A forecast", output_type=Forecast).output.model_dump(),
    "by_tool_after_tools": ask("Weather?", output_type=Forecast, tools=[get_weather]).output.model_dump(),
    "by_tool_streamed": asyncio.run(stream("Weather?", output_type=Forecast, tools=[get_weather])).model_dump(),
    "by_format": ask("A forecast as JSON", output_type=NativeOutput(Forecast)).output.model_dump(),
    "by_prompt": ask("A forecast as JSON", output_type=PromptedOutput(Forecast)).output.model_dump(),
    "image": ask(["What is this?", image]).output,
    "cities": cities,
}
print(json.dumps(results))
