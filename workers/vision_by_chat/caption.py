"""caption by chat: the request's prompt, or a request for one sentence."""

from __future__ import annotations

from contract.tasks.analyze import PROMPTS
from contract.tasks.caption import CAPTION, CaptionItem, CaptionRequest, CaptionResponse
from workers.vision_by_chat.conversion import ChatConversion, Interview


def _question(request: CaptionRequest) -> str:
    return request.prompt or PROMPTS["caption"]


def _response(interview: Interview) -> CaptionResponse:
    data = [CaptionItem(**reply.item_fields, text=reply.text) for reply in interview.replies]
    return CaptionResponse(model=interview.model, data=data, usage=interview.usage)


CONVERSION = ChatConversion(CAPTION, _question, _response)
