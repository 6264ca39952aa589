"""Embeddings of texts and images with sentence-transformers: MiniLM, mpnet, bge, gte; CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ContextTooLong, LoadFailed, ServeError, UnsupportedFeature
from contract.image_loading import open_image
from contract.status import ModelFacts
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit import own_code, pretrained, snapshots
from workers.toolkit.embedding import Embedded, EmbeddingBatcher, EmbeddingInput, text_too_long
from workers.toolkit.pretrained import TorchOptions

_READ_PADDING = {"siglip", "siglip2"}


class SentenceOptions(TorchOptions):
    """How texts are read.

    `truncate`: cut a text that exceeds the model's limit, instead of refusing it. `prompt` or `prompt_name` (one that
    comes with the model, such as `query`) is put before every text. `normalize`: scale vectors to length one, for
    models that do not do so themselves. `batch_size`: texts or images in one forward pass.
    """

    truncate: bool = False
    prompt: str | None = None
    prompt_name: str | None = None
    normalize: bool = False
    batch_size: int = Field(32, ge=1)


class SentenceTransformers(Engine):
    """Any SentenceTransformer model: a hub id, a local folder, or `package:NAME/FOLDER`.

    Token ids as input are refused: clients compute them with another model's tokenizer, so they would mean other words
    here.
    """

    extras: ClassVar[tuple[str, ...]] = ("embeddings",)
    Options = SentenceOptions
    features = frozenset({"images", "truncate"})
    imports = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "sentence_transformers:SentenceTransformer",
        # The module names that models list in their modules.json.
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Normalize",
        "transformers.models.mpnet.modeling_mpnet",
        "transformers.models.xlm_roberta.modeling_xlm_roberta",
        "workers.toolkit.pretrained",
        "contract.image_loading",
        f"{__name__}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        self.options = SentenceOptions.model_validate(spec.options)
        pretrained.set_up_torch(self.options)
        from sentence_transformers import SentenceTransformer

        arguments = pretrained.from_pretrained_arguments(device, self.options.quantization)
        arguments.pop("device_map", None)  # SentenceTransformer places the model itself, by `device`
        self.name = spec.id
        folder = snapshots.folder(spec.source, spec.revision)
        with own_code.needed_code_refused(spec.source):
            self.model = SentenceTransformer(
                str(folder),
                device=device.torch,
                trust_remote_code=spec.trust_remote_code,
                model_kwargs=arguments,
            ).eval()
        pretrained.patch_bitsandbytes(self.model)
        _pad_as_trained(self.model)
        pretrained.check_tokenizer(getattr(self.model, "tokenizer", None), spec)
        self.prompt = self._prompt()
        self.max_tokens: int | None = self.model.max_seq_length
        self.dimensions = self.model.get_embedding_dimension() or len(self._forward(["a"])[0][0])
        self.batcher = EmbeddingBatcher(spec.id, self.dimensions, self.options.batch_size)

    def facts(self) -> ModelFacts:
        return ModelFacts(context_length=self.max_tokens, dimensions=self.dimensions)

    def loaded_features(self) -> frozenset[str]:
        return self.features if "image" in self.model.modalities else self.features - {"images"}

    def _prompt(self) -> str | None:
        """The text to put before every text, chosen as the library would choose it."""
        if self.options.prompt is not None:
            return self.options.prompt
        name = self.options.prompt_name or self.model.default_prompt_name
        if name is None:
            return None
        if name not in self.model.prompts:
            known = ", ".join(self.model.prompts) or "none"
            raise LoadFailed(f"The model has no prompt named {name!r} (`options.prompt_name`); it has: {known}.")
        return str(self.model.prompts[name])

    @serves(EMBEDDINGS, max_batch=64)
    def embed(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Embed texts and images."""
        yield from self.batcher.answer(calls, self._check, _opened, self._embed)

    def _check(self, request: EmbeddingsRequest) -> None:
        if "input_tokens" in request.required_features():
            raise UnsupportedFeature("`input` holds token ids; this model takes texts only.", param="input")
        if request.required_features() - self.loaded_features():
            raise UnsupportedFeature(f"{self.name} embeds texts only; use a model such as CLIP for images.")
        if request.texts and "text" not in self.model.modalities:
            raise UnsupportedFeature(f"{self.name} embeds images only; use another model for texts.", param="input")

    def _embed(self, inputs: list[EmbeddingInput]) -> list[Embedded | ServeError]:
        """One forward pass."""
        vectors, token_counts = self._forward([item.prepared for item in inputs])
        results: list[Embedded | ServeError] = []
        for item, vector, tokens in zip(inputs, vectors, token_counts, strict=True):
            full = self.max_tokens and tokens >= self.max_tokens and isinstance(item.content, str)
            too_long = self._too_long(item) if full else None
            is_refused = too_long and not item.is_cut(self.options.truncate)
            results.append(too_long if too_long and is_refused else Embedded(vector, tokens, is_cut=bool(too_long)))
        return results

    def _forward(self, contents: list[Any]) -> tuple[Any, list[int]]:
        """Vectors as numpy float32 of shape (contents, dimensions), and how many tokens of each were read."""
        import torch
        from sentence_transformers.util import batch_to_device

        with torch.inference_mode():
            prompt = self.prompt if isinstance(contents[0], str) else None
            features = self.model.preprocess(contents, prompt=prompt)
            token_counts = _token_counts(features, len(contents))  # before the model, which may change `features`
            vectors = self.model(batch_to_device(features, self.model.device))["sentence_embedding"]
            vectors = vectors[:, : self.model.truncate_dim]
            if self.options.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            return vectors.float().cpu().numpy(), token_counts

    def _too_long(self, item: EmbeddingInput) -> ContextTooLong | None:
        """The error for a text that fills the model's window and does not fit; None if it fits exactly."""
        tokens = len(self.model.tokenizer((self.prompt or "") + str(item.content), verbose=False)["input_ids"])
        if self.max_tokens is None or tokens <= self.max_tokens:
            return None
        return text_too_long(self.name, item.position, tokens, self.max_tokens)


def _pad_as_trained(model: Any) -> None:
    """Pad all texts to the one length with which SigLIP was trained: it reads padding, too.

    The library pads to the longest text of a batch, so that a text's vector would depend on its neighbours.
    """
    for module in model:
        config: Any = getattr(module, "config", None)
        if getattr(config, "model_type", None) in _READ_PADDING:
            length = config.text_config.max_position_embeddings
            kwargs = module.processing_kwargs
            padding = {"padding": "max_length", "max_length": length}
            module.processing_kwargs = {**kwargs, "text": padding | kwargs.get("text", {})}


def _opened(item: EmbeddingInput) -> Any:
    """A text as it is, an image as pixels. Raises BadImage."""
    return item.content if isinstance(item.content, str) else open_image(item.content)


def _token_counts(features: dict[str, Any], count: int) -> list[int]:
    """How many tokens each of `count` texts has, including special ones but no padding; 0 for images."""
    if "attention_mask" in features:
        counts: list[int] = features["attention_mask"].sum(dim=1).tolist()
        return counts
    if "offsets" in features:
        # Static embeddings have no mask: all tokens are in one row, and `offsets` says where each text begins.
        starts = [*features["offsets"].tolist(), len(features["input_ids"])]
        return [end - start for start, end in pairwise(starts)]
    if "input_ids" in features:  # SigLIP pads all texts to one length
        return [int(features["input_ids"].shape[1])] * count
    return [0] * count
