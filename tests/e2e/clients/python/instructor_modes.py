"""Asks for an object in each of instructor's modes, and prints the results as JSON: URL of the API, image."""

import json
import sys

import instructor
from instructor import Mode
from openai import OpenAI
from pydantic import BaseModel

URL, _ = sys.argv[1:]
MODES = (Mode.TOOLS, Mode.TOOLS_STRICT, Mode.JSON, Mode.JSON_SCHEMA, Mode.MD_JSON)


class Forecast(BaseModel):
    """How the weather will be."""

    city: str
    days: int


def ask(mode: Mode) -> dict[str, object]:
    client = instructor.from_openai(OpenAI(base_url=URL, api_key="none", max_retries=0), mode=mode)
    question = [{"role": "user", "content": "A forecast as JSON"}]
    whole = client.chat.completions.create(response_model=Forecast, model="agent", messages=question, max_retries=0)
    *_, streamed = client.chat.completions.create_partial(response_model=Forecast, model="agent", messages=question)
    return {"whole": whole.model_dump(), "streamed": streamed.model_dump()}


print(json.dumps({mode.value: ask(mode) for mode in MODES}))
