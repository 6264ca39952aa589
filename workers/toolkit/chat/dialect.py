"""How a loaded model writes calls of tools and thoughts, and what its chat template takes: found out at load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, WithJsonSchema

from contract.errors import InvalidField, UnsupportedFeature
from contract.status import ModelFacts
from contract.tasks.chat import ChatRequest
from contract.tasks.chat.tools import ToolUse
from workers.toolkit.chat.answer import OutputReader
from workers.toolkit.chat.call_readers import TOOL_FORMATS, call_reader
from workers.toolkit.chat.format_search import ToolSupport, find_tool_support
from workers.toolkit.chat.framed_text import FramedText
from workers.toolkit.chat.harmony import HARMONY_CALLS, HarmonyReader
from workers.toolkit.chat.output_parser import OutputParser, PlainText, ThoughtReader
from workers.toolkit.chat.reasoning_formats import HARMONY, REASONING_FORMATS, ReasoningFormat, find_reasoning_format
from workers.toolkit.chat.recipients import RECIPIENTS
from workers.toolkit.chat.template_probe import Render, TemplateProbe, knows
from workers.toolkit.chat.tool_formats.base import ToolFormat
from workers.toolkit.chat.tool_formats.held_calls import Schemas
from workers.toolkit.chat.turns import Turns

NONE = "none"
"""The format of a model that must not use tools, or whose thoughts are part of its answers."""


def _known(names: tuple[str, ...]) -> Any:
    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"{name!r} is not one of {', '.join(names)}")
        return name

    return AfterValidator(check)


_TOOL_NAMES = (*TOOL_FORMATS, NONE)
_REASONING_NAMES = (*REASONING_FORMATS, NONE)
ToolFormatName = Annotated[str, _known(_TOOL_NAMES), WithJsonSchema({"enum": _TOOL_NAMES})]
ReasoningFormatName = Annotated[str, _known(_REASONING_NAMES), WithJsonSchema({"enum": _REASONING_NAMES})]

_SWITCHES = ("enable_thinking", "thinking")
"""Variables with which chat templates switch thinking on and off."""
_DEGREES: tuple[tuple[str, dict[str, str]], ...] = (
    ("reasoning_effort", {}),
    ("thinking_effort", {"minimal": "low", "xhigh": "max"}),
)
"""Variables of how much a model thinks, and the names that they have for ours. Kimi K3 has the second."""
_MODE = "thinking_mode"
"""The variable of MiniMax M3 for that, which is `enabled` or `disabled`."""
_OWN = frozenset((
    "messages", "conversation", "tools", "documents", "chat_template", "tokenize", "return_dict", "return_tensors",
    "return_assistant_tokens_mask", "add_generation_prompt", "continue_final_message", "padding", "truncation",
    "max_length", "tokenizer_kwargs", "processor_kwargs", "sanitize_control_tokens",
))  # fmt: skip
"""Names that the library takes itself, so that they would not reach the template."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is known of a model's way to write. `tools` is None if it offers none, and `why_no_tools` says why.

    `tools_variable` is the variable of the chat template that shows tools to the model.
    """

    template: str
    turns: Turns
    tools: ToolFormat | None
    thoughts: ReasoningFormat | None
    why_no_tools: str = ""
    tools_variable: str = "tools"

    @property
    def features(self) -> frozenset[str]:
        """The features of chat requests that depend on the model's dialect, among `DIALECT_FEATURES`."""
        names = {"template"} | ({"tools"} if self.tools else set()) | ({"reasoning"} if self.thoughts else set())
        return frozenset(names)

    def facts(self, context: int | None) -> ModelFacts:
        """The model's context length, and the forms of its calls and thoughts."""
        return ModelFacts(
            context_length=context,
            tools=self.tools.name if self.tools else f"no, because {self.why_no_tools}",
            reasoning=self.thoughts.name if self.thoughts else "no, because its chat template knows no thoughts",
        )

    def variables(self, request: ChatRequest) -> dict[str, Any]:
        """What reaches the chat template besides the messages.

        Raises UnsupportedFeature for tools or thoughts that the model does not have, and InvalidField for names that
        are taken.
        """
        self._check(request)
        variables: dict[str, Any] = {}
        if effort := request.effort:
            variables |= {name: effort != NONE for name in _SWITCHES if knows(self.template, name)}
            if self._has_mode:
                variables[_MODE] = "disabled" if effort == NONE else "enabled"
            if effort != NONE:
                variables |= {name: known.get(effort, effort) for name, known in _DEGREES if knows(self.template, name)}
        given = request.chat_template_kwargs or {}
        if taken := sorted(_OWN & given.keys()):
            raise InvalidField(
                f"`chat_template_kwargs` cannot set {', '.join(taken)}: send only variables of the chat template.",
                param="chat_template_kwargs",
            )
        variables |= given
        if tools := offered_tools(request.tool_use):
            variables[self.tools_variable] = tools
        return variables

    @property
    def _has_mode(self) -> bool:
        return knows(self.template, _MODE) and "disabled" in self.template

    def _check(self, request: ChatRequest) -> None:
        """Refuse what the model does not have. The gateway does so too, once it knows the loaded model."""
        asked = [field for field, feature in request.requirements() if feature == "tools"]
        if asked and self.tools is None:
            raise UnsupportedFeature(f"This model offers no tools: {self.why_no_tools}.", param=asked[0])
        asked = [field for field, feature in request.requirements() if feature == "reasoning"]
        if asked and self.thoughts is None:
            message = f"This model does not think before it answers: leave out `{asked[0]}`, or send `none`."
            raise UnsupportedFeature(message, param=asked[0])

    def warnings(self, request: ChatRequest) -> list[str]:
        """What of the request has no effect on this model."""
        is_switched = self._has_mode or any(knows(self.template, name) for name in _SWITCHES)
        if request.effort == NONE and self.thoughts and not is_switched:
            return ["`reasoning_effort: none` had no effect: this model always thinks."]
        return []

    def parser(self, request: ChatRequest, prompt_end: str) -> OutputParser:
        """Takes the answer to a request apart. `prompt_end` is the end of its prompt, with control tokens."""
        use = request.tool_use
        schemas: Schemas = {function.name: function.parameters or {} for function in use.callable}
        if self.thoughts is HARMONY or (schemas and self.tools is HARMONY_CALLS):
            return HarmonyReader(schemas)
        is_read = self.tools and (schemas or self.tools is RECIPIENTS)  # which has a header in front of any answer
        parser = call_reader(self.tools, schemas) if self.tools and is_read else PlainText()
        if self.thoughts is None:
            return parser
        if self.thoughts.frame:
            parser = FramedText(self.thoughts.frame, parser)
        return ThoughtReader(self.thoughts, parser, is_thinking=self.thoughts.is_open_in(prompt_end))

    def reader(self, request: ChatRequest, prompt_end: str, tokenizer: Any) -> OutputReader:
        """Reads the tokens of an answer to a request."""
        return OutputReader(decoder(tokenizer, self.marks(request)), self.parser(request, prompt_end))

    @property
    def id_length(self) -> int | None:
        """The length of call ids, if the chat template prescribes one."""
        return self.turns.id_length

    def marks(self, request: ChatRequest) -> tuple[str, ...]:
        """The control tokens that must survive detokenization, so that the answer to a request can be taken apart."""
        thoughts = (self.thoughts.begin.strip(), self.thoughts.end) if self.thoughts else ()
        tools = (*self.tools.markers, *self.tools.tokens) if self.tools and request.tool_use.callable else ()
        channels = HARMONY_CALLS.tokens if self.thoughts is HARMONY else ()
        frame = self.thoughts.frame.marks if self.thoughts and self.thoughts.frame else ()
        return (*thoughts, *tools, *channels, *frame)


