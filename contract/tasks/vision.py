"""What the vision tasks share: images in, one item per image out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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


Images = ImageInput | Items[ImageInput]
"""One image, or a list of them, as clients send both in either field; errors then name the field that was sent."""


def all_of(*fields: ImageInput | list[ImageInput] | None) -> list[ImageInput]:
    """The images of these fields, in order."""
    lists = (field if isinstance(field, list) else [field] for field in fields if field is not None)
    return [image for images in lists for image in images]


class VisionRequest(Request):
    """One image as `image`, or several as `images`; a list sent as `image` (a form's `image[]`) is accepted too."""

    no_defaults: ClassVar[frozenset[str]] = frozenset({"image", "images"})
    one_image: ClassVar[bool] = False
    """Whether a request has exactly one image, which a list may contain."""

    image: Images | None = None
    images: Images | None = None

    @model_validator(mode="after")
    def _check_images(self) -> VisionRequest:
        if not self.all_images:
            raise InvalidField("Send an image as `image`, or several as `images`.", param=self.images_field)
        return self

    @property
    def all_images(self) -> list[ImageInput]:
        """The images, in the order of the response's items."""
        return all_of(self.image, self.images)

    @property
    def images_field(self) -> str:
        """The field in which the images were sent."""
        return "image" if self.images is None else "images"


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
