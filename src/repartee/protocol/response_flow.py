"""One response as its events tell it: its items, which may overlap, and their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from repartee.errors import ProtocolError
from repartee.protocol.items import AudioPart, FunctionCall, Item, McpCall, Message, TextPart, id_of
from repartee.protocol.response_events import (
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from repartee.protocol.tables import (
    ITEM_TABLE,
    OUT_OF_BAND_ITEM_TABLE,
    PART_TABLE,
    ItemState,
    PartState,
    step,
)

__all__ = ["OutputItem", "ResponseFlow", "illegal"]


def illegal(message: str, param: str | None = None) -> ProtocolError:
    """The error for an event out of its order."""
    return ProtocolError(message, code="invalid_event", param=param)


class OutputItem:
    """An item that a response generates.

    Args:
        item: as it was announced, still empty.
        output_index: its place in the response.
    """

    __slots__ = ("item", "output_index", "parts", "state")

    def __init__(self, item: Item, output_index: int) -> None:
        self.item = item
        self.output_index = output_index
        self.state = ItemState.OPEN
        self.parts: dict[int, PartState] = {}
        """Content index → how far it is; a call is 0."""
        if isinstance(item, FunctionCall):
            self.parts[0] = PartState.ARGUMENTS
        elif isinstance(item, McpCall):
            self.parts[0] = PartState.MCP_ARGUMENTS

    def check_complete(self, ended: Item) -> None:
        """Whether the item may end as it is told; raises `ProtocolError` if a part is still open.

        A call that was cut off ends without its arguments being done: clients run the function on that event. An MCP
        call, which has no status, ends with an error then; once it runs it must have failed before.
        """
        cut: tuple[PartState, ...] = ()
        if isinstance(ended, McpCall):
            cut = (PartState.MCP_ARGUMENTS, PartState.CALLED)
        elif getattr(ended, "status", None) == "incomplete":
            cut = (PartState.ARGUMENTS,)
        for content_index, state in self.parts.items():
            if state is not PartState.DONE and state not in cut:
                raise illegal(
                    f"Item {id_of(self.item)} ends while its part {content_index} is {state.value!r}."
                )


class ResponseFlow:
    """A response from ``response.created`` to ``response.done``.

    Args:
        response_id: its id.
        in_conversation: whether its items join the conversation.
        bytes_per_ms: of its audio: 48 for 24 kHz PCM, 8 for G.711.
    """

    def __init__(self, response_id: str, *, in_conversation: bool, bytes_per_ms: int) -> None:
        self.id = response_id
        self.in_conversation = in_conversation
        self.bytes_per_ms = bytes_per_ms
        self.items: dict[str, OutputItem] = {}
        self.has_audio = False
        """Whether there is something to play."""

    def check(self, event: Any) -> None:
        """Whether an event of this response may come now.

        Raises:
            ProtocolError: it may not.
        """
        _CHECKS[type(event)](self, event)

    def apply(self, event: Any) -> None:
        """Take an event in. Never raises: what is out of order changes as much as it can."""
        apply = _APPLIES.get(type(event))
        if apply is not None:
            apply(self, event)

    # ------------------------------------------------------------------------------------------------------- items

    def check_item_done(self, item: Item) -> None:
        """Whether ``conversation.item.done`` may come for an item of this response."""
        found = self._item(id_of(item) or "")
        found.check_complete(item)
        step(ITEM_TABLE, found.state, "conversation.item.done")

    def settle(self, item_id: str) -> None:
        """Take in that the conversation has an item complete."""
        self.items[item_id].state = ItemState.SETTLED

    def _item(self, item_id: str) -> OutputItem:
        found = self.items.get(item_id)
        if found is None:
            raise illegal(f"Response {self.id} has no item {item_id!r}.", "item_id")
        return found

    def _check_added(self, event: ResponseOutputItemAdded) -> None:
        item_id = id_of(event.item)
        if item_id is None:
            raise illegal("An output item needs an id.", "item.id")
        if item_id in self.items:
            raise illegal(f"Item {item_id} was added to response {self.id} before.", "item.id")
        if event.output_index != len(self.items):
            raise illegal(f"The next output_index is {len(self.items)}.", "output_index")

    def _apply_added(self, event: ResponseOutputItemAdded) -> None:
        item_id = id_of(event.item)
        if item_id is not None:
            self.items.setdefault(item_id, OutputItem(event.item, event.output_index))

    def _check_item_ended(self, event: ResponseOutputItemDone) -> None:
        found = self._item(id_of(event.item) or "")
        self._check_index(found, event)
        table = ITEM_TABLE if self.in_conversation else OUT_OF_BAND_ITEM_TABLE
        found.check_complete(event.item)
        step(table, found.state, "response.output_item.done")

    def _apply_item_ended(self, event: ResponseOutputItemDone) -> None:
        found = self.items.get(id_of(event.item) or "")
        if found is not None:
            found.state, found.item = ItemState.DONE, event.item

    def _check_done(self, event: ResponseDone) -> None:
        for item_id, found in self.items.items():
            if found.state is not ItemState.DONE:
                raise illegal(f"Response {self.id} ends while its item {item_id} is {found.state.value!r}.")

    @staticmethod
    def _check_index(found: OutputItem, event: Any) -> None:
        if event.output_index != found.output_index:
            raise illegal(f"The output_index of that item is {found.output_index}.", "output_index")

    # ------------------------------------------------------------------------------------------------------- parts

    def _check_part_added(self, event: ResponseContentPartAdded) -> None:
        found = self._item(event.item_id)
        self._check_index(found, event)
        if not isinstance(found.item, Message):
            raise illegal("Only messages have content parts.", "item_id")
        if found.state is not ItemState.OPEN:
            raise illegal(f"Item {event.item_id} is {found.state.value!r}: no part can be added.", "item_id")
        if event.content_index != len(found.parts):
            raise illegal(f"The next content_index is {len(found.parts)}.", "content_index")
        if not isinstance(event.part, TextPart | AudioPart):
            raise illegal("A part that begins is of type text or audio.", "part.type")

    def _apply_part_added(self, event: ResponseContentPartAdded) -> None:
        found = self.items.get(event.item_id)
        if found is not None:
            has_audio = not isinstance(event.part, TextPart)
            found.parts[event.content_index] = PartState.AUDIO if has_audio else PartState.TEXT
            self.has_audio = self.has_audio or has_audio

    def _check_content(self, event: Any) -> None:
        found = self._item(event.item_id)
        self._check_index(found, event)
        index = getattr(event, "content_index", 0)
        state = found.parts.get(index)
        if state is None:
            raise illegal(f"Item {event.item_id} has no part {index}.", "content_index")
        step(PART_TABLE, state, event.__struct_config__.tag)

    def _apply_content(self, event: Any) -> None:
        found = self.items.get(event.item_id)
        if found is not None:
            index = getattr(event, "content_index", 0)
            state = found.parts.get(index, PartState.ENDED)
            found.parts[index] = PART_TABLE.get((state, event.__struct_config__.tag), state)


_CONTENT: Final = (
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
_CHECKS: Final[dict[type[Any], Callable[[ResponseFlow, Any], None]]] = {
    ResponseContentPartAdded: ResponseFlow._check_part_added,
    ResponseDone: ResponseFlow._check_done,
    ResponseOutputItemAdded: ResponseFlow._check_added,
    ResponseOutputItemDone: ResponseFlow._check_item_ended,
    **dict.fromkeys(_CONTENT, ResponseFlow._check_content),
}
_APPLIES: Final[dict[type[Any], Callable[[ResponseFlow, Any], None]]] = {
    ResponseContentPartAdded: ResponseFlow._apply_part_added,
    ResponseOutputItemAdded: ResponseFlow._apply_added,
    ResponseOutputItemDone: ResponseFlow._apply_item_ended,
    **dict.fromkeys(_CONTENT, ResponseFlow._apply_content),
}
RESPONSE_EVENTS: Final = frozenset(_CHECKS)
"""The events that a `ResponseFlow` takes in."""
