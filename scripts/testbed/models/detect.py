"""Detection models, open-set and closed-set, with a few thousand random weights each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from scripts.demo_models.image import clip_tokenizer
from scripts.demo_models.weights import VISION, spread

importlib.import_module("workers.toolkit.torchvision_shim")  # before transformers

CLASSES = ("person", "cat", "remote control", "N/A", "car")
QUERIES = 12
"""How many boxes a model proposes for an image."""
_DETR = {
    "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": QUERIES,
}  # fmt: skip
_SIZE = {"shortest_edge": 64, "longest_edge": 96}
_SQUARE = {"height": 64, "width": 64}


def build_grounding_dino(folder: Path) -> None:
    """Grounding DINO: a Swin image backbone and a BERT text encoder."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    _save_grounding(folder, GroundingDinoForObjectDetection, GroundingDinoConfig)


def build_mm_grounding_dino(folder: Path) -> None:
    """MM Grounding DINO: Grounding DINO with learned biases."""
    from transformers import MMGroundingDinoConfig, MMGroundingDinoForObjectDetection

    _save_grounding(folder, MMGroundingDinoForObjectDetection, MMGroundingDinoConfig)


def _save_grounding(folder: Path, model: Any, config: Any) -> None:
    from transformers import BertConfig, GroundingDinoImageProcessor, GroundingDinoProcessor, SwinConfig

    tokenizer = _bert_tokenizer()
    text = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    backbone = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    detector = model(
        config(backbone_config=backbone, text_config=text, d_model=32, disable_custom_kernels=True, **_DETR)
    )
    spread(detector, matrices=0.1)
    detector.model.decoder.layer_norm.weight.data.mul_(0.15)  # else every score is 1
    detector.save_pretrained(folder)
    GroundingDinoProcessor(GroundingDinoImageProcessor(size=_SIZE), tokenizer).save_pretrained(folder)


def _bert_tokenizer() -> Any:
    """A WordPiece tokenizer of characters. The model relies on its special tokens' ids being those of BERT."""
    from transformers import BertTokenizer

    specials = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper() and chr(code) not in specials]
    tokens = iter(["the", "cat", "remote", "control", *letters, *(f"##{letter}" for letter in letters)])
    free_ids = [token_id for token_id in range(1030) if token_id not in specials.values()]
    vocabulary = {next(tokens, f"[unused{token_id}]"): token_id for token_id in free_ids}
    return BertTokenizer(vocab=specials | vocabulary, model_max_length=512)


def build_owlvit(folder: Path) -> None:
    """OWL-ViT: a CLIP that predicts a label and a box for each patch."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection, OwlViTImageProcessor, OwlViTProcessor

    _save_owl(folder, OwlViTForObjectDetection, OwlViTConfig, OwlViTProcessor, OwlViTImageProcessor)


def build_owlv2(folder: Path) -> None:
    """OWLv2: OWL-ViT whose processor pads images to squares."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    _save_owl(folder, Owlv2ForObjectDetection, Owlv2Config, Owlv2Processor, Owlv2ImageProcessor)


def _save_owl(folder: Path, model: Any, config: Any, processor: Any, image_processor: Any) -> None:
    tokenizer = clip_tokenizer()
    tokenizer.model_max_length = 16
    token_ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {**VISION, **token_ids, "vocab_size": len(tokenizer), "max_position_embeddings": 16}
    vision = {**VISION, "image_size": 64, "patch_size": 16}
    detector = model(config(text_config=text, vision_config=vision, projection_dim=32))
    spread(detector).save_pretrained(folder)
    processor(image_processor(size=_SQUARE), tokenizer).save_pretrained(folder)


def build_detr(folder: Path) -> None:
    """DETR with a timm backbone, like its checkpoints on the hub."""
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor

    config = DetrConfig(backbone="test_resnet", use_timm_backbone=True, d_model=32, **_DETR, **_class_names())
    _save(folder, DetrForObjectDetection(config), DetrImageProcessor(size=_SIZE))


def build_conditional_detr(folder: Path) -> None:
    """Conditional DETR, which scores every class independently."""
    from transformers import ConditionalDetrConfig, ConditionalDetrForObjectDetection, ConditionalDetrImageProcessor

    config = ConditionalDetrConfig(**_resnet_backbone(), d_model=32, **_DETR, **_class_names())
    _save(folder, ConditionalDetrForObjectDetection(config), ConditionalDetrImageProcessor(size=_SIZE))


