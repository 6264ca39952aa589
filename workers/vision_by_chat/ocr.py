"""ocr by chat: the image's text as a whole, without lines, since a chat model does not say where they are."""

from __future__ import annotations

from contract.tasks.analyze import PROMPTS
from contract.tasks.ocr import OCR, OcrItem, OcrRequest, OcrResponse
from workers.vision_by_chat.conversion import ChatConversion, Interview


def _question(_: OcrRequest) -> str:
    return PROMPTS["ocr"]


def _response(interview: Interview) -> OcrResponse:
    data = [
        OcrItem(**reply.item_fields, text=reply.text, lines=[], truncated=reply.truncated)
        for reply in interview.replies
    ]
    return OcrResponse(model=interview.model, data=data, usage=interview.usage)


CONVERSION = ChatConversion(OCR, _question, _response)
