"""What a conversation is made of: items, and the content parts of messages.

Optional fields are left out rather than ``null`` (clients fail on nulls), with one exception: the ``transcript`` of an
`InputAudio` from the server is always written, ``null`` while it is not known.
"""

from __future__ import annotations

from typing import Any, ClassVar

from repartee.protocol.model import UNSET, Family, Maybe, Model, Unknown, member

__all__ = [
    "AudioPart",
    "ContentPart",
    "FunctionCall",
    "FunctionCallOutput",
    "InputAudio",
    "InputImage",
    "InputText",
    "Item",
    "ItemReference",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpError",
    "McpListTools",
    "McpListedTool",
    "Message",
    "OutputAudio",
    "OutputText",
    "TextPart",
    "UnknownContentPart",
    "UnknownItem",
    "id_of",
]


# ------------------------------------------------------------------------------------------------------ content parts


class ContentPart(Family):
    """A part of a message.

    In a user's message `InputText`, `InputAudio`, `InputImage`; in a system message `InputText`; in an assistant's
    `OutputText`, `OutputAudio`. In ``response.content_part.*`` (and in the beta's items) `TextPart`, `AudioPart`.
    """

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownContentPart(Unknown, ContentPart):
    """A kind of content that this version doesn't know."""

    __slots__ = ()


ContentPart.unknown = UnknownContentPart


@member(ContentPart)
class InputText(Model, ContentPart, frozen=True, kw_only=True, tag="input_text"):
    """What somebody typed, or a system's words."""

    text: Maybe[str] = UNSET


@member(ContentPart)
class InputAudio(Model, ContentPart, frozen=True, kw_only=True, tag="input_audio"):
    """What the caller said."""

    audio: Maybe[bytes] = UNSET
    """In the session's input format. Absent in all events but ``conversation.item.create`` and ``.retrieved``."""
    transcript: Maybe[str] = UNSET
    """``null`` while it is not known, from the server; absent from the client unless it knows it."""


@member(ContentPart)
class InputImage(Model, ContentPart, frozen=True, kw_only=True, tag="input_image"):
    """An image."""

    image_url: Maybe[str] = UNSET
    """A data URI: ``data:image/png;base64,…`` (or jpeg)."""
    detail: Maybe[str] = UNSET
    """``auto`` (the default), ``low``, ``high``."""


@member(ContentPart)
class OutputText(Model, ContentPart, frozen=True, kw_only=True, tag="output_text"):
    """What the model wrote."""

    text: Maybe[str] = UNSET


@member(ContentPart)
class OutputAudio(Model, ContentPart, frozen=True, kw_only=True, tag="output_audio"):
    """What the model said."""

    audio: Maybe[bytes] = UNSET
    """In the session's output format. Absent in all events but ``conversation.item.retrieved``."""
    transcript: Maybe[str] = UNSET
    """Absent once the item was truncated."""


@member(ContentPart)
class TextPart(Model, ContentPart, frozen=True, kw_only=True, tag="text"):
    """Text, as ``response.content_part.*`` (and the beta's items) name it."""

    text: Maybe[str] = UNSET


@member(ContentPart)
class AudioPart(Model, ContentPart, frozen=True, kw_only=True, tag="audio"):
    """Audio, as ``response.content_part.*`` (and the beta's items) name it."""

    audio: Maybe[bytes] = UNSET
    transcript: Maybe[str] = UNSET


# -------------------------------------------------------------------------------------------------------------- items


class Item(Family):
    """A step of a conversation: `Message`, `FunctionCall`, `FunctionCallOutput`, the MCP items, or `UnknownItem`.

    Ids are at most 32 characters, unique in a session; the client may choose them.
    """

    __slots__ = ()
    members: ClassVar[dict[str, type[Any]]] = {}


class UnknownItem(Unknown, Item):
    """A kind of item that this version doesn't know."""

    __slots__ = ()

    @property
    def id(self) -> str | None:
        """Its id, if it has one."""
        value = self.raw.get("id")
        return value if isinstance(value, str) else None


Item.unknown = UnknownItem


@member(Item)
class Message(Model, Item, frozen=True, kw_only=True, tag="message"):
    """Something said or written."""

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    """``realtime.item``, or absent."""
    status: Maybe[str] = UNSET
    """``in_progress``, ``completed``, ``incomplete`` (cut off)."""
    role: str
    """``system``, ``user`` or ``assistant``."""
    content: list[ContentPart]
    phase: Maybe[str] = UNSET
    """``commentary`` (said before a call) or ``final_answer``; only gpt-realtime-2 models tell."""


@member(Item)
class FunctionCall(Model, Item, frozen=True, kw_only=True, tag="function_call"):
    """The model wants a function called."""

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    status: Maybe[str] = UNSET
    call_id: Maybe[str] = UNSET
    """What the output refers to. At most 32 characters."""
    name: str
    arguments: str
    """JSON; ``""`` while in progress."""


@member(Item)
class FunctionCallOutput(Model, Item, frozen=True, kw_only=True, tag="function_call_output"):
    """What the function gave back."""

    id: Maybe[str] = UNSET
    object: Maybe[str] = UNSET
    status: Maybe[str] = UNSET
    """The server sends none."""
    call_id: str
    output: str


class McpListedTool(Model, frozen=True, kw_only=True):
    """A tool of an MCP server."""

    name: str
    input_schema: Any
    description: Maybe[str] = UNSET
    annotations: Maybe[Any] = UNSET


@member(Item)
class McpListTools(Model, Item, frozen=True, kw_only=True, tag="mcp_list_tools"):
    """The tools that an MCP server has."""

    id: Maybe[str] = UNSET
    server_label: str
    tools: list[McpListedTool]


class McpError(Model, frozen=True, kw_only=True):
    """Why an MCP call failed."""

    type: str
    """``protocol_error``, ``http_error`` (both with a code) or ``tool_execution_error``."""
    message: Maybe[str] = UNSET
    code: Maybe[int] = UNSET


@member(Item)
class McpCall(Model, Item, frozen=True, kw_only=True, tag="mcp_call"):
    """A call of an MCP server's tool, by the service."""

    id: Maybe[str] = UNSET
    server_label: str
    name: str
    arguments: str
    approval_request_id: Maybe[str] = UNSET
    output: Maybe[str] = UNSET
    error: Maybe[McpError] = UNSET


@member(Item)
class McpApprovalRequest(Model, Item, frozen=True, kw_only=True, tag="mcp_approval_request"):
    """The service asks whether it may call an MCP server's tool."""

    id: Maybe[str] = UNSET
    server_label: str
    name: str
    arguments: str


@member(Item)
class McpApprovalResponse(Model, Item, frozen=True, kw_only=True, tag="mcp_approval_response"):
    """The client's answer to an `McpApprovalRequest`."""

    id: Maybe[str] = UNSET
    approval_request_id: str
    approve: bool
    reason: Maybe[str] = UNSET


@member(Item)
class ItemReference(Model, Item, frozen=True, kw_only=True, tag="item_reference"):
    """An item of the conversation, in the ``input`` of a response; never in a conversation itself."""

    id: str


def id_of(item: Item) -> str | None:
    """The id of an item, if it has one."""
    value = getattr(item, "id", None)
    return value if isinstance(value, str) else None
