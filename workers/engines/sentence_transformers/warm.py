"""Importing this module loads and runs a tiny model once, so that a standby has done what is slow the first time.

It runs on the CPU, whatever device the process will get, and touches no GPU memory.
"""

from __future__ import annotations

import tempfile

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizer
from transformers.utils import logging

_WIDTH = 16
_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def run() -> None:
    """Save, load and run a tiny BERT, without progress bars in the log."""
    shape = {"hidden_size": _WIDTH, "intermediate_size": _WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2}
    bars_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory() as folder:
            BertModel(BertConfig(vocab_size=len(_TOKENS), **shape)).save_pretrained(folder)
            BertTokenizer(vocab={token: number for number, token in enumerate(_TOKENS)}).save_pretrained(folder)
            modules = [Transformer(folder), Pooling(_WIDTH), Normalize()]
            SentenceTransformer(modules=modules, device="cpu").encode(["warm"])
    finally:
        if bars_enabled:
            logging.enable_progress_bar()


run()
