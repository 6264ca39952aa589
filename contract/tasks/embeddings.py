"""embeddings: converts texts and images to vectors, like OpenAI's API, which has no images.

Source: platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args, get_type_hints

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationInfo, field_validator, model_validator

from contract.known_fields import FieldTable, Requirement, honoured, ignored, neutral, refused
from contract.lazy_model import LazyModel
from contract.limits import Items, Name, Text
from contract.media import ImageInput
from contract.tasks import Request, Response, Task
from contract.tasks.chat import ImagePart, Message, OtherPart, TextPart
from contract.tasks.vision import Images, all_of

MAX_INPUTS = 2048
"""Of one request."""


class ImageItem(LazyModel):
    """An image in the list of inputs, as in Jina's API: a shorter notation than a part of a chat message."""

    model_config = ConfigDict(extra="forbid")

    image: ImageInput


class TextItem(LazyModel):
    """A text in the list of inputs, as in Jina's API."""

    model_config = ConfigDict(extra="forbid")

    text: Text


InputItem = Text | ImageItem | TextItem | ImagePart | TextPart


_PARTS = {name: part.__name__ for part in (ImagePart, TextPart) for name in get_args(get_type_hints(part)["type"])}
_KEYS = {"image": "ImageItem", "text": "TextItem"}


def _form(item: Any) -> str | None:
    """The class of an input by its keys, so that an error names what is wrong with that form alone."""
    if not isinstance(item, dict):
        return "Text" if isinstance(item, str) else type(item).__name__
    kind = item.get("type")
    part = _PARTS.get(kind) if isinstance(kind, str) else None
    return part or next((form for key, form in _KEYS.items() if key in item), None)


_ITEM = Discriminator(
    _form,
    custom_error_type="embedding_input",
    custom_error_message=(
        'an input is a text, {"image": …}, or a part of a chat message of type `text` or `image_url`, which has its '
        "text or image under that name"
    ),
)
_TaggedInput = Annotated[
    Annotated[Text, Tag("Text")]
    | Annotated[ImageItem, Tag("ImageItem")]
    | Annotated[TextItem, Tag("TextItem")]
    | Annotated[ImagePart, Tag("ImagePart")]
    | Annotated[TextPart, Tag("TextPart")],
    _ITEM,
]


