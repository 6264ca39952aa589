"""The reader of calls for each form: most calls are found in the text, and some are messages beside the answer's."""

from __future__ import annotations

from workers.toolkit.chat.harmony import HARMONY_CALLS, HarmonyReader
from workers.toolkit.chat.output_parser import CallReader, OutputParser
from workers.toolkit.chat.recipients import RECIPIENTS, RecipientReader
from workers.toolkit.chat.tool_formats import FORMATS
from workers.toolkit.chat.tool_formats.base import ToolFormat
from workers.toolkit.chat.tool_formats.held_calls import Schemas

TOOL_FORMATS: dict[str, ToolFormat] = {
    **FORMATS, HARMONY_CALLS.name: HARMONY_CALLS, RECIPIENTS.name: RECIPIENTS,
}  # fmt: skip
"""Every form in which models write calls."""


def call_reader(written: ToolFormat, schemas: Schemas) -> OutputParser:
    """Reads calls of these tools in a form."""
    if written is HARMONY_CALLS:
        return HarmonyReader(schemas)
    return RecipientReader(schemas) if written is RECIPIENTS else CallReader(written, schemas)
