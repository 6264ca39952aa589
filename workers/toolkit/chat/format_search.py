"""Finds the form in which a model writes calls: the one in which the call can be read that its chat template writes."""

from __future__ import annotations

from dataclasses import dataclass

from workers.toolkit.chat.call_readers import TOOL_FORMATS, call_reader
from workers.toolkit.chat.template_probe import TemplateProbe, TurnForms
from workers.toolkit.chat.tool_formats.base import ToolFormat, WrittenCall


@dataclass(frozen=True, slots=True)
class ToolSupport:
    """How a model calls tools: their format, the forms of their turns, and the template's variable for them.

    Without a format it does not, and `why_not` says why.
    """

    written: ToolFormat | None = None
    forms: TurnForms | None = None
    variable: str = "tools"
    why_not: str = ""


def find_tool_support(probe: TemplateProbe, template: str, name: str | None) -> ToolSupport:
    """How a model with this chat template calls tools. `name` is the format that its entry sets."""
    if probe.tools_variable is None:
        return ToolSupport(why_not="its chat template shows it no tools")
    forms = probe.turn_forms()
    written = TOOL_FORMATS[name] if name else _find_format(probe, forms, template)
    if forms is None and written is not None and written.write([]) is not None and probe.shows_results():
        forms = TurnForms(calls_are_text=True)
    if forms is None:
        said = f" ({probe.refusal})" if probe.refusal else ""
        return ToolSupport(why_not=f"its chat template has no place for calls and their results{said}")
    if written is None:
        known = ", ".join(TOOL_FORMATS)
        unknown = f"the form of its calls is unknown; if it is one of {known}, set `options: {{tool_format: …}}`"
        return ToolSupport(why_not=unknown)
    return ToolSupport(written, forms, probe.tools_variable)


def _find_format(probe: TemplateProbe, forms: TurnForms | None, template: str) -> ToolFormat | None:
    """The format of the call that the template writes, or else the one that its words suggest."""
    if forms is not None:
        turn, before = probe.written_call(forms)
        for written in TOOL_FORMATS.values():
            texts = (turn,) if written.at_start else (turn, before + turn)
            if any(probe.is_read(_calls(probe, written, text)) for text in texts):
                return written
    by_words = (written for written in TOOL_FORMATS.values() if written.fits(template))
    return next((written for written in by_words if forms is None or not written.is_written_exactly), None)


def _calls(probe: TemplateProbe, written: ToolFormat, text: str) -> list[tuple[str, dict[str, object]]]:
    reader = call_reader(written, probe.schemas)
    pieces = [*reader.push(text), *reader.flush()]
    return [(piece.name, piece.arguments) for piece in pieces if isinstance(piece, WrittenCall)]
