"""Chat, embeddings and image generation with Apple's MLX: mlx-lm, mlx-vlm and mflux. Without an Apple GPU, on the CPU.

`loading` finds the library for a checkpoint. `chatting` answers conversations: `prompts` makes the inputs, `rows`
keeps the order, `prompt_scores` reads prompts that are reported, `decoding` runs the libraries' batch generators, and
`sampling` picks each row's token. `embedding` and `drawing` do the other tasks.
Heavy libraries are imported in `load` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.status import ModelFacts
from contract.tasks.chat import CHAT
from contract.tasks.completions import COMPLETIONS
from contract.tasks.detokenize import DETOKENIZE, DetokenizeRequest
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from contract.tasks.image_generation import IMAGE_GENERATION, ImageGenerationRequest
from contract.tasks.tokenize import TOKENIZE, TokenizeRequest
from workers.engine import Call, Device, Engine, Feed, Joins, Output, serves
from workers.engines.mlx.options import MlxOptions
from workers.served_tasks import tasks_of
from workers.toolkit.chat.dialect import DIALECT_FEATURES
from workers.toolkit.chat.sampling_settings import SAMPLING_FEATURES

if TYPE_CHECKING:
    from workers.engines.mlx.chatting import MlxChat
    from workers.engines.mlx.drawing import MlxDrawing
    from workers.engines.mlx.embedding import MlxEmbedding


class Mlx(Engine):
    """Models for Apple's GPUs: mlx-lm and mlx-vlm chat and embed, mflux draws. Without such a GPU, on the CPU.

    An entry's model has one purpose. It chats, unless `tasks` names `embeddings` or `image-generation`.
    """

    extras: ClassVar[tuple[str, ...]] = ("mlx",)
    Options = MlxOptions
    features = SAMPLING_FEATURES | DIALECT_FEATURES | {
        "images", "structured_output", "prefill", "prompt_logprobs", "fill_in_middle", "truncate", "truncation",
    }  # fmt: skip
    devices: ClassVar[tuple[str, ...]] = ("mlx", "cpu")
    imports = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "transformers:AutoTokenizer",
        "transformers:AutoProcessor",
        f"{__name__}.chatting",
        "llguidance.numpy",
        f"{__name__}.loading",
        "mlx_lm.generate",
        "mlx_vlm.generate",
        *(f"mlx_lm.models.{family}" for family in ("llama", "qwen2", "qwen3")),
        *(f"mlx_vlm.models.{family}" for family in ("qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "llava")),
    )
    opt_in_tasks: ClassVar[frozenset[str]] = frozenset({EMBEDDINGS.name, IMAGE_GENERATION.name})

    _chat: MlxChat
    _embedding: MlxEmbedding
    _drawing: MlxDrawing

    def load(self, spec: ModelSpec, device: Device) -> None:
        import workers.toolkit.torchvision_shim  # noqa: F401  (before transformers)
        from workers.toolkit import mlx_runtime

        options = MlxOptions.model_validate(spec.options)
        purposes = {task if task in self.opt_in_tasks else CHAT.name for task in tasks_of(spec, type(self))}
        if len(purposes) > 1:
            raise LoadFailed(
                f"An mlx model does only one of {', '.join(sorted(purposes))}: list only one of them in the `tasks` of "
                f"{spec.id}, and give each model an entry of its own."
            )
        mlx_runtime.use(device, options.buffer_cache_gb)
        if purposes == {EMBEDDINGS.name}:
            self._embedding = _load_embedding(spec, device, options)
        elif purposes == {IMAGE_GENERATION.name}:
            self._drawing = _load_drawing(spec, device, options)
        else:
            self._chat = _load_chat(spec, device, options)
            self.joins = Joins()  # both libraries' batch generators take newcomers between two steps, of any model

    def facts(self) -> ModelFacts:
        if hasattr(self, "_chat"):
            return self._chat.prompts.dialect.facts(self._chat.prompts.context)
        return ModelFacts(dimensions=self._embedding.dimensions) if hasattr(self, "_embedding") else ModelFacts()

    def loaded_features(self) -> frozenset[str]:
        if not hasattr(self, "_chat"):
            return frozenset({"truncate"} if hasattr(self, "_embedding") else ())
        features = self.features - {"truncate"} - DIALECT_FEATURES | self._chat.prompts.dialect.features
        if not self._chat.grammars.is_supported:
            features -= {"structured_output"}
        if self._chat.prompts.fill_in_middle is None:
            features -= {"fill_in_middle"}
        return features if self._chat.loaded.vision else features - {"images"}

    @serves(CHAT, max_batch=16, joins=True)
    @serves(COMPLETIONS, max_batch=16, joins=True)
    def chat(self, feed: Feed[Any]) -> Iterator[tuple[Call[Any], Output]]:
        """Answer conversations and continue texts, in the same steps; see `workers.engine.serves`."""
        from workers.toolkit.mlx_runtime import releasing

        yield from releasing(self._chat.run(feed, self.meter), self.meter)

    @serves(TOKENIZE, max_batch=16, beside=True)
    def tokenize(self, calls: list[Call[TokenizeRequest]]) -> Iterator[tuple[Call[TokenizeRequest], Output]]:
        """The tokens of texts and conversations."""
        yield from self._chat.tokens.tokenize(calls)

    @serves(DETOKENIZE, max_batch=16, beside=True)
    def detokenize(self, calls: list[Call[DetokenizeRequest]]) -> Iterator[tuple[Call[DetokenizeRequest], Output]]:
        """The text of tokens."""
        yield from self._chat.tokens.detokenize(calls)

    @serves(EMBEDDINGS, max_batch=64)
    def embed(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Embed texts."""
        from workers.toolkit.mlx_runtime import releasing

        yield from releasing(self._embedding.run(calls), self.meter)

    @serves(IMAGE_GENERATION)
    def draw(self, calls: list[Call[ImageGenerationRequest]]) -> Iterator[tuple[Call[ImageGenerationRequest], Output]]:
        """Generate images from text."""
        from workers.toolkit.mlx_runtime import releasing

        yield from releasing(self._drawing.run(calls), self.meter)


def _load_drawing(spec: ModelSpec, device: Device, options: MlxOptions) -> MlxDrawing:
    from workers.engines.mlx import drawing

    return drawing.load(spec, device, options)


def _load_embedding(spec: ModelSpec, device: Device, options: MlxOptions) -> MlxEmbedding:
    from workers.engines.mlx import loading
    from workers.engines.mlx.embedding import MlxEmbedding

    checkpoint = loading.read_checkpoint(spec)
    model, tokenizer = loading.load_embedding(checkpoint, device, options.quantization)
    return MlxEmbedding(checkpoint, model, tokenizer, options)


def _load_chat(spec: ModelSpec, device: Device, options: MlxOptions) -> MlxChat:
    from workers.engines.mlx import loading
    from workers.engines.mlx.chatting import MlxChat
    from workers.engines.mlx.prefix_cache import MlxPrefixCache
    from workers.engines.mlx.prompts import MlxPrompts, VisionPrompts

    loaded = loading.load_chat(loading.read_checkpoint(spec), device, options.quantization)
    kind = VisionPrompts if loaded.vision else MlxPrompts
    prompts = kind(loaded, options)
    return MlxChat(loaded, prompts, MlxPrefixCache(int(options.prefix_cache_gb * 2**30)))
