"""analyze by chat: the question is the request's own, the answer its text."""

from __future__ import annotations

from contract.tasks.analyze import ANALYZE, AnalyzeRequest, AnalyzeResponse
from workers.vision_by_chat.conversion import ChatConversion, Interview


def _question(request: AnalyzeRequest) -> str:
    return request.question


def _response(interview: Interview) -> AnalyzeResponse:
    assert isinstance(interview.request, AnalyzeRequest)
    [reply] = interview.replies
    return AnalyzeResponse(model=interview.model, task=interview.request.name, text=reply.text, usage=reply.usage)


CONVERSION = ChatConversion(ANALYZE, _question, _response)
