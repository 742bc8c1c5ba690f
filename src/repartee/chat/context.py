"""`ChatContext`: an ordered conversation.

Order is the protocol's: an item goes behind ``previous_item_id``, at the front for ``"root"``, at the end when none
is given. The context is the one mutable object here; its items are values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from repartee.chat.items import (
    AudioContent,
    Content,
    FunctionCall,
    FunctionCallOutput,
    ImageContent,
    Item,
    Message,
    Role,
    TextContent,
)
from repartee.errors import UsageError

__all__ = ["ChatContext"]


class ChatContext:
    """An ordered conversation of items with unique ids.

    Args:
        items: the first items, in order.

    Raises:
        UsageError: two items have the same id.
    """

    __slots__ = ("_index", "_items")

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items: list[Item] = []
        self._index: dict[str, Item] = {}
        for item in items:
            self.insert(item)

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def items(self) -> tuple[Item, ...]:
        """Every item, in order."""
        return tuple(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ChatContext) and self._items == other._items

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"ChatContext({self._items!r})"

    def get(self, item_id: str) -> Item | None:
        """The item of that id, or ``None``."""
        return self._index.get(item_id)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages alone, in order, without function calls and their outputs."""
        return tuple(item for item in self._items if isinstance(item, Message))

    @property
    def last_id(self) -> str | None:
        """The last item's id, or ``None`` when empty."""
        return self._items[-1].id if self._items else None

    def previous_id(self, item_id: str) -> str | None:
        """The id of the item before that one; ``None`` for the first."""
        at = self._position(item_id)
        return self._items[at - 1].id if at else None

    # -- changing --------------------------------------------------------------------------------------------

    def add_message(self, role: Role, text: str, *, id: str | None = None) -> Message:
        """Append a message of one text, and return it."""
        message = Message.of(role, text, id=id)
        self.insert(message)
        return message

    def insert(self, item: Item, *, previous_item_id: str | None = None) -> None:
        """Put an item behind another: ``None`` appends, ``"root"`` puts it first.

        Raises:
            UsageError: its id is taken or ``"root"``, or there is no item ``previous_item_id``.
        """
        if item.id == "root":
            raise UsageError("no item can have the id 'root': as previous_item_id it means the front")
        if item.id in self._index:
            raise UsageError(f"an item with the id {item.id!r} is there already; ids are unique")
        if previous_item_id is None:
            at = len(self._items)
        elif previous_item_id == "root":
            at = 0
        else:
            at = self._position(previous_item_id) + 1
        self._items.insert(at, item)
        self._index[item.id] = item

    def replace(self, item: Item) -> None:
        """Put a new value in the place of the item with the same id.

        Raises:
            UsageError: there is none.
        """
        self._items[self._position(item.id)] = item
        self._index[item.id] = item

    def delete(self, item_id: str) -> Item:
        """Take an item out, and return it.

        Raises:
            UsageError: there is none.
        """
        item = self._items.pop(self._position(item_id))
        del self._index[item_id]
        return item

    def copy(self) -> ChatContext:
        """A context of its own with the same items."""
        return ChatContext(self._items)

    def last(self, max_items: int) -> ChatContext:
        """A copy of the newest ``max_items``, with system messages kept and no output without its call."""
        cut = max(0, len(self._items) - max_items)
        kept = [item for at, item in enumerate(self._items) if at >= cut or _is_system(item)]
        calls = {item.call_id for item in kept if isinstance(item, FunctionCall)}
        return ChatContext(i for i in kept if not isinstance(i, FunctionCallOutput) or i.call_id in calls)

    def _position(self, item_id: str) -> int:
        # From the end: nearly every look-up is about one of the newest items.
        for at in range(len(self._items) - 1, -1, -1):
            if self._items[at].id == item_id:
                return at
        raise UsageError(f"there is no item with the id {item_id!r} in this conversation")

    # -- as plain data ---------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The conversation as JSON-ready data: ``{"items": [...]}``, each item with its ``type``."""
        return {"items": [_item_to_dict(item) for item in self._items]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ChatContext:
        """The reverse of `to_dict`.

        Raises:
            UsageError: an item's ``type`` is unknown or a field is missing; the message names it.
        """
        return cls(_item_from_dict(entry) for entry in data.get("items", ()))


def _is_system(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "system"


def _item_to_dict(item: Item) -> dict[str, Any]:
    if isinstance(item, Message):
        return {
            "type": "message",
            "id": item.id,
            "role": item.role,
            "status": item.status,
            "interrupted": item.interrupted,
            "content": [_content_to_dict(part) for part in item.content],
        }
    if isinstance(item, FunctionCall):
        return {
            "type": "function_call",
            "id": item.id,
            "call_id": item.call_id,
            "name": item.name,
            "arguments": item.arguments,
        }
    return {
        "type": "function_call_output",
        "id": item.id,
        "call_id": item.call_id,
        "output": item.output,
        "is_error": item.is_error,
    }


def _content_to_dict(part: Content) -> dict[str, Any]:
    if isinstance(part, TextContent):
        return {"type": "text", "text": part.text}
    if isinstance(part, AudioContent):
        return {"type": "audio", "transcript": part.transcript, "duration_ms": part.duration_ms}
    return {"type": "image", "url": part.url, "detail": part.detail}


def _item_from_dict(data: Any) -> Item:
    if not isinstance(data, dict):
        raise UsageError(f"an item must be an object with a type, not {type(data).__name__}")
    try:
        match data.get("type"):
            case "message":
                if data["role"] not in ("system", "user", "assistant"):
                    raise UsageError(f"unknown role {data['role']!r}: expected system, user or assistant")
                if not isinstance(data["content"], (list, tuple)):
                    raise UsageError(f"the content of the message {data.get('id')!r} must be a list of parts")
                content = tuple(_content_from_dict(part) for part in data["content"])
                return Message(
                    data["role"],
                    content,
                    data["id"],
                    data.get("status", "completed"),
                    data.get("interrupted", False),
                )
            case "function_call":
                return FunctionCall(data["name"], data["arguments"], data["call_id"], data["id"])
            case "function_call_output":
                return FunctionCallOutput(
                    data["call_id"], data["output"], data.get("is_error", False), data["id"]
                )
    except KeyError as missing:
        raise UsageError(f"the item {data.get('id')!r} lacks the field {missing}") from None
    raise UsageError(
        f"unknown item type {data.get('type')!r}: expected message, function_call or function_call_output"
    )


def _content_from_dict(data: Any) -> Content:
    if not isinstance(data, dict):
        raise UsageError(f"a part of a content must be an object with a type, not {type(data).__name__}")
    match data.get("type"):
        case "text":
            return TextContent(data["text"])
        case "audio":
            return AudioContent(data.get("transcript"), data.get("duration_ms"))
        case "image":
            return ImageContent(data["url"], data.get("detail", "auto"))
    raise UsageError(f"unknown content type {data.get('type')!r}: expected text, audio or image")
