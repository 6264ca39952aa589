"""Runs smolagents' two kinds of agents, and prints the results as JSON: URL of the API, image."""

import json
import sys

from smolagents import CodeAgent, LogLevel, OpenAIModel, ToolCallingAgent, tool

URL, _ = sys.argv[1:]
cities: list[str] = []


@tool
def get_weather(city: str) -> str:
    """Look at the weather.

    Args:
        city: Where.
    """
    cities.append(city)
    return "21 °C"


model = OpenAIModel("agent", api_base=URL, api_key="none")
quiet = {"tools": [get_weather], "model": model, "max_steps": 3, "verbosity_level": LogLevel.OFF}
results = {
    "agent": ToolCallingAgent(**quiet).run("Weather?"),
    "streamed": [str(step) for step in ToolCallingAgent(stream_outputs=True, **quiet).run("Weather?", stream=True)][-1],
    "code": CodeAgent(**quiet).run("Weather?"),
    "code_as_object": CodeAgent(use_structured_outputs_internally=True, **quiet).run("Weather?"),
    "cities": cities,
}
print("\n" + json.dumps(results))  # the agent has written a line without an end
