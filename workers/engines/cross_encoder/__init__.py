"""Ranking of documents with sentence-transformers' CrossEncoder: bge-reranker, ms-marco-MiniLM, Qwen3-Reranker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from contract.config import ModelSpec
from contract.errors import LoadFailed, UnsupportedFeature
from contract.status import ModelFacts
from contract.tasks.rerank import RERANK, RerankRequest
from workers.engine import Call, Device, Engine, Output, serves
from workers.engines.cross_encoder import prompts
from workers.engines.cross_encoder.pairs import Pair, PairBatcher, Score
from workers.toolkit import own_code, pretrained, snapshots
from workers.toolkit.pretrained import TorchOptions

_FAR = 4
"""How many times what a model reads two long texts may have: no cut so far behind changes what is read."""
_UNBOUNDED = 10**9
"""What tokenizers without a limit give as their limit is larger."""


class CrossEncoderOptions(TorchOptions):
    """How documents are read.

    `truncate`: cut a document that does not fit into the model with its query, instead of refusing it. `max_length`:
    the most tokens of query and document together, if fewer than the model reads. `instruction` says what makes a
    document relevant, to models that read one. `chat_template` is a Jinja template of the messages `query` and
    `document`, for language models that come without one. `batch_size`: documents in one forward pass.
    """

    truncate: bool = True
    max_length: int | None = Field(None, ge=8)
    instruction: str | None = None
    chat_template: str | None = None
    batch_size: int = Field(32, ge=1)


class CrossEncoders(Engine):
    """Any CrossEncoder model with one score: a hub id or a local folder."""

    extras: ClassVar[tuple[str, ...]] = ("embeddings",)
    Options = CrossEncoderOptions
    features = frozenset({"truncate", "instruction"})
    imports = (
        "workers.toolkit.torchvision_shim",
        "workers.toolkit.lean_transformers",
        "sentence_transformers:CrossEncoder",
        "transformers.models.bert.modeling_bert",
        "transformers.models.xlm_roberta.modeling_xlm_roberta",
        "workers.toolkit.pretrained",
        f"{__name__}.prompts",
    )

    def load(self, spec: ModelSpec, device: Device) -> None:
        self.options = CrossEncoderOptions.model_validate(spec.options)
        pretrained.set_up_torch(self.options)
        from sentence_transformers import CrossEncoder

        arguments = pretrained.from_pretrained_arguments(device, self.options.quantization)
        arguments.pop("device_map", None)  # CrossEncoder places the model itself, by `device`
        folder = snapshots.folder(spec.source, spec.revision)
        prompts.check_head(folder, spec)
        question = prompts.question_for(folder, spec, self.options.chat_template)
        self.name = spec.id
        with own_code.needed_code_refused(spec.source):
            self.model = CrossEncoder(
                str(folder),
                device=device.torch,
                trust_remote_code=spec.trust_remote_code,
                model_kwargs=arguments,
                processor_kwargs={"chat_template": question.template} if question else {},
                max_length=self.options.max_length,
            ).eval()
        pretrained.patch_bitsandbytes(self.model)
        pretrained.check_tokenizer(self.model.tokenizer, spec)
        prompts.set_up(self.model, question)
        self.reads_instructions = prompts.reads_instructions(self.model)
        self.max_tokens = self._max_tokens()
        self.batcher = PairBatcher(spec.id, self.options.batch_size, self.options.truncate, self.max_tokens)
        self._try_out()

    def facts(self) -> ModelFacts:
        return ModelFacts(context_length=self.max_tokens)

    def loaded_features(self) -> frozenset[str]:
        return self.features if self.reads_instructions else self.features - {"instruction"}

    def _max_tokens(self) -> int | None:
        limit = self.model.max_seq_length
        return limit if limit and limit < _UNBOUNDED else None

    def _try_out(self) -> None:
        """Score a pair, so that a model that cannot fails while it loads."""
        if self.model.num_labels != 1:
            raise LoadFailed(
                f"{self.name} computes {self.model.num_labels} values for a document, not one score: it classifies "
                "texts and is no reranker. Choose another model."
            )
        self._forward([("query", "document")], None)

    @serves(RERANK, max_batch=64, group=lambda request: request.instruction)
    def rerank(self, calls: list[Call[RerankRequest]]) -> Iterator[tuple[Call[RerankRequest], Output]]:
        """Score documents."""
        yield from self.batcher.answer(calls, self._check, self._cut, self._score)

    def _check(self, request: RerankRequest) -> None:
        if request.instruction and not self.reads_instructions:
            message = (
                f"{self.name} reads no instructions; leave `instruction` out, or use a model such as Qwen3-Reranker."
            )
            raise UnsupportedFeature(message, param="instruction")

    def _cut(self, text: str, limit: int) -> str:
        """The text up to its first `limit` tokens."""
        return _up_to(limit, text, self._offsets(text))

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends."""
        tokens = self.model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets: list[tuple[int, int]] = tokens["offset_mapping"]
        return offsets

    def _score(self, pairs: list[Pair]) -> list[Score]:
        """One forward pass."""
        instruction = pairs[0].instruction or self.options.instruction
        logits, token_counts = self._forward([self._bounded(pair) for pair in pairs], instruction)
        scores = prompts.from_0_to_1(self.model)(logits).tolist()
        results = zip(logits.tolist(), scores, token_counts, strict=True)
        return [
            Score(score, logit, tokens, self._whole_length(pair, tokens, instruction))
            for pair, (logit, score, tokens) in zip(pairs, results, strict=True)
        ]

    def _bounded(self, pair: Pair) -> tuple[str, str]:
        """A query and a document, without what is far beyond what the model reads, if both are that long.

        The library cuts the longer text first, and keeps what it cuts of both in all combinations, which can take
        gigabytes. The longer text stays the longer, so that the same tokens are read.
        """
        tokenizer, limit = self.model.tokenizer, self.max_tokens
        is_plain = tokenizer.is_fast and tokenizer.truncation_side == "right"
        if limit is None or not is_plain or min(len(pair.query), len(pair.document)) <= _FAR * limit:
            return pair.query, pair.document
        query, document = self._offsets(pair.query), self._offsets(pair.document)
        shorter, longer = _FAR * limit, (_FAR + 1) * limit
        of_query, of_document = (longer, shorter) if len(query) > len(document) else (shorter, longer)
        return _up_to(of_query, pair.query, query), _up_to(of_document, pair.document, document)

    def _forward(self, pairs: list[tuple[str, str]], instruction: str | None) -> tuple[Any, list[int]]:
        """Logits as float32 of shape (pairs,), and how many tokens of each pair were read."""
        import torch
        from sentence_transformers.util import batch_to_device

        with torch.inference_mode():
            features = self.model.preprocess(pairs, prompt=instruction)
            token_counts = features["attention_mask"].sum(dim=1).tolist()
            logits = self.model(batch_to_device(features, self.model.device))["scores"]
            return logits.float().reshape(len(pairs)).cpu(), token_counts

    def _whole_length(self, pair: Pair, tokens: int, instruction: str | None) -> int:
        """How many tokens a pair has that was read up to `tokens`."""
        if self.max_tokens is None or tokens < self.max_tokens:
            return tokens
        uncut = {"text": {"truncation": False}}
        features = self.model.preprocess([(pair.query, pair.document)], prompt=instruction, processing_kwargs=uncut)
        return int(features["attention_mask"].sum())


def _up_to(limit: int, text: str, offsets: list[tuple[int, int]]) -> str:
    """A text up to the end of its first `limit` tokens."""
    return text if len(offsets) <= limit else text[: offsets[limit - 1][1]]
