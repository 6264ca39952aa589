"""Completions of the chat engine: prompts as they are, repeated with their probabilities, next to chats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from contract.errors import InvalidField, ServeError, UnsupportedFeature
from contract.tasks.completions import CompletionRequest, CompletionResponse, fold
from tests.support import chat_engines
from tests.support.batching import answered_together
from workers.engines.transformers_chat import library as library_module
from workers.toolkit.chat.fill_in_middle import FillInMiddle

WORDS = ["Once upon a time", "Hi", "The quick brown fox jumps over the lazy dog, as ever.", "네, 감사합니다"]


def request(prompt: Any, **fields: Any) -> CompletionRequest:
    """Greedy and short by default."""
    return CompletionRequest.model_validate({"prompt": prompt, "temperature": 0, "max_tokens": 8, **fields})


def chunks(engine: Any, *requests: Any) -> list[list[Any]]:
    """What the engine yields for each request when they share a batch."""
    return answered_together(engine.chat, requests)


def whole(outputs: list[Any]) -> CompletionResponse:
    """The folded answer. Raises an error that is among the outputs."""
    for output in outputs:
        if isinstance(output, ServeError):
            raise output
    assert outputs[-1] is None
    return fold(outputs[:-1])


def complete(engine: Any, prompt: Any, **fields: Any) -> CompletionResponse:
    return whole(chunks(engine, request(prompt, **fields))[0])


def reported(answer: CompletionResponse, index: int = 0) -> Any:
    logprobs = answer.choices[index].logprobs
    assert logprobs is not None
    return logprobs


class Library:
    """The model without any code of Enginehouse."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model, self.tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)

    def tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])

    def completion(self, tokens: list[int], length: int) -> str:
        ids = torch.tensor([tokens])
        output = self.model.generate(ids, max_new_tokens=length, do_sample=False)[0, len(tokens) :]
        return str(self.tokenizer.decode(output, skip_special_tokens=True))

    @torch.inference_mode()
    def logprobs(self, tokens: list[int]) -> Any:
        """The probabilities (tokens - 1, vocabulary) of the tokens after the first."""
        return self.model(torch.tensor([tokens])).logits[0, :-1].float().log_softmax(-1)


@pytest.fixture(scope="module")
def engine(chat_engine: Callable[..., Any]) -> Any:
    return chat_engine("lm")


@pytest.fixture(scope="module")
def library(models: Any) -> Library:
    return Library(models("lm"))


@pytest.mark.parametrize("family", ["llama", "sliding", "linear", "mamba", "qwen2_5_vl"])
def test_reads_prompts_without_a_template(family: str, chat_engine: Callable[..., Any], models: Any) -> None:
    answers = complete(chat_engine(family), WORDS, n=1, echo=True, logprobs=2)
    if family == "qwen2_5_vl":
        assert [choice.text.startswith(word) for choice, word in zip(answers.choices, WORDS, strict=True)] == [True] * 4
        return
    library = Library(models(family))
    for choice, words in zip(answers.choices, WORDS, strict=True):
        tokens = library.tokens(words)
        assert choice.text == words + library.completion(tokens, 8)
        assert choice.logprobs is not None
        expected = library.logprobs(tokens).gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0].tolist()
        assert choice.logprobs.token_logprobs[1 : len(tokens)] == pytest.approx(expected, abs=1e-4)


def test_prompts_may_be_token_ids(engine: Any, library: Library) -> None:
    ids = [library.tokens(words) for words in WORDS]
    answer = complete(engine, ids)
    assert [choice.text for choice in answer.choices] == [library.completion(tokens, 8) for tokens in ids]
    assert complete(engine, ids[0]).choices[0].text == answer.choices[0].text
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(map(len, ids))


def test_every_prompt_has_its_choices_in_order(engine: Any) -> None:
    fields = {"temperature": 2, "seed": 3}
    answer = complete(engine, WORDS[:2], n=2, **fields)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    alone = complete(engine, WORDS[1], n=2, **fields)
    assert [choice.text for choice in answer.choices[2:]] == [choice.text for choice in alone.choices]


def test_more_prompts_than_rows_are_answered(engine: Any, library: Library) -> None:
    answer = complete(engine, [f"Number {number}" for number in range(40)], max_tokens=2)
    assert len(answer.choices) == 40
    assert answer.choices[39].text == library.completion(library.tokens("Number 39"), 2)


