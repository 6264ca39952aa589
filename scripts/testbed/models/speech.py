"""Speech models with a few thousand random weights: Whisper with its tokenizer of bytes, and VITS."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from scripts.demo_models.tokenizers import byte_level
from scripts.demo_models.weights import spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

_LANGUAGES = ("en", "de", "fr", "ja")
_TASKS = ("translate", "transcribe")
_BEFORE = ("<|endoftext|>", "<|startoftranscript|>")
_AFTER = ("<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>")
WINDOW = 4
"""Seconds that the model reads at once; those of the hub read 30."""
_TIMES = tuple(f"<|{hundredths / 100:.2f}|>" for hundredths in range(0, WINDOW * 100 + 1, 2))
_MELS = 16
_LENGTH = 32
"""Tokens of a prompt and an answer."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz "


def build_whisper(folder: Path) -> None:
    """Whisper in four languages, with heads that show the times of words."""
    _build(folder, multilingual=True)


def build_whisper_en(folder: Path) -> None:
    """Whisper for English alone, without such heads."""
    _build(folder, multilingual=False)


def _build(folder: Path, *, multilingual: bool) -> None:
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    languages = tuple(f"<|{code}|>" for code in _LANGUAGES) if multilingual else ()
    tasks = tuple(f"<|{task}|>" for task in _TASKS) if multilingual else ()
    specials = (*_BEFORE, *languages, *tasks, *_AFTER)
    plain = byte_level((*specials, *_TIMES))
    plain.save_pretrained(folder)
    tokenizer = WhisperTokenizer(
        tokenizer_object=plain.backend_tokenizer,
        unk_token="<|endoftext|>", bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        additional_special_tokens=list(specials[1:]),
    )  # fmt: skip
    ids = tokenizer.convert_tokens_to_ids
    end, start = ids("<|endoftext|>"), ids("<|startoftranscript|>")
    config = WhisperConfig(
        vocab_size=len(plain), num_mel_bins=_MELS, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_source_positions=WINDOW * 50, max_target_positions=_LENGTH,
        pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
    )  # fmt: skip
    model = spread(WhisperForConditionalGeneration(config), matrices=0.5, seed=4)
    model.generation_config = _generation_config(ids, languages, multilingual)
    letters = set(ids(list(plain.tokenize(_LETTERS))))
    never = {*range(end), *ids(list(specials[1:-1]))} - letters
    model.generation_config.suppress_tokens = sorted(never)
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=_MELS, chunk_length=WINDOW), tokenizer).save_pretrained(
        folder
    )


def _generation_config(ids: Any, languages: tuple[str, ...], multilingual: bool) -> Any:
    """Settings of generation, with the names that those of the hub's models have."""
    from transformers import GenerationConfig

    end = ids("<|endoftext|>")
    values: dict[str, Any] = {
        "no_timestamps_token_id": ids("<|notimestamps|>"), "prev_sot_token_id": ids("<|startofprev|>"),
        "max_initial_timestamp_index": 50, "begin_suppress_tokens": [end],
        "is_multilingual": multilingual, "max_length": _LENGTH, "return_timestamps": False, "pad_token_id": end,
        "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": ids("<|startoftranscript|>"),
    }  # fmt: skip
    if multilingual:
        values["lang_to_id"] = {language: ids(language) for language in languages}
        values["task_to_id"] = {task: ids(f"<|{task}|>") for task in _TASKS}
        values["alignment_heads"] = [[0, 0], [0, 1]]
    return GenerationConfig(**values)


def build_vits(folder: Path) -> None:
    """VITS with one voice, which reads small letters, as those of MMS do."""
    _build_vits(folder, speakers=1)


def build_vits_speakers(folder: Path) -> None:
    """VITS with three voices."""
    _build_vits(folder, speakers=3)


def _build_vits(folder: Path, speakers: int) -> None:
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    folder.mkdir(exist_ok=True)
    characters = ["<pad>", *"abcdefghijklmnopqrstuvwxyz '-", "<unk>"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({character: number for number, character in enumerate(characters)}))
    tokenizer = VitsTokenizer(str(vocabulary), language="eng", add_blank=True, normalize=True, phonemize=False)
    tokenizer.save_pretrained(folder)
    config = VitsConfig(
        vocab_size=len(characters), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=32,
        flow_size=16, spectrogram_bins=9, num_speakers=speakers, speaker_embedding_size=8 if speakers > 1 else 0,
        upsample_initial_channel=16, upsample_rates=[8, 8], upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1, 3]], prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=1, posterior_encoder_num_wavenet_layers=1, wavenet_dilation_rate=1,
        duration_predictor_num_flows=2, duration_predictor_filter_channels=16, depth_separable_num_layers=1,
    )  # fmt: skip
    model = spread(VitsModel(config), matrices=0.15, seed=5)
    model.save_pretrained(folder)


def build_kokoro(folder: Path) -> None:
    """A network with Kokoro's inputs, output and voices, whose sound depends on all of them."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(6)
    width, repeats = 64, 20
    constants = {
        "letters": random.normal(0, 1, (256, width)).astype("f4"), "styles": random.normal(0, 0.1, (256, width)),
        "flat": np.array([1, -1]), "times": np.array([1, repeats]), "middle": np.array([1]),
    }  # fmt: skip
    steps = [
        ("Gather", ["letters", "input_ids"], "read"), ("MatMul", ["style", "styles"], "voice"),
        ("Unsqueeze", ["voice", "middle"], "voices"), ("Add", ["read", "voices"], "mixed"),
        ("Mul", ["mixed", "speed"], "fast"), ("Reshape", ["fast", "flat"], "line"), ("Tanh", ["line"], "wave"),
        ("Tile", ["wave", "times"], "waveform"),
    ]  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps],
        "kokoro",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"]),
            helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
            helper.make_tensor_value_info("speed", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, "samples"])],
        [
            numpy_helper.from_array(value.astype("f4" if value.dtype.kind == "f" else "i8"), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "onnx").mkdir(parents=True)
    (folder / "voices").mkdir()
    onnx.save(model, str(folder / "onnx" / "model.onnx"))
    for name in ("af_heart", "af_alloy", "bf_emma"):
        random.normal(0, 1, (510, 1, 256)).astype("f4").tofile(folder / "voices" / f"{name}.bin")
