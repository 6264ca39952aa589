"""How rerankers read a query with a document, and what their output means.

sentence-transformers knows it of models that were saved with it and of classification heads. Others are language models
that answer whether a document is relevant: their question is in their model card and not in their files. It is here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.config import ModelSpec
from contract.errors import LoadFailed

_HEADS = ("ForSequenceClassification", "ForCausalLM")
_MARK = "the instruction"
_MESSAGE = "(messages | selectattr('role', 'eq', '%s') | map(attribute='content') | first)"
_QUERY, _DOCUMENT = _MESSAGE % "query", _MESSAGE % "document"
_INSTRUCTION = "(messages | selectattr('role', 'eq', 'system') | map(attribute='content') | first | default(%r))"

_WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked about a document, as a Jinja template of messages.

    The score of a language model is the logit of `yes`, less that of `no` if it has one.
    """

    template: str
    yes: str | None = None
    no: str | None = None


QWEN3 = Question(
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    f"<Instruct>: {{{{ {_INSTRUCTION % _WEB_SEARCH} }}}}\n"
    f"<Query>: {{{{ {_QUERY} }}}}\n<Document>: {{{{ {_DOCUMENT} }}}}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n{{ '\n' }}",  # Jinja drops a line break at the end
    "yes",
    "no",
)
"""Source: the model card of Qwen/Qwen3-Reranker-0.6B."""

BGE_GEMMA = Question(
    f"{{{{ bos_token }}}}A: {{{{ {_QUERY} }}}}\nB: {{{{ {_DOCUMENT} }}}}\nGiven a query A and a passage B, determine "
    "whether the passage contains an answer to the query by providing a prediction of either 'Yes' or 'No'.",
    "Yes",
)
"""Source: the model card of BAAI/bge-reranker-v2-gemma."""

QUESTIONS = {"qwen3": QWEN3, "gemma": BGE_GEMMA}
"""By transformers' `model_type`."""


def check_head(folder: Path, spec: ModelSpec) -> None:
    """Raise LoadFailed for a model whose weights have no head that scores: the library would give it a random one."""
    architecture = _architecture(_json(folder / "config.json"))
    if spec.trust_remote_code or architecture.endswith(_HEADS) or _is_saved_cross_encoder(folder):
        return
    raise LoadFailed(
        f"{spec.source} is no reranker: its architecture is {architecture}, which scores nothing. For embeddings, "
        "write `engine: sentence_transformers`."
    )


def question_for(folder: Path, spec: ModelSpec, chat_template: str | None) -> Question | None:
    """What to ask the model instead of what its files say; None to leave it to them.

    `chat_template` is that of the entry. Raises LoadFailed for a language model whose question is not known.
    """
    config, template = _json(folder / "config.json"), _own_template(folder)
    asks = _architecture(config).endswith("ForCausalLM")
    if chat_template:
        return Question(chat_template, "yes", "no") if asks else Question(chat_template)
    names_pairs = "query" in template and "document" in template  # one for chats does not, though it may print them
    if _is_saved_cross_encoder(folder) or names_pairs or not (asks or template):
        return None
    if question := QUESTIONS.get(config.get("model_type", "")):
        return question
    raise LoadFailed(
        f"{spec.source} does not say how it reads a query with a document. Write a Jinja template of the messages "
        "`query` and `document` as `options.chat_template`, or choose a model that was saved as a CrossEncoder."
    )


def set_up(model: Any, question: Question | None) -> None:
    """Give the loaded model a padding token, and the tokens of its answers. Raises LoadFailed if it lacks them."""
    from sentence_transformers.cross_encoder.modules import LogitScore

    tokenizer, config = model.tokenizer, model.model.config
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    for module in model:
        if isinstance(module, LogitScore) and question and question.yes:
            module.true_token_id = _token(tokenizer, question.yes)
            module.false_token_id = _token(tokenizer, question.no) if question.no else None


def reads_instructions(model: Any) -> bool:
    """Whether its template shows a system message, where the library puts the instruction."""
    if "message" not in model.modalities:
        return False
    formatter = model[0].input_formatter
    messages = formatter.prepend_prompt_to_messages([formatter.pair_to_messages(("a", "b"))], _MARK)
    return _MARK in model.tokenizer.apply_chat_template(messages[0], tokenize=False)


def from_0_to_1(model: Any) -> Callable[[Any], Any]:
    """The function that makes scores of logits: the model's own, or if it has none, the logistic function."""
    import torch

    own: Callable[[Any], Any] | None = model.activation_fn
    return torch.sigmoid if own is None or isinstance(own, torch.nn.Identity) else own


def _token(tokenizer: Any, text: str) -> int:
    """The token of a word. Raises LoadFailed if the vocabulary lacks it."""
    number = tokenizer.convert_tokens_to_ids(text)
    if number is None or number == tokenizer.unk_token_id:
        raise LoadFailed(
            f"The model's vocabulary has no token {text!r}, with which it would answer: it is no reranker."
        )
    return int(number)


def _own_template(folder: Path) -> str:
    """The chat template in a model's files; empty if there is none."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    return str(_json(folder / "tokenizer_config.json").get("chat_template") or "")


def _architecture(config: dict[str, Any]) -> str:
    return str((config.get("architectures") or ["none"])[0])


def _is_saved_cross_encoder(folder: Path) -> bool:
    return _json(folder / "config_sentence_transformers.json").get("model_type") == "CrossEncoder"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
