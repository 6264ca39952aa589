"""Embedding models of the classes of MiniLM, bge, mpnet, CLIP and SigLIP, with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.image import clip_tokenizer
from scripts.demo_models.tokenizers import byte_level
from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WINDOW = 64
"""The longest text in tokens."""
PROMPTS = {"query": "query: ", "document": ""}


def build_minilm(folder: Path) -> None:
    """A BERT with mean pooling and normalised vectors."""
    _save(folder, *_bert(), pooling="mean")


def build_bge(folder: Path) -> None:
    """A BERT with CLS pooling and prompts of its own."""
    _save(folder, *_bert(), pooling="cls", prompts=PROMPTS)


def build_mpnet(folder: Path) -> None:
    """An MPNet with mean pooling, whose vectors are not normalised."""
    from transformers import MPNetConfig, MPNetModel, MPNetTokenizer

    vocabulary = _vocabulary("<s>", "<pad>", "</s>", "<unk>", "<mask>", "[UNK]")
    tokenizer = MPNetTokenizer(vocab=vocabulary, model_max_length=WINDOW)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    model = MPNetModel(MPNetConfig(vocab_size=len(tokenizer), max_position_embeddings=WINDOW + 2, **ids, **SHAPE))
    _save(folder, model, tokenizer, pooling="mean", normalize=False)


def build_clip(folder: Path) -> None:
    """CLIP: texts and images in one space, in the layout of transformers."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokens = clip_tokenizer()
    text = {"vocab_size": len(tokens), "bos_token_id": tokens.bos_token_id, "eos_token_id": tokens.eos_token_id}
    vision = {"image_size": 32, "patch_size": 8}
    config = CLIPConfig(text_config={**text, **SHAPE}, vision_config={**vision, **SHAPE}, projection_dim=16)
    spread(CLIPModel(config), matrices=0.2).save_pretrained(folder)
    image_processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor, tokens).save_pretrained(folder)


def build_siglip(folder: Path) -> None:
    """SigLIP: texts and images in one space; its tokenizer pads all texts to one length."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    tokens = byte_level(("<pad>", "</s>"), pad_token="<pad>", eos_token="</s>", model_max_length=WINDOW)
    text = {"vocab_size": len(tokens), "max_position_embeddings": WINDOW, "projection_size": SHAPE["hidden_size"]}
    vision = {"image_size": 32, "patch_size": 8}
    config = SiglipConfig(text_config={**text, **SHAPE}, vision_config={**vision, **SHAPE})
    spread(SiglipModel(config), matrices=0.2).save_pretrained(folder)
    SiglipProcessor(SiglipImageProcessor(size={"height": 32, "width": 32}), tokens).save_pretrained(folder)


def word_pieces() -> Any:
    """A tokenizer of BERT's kind, in which each character is a token."""
    from transformers import BertTokenizer

    vocabulary = _vocabulary("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    return BertTokenizer(vocab=vocabulary, model_max_length=WINDOW)


def _bert() -> tuple[Any, Any]:
    from transformers import BertConfig, BertModel

    tokenizer = word_pieces()
    return BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=WINDOW, **SHAPE)), tokenizer


def _vocabulary(*specials: str) -> dict[str, int]:
    """A WordPiece vocabulary: special tokens, then every ASCII character, at the start of a word and within."""
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = [*specials, *characters, *(f"##{char}" for char in characters)]
    return {token: number for number, token in enumerate(tokens)}


def _save(
    folder: Path,
    model: Any,
    tokenizer: Any,
    *,
    pooling: str,
    normalize: bool = True,
    prompts: dict[str, str] | None = None,
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    plain = folder / "transformer"
    spread(model, matrices=0.2).save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    modules = [Transformer(str(plain)), Pooling(SHAPE["hidden_size"], pooling_mode=pooling)]
    modules += [Normalize()] if normalize else []
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
