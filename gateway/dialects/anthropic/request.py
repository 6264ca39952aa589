"""The requests of Anthropic's Messages API."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from contract.known_fields import FieldTable, ignored, neutral, refused
from contract.limits import Items, Name, Text
from contract.tasks.chat.open_model import JsonObject, OpenModel
from contract.tasks.chat.tools import FunctionName
from gateway.dialects.anthropic.blocks import Block, TextBlock
from gateway.dialects.dialect import DialectRequest

_ORIGIN = "Anthropic"


class InputMessage(OpenModel):
    """A message of the conversation, as text or as blocks."""

    role: Literal["user", "assistant", "system"]
    # The list comes first: trying it as text would copy the images in it.
    content: Annotated[Items[Block] | Text, Field(union_mode="left_to_right")]


class ToolDefinition(OpenModel):
    """A tool. Those with a `type` other than `custom` are Anthropic's own, which no model here knows."""

    type: Name | None = None
    name: FunctionName
    description: Text | None = None
    input_schema: JsonObject | None = None
    strict: bool | None = None

    @property
    def is_custom(self) -> bool:
        return self.type in {None, "custom"}

    @model_validator(mode="after")
    def _check_schema(self) -> ToolDefinition:
        if self.is_custom and self.input_schema is None:
            raise ValueError(f'the tool {self.name!r} needs its `input_schema`: {{"type": "object", "properties": …}}')
        return self


class ToolSelection(OpenModel):
    """Whether a tool must be called: `auto`, `any`, `none`, or `tool` with its `name`."""

    type: Literal["auto", "any", "tool", "none"]
    name: Name | None = None
    disable_parallel_tool_use: bool = False

    @model_validator(mode="after")
    def _check_name(self) -> ToolSelection:
        if self.type == "tool" and not self.name:
            raise ValueError('the type tool needs the name of a tool: {"type": "tool", "name": "..."}')
        return self


class ThinkingConfig(OpenModel):
    """Whether the model thinks. `adaptive` leaves it to the model."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None


class OutputFormat(OpenModel):
    """The JSON schema that the answer fits."""

    type: Literal["json_schema"]
    json_schema: JsonObject = Field(alias="schema")


class OutputConfig(OpenModel):
    """`effort` is how much a model that thinks shall think."""

    effort: Name | None = None
    format: OutputFormat | None = None


class CountTokensRequest(DialectRequest):
    """A conversation whose tokens are counted, with its system prompt and tools."""

    known_fields: ClassVar[FieldTable] = {
        **neutral(_ORIGIN, "metadata cache_control service_tier inference_geo diagnostics speed"),
        **neutral(_ORIGIN, "user_profile_id workspace_id anthropic_version betas anthropic_beta"),
        **ignored(_ORIGIN, "context_management", hint="The conversation is sent to the model as it is."),
        **ignored(_ORIGIN, "fallbacks", hint="config.yaml decides which model answers."),
        **refused(_ORIGIN, "mcp_servers container", hint="Tools run where the client runs them."),
    }

    model: Name
    messages: Items[InputMessage] = Field(min_length=1)
    system: Annotated[Items[TextBlock] | Text | None, Field(union_mode="left_to_right")] = None
    tools: Items[ToolDefinition] | None = None
    tool_choice: ToolSelection | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None

    @property
    def functions(self) -> list[ToolDefinition]:
        """The tools that a model here can call."""
        return [tool for tool in self.tools or () if tool.is_custom]

    def warnings(self) -> list[str]:
        sentences = super().warnings()
        for tool in self.tools or ():
            if not tool.is_custom:
                sentences.append(f"`tools`: {tool.name!r} was left out. Only Anthropic's models know {tool.type!r}.")
        if self.thinking and self.thinking.budget_tokens:
            sentences.append("`thinking.budget_tokens` had no effect: `max_tokens` limits thoughts and answer.")
        return sentences


class MessagesRequest(CountTokensRequest):
    """A conversation that the model continues, with text, thoughts and calls of tools."""

    max_tokens: int = Field(ge=1)
    stream: bool | None = None
    stop_sequences: Items[Name] | None = None
    temperature: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
