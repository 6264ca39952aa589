"""Batches of documents, each with its query: those of several calls go through the model together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from contract.errors import ContextTooLong, ServeError
from contract.tasks.rerank import RerankRequest, RerankResponse, RerankUsage, cohere_meta, ranked
from workers.engine import Call, Output
from workers.toolkit.finite import is_finite, not_finite


@dataclass(frozen=True, slots=True)
class Score:
    """A document's score from 0 to 1, its logit, the tokens that were read, and those that it has with its query."""

    score: float
    logit: float
    tokens: int
    whole: int


@dataclass(eq=False, slots=True)
class _RankingJob:
    """A call and the scores of its documents so far."""

    call: Call[RerankRequest]
    texts: list[str]
    scores: dict[int, Score] = field(default_factory=dict)
    error: ServeError | None = None

    @property
    def open(self) -> bool:
        """Whether it still needs work."""
        return self.error is None and len(self.scores) < len(self.texts) and not self.call.cancelled

    def response(self, model: str) -> RerankResponse:
        request, scores = self.call.request, [self.scores[position] for position in range(len(self.texts))]
        tokens = sum(score.tokens for score in scores)
        return RerankResponse(
            id=f"rerank-{self.call.id}",
            model=model,
            results=ranked(request, [score.logit if request.raw_scores else score.score for score in scores]),
            usage=RerankUsage(prompt_tokens=tokens, total_tokens=tokens),
            meta=cohere_meta(),
        )


@dataclass(eq=False, slots=True)
class Pair:
    """One document of a call with the query; `position` is its place in the request."""

    job: _RankingJob
    position: int

    @property
    def query(self) -> str:
        """The text that the document may answer."""
        return self.job.call.request.query

    @property
    def document(self) -> str:
        """What of the document is scored."""
        return self.job.texts[self.position]

    @property
    def instruction(self) -> str | None:
        """What makes a document relevant, if the request says so."""
        return self.job.call.request.instruction


@dataclass(frozen=True, slots=True)
class PairBatcher:
    """Batches up to `batch_size` pairs. `model` is the name in answers, `limit` the most tokens of a pair.

    `truncate` says whether a pair that is too long is cut, unless its request says so.
    """

    model: str
    batch_size: int
    truncate: bool
    limit: int | None

    def answer(
        self,
        calls: Sequence[Call[RerankRequest]],
        check: Callable[[RerankRequest], None],
        cut: Callable[[str, int], str],
        score: Callable[[list[Pair]], list[Score]],
    ) -> Iterator[tuple[Call[RerankRequest], Output]]:
        """Answer each call as soon as its last document is scored.

        `check` refuses a request by raising a ServeError, `cut` shortens a text to a number of tokens.
        """
        jobs = [self._job(call, check, cut) for call in calls if not call.cancelled]
        yield from ((job.call, job.error) for job in jobs if job.error)
        for batch in self._batches([job for job in jobs if job.open]):
            pairs = [pair for pair in batch if pair.job.open]
            for pair, result in zip(pairs, score(pairs) if pairs else (), strict=True):
                self._note(pair, result)
            for job in dict.fromkeys(pair.job for pair in pairs):
                job.call.progress(len(job.scores), len(job.texts))
                if not job.open and not job.call.cancelled:
                    yield job.call, job.error or self._response(job)

    def _job(
        self, call: Call[RerankRequest], check: Callable[[RerankRequest], None], cut: Callable[[str, int], str]
    ) -> _RankingJob:
        request = call.request
        limit, texts = request.max_tokens_per_doc, request.texts
        job = _RankingJob(call, texts if limit is None else [cut(text, limit) for text in texts])
        try:
            check(request)
        except ServeError as error:
            job.error = error
        return job

    def _batches(self, jobs: list[_RankingJob]) -> Iterator[list[Pair]]:
        """Pairs that go through the model together, the longest first: similar lengths need little padding."""
        pairs = [Pair(job, position) for job in jobs for position in range(len(job.texts))]
        pairs.sort(key=lambda pair: len(pair.query) + len(pair.document), reverse=True)
        for start in range(0, len(pairs), self.batch_size):
            yield pairs[start : start + self.batch_size]

    def _note(self, pair: Pair, score: Score) -> None:
        job, wanted = pair.job, pair.job.call.request.truncate
        if not is_finite(score.logit):
            job.error = job.error or not_finite(self.model, "document", pair.position)
        elif score.whole > score.tokens and not (self.truncate if wanted is None else wanted):
            job.error = job.error or self._too_long(pair.position, score.whole)
        else:
            job.scores[pair.position] = score

    def _too_long(self, position: int, tokens: int) -> ContextTooLong:
        return ContextTooLong(
            f"Document {position} has {tokens} tokens with the query, more than the {self.limit} that {self.model} "
            "reads: shorten or split it, or send `truncate: true` to have it cut.",
            param="documents",
            details={"index": position, "tokens": tokens, "limit": self.limit},
        )

    def _response(self, job: _RankingJob) -> RerankResponse:
        cut = sum(score.whole > score.tokens for score in job.scores.values())
        if cut:
            documents = "1 document was" if cut == 1 else f"{cut} documents were"
            job.call.warnings.append(
                f"{documents} cut: with the query, {self.model} reads {self.limit} tokens. `truncate: false` refuses "
                "such documents."
            )
        return job.response(self.model)