def build_dab_detr(folder: Path) -> None:
    """DAB-DETR, whose queries are boxes."""
    from transformers import ConditionalDetrImageProcessor, DabDetrConfig, DabDetrForObjectDetection

    config = DabDetrConfig(**_resnet_backbone(), hidden_size=32, **_DETR, **_class_names())
    _save(folder, DabDetrForObjectDetection(config), ConditionalDetrImageProcessor(size=_SIZE))


def build_deformable_detr(folder: Path) -> None:
    """Deformable DETR, which attends to a few points at each of several scales."""
    from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection, DeformableDetrImageProcessor

    config = DeformableDetrConfig(**_resnet_backbone(), d_model=32, **_DETR, **_class_names())
    _save(folder, DeformableDetrForObjectDetection(config), DeformableDetrImageProcessor(size=_SIZE))


def build_table_transformer(folder: Path) -> None:
    """Table Transformer: a DETR trained on tables."""
    from transformers import DetrImageProcessor, TableTransformerConfig, TableTransformerForObjectDetection

    config = TableTransformerConfig(**_resnet_backbone(), d_model=32, **_DETR, **_class_names())
    _save(folder, TableTransformerForObjectDetection(config), DetrImageProcessor(size=_SIZE))


def build_rt_detr(folder: Path) -> None:
    """RT-DETR: all images are resized to one size, without padding."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(layer_type="basic", **_resnet())
    _save_rt_detr(folder, RTDetrForObjectDetection, RTDetrConfig, backbone)


def build_rt_detr_v2(folder: Path) -> None:
    """RT-DETRv2: RT-DETR with another sampling method."""
    from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

    backbone = RTDetrResNetConfig(layer_type="basic", **_resnet())
    _save_rt_detr(folder, RTDetrV2ForObjectDetection, RTDetrV2Config, backbone)


def build_d_fine(folder: Path) -> None:
    """D-FINE: an RT-DETR that predicts a distribution for each side of a box."""
    from transformers import DFineConfig, DFineForObjectDetection, HGNetV2Config

    backbone = HGNetV2Config(
        stem_channels=[3, 8, 8], stage_in_channels=[8, 8, 8, 16], stage_mid_channels=[8] * 4,
        stage_out_channels=[8, 8, 16, 16], stage_num_blocks=[1] * 4, stage_numb_of_layers=[1] * 4, **_resnet(),
    )  # fmt: skip
    _save_rt_detr(folder, DFineForObjectDetection, DFineConfig, backbone)


def _save_rt_detr(folder: Path, model: Any, config: Any, backbone: Any) -> None:
    from transformers import RTDetrImageProcessor

    shape = {
        "d_model": 32, "encoder_hidden_dim": 32, "encoder_in_channels": [8, 16, 16],
        "decoder_in_channels": [32, 32, 32], "num_denoising": 0,
    }  # fmt: skip
    detector = model(config(backbone_config=backbone, **shape, **_DETR, **_class_names()))
    _save(folder, detector, RTDetrImageProcessor(size=_SQUARE), matrices=0.25)


def build_rf_detr(folder: Path) -> None:
    """RF-DETR: a DINOv2 with windowed attention, and a decoder."""
    from transformers import RfDetrConfig, RfDetrDinov2Config, RfDetrForObjectDetection, RfDetrImageProcessor

    backbone = RfDetrDinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16, num_windows=2,
        out_features=["stage1", "stage2"],
    )  # fmt: skip
    shape = {
        "d_model": 32, "decoder_layers": 2, "decoder_ffn_dim": 32, "decoder_self_attention_heads": 2,
        "decoder_cross_attention_heads": 2, "num_queries": QUERIES, "group_detr": 1,
    }  # fmt: skip
    detector = RfDetrForObjectDetection(RfDetrConfig(backbone_config=backbone, **shape, **_class_names()))
    _save(folder, detector, RfDetrImageProcessor(size=_SQUARE))


def build_yolos(folder: Path) -> None:
    """YOLOS: a ViT with a token for each proposed box."""
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    config = YolosConfig(**VISION, image_size=[64, 96], num_detection_tokens=QUERIES, **_class_names())
    _save(folder, YolosForObjectDetection(config), YolosImageProcessor(size=_SIZE))


def _resnet_backbone() -> dict[str, Any]:
    from transformers import ResNetConfig

    return {"use_timm_backbone": False, "backbone_config": ResNetConfig(**_resnet())}


def _resnet() -> dict[str, Any]:
    stages = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "out_features": ["stage2", "stage3", "stage4"]}
    return {"embedding_size": 8, **stages}


def _class_names() -> dict[str, Any]:
    return {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}


def _save(folder: Path, model: Any, image_processor: Any, matrices: float = 0.2) -> None:
    spread(model, matrices=matrices).save_pretrained(folder)
    image_processor.save_pretrained(folder)
