"""Rerankers with random weights, of the classes of bge-reranker, ms-marco-MiniLM, Qwen3-Reranker and its relatives."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.tokenizers import byte_level, chat_template
from scripts.demo_models.weights import TEXT, spread
from scripts.testbed.models.sentences import SHAPE, WINDOW, word_pieces

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_TURNS = ("<pad>", "<bos>", "<|endoftext|>", "<|im_start|>", "<|im_end|>")


def build_bge_reranker(folder: Path) -> None:
    """An XLM-RoBERTa with a classification head, whose positions begin after the padding's."""
    from tokenizers.processors import TemplateProcessing
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification

    tokens = byte_level(
        ("<s>", "<pad>", "</s>", "<unk>"), bos_token="<s>", pad_token="<pad>", eos_token="</s>", sep_token="</s>",
        cls_token="<s>", model_max_length=WINDOW, padding_side="right",
    )  # fmt: skip
    ends = [(token, tokens.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    tokens.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=ends
    )
    ids = {
        "bos_token_id": tokens.bos_token_id,
        "pad_token_id": tokens.pad_token_id,
        "eos_token_id": tokens.eos_token_id,
    }
    positions = tokens.pad_token_id + 1 + WINDOW
    config = XLMRobertaConfig(vocab_size=len(tokens), max_position_embeddings=positions, num_labels=1, **ids, **SHAPE)
    _save(folder, XLMRobertaForSequenceClassification(config), tokens)


def build_ms_marco(folder: Path) -> None:
    """A BERT with a classification head whose scores are logits, saved by sentence-transformers."""
    import torch
    from sentence_transformers import CrossEncoder

    plain = folder / "plain"
    _save(plain, *_bert_classifier(labels=1))
    CrossEncoder(str(plain), device="cpu", activation_fn=torch.nn.Identity()).save(str(folder))


def build_nli(folder: Path) -> None:
    """A BERT that classifies pairs into three classes: no reranker."""
    _save(folder, *_bert_classifier(labels=3))


def build_qwen3_reranker(folder: Path) -> None:
    """A language model that answers yes or no, with a template that knows nothing of queries and documents."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokens = _turns()
    config = Qwen3Config(vocab_size=len(tokens), head_dim=8, pad_token_id=tokens.pad_token_id, **TEXT)
    _save(folder, Qwen3ForCausalLM(config), tokens)


def build_qwen3_classifier(folder: Path) -> None:
    """A language model with a classification head in place of its vocabulary."""
    from transformers import Qwen3Config, Qwen3ForSequenceClassification

    tokens = _turns()
    ids = {"pad_token_id": tokens.pad_token_id}
    config = Qwen3Config(vocab_size=len(tokens), head_dim=8, num_labels=1, **ids, **TEXT)
    _save(folder, Qwen3ForSequenceClassification(config), tokens)


def build_gemma_reranker(folder: Path) -> None:
    """A language model that answers Yes or No, without a template."""
    from transformers import GemmaConfig, GemmaForCausalLM

    tokens = _turns(templated=False)
    config = GemmaConfig(vocab_size=len(tokens), head_dim=8, pad_token_id=tokens.pad_token_id, **TEXT)
    _save(folder, GemmaForCausalLM(config), tokens)


def _bert_classifier(labels: int) -> tuple[Any, Any]:
    from transformers import BertConfig, BertForSequenceClassification

    tokens = word_pieces()
    config = BertConfig(vocab_size=len(tokens), max_position_embeddings=WINDOW, num_labels=labels, **SHAPE)
    return BertForSequenceClassification(config), tokens


def _turns(*, templated: bool = True) -> Any:
    """A tokenizer of bytes, in which the answers are tokens of their own."""
    tokens = byte_level(_TURNS, pad_token="<pad>", bos_token="<bos>", eos_token="<|endoftext|>")
    tokens.add_tokens(["yes", "no", "Yes", "No"])
    if templated:
        tokens.chat_template = chat_template()
    return tokens


def _save(folder: Path, model: Any, tokenizer: Any) -> None:
    spread(model, matrices=0.2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
