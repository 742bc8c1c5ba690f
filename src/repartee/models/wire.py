"""From the wire to the house: the protocol's items, tools and choices as ours, for both ends of a connection.

Only what a conversation needs is translated. What has no counterpart here (MCP items, say) stays on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from repartee.chat import (
    AudioContent,
    Content,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ImageContent,
    Item,
    Message,
    TextContent,
    ToolChoice,
)
from repartee.errors import StateError
from repartee.protocol import items as wire
from repartee.protocol import tools as wire_tools
from repartee.protocol.model import given

__all__ = ["choice_of", "declared_tools", "item_of"]


def item_of(item: wire.Item, item_id: str) -> Item | None:
    """An item of the other end's, under our id for it; ``None`` for kinds that have no counterpart."""
    match item:
        case wire.Message(role=role, content=content) if role in ("system", "user", "assistant"):
            parts = tuple(part for part in map(_content_of, content) if part is not None)
            status = given(item.status, "completed")
            return Message(
                role,  # type: ignore[arg-type]  # narrowed above
                parts,
                item_id,
                status if status in ("in_progress", "incomplete") else "completed",  # type: ignore[arg-type]
                interrupted=status == "incomplete",
            )
        case wire.FunctionCall():
            return FunctionCall(item.name, item.arguments, given(item.call_id, item_id), item_id)
        case wire.FunctionCallOutput():
            return FunctionCallOutput(item.call_id, item.output, id=item_id)
        case _:
            return None


def _content_of(part: wire.ContentPart) -> Content | None:
    match part:
        case wire.InputText() | wire.OutputText() | wire.TextPart():
            return TextContent(given(part.text, ""))
        case wire.InputAudio() | wire.AudioPart():
            return AudioContent(given(part.transcript, None))
        case wire.OutputAudio():
            return AudioContent(given(part.transcript, ""))
        case wire.InputImage():
            detail = given(part.detail, "auto")
            return ImageContent(given(part.image_url, ""), detail if detail in ("low", "high") else "auto")  # type: ignore[arg-type]
        case _:
            return None


def declared_tools(tools: Iterable[wire_tools.Tool]) -> tuple[FunctionTool, ...]:
    """The functions among the tools that a client declared: it runs them itself, so calling one here raises.

    Those without a name, and MCP servers, are left out.
    """
    return tuple(
        FunctionTool(
            tool.name,
            given(tool.description, "") or "",
            _object_schema(given(tool.parameters, None)),
            _runs_at_the_client,
        )
        for tool in tools
        if isinstance(tool, wire_tools.FunctionTool) and isinstance(tool.name, str) and tool.name
    )


def _object_schema(parameters: Any) -> dict[str, Any]:
    return parameters if isinstance(parameters, dict) else {"type": "object", "properties": {}}


def _runs_at_the_client(**arguments: object) -> None:
    raise StateError("this function runs at the client; its result comes as an item")


def choice_of(choice: str | wire_tools.ToolChoice) -> ToolChoice:
    """A tool choice: a word, or the name of the one function that must be called."""
    if isinstance(choice, str):
        return choice
    return given(choice.name, "") or "required"
