"""Loads and runs a tiny model when it is imported, so that a standby has already done what is slow the first time.

transformers compiles about a thousand patterns at its first load, and torch starts its threads at its first product:
about 0.3 s that would otherwise delay the first token of a request. Everything runs on the CPU, whatever device the
process will use, so no GPU memory is needed.
"""

from __future__ import annotations

import tempfile

import torch
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.utils import logging

from contract.tasks.chat import ChatRequest


def run() -> None:
    """Build the validator of requests; save, load and run a tiny Llama, without log lines or progress bars."""
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ChatRequest.model_rebuild()  # 20 ms, else of the first request
    config = LlamaConfig(vocab_size=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, **shape)
    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(folder)
            model.generate(torch.ones(1, 4, dtype=torch.long), max_new_tokens=2)
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()


run()