def test_log_likelihoods_equal_the_librarys(engine: Any, library: Library) -> None:
    """As LM Evaluation Harness asks: 200 items of token ids with a continuation, `echo`, and one token more."""
    items = [(f"Question {number}: what is {number} plus {number}?", f" It is {2 * number}.") for number in range(200)]
    for begin in range(0, len(items), 20):
        batch = items[begin : begin + 20]
        ids = [library.tokens(context) + library.tokens(ending) for context, ending in batch]
        fields: dict[str, Any] = {"max_tokens": begin // 20 % 2, "logprobs": 1, "echo": True, "seed": 1234}
        answer = complete(engine, ids, **fields)
        for (context, _), tokens, choice in zip(batch, ids, answer.choices, strict=True):
            logprobs, start = choice.logprobs, len(library.tokens(context))
            assert logprobs is not None
            assert len(logprobs.token_logprobs) == len(tokens) + fields["max_tokens"]
            values = logprobs.token_logprobs[start : len(tokens)]
            expected = library.logprobs(tokens)
            own = expected.gather(-1, torch.tensor(tokens[1:])[:, None])[start - 1 :, 0]
            assert sum(values) == pytest.approx(own.sum().item(), abs=1e-3)  # type: ignore[arg-type]
            tops = logprobs.top_logprobs[start : len(tokens)]
            is_greedy = [max((top or {}).values()) == value for top, value in zip(tops, values, strict=True)]
            best = expected.argmax(-1)[start - 1 :].tolist()
            assert is_greedy == [token == tokens[start + at] for at, token in enumerate(best)]


def test_long_prompts_are_scored_in_chunks(chat_engine: Callable[..., Any], library: Library) -> None:
    engine = chat_engine("lm", prefill_chunk=16)
    tokens = library.tokens("A rather long prompt, which is read in several chunks. " * 4)
    answer = complete(engine, [tokens, tokens[:30]], echo=True, logprobs=0, max_tokens=1)
    for index, prompt in enumerate([tokens, tokens[:30]]):
        expected = library.logprobs(prompt).gather(-1, torch.tensor(prompt[1:])[:, None])[:, 0].tolist()
        assert reported(answer, index).token_logprobs[1 : len(prompt)] == pytest.approx(expected, abs=1e-4)


def test_cached_prompts_are_read_again_for_their_scores(chat_engine: Callable[..., Any]) -> None:
    engine = chat_engine("lm", prefix_cache_gb=1)
    fields: dict[str, Any] = {"echo": True, "logprobs": 1}
    prompt = "A prompt that is long enough for the cache of prefixes. " * 3
    first, again = (complete(engine, prompt, **fields) for _ in range(2))
    assert reported(first) == reported(again)
    assert complete(engine, prompt).usage.prompt_tokens_details.cached_tokens > 0  # type: ignore[union-attr]


def test_no_tokens_can_be_asked_for(engine: Any) -> None:
    answer = complete(engine, "Hello", max_tokens=0, echo=True)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Hello", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 0


def test_end_of_the_text_is_reported_too(engine: Any) -> None:
    """Harnesses cut the generated token off, so it must be there."""
    end = min(engine._answers.maker.end_tokens)
    answer = complete(engine, "Hello", max_tokens=1, logit_bias={str(end): 100}, echo=True, logprobs=1)
    alone = complete(engine, "Hello", max_tokens=0, echo=True, logprobs=1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("Hello", "stop")
    assert len(reported(answer).tokens) == len(reported(alone).tokens) + 1


def test_offsets_point_into_the_text(engine: Any) -> None:
    answer = complete(engine, "Hello, 네", echo=True, logprobs=0)
    logprobs = reported(answer)
    assert logprobs.text_offset[0] == 0
    assert logprobs.text_offset == sorted(logprobs.text_offset)
    text = answer.choices[0].text
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert "\ufffd" in token or text.startswith(token, offset)
    assert list(logprobs.top_logprobs[1]) == [logprobs.tokens[1]]


def test_chats_and_completions_share_steps(engine: Any) -> None:
    engine.meter.take()
    chat = chat_engines.request("Hello", max_tokens=8)
    answers = chunks(engine, request("Hello"), chat)
    assert set(engine.meter.take()["steps"]) == {"2"}
    assert chat_engines.text(chat_engines.whole(answers[1])) == chat_engines.text(
        chat_engines.ask(engine, "Hello", max_tokens=8)
    )
    assert whole(answers[0]).choices[0].text == complete(engine, "Hello").choices[0].text


def test_stop_string_ends_a_completion(engine: Any) -> None:
    free = complete(engine, "Hello", max_tokens=16).choices[0].text
    stopped = complete(engine, "Hello", max_tokens=16, stop=[free[3:5]]).choices[0]
    assert (stopped.text, stopped.finish_reason, stopped.stop_reason) == (
        free[: free.index(free[3:5])],
        "stop",
        free[3:5],
    )


@pytest.mark.parametrize(
    ("prompt", "reason"), [([[1, 2], [99999]], "no token 99999"), (["Hi", "x" * 5000], "too long by")]
)
def test_wrong_prompt_is_refused_by_name(engine: Any, prompt: Any, reason: str) -> None:
    with pytest.raises(InvalidField if "token" in reason else ServeError, match=reason) as refusal:
        complete(engine, prompt)
    assert refusal.value.param == "prompt"


def test_failing_prompt_does_not_change_others(engine: Any) -> None:
    failed, other = chunks(engine, request([[99999]]), request("Hello"))
    assert isinstance(failed[-1], ServeError)
    assert whole(other).choices[0].text == complete(engine, "Hello").choices[0].text


def test_generate_answers_completions_one_by_one(models: Any, engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = complete(engine, WORDS, n=1, echo=True)
    monkeypatch.setattr(library_module, "runs_its_own_code", lambda _: True)
    slow: Any = chat_engines.load(models("lm"))
    assert "prompt_logprobs" not in slow.loaded_features()
    assert complete(slow, WORDS, n=1, echo=True).choices == expected.choices
    assert complete(slow, "Hello", max_tokens=0, echo=True).choices[0].text == "Hello"


def test_fills_in_the_middle(engine: Any, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedFeature, match="no tokens to fill in the middle"):
        complete(engine, "def f(", suffix="return x")
    assert "fill_in_middle" not in engine.loaded_features()
    monkeypatch.setitem(engine._encoder.__dict__, "fill_in_middle", FillInMiddle(4, 5, 6, frozenset()))
    assert "fill_in_middle" in engine.loaded_features()
    before, after = library.tokens("def f("), library.tokens("return x")
    expected = complete(engine, [4, *before, 5, *after, 6]).choices[0].text
    assert complete(engine, "def f(", suffix="return x").choices[0].text == expected
