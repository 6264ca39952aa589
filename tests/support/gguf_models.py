"""Writes a tiny Llama as a GGUF file, for llama.cpp."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers


def write_gguf(folder: Path, path: Path) -> None:
    """Convert a Llama with a byte-level tokenizer, as `save_pretrained` has written it into `folder`.

    Its attention must do nothing, like a scripted model's: queries and keys keep their order, which llama.cpp changes.
    """
    from gguf import GGUFWriter, TokenType
    from safetensors.numpy import load_file
    from transformers import AutoTokenizer

    config = json.loads((folder / "config.json").read_text())
    writer = GGUFWriter(path, "llama")
    _write_shape(writer, config)
    tokens = AutoTokenizer.from_pretrained(folder)
    names = [tokens.convert_ids_to_tokens(number) for number in range(config["vocab_size"])]
    specials = set(tokens.all_special_tokens) | set(tokens.get_added_vocab())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([TokenType.CONTROL if name in specials else TokenType.NORMAL for name in names])
    writer.add_token_merges(["\u0100 \u0100"])  # the format wants one; this joins two bytes 0
    writer.add_eos_token_id(tokens.eos_token_id)
    writer.add_add_bos_token(value=False)
    writer.add_chat_template(tokens.chat_template)
    for name, tensor in load_file(folder / "model.safetensors").items():
        writer.add_tensor(_gguf_name(name), tensor.astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: Any, config: dict[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(config["vocab_size"])


_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _gguf_name(name: str) -> str:
    for ours, theirs in _NAMES.items():
        name = name.replace(ours, theirs)
    return name
