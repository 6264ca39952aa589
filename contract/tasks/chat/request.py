"""The request of a chat: OpenAI's fields, and those that vLLM, llama.cpp, Ollama and others add."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from contract import known_fields
from contract.known_fields import FieldTable, Requirement
from contract.limits import Items, Name, Text
from contract.tasks.chat import features, guided
from contract.tasks.chat.fields import FIELDS
from contract.tasks.chat.guided import FormKind, GuidedForm, SchemaOrText, StructuredOutputs, TypedGrammar
from contract.tasks.chat.messages import Message
from contract.tasks.chat.open_model import JsonObject
from contract.tasks.chat.reasoning import ReasoningOptions, ThinkingOptions, effort_of
from contract.tasks.chat.response_format import ResponseFormat
from contract.tasks.chat.sampling import SampledRequest, TokenLimit
from contract.tasks.chat.tools import FunctionTool, NamedFunction, Tool, ToolChoice, ToolMode, ToolUse, tool_use

_THINKING = ("reasoning_effort", "reasoning", "enable_thinking", "think", "thinking")
"""The fields that say how much the model thinks; the first that says something counts."""
_GUIDED: dict[str, FormKind] = {
    "guided_json": "schema",
    "json_schema": "schema",
    "guided_regex": "regex",
    "regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "ebnf": "grammar",
}
"""What each of vLLM's, SGLang's and llama.cpp's fields for the form of an answer has."""
_CONDITIONAL = {*_THINKING, "tools", "functions", "response_format", "structured_outputs", "add_generation_prompt"}
"""Fields whose requirements depend on more than one value."""


class ChatRequest(SampledRequest):
    """All of OpenAI's fields and those of common servers; `requirements` names those that need an engine's support."""

    known_fields: ClassVar[FieldTable] = FIELDS

    messages: Items[Message] = Field(min_length=1)
    max_tokens: TokenLimit = None
    max_completion_tokens: TokenLimit = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: SchemaOrText | None = None
    json_schema: SchemaOrText | None = None
    guided_regex: Text | None = None
    regex: Text | None = None
    guided_choice: Items[Text] | None = None
    guided_grammar: Text | None = None
    ebnf: Text | None = None
    grammar: TypedGrammar | Text | None = None
    # The choices are checked against the tools, which therefore come first.
    tools: Items[Tool] | None = None
    tool_choice: ToolChoice | ToolMode | None = None
    parallel_tool_calls: bool | None = None
    functions: Items[FunctionTool] | None = None
    function_call: NamedFunction | ToolMode | None = None

    reasoning_effort: Name | None = None
    reasoning: ReasoningOptions | None = None
    enable_thinking: bool | None = None
    think: bool | Name | None = None
    thinking: ThinkingOptions | None = None
    chat_template_kwargs: JsonObject | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None

    # Without effect, or refused: `fields` says which
    modalities: Items[Name] | None = None
    audio: JsonObject | None = None
    prediction: JsonObject | None = None
    web_search_options: JsonObject | None = None
    verbosity: Name | None = None
    service_tier: Name | None = None
    store: bool | None = None
    metadata: JsonObject | None = None
    user: Name | None = None

    @field_validator("tool_choice")
    @classmethod
    def _check_tool_choice(
        cls, choice: ToolMode | ToolChoice | None, info: ValidationInfo
    ) -> ToolMode | ToolChoice | None:
        tools = info.data.get("tools") or ()
        names = [tool.function.name for tool in tools if tool.function]
        _check_choice(choice in {"required", "any"} if isinstance(choice, str) else choice, names, bool(tools))
        return choice

    @field_validator("function_call")
    @classmethod
    def _check_function_call(
        cls, choice: ToolMode | NamedFunction | None, info: ValidationInfo
    ) -> ToolMode | NamedFunction | None:
        names = [function.name for function in info.data.get("functions") or ()]
        if isinstance(choice, NamedFunction) and choice.name not in names:
            raise ValueError(f"{choice.name!r} is not among `functions`")
        return choice

    @model_validator(mode="after")
    def _check_final_message(self) -> ChatRequest:
        if self.continue_final_message:
            if self.add_generation_prompt:
                raise ValueError("send either `continue_final_message` or `add_generation_prompt`, not both as true")
            if self.messages[-1].role != "assistant":
                raise ValueError("`continue_final_message` continues an assistant's message; make it the last message")
        return self

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def reported_alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs or self.top_logprobs else None

    @property
    def tool_use(self) -> ToolUse:
        """The functions that the model may call, from `tools` or the old `functions`."""
        if self.tools or not self.functions:
            functions: Sequence[FunctionTool] = [tool.function for tool in self.tools or () if tool.function]
            return tool_use(
                functions, self.tool_choice, parallel=self.parallel_tool_calls is not False, is_legacy=False
            )
        choice = self.function_call
        named = ToolChoice(function=choice) if isinstance(choice, NamedFunction) else choice
        return tool_use(self.functions, named, parallel=False, is_legacy=True)

    @property
    def guided_forms(self) -> list[GuidedForm]:
        """The forms that fields other than `response_format` ask for."""
        forms = [GuidedForm(name, kind, content) for name, kind in _GUIDED.items() if (content := getattr(self, name))]
        forms += [guided.of_grammar(self.grammar)] if self.grammar else []
        return forms + (guided.of_structured_outputs(self.structured_outputs) if self.structured_outputs else [])

    @property
    def effort(self) -> str | None:
        """How much the model shall think, such as `low`; `none` if not at all, None if the request does not say."""
        return next((effort for name in _THINKING if (effort := effort_of(getattr(self, name)))), None)

    def requirements(self) -> list[Requirement]:
        needs = known_fields.requirements(self, self.known_fields)
        if self.model_fields_set & _CONDITIONAL:
            needs += [*features.of_tools(self.tools or (), self.tool_use), *features.of_format(self.response_format)]
            needs += [(name, "reasoning") for name in _THINKING if effort_of(getattr(self, name)) not in {None, "none"}]
            if self.reasoning and self.reasoning.max_tokens:
                needs.append(("reasoning", "reasoning_budget"))
            needs += features.of_structured_outputs(self.structured_outputs)
            if self.add_generation_prompt is False:
                needs.append(("add_generation_prompt", "prefill"))
        return list(dict.fromkeys([*needs, *features.of_messages(self.messages)]))

    def required_features(self) -> frozenset[str]:
        return frozenset(feature for _, feature in self.requirements())

    def hint(self, requirement: Requirement) -> str:
        return features.hint_of(requirement)


def _check_choice(choice: bool | ToolChoice | None, names: Sequence[str], has_tools: bool) -> None:
    """Raise ValueError for a choice that needs tools which the request does not have. True: any tool."""
    if isinstance(choice, ToolChoice):
        if missing := next((name for name in choice.names if name not in names), None):
            raise ValueError(f"{missing!r} is not among `tools`")
    elif choice and not has_tools:
        raise ValueError("it needs `tools` to choose from")
