"""Runs LiteLLM as a client of each API, with tools, streams, images and errors: URL of the API, image. Prints JSON."""

import json
import sys
from typing import Any

import litellm

URL, IMAGE = sys.argv[1:]
ROOT = URL.removesuffix("/v1")
litellm.telemetry = False
PROVIDERS: dict[str, dict[str, Any]] = {
    "openai": {"model": "openai/agent", "api_base": URL},
    "anthropic": {"model": "anthropic/agent", "api_base": ROOT},
    "ollama": {"model": "ollama_chat/agent", "api_base": ROOT},
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Looks at the weather.", "parameters": CITY}
TOOLS = [{"type": "function", "function": WEATHER}]
QUESTION = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]


def ask(provider: dict[str, Any], messages: list[Any], **more: Any) -> Any:
    return litellm.completion(**provider, api_key="none", messages=messages, max_tokens=500, num_retries=0, **more)


def agent(provider: dict[str, Any], stream: bool) -> dict[str, Any]:
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    cities = []
    while True:
        answer = ask(provider, messages, tools=TOOLS, stream=stream)
        message = (litellm.stream_chunk_builder(list(answer)) if stream else answer).choices[0].message
        if not message.tool_calls:
            return {"said": message.content, "cities": cities}
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            cities.append(json.loads(call.function.arguments)["city"])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "21 °C"})


def failure(provider: dict[str, Any]) -> list[Any]:
    try:
        ask({**provider, "model": provider["model"].replace("agent", "llama3")}, [{"role": "user", "content": "Hi"}])
    except Exception as error:
        return [getattr(error, "status_code", None), "There is no model" in str(error)]
    return []


def events() -> str:
    stream = litellm.responses(model="openai/agent", api_base=URL, api_key="none", input="Hi", stream=True)
    return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


def ranked(model: str) -> list[int]:
    documents = ["the market", "a cat sleeps", "a cat"]
    answer = litellm.rerank(
        model=model, query="a cat sleeps", documents=documents, top_n=2, api_base=ROOT, api_key="none"
    )
    return [result["index"] for result in answer.results]


results: dict[str, Any] = {
    name: {
        "agent": agent(provider, stream=False),
        "streamed": agent(provider, stream=True),
        "image": ask(provider, [{"role": "user", "content": QUESTION}]).choices[0].message.content,
        "error": failure(provider),
    }
    for name, provider in PROVIDERS.items()
}
whole = litellm.responses(model="openai/agent", api_base=URL, api_key="none", input="Hi")
results["responses"] = [whole.output[0].content[0].text, events()]
text = litellm.text_completion(
    model="text-completion-openai/agent", prompt="Hi", max_tokens=3, api_base=URL, api_key="none"
)
results["completion"] = text.usage.completion_tokens
results["vectors"] = [
    len(litellm.embedding(model=model, input=["a"], api_base=base, api_key="none").data[0]["embedding"])
    for model, base in (("openai/minilm", URL), ("ollama/minilm", ROOT), ("jina_ai/minilm", URL))
]
results["ranked"] = [ranked("cohere/ranker"), ranked("jina_ai/ranker"), ranked("hosted_vllm/ranker")]
print(json.dumps(results))