def _kind(value: Any) -> str:
    """What an input consists of: its first value decides, as it does for token ids."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, int | float) and not isinstance(first, bool):
        return "Tokens"
    if isinstance(first, list):
        return "TokenLists"
    return "Items" if isinstance(value, list) else "Text"


Input = Annotated[
    Annotated[Text, Tag("Text")]
    | Annotated[Items[_TaggedInput], Tag("Items")]
    | Annotated[Items[int], Tag("Tokens")]
    | Annotated[Items[Items[int]], Tag("TokenLists")],
    Discriminator(_kind),
]


_TOKENS = "LangChain's `OpenAIEmbeddings` sends token ids unless it has `check_embedding_ctx_length=False`."
_TYPES = "`float` and `base64` are honoured, like `encoding_format`."


class EmbeddingsRequest(Request):
    """`input` is a text, a list of texts and images, or token ids.

    An image in the list is `{"image": …}`, or a part as in chat (`{"type": "image_url", …}`). Images can also be sent
    as `image` and `images` (a form's files); they come after those in `input`. In place of `input`, `messages` may have
    one text or one image, as in vLLM's API. `dimensions` truncates the vectors and scales them to length one again.
    `truncate` says whether a text that is too long is cut or refused; without it, the model's entry does.
    """

    known_fields: ClassVar[FieldTable] = {
        **honoured("OpenAI", "input", hint=_TOKENS),
        **honoured("TEI, Jina, Ollama", "truncate", feature="truncate"),
        **neutral("OpenAI", "user"),
        **refused("Jina", "embedding_type", only=(None, "float", "base64"), hint=_TYPES),
        **refused("Jina", "late_chunking return_multivector"),
        **ignored("Jina", "task", hint="The model's prompt is in its `options`."),
        **neutral("Jina", "normalized", hint="Vectors are as the model and its `options` make them."),
        **honoured("vLLM", "messages"),
        **refused("vLLM", "truncate_prompt_tokens chat_template"),
        **neutral("vLLM", "add_generation_prompt continue_final_message add_special_tokens priority"),
    }

    image: Images | None = None
    images: Images | None = None
    messages: Items[Message] | None = None
    input: Input | None = Field(None, validate_default=True)  # after the fields that its validator reads
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    truncate: bool | None = None
    user: Name | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_embedding_type(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("embedding_type") in {"float", "base64"}:
            data = {"encoding_format": data["embedding_type"], **data}
        return data

    @field_validator("messages")
    @classmethod
    def _check_messages(cls, messages: list[Message] | None) -> list[Message] | None:
        parts = [part for message in messages or () for part in message.parts]
        if messages is not None and (len(parts) != 1 or not isinstance(parts[0], TextPart | ImagePart)):
            if other := next((part for part in parts if isinstance(part, OtherPart)), None):
                raise ValueError(f"a vector is made of a text or an image, not of a {other.type}. {other.hint}")
            raise ValueError(
                f"a vector is made of one text or one image, and these have {len(parts)} parts; send several as `input`"
            )
        return messages

    @field_validator("input")
    @classmethod
    def _check_input(cls, value: Input | None, info: ValidationInfo) -> Input | None:
        if value is None and not any(map(info.data.get, ("image", "images", "messages"))):
            raise ValueError("this field is required: a text, or a list of texts and images")
        parts = value if isinstance(value, list) else [value]
        if not parts:
            raise ValueError("this list is empty: send at least one text or image")
        if empty := [number for number, part in enumerate(parts) if isinstance(part, str | list) and not part]:
            which = f"text {empty[0]}, counted from 0, is empty; " if len(parts) > 1 else ""
            raise ValueError(f"{which}every text must have at least one character")
        if len(parts) > MAX_INPUTS:
            raise ValueError(f"{len(parts)} inputs are too many for one request; send at most {MAX_INPUTS}")
        return value

    def required_features(self) -> frozenset[str]:
        first = self.input[0] if isinstance(self.input, list) else ""
        if isinstance(first, int | list):
            return frozenset({"input_tokens"})
        return frozenset({"images"}) if any(isinstance(item, ImageInput) for item in self.inputs) else frozenset()

    def requirements(self) -> list[Requirement]:
        images = next((name for name in ("images", "image", "messages") if getattr(self, name)), "input")
        named = {"images": images, "input_tokens": "input"}
        return [(named.get(feature, field), feature) for field, feature in super().requirements()]

    @property
    def inputs(self) -> list[str | ImageInput]:
        """The texts and images to embed, in the order of the response; without token ids."""
        items = [self.input] if isinstance(self.input, str) else self.input or []
        said = [part for message in self.messages or () for part in message.parts]
        inputs = [_unwrap(item) for item in (*said, *items) if not isinstance(item, int | list)]
        return [*inputs, *all_of(self.image, self.images)]

    @property
    def texts(self) -> list[str]:
        """The texts to embed."""
        return [item for item in self.inputs if isinstance(item, str)]


def _unwrap(item: InputItem | OtherPart) -> str | ImageInput:
    if isinstance(item, str):
        return item
    if isinstance(item, ImageItem | ImagePart):
        return item.image
    return str(getattr(item, "text", ""))


class Embedding(LazyModel):
    """A float32 vector, as numbers or as base64 of its little-endian bytes."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(LazyModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Response):
    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingsUsage


EMBEDDINGS = Task(
    "embeddings",
    "/v1/embeddings",
    EmbeddingsRequest,
    EmbeddingsResponse,
    inputs=("text",),
    outputs=("embedding",),
    example={"input": ["A cat sleeps.", "A kitten naps."]},
)