DIALECT_FEATURES = frozenset({"tools", "reasoning", "template"})
"""The features that only some models of a chat engine have."""


def offered_tools(use: ToolUse) -> list[dict[str, Any]]:
    """The tools that the model gets to see, as chat templates read them; none with `tool_choice: none`."""
    empty = {"description": "", "parameters": {"type": "object", "properties": {}}}  # many templates read both
    fields = (function.model_dump(exclude={"strict"}, exclude_none=True) for function in use.offered)
    return [{"type": "function", "function": {**empty, **function}} for function in fields]


class FormatOptions(Protocol):
    """The options of an entry that say how its model writes, where its chat template does not show it."""

    @property
    def tool_format(self) -> str | None: ...

    @property
    def reasoning_format(self) -> str | None: ...


def find_dialect(template: Any, render: Render, options: FormatOptions, *, vision: bool) -> Dialect:
    """The dialect of a model with this chat template (or several, by name), which `render` applies."""
    user: Any = [{"type": "text", "text": "?"}] if vision else "?"
    source = template if isinstance(template, str) else "\n".join(map(str, dict(template).values()))
    name = options.tool_format
    if name == NONE:
        support = ToolSupport(why_not="its entry says `tool_format: none`")
    else:
        support = find_tool_support(TemplateProbe(render, user), source, name)
    thoughts = _thoughts(source, options.reasoning_format)
    turns = Turns(source, support.forms, thoughts, support.written)
    return Dialect(source, turns, support.written, thoughts, support.why_not, support.variable)


def _thoughts(template: str, name: str | None) -> ReasoningFormat | None:
    return REASONING_FORMATS.get(name) if name else find_reasoning_format(template)


def decoder(tokenizer: Any, marks: tuple[str, ...]) -> Callable[[list[int]], str]:
    """Decodes tokens into text without control tokens, except those that are among the marks."""
    special = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    kept = {number for number, token in special.items() if any(token in mark or mark in token for mark in marks)}

    def decode(tokens: list[int]) -> str:
        is_plain = kept.isdisjoint(tokens)
        shown = tokens if is_plain else [token for token in tokens if token in kept or token not in special]
        text: str = tokenizer.decode(shown, skip_special_tokens=is_plain, clean_up_tokenization_spaces=False)
        return text

    return decode
