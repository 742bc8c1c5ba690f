"""Functions that a model may call: `function_tool`, and what a call needs.

``@function_tool`` turns a function's signature and docstring into the JSON Schema that a model is shown, and
`FunctionTool.bind` turns the JSON that a model sends back into the function's arguments. Running the function
(and waiting for it, off the event loop when it is not a coroutine) is the session's business, not this module's.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from repartee.chat.schema import Field, Mismatch, Shape, object_schema, read_fields, shape_of
from repartee.errors import ConfigurationError, ToolError, UsageError

__all__ = ["FunctionTool", "RunContext", "ToolChoice", "function_tool", "result_text", "tool_table"]

ToolChoice = Literal["auto", "none", "required"] | str
"""Whether the model may, must not or must call a function; another string names the one that it must call."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SLOT = re.compile(r"\{([^{}:]*)(?::([a-z_]+))?\}")


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a function is told about the call that it serves.

    A parameter annotated with it receives it; the model does not see that parameter.
    """

    session: Any
    """The `AgentSession`."""
    call_id: str
    name: str
    """The function's name, as the model called it."""
    userdata: Any = None
    """Whatever the session was given as its ``userdata``."""


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function with the schema that a model sees, made by `function_tool`. Calling it calls the function."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments: an object without additional properties."""
    function: Callable[..., Any]
    examples: tuple[str, ...] = field(default=())
    """Things a user says to ask for it, with ``{parameter}`` or ``{parameter:kind}`` where an argument stands.
    For models that match instead of reason (see `repartee.plugins.local`); others may show them to the model."""
    timeout_s: float | None = None
    """How long a call may take, in seconds. ``None``: as the session has it."""
    fields: tuple[Field, ...] = field(default=(), repr=False, compare=False)
    """How each argument is read; empty for a raw schema."""
    context_parameter: str | None = field(default=None, repr=False)
    raw_parameter: str | None = field(default=None, repr=False)
    """With a raw schema: the parameter that receives all arguments as one dict."""
    unbound: bool = field(default=False, repr=False)
    """Whether it is a method that was not taken from an instance yet."""

    @property
    def is_async(self) -> bool:
        """Whether it is a coroutine function. One that is not may block: run it off the event loop."""
        function = self.function
        while isinstance(function, (types.MethodType,)):
            function = function.__func__
        return inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an instance with an async __call__
        )

    def bind(self, arguments_json: str, context: RunContext) -> dict[str, Any]:
        """Check a model's arguments, and give the keyword arguments to call `function` with.

        Args:
            arguments_json: a JSON object, as the model wrote it. Empty counts as ``{}``.
            context: handed to the function if it wants one.

        Raises:
            ToolError: the arguments don't fit; the text tells the model what would.
            UsageError: it is a method that was not taken from an instance.
        """
        if self.unbound:
            raise UsageError(
                f"{self.name} is a method: pass the tool of an instance, such as thing.{self.name}"
            )
        values = self._parse(arguments_json)
        try:
            if self.raw_parameter is not None:
                _check_raw(self.parameters, values)
                bound: dict[str, Any] = {self.raw_parameter: values}
            else:
                bound = read_fields(self.fields, values)
        except Mismatch as mismatch:
            raise ToolError(f"{self.name} was not called: {mismatch}") from None
        if self.context_parameter is not None:
            bound[self.context_parameter] = context
        return bound

    def _parse(self, arguments_json: str) -> dict[str, Any]:
        try:
            values = json.loads(arguments_json or "{}", parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:  # JSONDecodeError is a ValueError
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise ToolError(
                f"{self.name} was not called: its arguments must be one JSON object: {reason}"
            ) from None
        if not isinstance(values, dict):
            kind = type(values).__name__
            raise ToolError(
                f"{self.name} was not called: its arguments must be one JSON object, not a {kind}"
            )
        return values

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> FunctionTool:
        if instance is None or not self.unbound:
            return self
        return dataclasses.replace(self, function=types.MethodType(self.function, instance), unbound=False)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _check_raw(schema: dict[str, Any], values: dict[str, Any]) -> None:
    missing = [name for name in schema.get("required", ()) if name not in values]
    properties = schema.get("properties", {})
    unknown = (
        [n for n in values if n not in properties] if schema.get("additionalProperties") is False else []
    )
    problems = [f"missing argument {name!r}" for name in missing]
    problems += [f"unknown argument {name!r}" for name in unknown]
    if problems:
        raise Mismatch("; ".join(problems))


@overload
def function_tool(function: Callable[..., Any], /) -> FunctionTool: ...
@overload
def function_tool(
    *,
    name: str | None = None,
    description: str | None = None,
    examples: Iterable[str] = (),
    timeout_s: float | None = None,
    raw_schema: dict[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def function_tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    examples: Iterable[str] = (),
    timeout_s: float | None = None,
    raw_schema: dict[str, Any] | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Let a model call a function: ``@function_tool`` or ``@function_tool(examples=[…])``.

    The schema comes from the signature (see `repartee.chat.schema.shape_of` for the types), the descriptions from
    the docstring: its text, and the ``Args:`` section in Google's style. Works on functions and methods, sync and
    async.

    Args:
        function: the function, when used without arguments.
        name: what the model calls it. Default: the function's own name.
        description: what the model is told. Default: the docstring, or else the name in words.
        examples: things a user says to ask for it, such as ``"set a timer for {duration_s}"``.
        timeout_s: how long a call may take, in seconds. Default: as the session has it.
        raw_schema: JSON Schema of the arguments, instead of the signature's; the function then takes them as
            one dict, besides a `RunContext`.

    Raises:
        UsageError: a parameter has no annotation or one that JSON can't carry, ``*args``, a positional-only
            parameter, a name that is not letters, digits, ``_`` and ``-``, or an example with a slot that is no
            parameter.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        if isinstance(function, (staticmethod, classmethod)):
            raise UsageError("put @staticmethod or @classmethod above @function_tool, not below")
        if not callable(function):
            raise UsageError(f"function_tool takes a function, not {type(function).__name__}")
        return _make(function, name, description, tuple(examples), timeout_s, raw_schema)

    return make if function is None else make(function)


def _make(
    function: Callable[..., Any],
    name: str | None,
    description: str | None,
    examples: tuple[str, ...],
    timeout_s: float | None,
    raw_schema: dict[str, Any] | None,
) -> FunctionTool:
    name = name if name is not None else getattr(function, "__name__", type(function).__name__)
    if not _NAME.fullmatch(name):
        raise UsageError(f"the tool name {name!r} must be 1 to 64 letters, digits, underscores or hyphens")
    if timeout_s is not None and not timeout_s > 0:
        raise UsageError(f"{name}: timeout_s must be above 0, not {timeout_s!r}")
    summary, notes = _read_docstring(inspect.getdoc(function) or "")
    parameters, context_parameter, unbound = _parameters(function, name)
    raw_parameter = None
    fields: tuple[Field, ...] = ()
    if raw_schema is None:
        fields = tuple(_field(each, notes.get(each.name), name) for each in parameters)
        schema = object_schema(fields)
    else:
        if len(parameters) != 1 or raw_schema.get("type") != "object":
            raise UsageError(
                f"{name}: with raw_schema= (of type object) the function takes one dict of arguments"
            )
        raw_parameter = parameters[0].name
        schema = raw_schema
    for example in examples:
        for slot in _SLOT.finditer(example):
            if slot[1] not in schema.get("properties", {}):
                raise UsageError(
                    f"{name}: the example {example!r} has a slot that is no parameter: {slot[1]!r}"
                )
    return FunctionTool(
        name=name,
        description=description
        if description is not None
        else summary or name.replace("_", " ").capitalize(),
        parameters=schema,
        function=function,
        examples=examples,
        timeout_s=timeout_s,
        fields=fields,
        context_parameter=context_parameter,
        raw_parameter=raw_parameter,
        unbound=unbound,
    )


def _parameters(function: Callable[..., Any], name: str) -> tuple[list[inspect.Parameter], str | None, bool]:
    """The parameters that the model fills, with resolved annotations; the context's; whether ``self`` is open."""
    parameters = list(inspect.signature(function).parameters.values())
    unbound = bool(parameters) and parameters[0].name in ("self", "cls")
    hints = _hints(function, name)
    visible: list[inspect.Parameter] = []
    context_parameter: str | None = None
    for parameter in parameters[1:] if unbound else parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise UsageError(f"{name}: *{parameter.name} can't be described to a model; name each parameter")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise UsageError(f"{name}: {parameter.name} is positional-only; arguments arrive by name")
        if parameter.name not in hints:
            raise UsageError(f"{name}: the parameter {parameter.name} needs an annotation, such as str")
        hint = hints[parameter.name]
        if RunContext in (hint, *typing.get_args(hint)):
            if context_parameter is not None:
                raise UsageError(f"{name}: two parameters are RunContext; one is enough")
            context_parameter = parameter.name
        else:
            visible.append(parameter.replace(annotation=hint))
    return visible, context_parameter, unbound


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    inner = inspect.unwrap(function)
    inner = inner if inspect.isroutine(inner) else type(inner).__call__
    raw = {key: value for key, value in getattr(inner, "__annotations__", {}).items() if key != "return"}
    # RunContext is often imported for type checkers only, and a local class is only found in the closure.
    scope = {"RunContext": RunContext, **getattr(inner, "__globals__", {})}
    cells = getattr(inner, "__closure__", None) or ()
    names = getattr(getattr(inner, "__code__", None), "co_freevars", ())
    for free, cell in zip(names, cells, strict=False):
        try:
            scope[free] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    try:
        return typing.get_type_hints(types.SimpleNamespace(__annotations__=raw), scope, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise UsageError(
            f"{name}: its annotations can't be resolved: {error}; use types of the module"
        ) from None


def _field(parameter: inspect.Parameter, note: str | None, tool: str) -> Field:
    shape = shape_of(parameter.annotation, f"{tool}({parameter.name})")
    schema = dict(shape.schema)
    if note and "description" not in schema:
        schema["description"] = note
    required = parameter.default is parameter.empty
    default: Any = parameter.default
    if isinstance(default, enum.Enum):
        default = default.value
    if not required and (default is None or isinstance(default, (str, int, float, bool))):
        schema["default"] = default
    return Field(parameter.name, Shape(schema, shape.read, shape.nullable), required)


_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):\s*")
_ENTRY = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)")


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The text before the first section, and what ``Args:`` says of each parameter (Google's style)."""
    summary: list[str] = []
    notes: dict[str, str] = {}
    section = current = ""
    indent: int | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if heading := _SECTION.fullmatch(line.rstrip()):
            section, current, indent = heading[1], "", None
        elif not section:
            summary.append(stripped)
        elif section in ("Args", "Arguments", "Parameters") and stripped:
            depth = len(line) - len(line.lstrip())
            indent = depth if indent is None else indent
            entry = _ENTRY.fullmatch(stripped) if depth <= indent else None
            if entry:
                current = entry[1]
                notes[current] = entry[2]
            elif current:
                notes[current] = f"{notes[current]} {stripped}".strip()
    paragraphs = "\n".join(summary).strip().split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs if each.strip()), notes


def result_text(value: Any) -> str:
    """What a function gave back, as the text that a model reads.

    A text as it is, ``None`` as ``done``, the rest as JSON: dataclasses as objects, enums by value, sets as lists,
    dates as ISO 8601, anything else by ``str``.
    """
    if value is None:
        return "done"
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else str(value)


def tool_table(tools: Iterable[Any]) -> dict[str, FunctionTool]:
    """The tools by name.

    Raises:
        ConfigurationError: two have the same name, or one is not a `FunctionTool`.
    """
    table: dict[str, FunctionTool] = {}
    for tool in tools:
        if not isinstance(tool, FunctionTool):
            name = getattr(tool, "__name__", repr(tool))
            raise ConfigurationError(f"{name} is not a function tool: decorate it with @function_tool")
        if tool.unbound:
            raise ConfigurationError(f"{tool.name} is a method: pass the tool of an instance")
        if tool.name in table:
            raise ConfigurationError(f"two tools are called {tool.name!r}: give one of them another name=")
        table[tool.name] = tool
    return table
