"""What a tool format needs to say how calls are written that are held to the schemas of their tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.errors import UnsupportedFeature
from workers.toolkit.chat.constraints import grammar as g
from workers.toolkit.chat.constraints.grammar import Grammar
from workers.toolkit.chat.tool_formats.schema_parts import resolved

Schemas = Mapping[str, Mapping[str, Any]]
"""The tools of a request: each name with the JSON schema of its parameters."""

MAX_CALLS = 32
"""The number of calls in an answer that is held to calls, which would otherwise be up to the model's weights."""
_MAX_FREE = 16
"""The number of arguments of a tool whose schema does not name them."""
_MAX_OPTIONAL = 100
"""The number of optional arguments in a list with separators: its grammar grows with the square of it."""


@dataclass(frozen=True, slots=True)
class HeldTools:
    """Tools to whose prepared `schemas` calls are held. `several`: whether an answer may have more than one call.

    `template` is the model's chat template, since formats have variants. `strict` are the names of tools that must be
    held to all of their schema; `unheld` collects what others are not held to.
    """

    schemas: Schemas
    several: bool
    template: str
    strict: frozenset[str] = frozenset()
    unheld: list[str] = field(default_factory=list)

    def miss(self, tool: str, what: str) -> None:
        """Note that calls of a tool are not held to something. Raises UnsupportedFeature if the tool is strict."""
        if tool in self.strict:
            raise UnsupportedFeature(
                f"The form in which this model writes calls cannot hold those of the strict tool {tool!r} to {what}. "
                "Leave that out, or send the tool without `strict` and check its arguments.",
                param="tools",
            )
        self.unheld.append(f"tools: calls of {tool!r} are not held to {what}, in the form in which this model writes.")


@dataclass(frozen=True, slots=True)
class CallForm:
    """A grammar of calls: `opening`, and `body` behind it, for one block of calls.

    `between` is the text between two blocks; None if a single block has all calls of an answer.
    """

    opening: str
    body: Grammar
    between: str | None = None

    def required(self, *, several: bool) -> Grammar:
        """The grammar of an answer that is nothing but calls: one, or also `several`."""
        block = g.sequence(g.text(self.opening), self.body)
        if self.between is None or not several:
            return block
        return g.repeated(block, most=MAX_CALLS, separator=g.text(self.between) if self.between else None)


class UnwritableCall(Exception):
    """Calls of a tool cannot be held at all in this format; the message says why."""


def either_call(tools: Schemas, before: Callable[[str], str], after: str) -> Grammar:
    """A call of one of the tools: the text `before` its arguments, by its name; they as JSON; the text `after` them."""
    return g.either(
        *(
            g.sequence(g.text(before(name)), g.json_value(dict(schema)), *([g.text(after)] if after else []))
            for name, schema in tools.items()
        )
    )


def listed(call: Grammar, separator: str, *, several: bool) -> Grammar:
    """One call, or several with a separator between them."""
    return g.repeated(call, most=MAX_CALLS, separator=g.text(separator) if separator else None) if several else call


@dataclass(frozen=True, slots=True)
class HeldArgument:
    """An argument that a call may have, or must have. `schema` is that of its value, in which references are kept."""

    name: str
    schema: Any
    is_required: bool


@dataclass(frozen=True, slots=True)
class HeldArguments:
    """The arguments of a tool. `free` is the schema of up to `most` arguments without a name in the schema."""

    named: Sequence[HeldArgument]
    free: Any = None  # there are none
    most: int = _MAX_FREE

    def written(self, argument: Callable[[HeldArgument | None], Grammar], separator: str = "") -> Grammar:
        """The arguments in their order; `argument` writes one, and for None one with any name."""
        if self.free is not None and not self.named:
            any_argument = argument(None)
            between = g.text(separator) if separator else None
            return g.repeated(any_argument, least=0, most=self.most, separator=between)
        items = [(argument(item), item.is_required) for item in self.named]
        if not separator:
            return g.sequence(*(item if is_required else g.optional(item) for item, is_required in items))
        return _separated(items, separator)


def _separated(items: Sequence[tuple[Grammar, bool]], separator: str) -> Grammar:
    """Items with separators between those that are there."""
    mark = g.text(separator)
    behind = [g.sequence(mark, item) if must else g.optional(g.sequence(mark, item)) for item, must in items]
    required = next((place for place, (_, must) in enumerate(items) if must), None)
    if required is not None:
        in_front = [g.optional(g.sequence(item, mark)) for item, _ in items[:required]]
        return g.sequence(*in_front, items[required][0], *behind[required + 1 :])
    if len(items) > _MAX_OPTIONAL:
        raise UnwritableCall(f"more than {_MAX_OPTIONAL} arguments are optional, and none is required")
    firsts = [g.sequence(item, *behind[place + 1 :]) for place, (item, _) in enumerate(items)]
    return g.optional(g.either(*firsts)) if firsts else g.text("")


_HELD = frozenset({
    "type", "properties", "required", "additionalProperties", "$defs", "definitions", "title", "description", "default",
    "examples", "$id", "$comment", "deprecated", "readOnly", "writeOnly",
})  # fmt: skip
"""Keywords of the schema of a tool's parameters that need no check: they are held, or ask for nothing."""


def arguments_of(tool: str, held: HeldTools) -> HeldArguments:
    """The arguments of a tool, for formats that do not write them as one JSON object. Notes what they do not hold."""
    root = held.schemas[tool]
    return arguments_in(resolved(root, root), tool, held, "of its parameters")


def arguments_in(node: Mapping[str, Any], tool: str, held: HeldTools, where: str) -> HeldArguments:
    """The properties of an object in the schema of a tool. Notes what they do not hold, which is `where` in it."""
    properties = node.get("properties") or {}
    required = list(dict.fromkeys(node.get("required") or ()))
    free = node.get("additionalProperties", True)
    for keyword in _missed(node, len(properties), len(required)):
        held.miss(tool, f"`{keyword}` {where}")
    named = [HeldArgument(name, schema, name in required) for name, schema in properties.items()]
    named += [HeldArgument(name, free, is_required=True) for name in required if name not in properties]
    most = min(node.get("maxProperties", _MAX_FREE), _MAX_FREE)
    return HeldArguments(named, None if free is False or named or not most else free, most)


def _missed(node: Mapping[str, Any], properties: int, required: int) -> Iterator[str]:
    for keyword in node.keys() - _HELD:
        match keyword:
            case "minProperties":
                is_held = node[keyword] <= required
            case "maxProperties":
                is_held = max(properties, required) <= node[keyword]
            case "patternProperties":
                is_held = properties > 0 or not node[keyword]
            case _:
                is_held = False
        if not is_held:
            yield keyword
