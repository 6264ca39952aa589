"""Chunks of chat answers, combined into the whole response."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.tasks.chat import ChatChunk, ChatResponse, fold

HEAD = {"id": "1", "created": 1, "model": "m"}
TEXT = st.text(max_size=8)
NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
TOKEN = st.fixed_dictionaries(
    {
        "token": TEXT,
        "logprob": st.floats(-20, 0),
        "bytes": st.none() | st.lists(st.integers(0, 255), max_size=3),
        "top_logprobs": st.lists(
            st.fixed_dictionaries({"token": TEXT, "logprob": st.floats(-20, 0), "bytes": st.just([1])}), max_size=2
        ),
    }
)
CALL = st.fixed_dictionaries(
    {"id": NAMES, "type": st.just("function"), "function": st.fixed_dictionaries({"name": NAMES, "arguments": TEXT})}
)
ANSWER = st.fixed_dictionaries(
    {
        "text": TEXT,
        "reasoning": st.none() | st.text(min_size=1, max_size=8),
        "calls": st.lists(CALL, max_size=3),
        "function": st.none() | st.fixed_dictionaries({"name": NAMES, "arguments": TEXT}),
        "logprobs": st.none() | st.lists(TOKEN, min_size=1, max_size=4),
        "reason": st.sampled_from(["stop", "length", "tool_calls"]),
    }
)


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    """A text in pieces of any size."""
    cut = draw(st.integers(0, len(text)))
    return [text[:cut], text[cut:]] if cut else [text]


def deltas_of(draw: st.DrawFn, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer as a stream of deltas."""
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    if thoughts := answer["reasoning"]:
        deltas += [{"reasoning_content": piece, "reasoning": piece} for piece in pieces(draw, thoughts)]
    deltas += [{"content": piece} for piece in pieces(draw, answer["text"])]
    for index, call in enumerate(answer["calls"]):
        function = call["function"]
        begin = {"index": index, "id": call["id"], "type": "function", "function": {"name": function["name"]}}
        deltas.append({"tool_calls": [begin]})
        for piece in pieces(draw, function["arguments"]):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    if function := answer["function"]:
        deltas.append({"function_call": {"name": function["name"], "arguments": ""}})
        deltas += [{"function_call": {"arguments": piece}} for piece in pieces(draw, function["arguments"])]
    return deltas


def whole_choice(index: int, answer: dict[str, Any]) -> dict[str, Any]:
    content = None if not answer["text"] and (answer["calls"] or answer["function"]) else answer["text"]
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if answer["reasoning"] is not None:
        message |= {"reasoning_content": answer["reasoning"], "reasoning": answer["reasoning"]}
    if answer["calls"]:
        message["tool_calls"] = answer["calls"]
    if answer["function"]:
        message["function_call"] = answer["function"]
    logprobs = None if answer["logprobs"] is None else {"content": answer["logprobs"], "refusal": None}
    return {"index": index, "message": message, "finish_reason": answer["reason"], "logprobs": logprobs}


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The chunks of a stream with its choices interleaved, and the whole response."""
    answers = draw(st.lists(ANSWER, min_size=1, max_size=3))
    queues: list[list[dict[str, Any]]] = []
    for index, answer in enumerate(answers):
        queue = [{"index": index, "delta": delta, "finish_reason": None} for delta in deltas_of(draw, answer)]
        for number, token in enumerate(answer["logprobs"] or ()):
            queue[number % len(queue)].setdefault("logprobs", {"content": []})["content"].append(token)
        if answer["logprobs"]:  # their order is that of the chunks
            answer["logprobs"] = [
                token for piece in queue for token in piece.get("logprobs", {"content": []})["content"]
            ]
        queues.append([*queue, {"index": index, "delta": {}, "finish_reason": answer["reason"]}])
    chunks = []
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        chunks.append({**HEAD, "choices": [queue.pop(0)]})
    warnings = draw(st.lists(TEXT, max_size=2))
    for number, warning in enumerate(warnings):
        chunks[number].setdefault("warnings", []).append(warning)
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    usage |= {"prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1}}
    chunks.append({**HEAD, "choices": [], "usage": usage})
    choices = [whole_choice(index, answer) for index, answer in enumerate(answers)]
    whole = {**HEAD, "object": "chat.completion", "choices": choices, "usage": usage}
    return chunks, {**whole, "warnings": warnings} if warnings else whole


@settings(max_examples=40)
@given(streams())
def test_folded_stream_equals_the_whole(stream: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    chunks, whole = stream
    folded = fold(ChatChunk.model_validate_json(json.dumps(chunk)) for chunk in chunks)
    assert json.loads(folded.model_dump_json()) == whole
    assert folded == ChatResponse.model_validate(whole)


def test_fold_combines_chunks() -> None:
    steps = [("He", None), ("llo", None), (None, "length")]
    chunks = [
        ChatChunk.model_validate(
            {**HEAD, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
        )
        for text, reason in steps
    ]
    choice = fold(chunks).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello", "length")


def test_deltas_omit_what_they_do_not_add() -> None:
    chunk = {**HEAD, "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}]}
    [choice] = json.loads(ChatChunk.model_validate(chunk).model_dump_json())["choices"]
    assert choice == {
        "index": 0,
        "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        "finish_reason": None,
    }
