"""Text Embeddings Inference's `/info`: which model answers, by which clients learn what they may send."""

from __future__ import annotations

from typing import Any

from contract import __version__
from contract.errors import ServeError
from contract.omittable import Omittable
from contract.status import ModelStatus, Status
from contract.tasks.embeddings import EMBEDDINGS, MAX_INPUTS
from contract.tasks.rerank import RERANK
from gateway.dialects.dialect import DialectResponse
from gateway.forwarding.model_table import ModelTable


class InfoResponse(DialectResponse):
    """The default model for embeddings, else that for ranking. `max_input_length` is in tokens, once it is known.

    `max_client_batch_size` is how many texts a request may have.
    """

    model_id: str
    model_type: dict[str, dict[str, Any]]
    max_input_length: Omittable[int] = None
    max_client_batch_size: int = MAX_INPUTS
    version: str = __version__


def from_status(_: None, status: Status) -> InfoResponse:
    """The answer for a status of the manager. Raises ServeError if no model embeds or ranks."""
    model, kind = _model(ModelTable(status.models))
    length = model.facts.context_length
    return InfoResponse(model_id=model.hub_id or model.id, model_type={kind: {}}, max_input_length=length)


def _model(table: ModelTable) -> tuple[ModelStatus, str]:
    try:
        return table.choose(EMBEDDINGS.name, None), "embedding"
    except ServeError as error:
        try:
            return table.choose(RERANK.name, None), "reranker"
        except ServeError:
            raise error from None
