"""Rerankers that are language models: asked as their model cards ask them, and scored as these compute it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from contract.errors import LoadFailed, UnsupportedFeature
from tests.conftest import Models
from tests.support.rerank_engines import DOCUMENTS, QUERY, ask, check_neighbours, close, load, rerank, scores
from workers.engines.cross_encoder import prompts

QWEN3_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}\n'
    "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
WEB_SEARCH = "Given a web search query, retrieve relevant passages that answer the query"


@pytest.fixture(scope="module")
def qwen3(models: Models) -> Any:
    return load(models("qwen3_reranker"))


def by_hand(folder: Path, prompts: list[str], yes: str, no: str | None) -> list[float]:
    """What the model cards of yes-or-no rerankers compute, one prompt at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    results = []
    for prompt in prompts:
        with torch.inference_mode():
            ids = tokens(prompt, return_tensors="pt", add_special_tokens=False)
            logits = model(**ids).logits[0, -1]
        other = logits[tokens.convert_tokens_to_ids(no)] if no else 0.0
        results.append(float(logits[tokens.convert_tokens_to_ids(yes)] - other))
    return results


@pytest.mark.parametrize("instruction", [None, "Find rhymes"])
def test_qwen3_reranker_equals_its_model_card(instruction: str | None, qwen3: Any, models: Models) -> None:
    prompts = [
        QWEN3_PROMPT.format(instruction=instruction or WEB_SEARCH, query=QUERY, document=document)
        for document in DOCUMENTS
    ]
    expected = by_hand(models("qwen3_reranker"), prompts, "yes", "no")

    raw, usual = rerank(qwen3, *(ask(DOCUMENTS, instruction=instruction, raw_scores=raw) for raw in (True, False)))

    assert close(scores(raw), expected)
    assert close(scores(usual), [1 / (1 + math.exp(-logit)) for logit in expected])


def test_gemma_reranker_equals_its_model_card(models: Models) -> None:
    question = (
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
        "prediction of either 'Yes' or 'No'."
    )
    prompts = [f"<bos>A: {QUERY}\nB: {document}\n{question}" for document in DOCUMENTS]

    [raw] = rerank(load(models("gemma_reranker")), ask(DOCUMENTS, raw_scores=True))

    assert close(scores(raw), by_hand(models("gemma_reranker"), prompts, "Yes", None))


def test_classification_head_gets_its_models_question(models: Models) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = models("qwen3_classifier")
    tokens, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    expected = []
    for document in DOCUMENTS:
        prompt = QWEN3_PROMPT.format(instruction=WEB_SEARCH, query=QUERY, document=document)
        with torch.inference_mode():
            ids = tokens(prompt, return_tensors="pt", add_special_tokens=False)
            expected.append(float(model.eval()(**ids).logits[0, 0]))

    [raw] = rerank(load(folder), ask(DOCUMENTS, raw_scores=True))

    assert close(scores(raw), expected)


def test_a_model_saved_by_the_library_keeps_its_template(qwen3: Any, models: Models, tmp_path: Path) -> None:
    template = "Q {{ messages[-2].content }} D {{ messages[-1].content }} ?"
    folder = tmp_path / "saved"
    qwen3.model.save(str(folder))
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    expected = by_hand(models("qwen3_reranker"), [f"Q {QUERY} D {document} ?" for document in DOCUMENTS], "yes", "no")

    saved = load(folder)
    own = load(models("qwen3_reranker"), chat_template=template)

    for engine in (saved, own):
        [raw] = rerank(engine, ask(DOCUMENTS, raw_scores=True))
        assert close(scores(raw), expected)
    assert "instruction" not in saved.loaded_features()


def test_a_score_does_not_depend_on_its_neighbours(qwen3: Any) -> None:
    check_neighbours(qwen3)


def test_instruction_needs_a_model_that_reads_it(qwen3: Any, models: Models) -> None:
    bge = load(models("bge_reranker"))
    assert "instruction" in qwen3.loaded_features()
    assert "instruction" not in bge.loaded_features()
    with pytest.raises(UnsupportedFeature, match="reads no instructions"):
        rerank(bge, ask(["a"], instruction="Find rhymes"))


def test_a_vocabulary_without_the_answers_is_refused(qwen3: Any) -> None:
    with pytest.raises(LoadFailed, match="has no token 'perhaps'"):
        prompts.set_up(qwen3.model, prompts.Question("", "perhaps"))
