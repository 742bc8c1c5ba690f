"""Functions that a model may call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

ToolChoice = Literal["auto", "none", "required"] | str
"""Whether the model may, must not or must call a function; another string names the one that it must call."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a function is told about the call that it serves."""

    session: Any
    call_id: str
    name: str
    userdata: Any = None


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function with the schema that a model sees."""

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any]
    examples: tuple[str, ...] = field(default=())


def function_tool(function: Callable[..., Any]) -> FunctionTool:
    return FunctionTool(function.__name__, inspect.getdoc(function) or "", {}, function)
