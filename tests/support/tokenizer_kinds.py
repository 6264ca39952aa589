"""Tokenizers of the common kinds, trained on this project's docs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SPECIAL = ["[UNK]", "<s>", "</s>", "<|endoftext|>"]
_DOCS = Path(__file__).parents[2] / "docs"

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def texts() -> list[str]:
    """What they are trained on."""
    return [(_DOCS / name).read_text() for name in ("chat.md", "dialects.md", "vision.md")]


def word_piece() -> Any:
    """As BERT has it."""
    from tokenizers import models, normalizers, pre_tokenizers, trainers

    trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=_SPECIAL)
    model = models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20)
    return _trained(model, trainer, normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())


def gpt2() -> Any:
    """Byte-level BPE with GPT-2's words."""
    from tokenizers import models, pre_tokenizers

    return _trained(models.BPE(), _bpe_trainer(), None, pre_tokenizers.ByteLevel(add_prefix_space=True))


def qwen() -> Any:
    """Byte-level BPE with Qwen's words."""
    from tokenizers import Regex, models, normalizers, pre_tokenizers

    words = pre_tokenizers.Split(Regex(QWEN), "isolated")
    into_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return _trained(models.BPE(), _bpe_trainer(), normalizers.NFC(), pre_tokenizers.Sequence([words, into_bytes]))


def clip() -> Any:
    """BPE with CLIP's words, without white space."""
    from tokenizers import Regex, models, normalizers, pre_tokenizers

    steps = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    words = pre_tokenizers.Split(Regex(CLIP), "removed", invert=True)
    into_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model = models.BPE(end_of_word_suffix="</w>", unk_token="[UNK]")
    trainer = _bpe_trainer(end_of_word_suffix="</w>")
    return _trained(model, trainer, normalizers.Sequence(steps), pre_tokenizers.Sequence([words, into_bytes]))


def unigram() -> Any:
    """SentencePiece's Unigram with its normalisation of characters, as T5 and XLM-RoBERTa have it."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

    written = io.BytesIO()
    settings = {"vocab_size": 200, "normalization_rule_name": "nmt_nfkc", "minloglevel": 2}
    lines = [line for text in texts() for line in text.splitlines()]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=written, **settings)
    proto = sentencepiece_model_pb2.ModelProto.FromString(written.getvalue())
    characters = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    steps = [characters, normalizers.Replace(Regex(" {2,}"), " ")]
    trainer = trainers.UnigramTrainer(vocab_size=400, special_tokens=_SPECIAL, unk_token="[UNK]")
    return _trained(models.Unigram(), trainer, normalizers.Sequence(steps), pre_tokenizers.Metaspace())


def llama2() -> Any:
    """BPE of whole texts, in which only the vocabulary ends words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import TokenizersBackend

    trained = _trained(models.BPE(unk_token="[UNK]"), _bpe_trainer(), None, pre_tokenizers.Metaspace())
    whole = Tokenizer.from_str(trained.backend_tokenizer.to_str())
    whole.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    settings = Tokenizer(whole.model)
    settings.normalizer = whole.normalizer
    settings.add_special_tokens(_SPECIAL)
    return TokenizersBackend(tokenizer_object=settings)


KINDS: dict[str, Callable[[], Any]] = {kind.__name__: kind for kind in (word_piece, gpt2, qwen, clip, unigram, llama2)}


def _bpe_trainer(**settings: Any) -> Any:
    from tokenizers import pre_tokenizers, trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trainers.BpeTrainer(
        vocab_size=700, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False, **settings
    )


def _trained(model: Any, trainer: Any, normalizer: Any, pre_tokenizer: Any) -> Any:
    from tokenizers import Tokenizer
    from transformers import TokenizersBackend

    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts(), trainer)
    return TokenizersBackend(tokenizer_object=tokenizer, model_max_length=64)
