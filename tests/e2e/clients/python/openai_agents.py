"""Runs OpenAI's Agents SDK with tools, outputs and streams, and prints the results as JSON: URL of the API, image."""

import asyncio
import json
import sys
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

URL, IMAGE = sys.argv[1:]
set_tracing_disabled(True)


class Forecast(BaseModel):
    """How the weather will be."""

    city: str
    days: int


cities: list[str] = []


@function_tool
def get_weather(city: str) -> str:
    """Look at the weather."""
    cities.append(city)
    return "21 °C"


Api = type[OpenAIChatCompletionsModel] | type[OpenAIResponsesModel]


def agent(api: Api, **options: Any) -> Agent:
    model = api("agent", AsyncOpenAI(base_url=URL, api_key="none", max_retries=0))
    return Agent(name="agent", instructions="Help.", model=model, **options)


async def answers(api: Api) -> dict[str, Any]:
    streamed = Runner.run_streamed(agent(api, tools=[get_weather]), "Weather?")
    events = [event.type async for event in streamed.stream_events()]
    image = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
    ]
    shown = await Runner.run(agent(api), [{"role": "user", "content": image}])
    object_ = await Runner.run(agent(api, output_type=Forecast), "A forecast as JSON")
    return {
        "agent": (await Runner.run(agent(api, tools=[get_weather]), "Weather?")).final_output,
        "streamed": streamed.final_output,
        "events": len(events),
        "structured": object_.final_output.model_dump(),
        "image": shown.final_output,
    }


async def main() -> dict[str, Any]:
    chat, responses = await answers(OpenAIChatCompletionsModel), await answers(OpenAIResponsesModel)
    return {"chat": chat, "responses": responses, "cities": cities}


print(json.dumps(asyncio.run(main())))
