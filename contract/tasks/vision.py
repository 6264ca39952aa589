"""What the vision tasks share: pictures in, one item per picture out."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contract.errors import InvalidField
from contract.media import ImageInput
from contract.tasks import Request, Response

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
"""`[x, y]` in pixels of the upright picture, from its top left corner."""
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
"""`[x0, y0, x1, y1]`: top left and bottom right corner."""


def merge_image_fields(data: Any) -> Any:
    """A request in which a list given as `image` has become `images`, and one picture given as `images` a list."""
    if isinstance(data, dict) and (isinstance(data.get("image"), list) or data.get("images") is not None):
        one, more = data.get("image"), to_list(data.get("images"))
        data = {**data, **({"image": None, "images": [*one, *more]} if isinstance(one, list) else {"images": more})}
    return data


def to_list(given: Any) -> list[Any]:
    """What is to be a list, whatever it is: what does not belong there is the field's to refuse."""
    return given if isinstance(given, list) else [] if given is None else [given]


class VisionRequest(Request):
    """One picture as `image`, or several as `images`; a list given as `image` (a form's `image[]`) means the same."""

    no_defaults: ClassVar[frozenset[str]] = frozenset({"image", "images"})

    image: ImageInput | None = None
    images: list[ImageInput] | None = None

    @model_validator(mode="before")
    @classmethod
    def _several_in_one_field(cls, data: Any) -> Any:
        return merge_image_fields(data)

    @model_validator(mode="after")
    def _has_a_picture(self) -> VisionRequest:
        if not self.all_images:
            raise InvalidField("Send a picture as `image`, or several as `images`.", param="image")
        return self

    @property
    def all_images(self) -> list[ImageInput]:
        """The pictures in the order of the answer's items."""
        return [*([self.image] if self.image else []), *(self.images or [])]


class VisionItem(BaseModel):
    """What was found in one picture; coordinates are pixels of the upright picture as a person sees it."""

    model_config = ConfigDict(extra="allow")

    index: int
    width: int
    height: int


class VisionUsage(BaseModel):
    """How many pictures were read, and the seconds that it took."""

    images: int
    latency: float


class VisionResponse(Response):
    object: Literal["list"] = "list"
    model: str
    usage: VisionUsage
