"""analyze: asks a chat model about one picture, with a question that has a name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from contract.errors import InvalidField
from contract.tasks import Response, Task
from contract.tasks.chat import ChatUsage
from contract.tasks.vision import VisionRequest

PROMPTS = {
    "caption": "Write one sentence that sums up this picture.",
    "ocr": "Write out all the text in this picture, line by line, exactly as it stands there. Write nothing else.",
    "describe": "Describe this picture in detail: what is in it, where, in which colours, and what is going on.",
    "analyze": (
        "Analyse this picture: its subject and setting, the objects and people in it and how they relate, any text, "
        "the mood, and whatever else stands out."
    ),
    "objects": "List the objects in this picture, one a line, each with how many there are of it.",
}
"""The question behind each name; `custom` brings its own."""

DESCRIPTIONS = {
    "caption": "One sentence that sums the picture up",
    "ocr": "The text in the picture",
    "describe": "A detailed description",
    "analyze": "A thorough analysis: subject, setting, relations, text, mood",
    "objects": "A list of the objects in it",
    "custom": "Your own question, in `prompt`",
}

Named = Literal["caption", "ocr", "describe", "analyze", "objects", "custom"]


class AnalyzeRequest(VisionRequest):
    """`task` names the question (`describe` unless `prompt` brings one of its own: then `custom`)."""

    task: Named | None = None
    prompt: str | None = Field(None, min_length=1)
    max_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _is_one_question(self) -> AnalyzeRequest:
        if len(self.all_images) > 1:
            raise InvalidField(
                "analyze takes one picture; send one request for each, or ask chat about several at once.",
                param="images",
            )
        if self.task == "custom" and not self.prompt:
            raise InvalidField("The task `custom` needs a `prompt`: the question to ask.", param="prompt")
        if self.prompt and self.task not in {None, "custom"}:
            raise InvalidField(
                f"The task {self.task!r} has a question of its own; leave out `prompt`, or write `custom`.",
                param="prompt",
            )
        return self

    @property
    def name(self) -> Named:
        """The task that is meant."""
        return self.task or ("custom" if self.prompt else "describe")

    @property
    def question(self) -> str:
        """What to ask the model."""
        return PROMPTS.get(self.name) or str(self.prompt)  # an entry may have given every request a prompt


class AnalyzeResponse(Response):
    object: Literal["vision.analysis"] = "vision.analysis"
    model: str
    task: Named
    text: str
    usage: ChatUsage | None = None


ANALYZE = Task("analyze", "/v1/vision/analyze", AnalyzeRequest, AnalyzeResponse)
