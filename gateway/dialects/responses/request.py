"""The requests of OpenAI's Responses API. Source: platform.openai.com/docs/api-reference/responses/create."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from contract.known_fields import FieldTable, honoured, ignored, neutral, refused
from contract.limits import Items, Name, Text
from contract.tasks.chat.open_model import JsonObject, OpenModel
from contract.tasks.chat.tools import FunctionName, Mode
from gateway.dialects.dialect import DialectRequest
from gateway.dialects.responses.items import ConversationItem, OtherItem

_ORIGIN = "OpenAI"
_WITHOUT_EFFECT = "background store previous_response_id"
"""The store of responses honours these; they reach the translation once it has."""


class ResponseTool(OpenModel):
    """A tool. Those with a `type` other than `function` run at OpenAI or are known to its models only."""

    type: Name
    name: FunctionName | None = None
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _check_name(self) -> ResponseTool:
        if self.type == "function" and self.name is None:
            raise ValueError('a function needs its name: {"type": "function", "name": "...", "parameters": {...}}')
        return self


class ResponseToolChoice(OpenModel):
    """A tool that must be called, or with `allowed_tools` those that may be."""

    type: Name
    name: FunctionName | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: Items[ResponseTool] | None = None


class ReasoningConfig(OpenModel):
    """`effort` is how much a model that thinks shall think."""

    effort: Name | None = None
    summary: Name | None = None


class TextFormat(OpenModel):
    """The form of the answer: `text`, `json_object`, or a JSON schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: Text | None = None
    json_schema: JsonObject | None = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> TextFormat:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError('the type json_schema needs its `schema`: {"type": "object", "properties": …}')
        return self


class TextConfig(OpenModel):
    """The form of the answer, and how long it shall be."""

    format: TextFormat | None = None
    verbosity: Name | None = None


class InputTokensRequest(DialectRequest):
    """A conversation whose tokens are counted, with its instructions and tools."""

    known_fields: ClassVar[FieldTable] = {
        **neutral(_ORIGIN, "user metadata safety_identifier service_tier client_metadata stream_options include"),
        **neutral(_ORIGIN, "prompt_cache_key prompt_cache_retention prompt_cache_options", hint="Prompts are cached."),
        **neutral(_ORIGIN, "max_tool_calls", hint="Only calls of OpenAI's own tools count."),
        **neutral(_ORIGIN, _WITHOUT_EFFECT),
        **ignored(_ORIGIN, "context_management moderation"),
        **neutral(_ORIGIN, "truncation", hint="The whole conversation is counted."),
        **refused(_ORIGIN, "prompt conversation", hint="Only OpenAI stores them. Send `input`."),
    }

    model: Name | None = None
    # The list comes first: trying it as text would copy the images in it.
    input: Annotated[Items[ConversationItem] | Text, Field(union_mode="left_to_right")]
    instructions: Text | None = None
    tools: Items[ResponseTool] | None = None
    tool_choice: Annotated[Mode | ResponseToolChoice | None, Field(union_mode="left_to_right")] = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningConfig | None = None
    text: TextConfig | None = None
    previous_response_id: Name | None = None

    @model_validator(mode="after")
    def _check_input(self) -> InputTokensRequest:
        if not self.input:
            raise ValueError("`input` is empty: send a text, or a list of items")
        return self

    @property
    def functions(self) -> list[ResponseTool]:
        """The tools that a model here can call."""
        return [tool for tool in self.tools or () if tool.type == "function"]

    def warnings(self) -> list[str]:
        sentences = super().warnings()
        for tool in self.tools or ():
            if tool.type != "function":
                name = f"{tool.type} ({tool.name})" if tool.name else tool.type
                sentences.append(f"`tools`: {name} was left out. Only functions can be called here.")
        items = self.input if isinstance(self.input, list) else ()
        left_out = dict.fromkeys(item.type for item in items if isinstance(item, OtherItem) and item.is_left_out)
        if left_out:
            sentences.append(f"`input`: {', '.join(left_out)} was left out. Only OpenAI's models read such items.")
        if self.text and self.text.verbosity not in {None, "medium"}:
            sentences.append("`text.verbosity` had no effect. Say in a message how long the answer shall be.")
        return sentences


class ResponsesRequest(InputTokensRequest):
    """A conversation that the model continues, with text, thoughts and calls of functions."""

    known_fields: ClassVar[FieldTable] = {
        **InputTokensRequest.known_fields,
        **honoured(_ORIGIN, "truncation", hint="`auto` needs an engine with `truncation`."),
    }

    stream: bool | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    include: Items[Name] | None = None
    metadata: JsonObject | None = None
    store: bool | None = None
    background: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: Name | None = None
    service_tier: Name | None = None

    @property
    def reports_logprobs(self) -> bool:
        """Whether the tokens of the answer are reported with their probabilities."""
        return bool(self.top_logprobs) or "message.output_text.logprobs" in (self.include or ())
