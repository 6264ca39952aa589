"""Frigate, Karakeep and Mealie: descriptions of images, tags and recipes.

Sources: blakeblackshear/frigate, frigate/genai and frigate/data_processing/post/types.py; karakeep-app/karakeep,
packages/shared/inference.ts; mealie-recipes/mealie, mealie/services/openai and mealie/schema/openai.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints


def _shown(prompt: str, *images: str, **detail: str) -> list[dict[str, Any]]:
    """A message of text and images."""
    image_parts = [{"type": "image_url", "image_url": {"url": image, **detail}} for image in images]
    return [{"role": "user", "content": [{"type": "text", "text": prompt}, *image_parts]}]


class Review(BaseModel):
    """What Frigate wants to know of an activity. It validates answers with this, too."""

    model_config = ConfigDict(extra="ignore")

    observations: list[Annotated[str, StringConstraints(min_length=20, max_length=200)]] = Field(
        min_length=3, max_length=8, description="What is seen, in order."
    )
    scene: str = Field(min_length=150, max_length=600, description="What happens from start to finish.")
    title: str = Field(max_length=80, description="A title.")
    shortSummary: str = Field(min_length=70, max_length=140, description="A short summary.")  # noqa: N815
    confidence: float = Field(ge=0, le=1, description="From 0 to 1.")
    potential_threat_level: int = Field(ge=0, le=2, description="0 is normal.")
    other_concerns: list[str] | None = Field(None, description="Other concerns.")


REVIEW: dict[str, Any] = {
    "observations": [
        "A person walks up the driveway.",
        "The person rings at the door.",
        "The person walks away again.",
    ],
    "scene": "A person in a dark coat walks up the driveway from the street, rings at the door, waits there for about "
    "half a minute, and then walks back to the street without having met anyone.",
    "title": "Visitor at the door",
    "shortSummary": "A person came to the door, rang, waited, and left without meeting anyone.",
    "confidence": 0.9,
    "potential_threat_level": 0,
    "other_concerns": None,
}


def frigate_review(model: str, images: list[str]) -> dict[str, Any]:
    """The review of an activity: several images, and a strict schema with bounds everywhere."""
    schema = {**Review.model_json_schema(), "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "review_metadata", "strict": True, "schema": schema}}
    messages = _shown("Review this activity of the camera.", *images, detail="low")
    return {"model": model, "messages": messages, "response_format": form}


def frigate_description(model: str, images: list[str]) -> dict[str, Any]:
    """The description of an object that was tracked."""
    return {"model": model, "messages": _shown("Describe what the person does.", *images, detail="low")}


def frigate_llama_cpp(model: str) -> dict[str, Any]:
    """What Frigate's provider for llama.cpp's server sends without an image, with the switch for thoughts."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Describe."}]}],
        "chat_template_kwargs": {"enable_thinking": False},
    }


FRIGATE_STREAM: dict[str, Any] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "timings_per_token": True,
}
"""What it adds for a conversation on its page."""


class Tags(BaseModel):
    """What Karakeep reads: zod's z.object({tags: z.array(z.string())})."""

    tags: list[str]


TAGS = {"tags": ["weather", "Zürich"]}
_ZOD_TAGS = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["tags"],
    "additionalProperties": False,
    "$schema": "http://json-schema.org/draft-07/schema#",
}
KARAKEEP_FORMS: dict[str, Any] = {
    "structured": {"type": "json_schema", "json_schema": {"name": "schema", "strict": True, "schema": _ZOD_TAGS}},
    "json": {"type": "json_object"},
    "plain": None,
}


def karakeep_tags(model: str, form: str, image: str | None = None) -> dict[str, Any]:
    """Tags for a bookmark's text or for an image."""
    prompt = "Suggest tags for the content. You must respond in JSON with the key tags."
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    body = {"model": model, "messages": _shown(prompt, image, detail="low") if image else messages}
    body |= {"max_tokens": 2048} if image else {"max_completion_tokens": 2048, "reasoning_effort": "none"}
    held = KARAKEEP_FORMS[form]
    return body | ({"response_format": held, "service_tier": "auto"} if held else {})


class RecipeText(BaseModel):
    """An ingredient, an instruction or a note of Mealie's."""

    title: str | None = Field(None, description="The title of the section.")
    text: str = Field(..., description="The text.")


class Recipe(BaseModel):
    """A recipe as Mealie reads it from an image."""

    name: str = Field(..., description="The name.")
    description: str | None = Field(..., description="A description.")
    recipe_yield: str | None = Field(None, description="How much it makes.")
    total_time: str | None = Field(None, description="The total time.")
    ingredients: list[RecipeText] = Field([], description="The ingredients.")
    instructions: list[RecipeText] = Field([], description="The instructions.")
    notes: list[RecipeText] = Field([], description="The notes.")


RECIPE: dict[str, Any] = {
    "name": "Rösti",
    "description": None,
    "recipe_yield": "4 servings",
    "total_time": "30 minutes",
    "ingredients": [{"title": None, "text": "1 kg potatoes"}],
    "instructions": [{"title": None, "text": "Grate and fry."}],
    "notes": [],
}


def mealie_messages(image: str) -> list[dict[str, Any]]:
    """The conversation about an image of a recipe; Mealie asks with the SDK's `parse`."""
    system = {"role": "system", "content": "You read recipes from images."}
    return [system, *_shown("Parse this recipe into the schema.", image)]
