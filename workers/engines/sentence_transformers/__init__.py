"""Texts and pictures to vectors with the sentence-transformers library: MiniLM, mpnet, bge, gte; CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import ContextTooLong, InvalidField, LoadFailed, ServeError, UnsupportedFeature
from contract.tasks.embeddings import EMBEDDINGS, EmbeddingsRequest
from workers.engine import Call, Device, Engine, Output, serves
from workers.toolkit import pretrained, snapshots
from workers.toolkit.image_loading import open_image
from workers.toolkit.pretrained import TorchOptions

if TYPE_CHECKING:
    from workers.engines.sentence_transformers.job import EmbeddingJob


class SentenceOptions(TorchOptions):
    """How texts are read.

    `truncate`: cut a text that the model cannot read whole, instead of refusing it. `prompt` or `prompt_name` (one that
    the model brings, such as `query`) is put before every text. `normalize`: vectors of length one from models that
    do not make such themselves. `batch_size`: texts or pictures in one forward pass.
    """

    truncate: bool = False
    prompt: str | None = None
    prompt_name: str | None = None
    normalize: bool = False
    batch_size: int = Field(32, ge=1)


class SentenceTransformers(Engine):
    """Any SentenceTransformer model: a hub id, a local folder, or `package:NAME/FOLDER`.

    Token ids as input are refused: clients send those of another model's tokenizer, which would mean other words here.
    """

    Options = SentenceOptions
    features = frozenset({"images"})
    imports = (
        "workers.toolkit.torchvision_shim",
        "sentence_transformers:SentenceTransformer",
        # The names under which models say what they are made of.
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Normalize",
        "transformers.models.mpnet.modeling_mpnet",
        "transformers.models.xlm_roberta.modeling_xlm_roberta",
        "workers.toolkit.pretrained",
        "workers.toolkit.image_loading",
        f"{__name__}.job",
        f"{__name__}.warm",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        self.options = SentenceOptions.model_validate(spec.options)
        pretrained.set_up_torch(self.options)
        from sentence_transformers import SentenceTransformer

        keywords = pretrained.from_pretrained_arguments(device, self.options.quantization)
        keywords.pop("device_map", None)  # `device` says it
        self.name = spec.id
        self.model = SentenceTransformer(
            str(snapshots.folder(spec.source, spec.revision)),
            device=device.torch,
            trust_remote_code=spec.trust_remote_code,
            model_kwargs=keywords,
        ).eval()
        pretrained.patch_bitsandbytes(self.model)
        pretrained.check_tokenizer(getattr(self.model, "tokenizer", None), spec)
        self.prompt = self._prompt()
        self.limit: int | None = self.model.max_seq_length
        self.size: int = self.model.get_embedding_dimension() or len(self._forward(["a"])[0][0])

    def loaded_features(self) -> frozenset[str]:
        return self.features if "image" in self.model.modalities else frozenset()

    def _prompt(self) -> str | None:
        """The text to put before every text, as the library itself would choose it."""
        if self.options.prompt is not None:
            return self.options.prompt
        name = self.options.prompt_name or self.model.default_prompt_name
        if name is None:
            return None
        if name not in self.model.prompts:
            known = ", ".join(self.model.prompts) or "none"
            raise LoadFailed(f"options.prompt_name {name!r} is none of the model's prompts: {known}.")
        return str(self.model.prompts[name])

    @serves(EMBEDDINGS, max_batch=64)
    def embed(self, calls: list[Call[EmbeddingsRequest]]) -> Iterator[tuple[Call[EmbeddingsRequest], Output]]:
        """Embed what all calls bring together, texts of like length side by side; answer each call when it is whole."""
        from workers.engines.sentence_transformers.job import EmbeddingJob

        jobs = [EmbeddingJob(call, call.request.inputs, error=self._refusal(call.request)) for call in calls]
        yield from ((job.call, job.error) for job in jobs if job.error)
        for batch in self._batches([job for job in jobs if job.open]):
            wanted = [(job, position) for job, position in batch if job.open]
            if not wanted:
                continue
            self._embed(wanted)
            for job in dict.fromkeys(job for job, _ in wanted):
                job.call.progress(len(job.vectors), len(job.things))
                if not job.open and not job.call.cancelled:
                    yield job.call, job.error or job.answer(self.name)

    def _batches(self, jobs: list[EmbeddingJob]) -> Iterator[list[tuple[EmbeddingJob, int]]]:
        """Jobs and positions of what goes through the model at once: texts, the longest first, then pictures."""
        things = [(job, position) for job in jobs for position in range(len(job.things))]
        lengths = {item: len(text) for item in things if isinstance(text := item[0].things[item[1]], str)}
        texts = sorted(lengths, key=lambda item: lengths[item], reverse=True)
        for kind in (texts, [item for item in things if item not in lengths]):
            for start in range(0, len(kind), self.options.batch_size):
                yield kind[start : start + self.options.batch_size]

    def _refusal(self, request: EmbeddingsRequest) -> ServeError | None:
        if "input_tokens" in request.required_features():
            return UnsupportedFeature("`input` holds token ids; this model takes texts only.", param="input")
        if request.required_features() - self.loaded_features():
            return UnsupportedFeature(f"{self.name} reads texts alone; ask a model such as CLIP about pictures.")
        if request.texts and "text" not in self.model.modalities:
            return UnsupportedFeature(
                f"{self.name} reads pictures alone; ask another model about texts.", param="input"
            )
        if request.dimensions is None or request.dimensions <= self.size:
            return None
        return InvalidField(
            f"`dimensions` is {request.dimensions}, but {self.name} makes vectors of {self.size}: ask for no more.",
            param="dimensions",
        )

    def _embed(self, batch: list[tuple[EmbeddingJob, int]]) -> None:
        """One forward pass; the vectors and token counts go to their jobs."""
        opened = self._opened(batch)
        if not opened:
            return
        vectors, lengths = self._forward([thing for _, _, thing in opened])
        for (job, position, thing), vector, length in zip(opened, vectors, lengths, strict=True):
            job.vectors[position] = vector
            job.tokens += length
            full = self.limit and length >= self.limit and isinstance(thing, str)
            if full and not self.options.truncate and job.error is None:
                job.error = self._too_long(thing, position)

    @staticmethod
    def _opened(batch: list[tuple[EmbeddingJob, int]]) -> list[tuple[EmbeddingJob, int, Any]]:
        """Texts as they are and pictures in pixels; a job with a picture that does not open has its error."""
        opened = []
        for job, position in batch:
            thing = job.things[position]
            try:
                opened.append((job, position, thing if isinstance(thing, str) else open_image(thing)))
            except ServeError as error:
                job.error = error
        return [item for item in opened if not item[0].error]

    def _forward(self, things: list[Any]) -> tuple[Any, list[int]]:
        """Vectors as numpy float32 of shape (things, dimensions), and how many tokens of each were read."""
        import torch
        from sentence_transformers.util import batch_to_device

        from workers.engines.sentence_transformers.job import lengths

        with torch.inference_mode():
            prompt = self.prompt if isinstance(things[0], str) else None
            features = self.model.preprocess(things, prompt=prompt)
            read = lengths(features, len(things))
            vectors = self.model(batch_to_device(features, self.model.device))["sentence_embedding"]
            vectors = vectors[:, : self.model.truncate_dim]
            if self.options.normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
            return vectors.float().cpu().numpy(), read

    def _too_long(self, text: str, position: int) -> ContextTooLong | None:
        """Why a text that fills the model's window cannot be read whole; None if it fits exactly."""
        tokens = len(self.model.tokenizer((self.prompt or "") + text, verbose=False)["input_ids"])
        if self.limit is None or tokens <= self.limit:
            return None
        return ContextTooLong(
            f"Text {position} has {tokens} tokens, {tokens - self.limit} more than the {self.limit} that "
            f"{self.name} reads: shorten or split it, or set `truncate: true` in the model's options to have it cut.",
            param="input",
            details={"index": position, "tokens": tokens, "limit": self.limit},
        )
