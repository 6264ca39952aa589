"""Finds some text fields of a multipart form while its bytes pass, and remembers where in the form they are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from contract.errors import BadRequest
from contract.multipart import MAX_PARTS

LONGEST_VALUE = 1024
"""Bytes of a value; longer ones are none of the fields that are looked for."""


@dataclass(slots=True)
class FormField:
    """A field's value, and the index of its first byte in the form."""

    name: str
    start: int
    value: bytes = b""


class FormFields:
    """The fields with these names, in the order of the form, once `feed` has had the whole form."""

    def __init__(self, content_type: str, names: Collection[str]) -> None:
        """Raises BadRequest if the content type names no boundary."""
        self.found: list[FormField] = []
        self._names = names
        self._fed = self._parts = 0
        self._chunk = self._header = self._disposition = b""
        self._field: FormField | None = None
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise malformed("its Content-Type names no boundary")
        callbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_begin": self._on_header_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except FormParserError as error:
            raise malformed(error) from None

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes of the form. Raises BadRequest if it is malformed."""
        self._chunk = chunk
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise malformed(error) from None
        self._fed += len(chunk)

    def value(self, name: str) -> str | None:
        """The value of the last field with this name, which servers use; None if there is none."""
        values = [field.value for field in self.found if field.name == name]
        return values[-1].decode(errors="replace") if values else None

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise malformed(f"it has more than {MAX_PARTS} parts")
        self._disposition = b""

    def _on_header_begin(self) -> None:
        self._header = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end].lower()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        if self._header == b"content-disposition":
            self._disposition += data[start:end]

    def _on_headers_finished(self) -> None:
        options = parse_options_header(self._disposition.decode("latin-1"))[1]
        name = options.get(b"name", b"").decode("latin-1")
        is_text = b"filename" not in options
        self._field = FormField(name, -1) if is_text and name in self._names else None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        field = self._field
        if field is None:
            return
        if data is not self._chunk or len(field.value) + end - start > LONGEST_VALUE:
            # Too long, or with line breaks like those before a boundary, whose place the parser does not say.
            self._field = None
            return
        if field.start < 0:
            field.start = self._fed + start
        field.value += data[start:end]

    def _on_part_end(self) -> None:
        if self._field and self._field.value:
            self.found.append(self._field)
        self._field = None


def malformed(reason: object) -> BadRequest:
    """The error for a form that cannot be parsed."""
    return BadRequest(f"The multipart body is malformed: {reason}. Let your HTTP library build the form.")
