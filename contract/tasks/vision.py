"""What the vision tasks share: images in, one item per image out."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from contract.errors import InvalidField
from contract.lazy_model import LazyModel
from contract.limits import Items
from contract.media import ImageInput
from contract.tasks import Request, Response

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
"""`[x, y]` in pixels of the upright image, from its top left corner."""
Box = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
"""`[x0, y0, x1, y1]`: top left and bottom right corner, in pixels of the upright image."""


def merge_image_fields(data: Any) -> Any:
    """Move a list sent as `image` to the front of `images`, and make a single image sent as `images` a list."""
    if isinstance(data, dict) and (isinstance(data.get("image"), list) or data.get("images") is not None):
        image, images = data.get("image"), to_list(data.get("images"))
        merged = {"image": None, "images": [*image, *images]} if isinstance(image, list) else {"images": images}
        data = {**data, **merged}
    return data


def to_list(value: Any) -> list[Any]:
    """A list as it is, None as an empty list, and anything else as a list of one, which the field validates later."""
    return value if isinstance(value, list) else [] if value is None else [value]


class VisionRequest(Request):
    """One image as `image`, or several as `images`; a list sent as `image` (a form's `image[]`) is accepted too."""

    no_defaults: ClassVar[frozenset[str]] = frozenset({"image", "images"})

    image: ImageInput | None = None
    images: Items[ImageInput] | None = None

    @model_validator(mode="before")
    @classmethod
    def _merge_image_fields(cls, data: Any) -> Any:
        return merge_image_fields(data)

    @model_validator(mode="after")
    def _check_images(self) -> VisionRequest:
        if not self.all_images:
            raise InvalidField("Send an image as `image`, or several as `images`.", param="image")
        return self

    @property
    def all_images(self) -> list[ImageInput]:
        """The images, in the order of the response's items."""
        return [*([self.image] if self.image else []), *(self.images or [])]


class VisionItem(LazyModel):
    """The result for one image. Coordinates are pixels of the upright image, after its EXIF rotation is applied."""

    model_config = ConfigDict(extra="allow")

    index: int
    width: int
    height: int


class VisionUsage(LazyModel):
    """The number of images read, and the time taken in seconds."""

    images: int
    latency: float


class VisionResponse(Response):
    object: Literal["list"] = "list"
    model: str
    usage: VisionUsage
