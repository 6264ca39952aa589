"""Chat, embeddings and pictures with Apple's MLX: mlx-lm, mlx-vlm and mflux; without an Apple GPU, on the CPU.

`loading` finds the library for a checkpoint. `chatting` answers conversations: `prompts` makes the inputs, `decoding`
runs the libraries' batch generators, `sampling` picks each row's token. `embedding` and `drawing` do the other tasks.
Nothing heavy is imported before `load`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import LoadFailed
from contract.tasks.chat import CHAT, ChatRequest
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from contract.tasks.image_generation import IMAGE_GENERATION, ImageGenerationRequest
from workers import engine
from workers.engine import Call, Device, Engine, Feed, Output, serves
from workers.served_tasks import tasks_of
from workers.toolkit.pretrained import Quantization

if TYPE_CHECKING:
    from workers.engines.mlx.chatting import MlxChat
    from workers.engines.mlx.drawing import Painter
    from workers.engines.mlx.embedding import Embedder


class MlxOptions(engine.Options):
    """`quantization` shrinks weights that are not quantised yet.

    Chat: `context` bounds prompt and answer together, in tokens; `chat_template` is a Jinja template in place of the
    model's own. Embeddings: `batch_size` is the number of texts in one forward pass. `truncate`: cut a text that
    the model cannot read whole, instead of refusing it; null: embeddings refuse it, and pictures are drawn of what was
    read, with a warning.
    """

    quantization: Quantization | None = None
    context: int | None = Field(None, ge=2)
    chat_template: str | None = None
    truncate: bool | None = None
    batch_size: int = Field(32, ge=1)


class Mlx(Engine):
    """Models for Apple's GPUs: mlx-lm and mlx-vlm chat and embed, mflux draws. Without such a GPU, on the CPU.

    An entry's model does one of three things. It chats, unless `tasks` names `embeddings` or `image-generation`.
    """

    Options = MlxOptions
    features = frozenset({"images", "frequency_penalty", "presence_penalty"})
    devices: ClassVar[tuple[str, ...]] = ("mlx", "cpu")
    imports = (
        "workers.toolkit.torchvision_shim",
        "transformers:AutoTokenizer",
        "transformers:AutoProcessor",
        f"{__name__}.chatting",
        f"{__name__}.loading",
        "mlx_lm.generate",
        "mlx_vlm.generate",
        *(f"mlx_lm.models.{family}" for family in ("llama", "qwen2", "qwen3")),
        *(f"mlx_vlm.models.{family}" for family in ("qwen2_5_vl", "qwen3_vl", "smolvlm", "idefics3", "llava")),
    )
    opt_in_tasks: ClassVar[frozenset[str]] = frozenset({EMBEDDINGS.name, IMAGE_GENERATION.name})

    _chat: MlxChat
    _embedder: Embedder
    _painter: Painter

    def load(self, spec: ModelSpec, device: Device) -> None:
        import workers.toolkit.torchvision_shim  # noqa: F401  (before transformers)
        from workers.engines.mlx import loading

        options = MlxOptions.model_validate(spec.options)
        kinds = {task if task in self.opt_in_tasks else CHAT.name for task in tasks_of(spec, type(self))}
        if len(kinds) > 1:
            raise LoadFailed(
                f"A model of mlx does one of {', '.join(sorted(kinds))}: name no more in the `tasks` of {spec.id}, and "
                "give each model an entry of its own."
            )
        loading.use(device)
        if kinds == {EMBEDDINGS.name}:
            self._embedder = _embedder(spec, device, options)
        elif kinds == {IMAGE_GENERATION.name}:
            self._painter = _painter(spec, options)
        else:
            self._chat = _chat(spec, device, options)

    def loaded_features(self) -> frozenset[str]:
        if not hasattr(self, "_chat"):
            return frozenset()
        return self.features if self._chat.loaded.vision else self.features - {"images"}

    @serves(CHAT, max_batch=16, joins=True)
    def chat(self, feed: Feed[ChatRequest]) -> Iterator[tuple[Call[ChatRequest], Output]]:
        """Answer conversations; see `workers.engine.serves` for what is yielded."""
        from workers.engines.mlx.loading import releasing

        yield from releasing(self._chat.run(feed))

    @serves(EMBEDDINGS, max_batch=64)
    def embed(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Make vectors of texts."""
        from workers.engines.mlx.loading import releasing

        yield from releasing(self._embedder.run(calls))

    @serves(IMAGE_GENERATION)
    def draw(self, calls: list[Call[ImageGenerationRequest]]) -> Iterator[tuple[Call[ImageGenerationRequest], Output]]:
        """Draw pictures of texts."""
        from workers.engines.mlx.loading import releasing

        yield from releasing(self._painter.run(calls))


def _painter(spec: ModelSpec, options: MlxOptions) -> Painter:
    from workers.engines.mlx import drawing

    return drawing.load(spec, options)


def _embedder(spec: ModelSpec, device: Device, options: MlxOptions) -> Embedder:
    from workers.engines.mlx import loading
    from workers.engines.mlx.embedding import Embedder

    found = loading.checkpoint(spec)
    model, tokenizer = loading.load_embedding(found, device, options.quantization)
    return Embedder(found, model, tokenizer, options)


def _chat(spec: ModelSpec, device: Device, options: MlxOptions) -> MlxChat:
    from workers.engines.mlx import loading
    from workers.engines.mlx.chatting import MlxChat
    from workers.engines.mlx.prompts import MlxPrompts, VisionPrompts

    loaded = loading.load_chat(loading.checkpoint(spec), device, options.quantization)
    kind = VisionPrompts if loaded.vision else MlxPrompts
    return MlxChat(loaded, kind(loaded, options.chat_template, options.context))
