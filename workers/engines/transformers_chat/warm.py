"""Importing this loads and runs a model of a few numbers once, so that a standby has done what is slow the first time.

transformers compiles some thousand patterns at its first load, torch starts its threads at its first product: about
0.3 s that would otherwise fall between a request and its first token. Everything happens on the CPU, whatever device
the process will get: no GPU memory is touched.
"""

from __future__ import annotations

import tempfile

import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.utils import logging


def run() -> None:
    """Save, load and ask a tiny Llama, without a word in the log."""
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, **shape)
    told, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder)
            model.generate(torch.ones(1, 4, dtype=torch.long), max_new_tokens=2)
    finally:
        logging.set_verbosity(told)
        if bars:
            logging.enable_progress_bar()


run()
