"""Tools that a model may call: functions of the client, and MCP servers that the service calls itself."""

from __future__ import annotations

from typing import Any, ClassVar

from repartee.protocol.model import UNSET, Family, Maybe, Model, Unknown, member

__all__ = [
    "FunctionTool",
    "McpApproval",
    "McpTool",
    "McpToolFilter",
    "Tool",
    "ToolChoice",
    "UnknownTool",
]


class Tool(Family):
    """`FunctionTool`, `McpTool`, or `UnknownTool`."""

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownTool(Unknown, Tool):
    """A kind of tool that this version doesn't know."""

    __slots__ = ()


Tool.unknown = UnknownTool


@member(Tool)
class FunctionTool(Model, Tool, frozen=True, kw_only=True, tag="function"):
    """A function that the client runs."""

    name: Maybe[str] = UNSET
    description: Maybe[str] = UNSET
    parameters: Maybe[Any] = UNSET
    """Its arguments as a JSON schema."""


class McpToolFilter(Model, frozen=True, kw_only=True):
    """Some of an MCP server's tools."""

    tool_names: Maybe[list[str]] = UNSET
    read_only: Maybe[bool] = UNSET


class McpApproval(Model, frozen=True, kw_only=True):
    """Which of an MCP server's tools need the user's consent. In its place also ``"always"`` or ``"never"``."""

    always: Maybe[McpToolFilter] = UNSET
    never: Maybe[McpToolFilter] = UNSET


@member(Tool)
class McpTool(Model, Tool, frozen=True, kw_only=True, tag="mcp"):
    """An MCP server, whose tools the service runs. One of ``server_url``, ``connector_id`` and ``tunnel_id``."""

    server_label: str
    server_url: Maybe[str] = UNSET
    connector_id: Maybe[str] = UNSET
    tunnel_id: Maybe[str] = UNSET
    server_description: Maybe[str] = UNSET
    authorization: Maybe[str] = UNSET
    """A token: a secret."""
    headers: Maybe[dict[str, str]] = UNSET
    """May hold secrets."""
    allowed_tools: Maybe[list[str] | McpToolFilter] = UNSET
    allowed_callers: Maybe[list[str]] = UNSET
    """``direct``, ``programmatic``."""
    require_approval: Maybe[str | McpApproval] = UNSET
    defer_loading: Maybe[bool] = UNSET


class ToolChoice(Model, frozen=True, kw_only=True):
    """One tool that the model must call. In its place also ``"auto"``, ``"none"`` or ``"required"``."""

    type: str
    """``function`` or ``mcp``."""
    name: Maybe[str] = UNSET
    """Of the function, or of the tool at the MCP server (absent: any of it)."""
    server_label: Maybe[str] = UNSET
    """Of the MCP server; absent for functions."""
