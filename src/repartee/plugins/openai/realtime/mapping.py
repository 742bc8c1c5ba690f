"""Between the wire and the house: the protocol's items and objects, and ours.

Only what a conversation needs is translated. What has no counterpart here (MCP items, say) stays on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence

from repartee.chat import (
    AudioContent,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    ImageContent,
    Item,
    TextContent,
)
from repartee.models import Usage
from repartee.models.events import ResponseStatus
from repartee.plugins.openai.realtime.ids import fit_id
from repartee.protocol import items as wire
from repartee.protocol import responses as wire_responses
from repartee.protocol import tools as wire_tools
from repartee.protocol.model import Maybe, given

__all__ = ["status_of", "tool_choice_of", "tools_of", "usage_of", "wire_item"]

_NAMED = ("auto", "none", "required")


def wire_item(item: Item, audio: bytes | None = None) -> wire.Item:
    """An item as the server takes it.

    Speech goes as its transcript: the sound of earlier turns is not sent again.

    Args:
        item: ours.
        audio: of a user's turn whose words are not known, which therefore has to be heard again. Default: none.
    """
    item_id = fit_id(item.id)
    if isinstance(item, FunctionCall):
        return wire.FunctionCall(
            id=item_id, call_id=fit_id(item.call_id), name=item.name, arguments=item.arguments
        )
    if isinstance(item, FunctionCallOutput):
        return wire.FunctionCallOutput(id=item_id, call_id=fit_id(item.call_id), output=item.output)
    parts: list[wire.ContentPart] = []
    for part in item.content:
        if isinstance(part, ImageContent):
            parts.append(wire.InputImage(image_url=part.url, detail=part.detail))
            continue
        text = part.text if isinstance(part, TextContent) else part.transcript or ""
        if text:
            parts.append(
                wire.OutputText(text=text) if item.role == "assistant" else wire.InputText(text=text)
            )
        elif audio and isinstance(part, AudioContent) and item.role == "user":
            parts.append(wire.InputAudio(audio=audio))
    return wire.Message(id=item_id, role=item.role, content=parts)


def tools_of(tools: Sequence[FunctionTool]) -> list[wire_tools.Tool]:
    """Functions as the server takes them."""
    return [
        wire_tools.FunctionTool(name=tool.name, description=tool.description, parameters=tool.parameters)
        for tool in tools
    ]


def tool_choice_of(choice: str) -> str | wire_tools.ToolChoice:
    """A tool choice as the server takes it: a word, or a function by name."""
    return choice if choice in _NAMED else wire_tools.ToolChoice(type="function", name=choice)


def usage_of(usage: Maybe[wire_responses.Usage]) -> Usage:
    """What a response cost."""
    usage = given(usage, None)
    if usage is None:
        return Usage()
    inputs, outputs = given(usage.input_token_details, None), given(usage.output_token_details, None)
    return Usage(
        given(usage.input_tokens, 0),
        given(usage.output_tokens, 0),
        given(inputs.cached_tokens, 0) if inputs is not None else 0,
        given(inputs.audio_tokens, 0) if inputs is not None else 0,
        given(outputs.audio_tokens, 0) if outputs is not None else 0,
    )


def status_of(
    response: wire_responses.Response,
) -> tuple[ResponseStatus, str, wire_responses.ResponseError | None]:
    """A response's status, the reason for it, and the error where there is one."""
    status = given(response.status, "completed")
    known: ResponseStatus = status if status in ("cancelled", "incomplete", "failed") else "completed"  # type: ignore[assignment]
    details = given(response.status_details, None)
    if not isinstance(details, wire_responses.StatusDetails):
        return known, "", None
    error = given(details.error, None)
    return known, given(details.reason, "") or (given(error.code, "") if error is not None else ""), error
