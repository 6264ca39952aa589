"""The tools that a model may call, and whether it must: today's fields and the old `functions`, in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from contract.limits import Items, Name, Text
from contract.tasks.chat.open_model import JsonObject, OpenModel

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,128}$")]
"""OpenAI's names, and those of clients that add the server of a tool with a dot or colon."""


class FunctionTool(OpenModel):
    """A function: `parameters` is the JSON schema of its arguments, which `strict` promises that they fit."""

    name: FunctionName
    description: Text | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class Tool(OpenModel):
    """A tool. Types other than `function` are kept for engines that support them."""

    type: Name = "function"
    function: FunctionTool | None = None

    @model_validator(mode="after")
    def _check_function(self) -> Tool:
        if self.type == "function" and self.function is None:
            raise ValueError('a tool of type function needs its `function`: {"name": "...", "parameters": {...}}')
        return self


class NamedFunction(OpenModel):
    name: FunctionName


class ToolReference(OpenModel):
    """One of the request's tools, by its name."""

    type: Name = "function"
    function: NamedFunction | None = None


class AllowedTools(OpenModel):
    """The only tools that may be called; `mode` says whether one must be."""

    mode: Literal["auto", "required"] = "auto"
    tools: Items[ToolReference] = Field(min_length=1)


class ToolChoice(OpenModel):
    """A tool that the model must call, or those that it may call. Other types are kept for engines with support."""

    type: Name = "function"
    function: NamedFunction | None = None
    allowed_tools: AllowedTools | None = None

    @model_validator(mode="after")
    def _check_type(self) -> ToolChoice:
        if self.type == "function" and self.function is None:
            raise ValueError('a choice of type function needs {"type": "function", "function": {"name": "..."}}')
        if self.type == "allowed_tools" and self.allowed_tools is None:
            raise ValueError('a choice of type allowed_tools needs its `allowed_tools`: {"mode": "auto", "tools": […]}')
        return self

    @property
    def names(self) -> list[str]:
        """The names of the functions that it chooses."""
        named = self.allowed_tools.tools if self.allowed_tools else [self]
        return [reference.function.name for reference in named if reference.function]


Mode = Literal["none", "auto", "required"]
ToolMode = Literal["none", "auto", "required", "any"]
"""`any` is another name of `required`."""


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a request says about tools.

    `offered` are the functions that the model gets to see, `callable` those that it may call. With the mode `required`
    it must call one. `is_legacy` says that the client used `functions`, and expects `function_call` in the answer.
    """

    mode: Mode = "none"
    offered: Sequence[FunctionTool] = ()
    callable: Sequence[FunctionTool] = ()
    parallel: bool = True
    is_legacy: bool = False


def tool_use(
    functions: Sequence[FunctionTool], choice: ToolMode | ToolChoice | None, *, parallel: bool, is_legacy: bool
) -> ToolUse:
    """The functions that a request offers and its choice, in one form."""
    if not functions or choice == "none":
        return ToolUse(is_legacy=is_legacy)
    if not isinstance(choice, ToolChoice):
        mode: Mode = "required" if choice in {"required", "any"} else "auto"
        return ToolUse(mode, functions, functions, parallel, is_legacy)
    chosen = [function for function in functions if function.name in choice.names]
    allowed = choice.allowed_tools
    return ToolUse(allowed.mode if allowed else "required", functions, chosen, parallel, is_legacy)
