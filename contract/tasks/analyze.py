"""analyze: asks a chat model about one image, with a named question or one of your own."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from contract.errors import InvalidField
from contract.limits import Text
from contract.sample_image import SAMPLE_IMAGE
from contract.tasks import Listing, Response, Task
from contract.tasks.chat import ChatUsage
from contract.tasks.vision import VisionRequest

PROMPTS = {
    "caption": "Write one sentence that sums up this image.",
    "ocr": "Write out all the text in this image, line by line, exactly as it stands there. Write nothing else.",
    "describe": "Describe this image in detail: what is in it, where, in which colours, and what is going on.",
    "analyze": (
        "Analyse this image: its subject and setting, the objects and people in it and how they relate, any text, "
        "the mood, and whatever else stands out."
    ),
    "objects": "List the objects in this image, one a line, each with how many there are of it.",
}
"""The question behind each name; with `custom`, the request brings its own."""

DESCRIPTIONS = {
    "caption": "One sentence that sums up the image",
    "ocr": "The text in the image",
    "describe": "A detailed description",
    "analyze": "A thorough analysis: subject, setting, relations, text, mood",
    "objects": "A list of the objects in the image",
    "custom": "Your own question, in `prompt`",
}

QuestionName = Literal["caption", "ocr", "describe", "analyze", "objects", "custom"]


class AnalyzeRequest(VisionRequest):
    """`task` names the question; default: `custom` if there is a `prompt`, else `describe`."""

    one_image: ClassVar[bool] = True

    task: QuestionName | None = None
    prompt: Text | None = Field(None, min_length=1)
    max_tokens: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check_question(self) -> AnalyzeRequest:
        if len(self.all_images) > 1:
            raise InvalidField(
                "analyze accepts one image. Send one request per image, or ask chat about several at once.",
                param=self.images_field,
            )
        if self.task == "custom" and not self.prompt:
            raise InvalidField("The task `custom` needs a `prompt` with the question to ask.", param="prompt")
        if self.prompt and self.task not in {None, "custom"}:
            raise InvalidField(
                f"The task {self.task!r} has its own question. Leave out `prompt`, or set `task` to `custom`.",
                param="prompt",
            )
        return self

    @property
    def name(self) -> QuestionName:
        """The name of the question, with the default filled in."""
        return self.task or ("custom" if self.prompt else "describe")

    @property
    def question(self) -> str:
        """What to ask the model."""
        return PROMPTS.get(self.name) or str(self.prompt)  # `prompt` may also be set by the entry's `defaults`


class AnalyzeResponse(Response):
    object: Literal["vision.analysis"] = "vision.analysis"
    model: str
    task: QuestionName
    text: str
    usage: ChatUsage | None = None


QUESTIONS = Listing(
    path="/v1/vision/tasks",
    description="The values of `task` in `/v1/vision/analyze`, each with the question it asks (null: your own).",
    items=tuple(
        {"id": name, "object": "vision.task", "description": description, "prompt": PROMPTS.get(name)}
        for name, description in DESCRIPTIONS.items()
    ),
)

ANALYZE = Task(
    "analyze",
    "/v1/vision/analyze",
    AnalyzeRequest,
    AnalyzeResponse,
    listings=(QUESTIONS,),
    outputs=("text",),
    example={"image": SAMPLE_IMAGE, "task": "caption"},
)
