"""The items of a response as a server writes them: how each begins, who may still add to it, how each ends.

Items may overlap: a call begins while the message before it is still spoken, and an MCP call may run through several
messages. So every step may name its item; where it doesn't, the youngest open item of its kind is meant.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from repartee.errors import StateError
from repartee.protocol import events as ev
from repartee.protocol.items import (
    AudioPart,
    ContentPart,
    FunctionCall,
    McpApprovalRequest,
    McpCall,
    McpError,
    Message,
    OutputAudio,
    OutputText,
    TextPart,
)
from repartee.protocol.model import Model, replace
from repartee.protocol.outlet import Outlet

__all__ = ["CUT_OFF", "OpenItem", "OutputItem", "OutputWriter"]

OutputItem: TypeAlias = Message | FunctionCall | McpCall | McpApprovalRequest

CUT_OFF: Final = McpError(
    type="tool_execution_error",
    message="The response was cut off before the call ended; it may have had its effect.",
)
"""What an MCP call ends with that was still open when its response was over."""


class OpenItem:
    """An item that is being written.

    Args:
        item: as it was announced.
        index: its place in the response.
    """

    __slots__ = ("index", "item", "result", "running", "text")

    def __init__(self, item: OutputItem, index: int) -> None:
        self.item = item
        self.index = index
        self.text: list[str] = []
        """Its text, transcript or arguments so far."""
        self.running = False
        """An MCP call: whether its arguments are complete and it runs."""
        self.result: str | McpError = CUT_OFF
        """An MCP call: what it gave back."""


class OutputWriter:
    """Begins and ends the items of one response.

    Args:
        outlet: where the events go.
        response_id: of the response.
        in_conversation: whether the items join the conversation.
        modality: ``audio`` or ``text``, of its messages.
    """

    def __init__(self, outlet: Outlet, response_id: str, *, in_conversation: bool, modality: str) -> None:
        self._outlet = outlet
        self._open: dict[str, OpenItem] = {}
        self._output: list[OutputItem] = []
        self.id = response_id
        self.in_conversation = in_conversation
        self.modality = modality
        """``audio`` or ``text``, as the client or the session wants it."""
        self.finished = False
        """Whether ``response.done`` was sent: nothing more will be."""

    def _where(self, item_id: str, content_index: int | None = None) -> dict[str, Any]:
        where = {"response_id": self.id, "item_id": item_id, "output_index": self._open[item_id].index}
        return where if content_index is None else {**where, "content_index": content_index}

    def _current(self, kind: type[OutputItem], item_id: str | None) -> OpenItem:
        for each in reversed(self._open.values()):
            if isinstance(each.item, kind) and item_id in (None, each.item.id):
                return each
        raise StateError(f"response {self.id} has no open {kind.__name__} {item_id or ''}: begin one first")

    def _begin(self, item: OutputItem) -> list[ev.ServerEvent]:
        index = len(self._output)
        self._output.append(item)
        self._open[str(item.id)] = OpenItem(item, index)
        made = self._outlet.emit(
            ev.ResponseOutputItemAdded(response_id=self.id, output_index=index, item=item)
        )
        if self.in_conversation:
            ids = self._outlet.flow.conversation.ids
            previous = ids[-1] if ids else None
            made += self._outlet.emit(ev.ConversationItemAdded(previous_item_id=previous, item=item))
        return made

    def _end(self, found: OpenItem, status: str = "completed") -> list[ev.ServerEvent]:
        item_id = str(found.item.id)
        made, item = self._ending(found, status)
        conversation = self._outlet.flow.conversation
        if self.in_conversation:
            previous = conversation.previous_of(item_id) if item_id in conversation else None
            made += self._outlet.emit(ev.ConversationItemDone(previous_item_id=previous, item=item))
        self._output[found.index] = item
        del self._open[item_id]
        return made + self._outlet.emit(
            ev.ResponseOutputItemDone(response_id=self.id, output_index=found.index, item=item)
        )

    def _ending(self, found: OpenItem, status: str) -> tuple[list[ev.ServerEvent], OutputItem]:
        """What is said before an item is complete, and the complete item."""
        item, text = found.item, "".join(found.text)
        if isinstance(item, Message):
            part = OutputText(text=text) if self.modality == "text" else OutputAudio(transcript=text)
            return self._end_part(str(item.id), text), replace(item, status=status, content=[part])
        if isinstance(item, FunctionCall):
            made: list[ev.ServerEvent] = []
            if status == "completed":
                done = ev.ResponseFunctionCallArgumentsDone(
                    call_id=str(item.call_id), name=item.name, arguments=text, **self._where(str(item.id))
                )
                made = self._outlet.emit(done)
            return made, replace(item, status=status, arguments=text)
        if isinstance(item, McpCall):
            return self._end_run(found), _answered(replace(item, arguments=text), found.result)
        return [], item

    def _end_part(self, item_id: str, text: str) -> list[ev.ServerEvent]:
        where = self._where(item_id, 0)
        ends: list[Model]
        if self.modality == "text":
            ends = [ev.ResponseOutputTextDone(text=text, **where)]
            part: ContentPart = TextPart(text=text)
        else:
            ends = [
                ev.ResponseOutputAudioDone(**where),
                ev.ResponseOutputAudioTranscriptDone(transcript=text, **where),
            ]
            part = AudioPart(transcript=text)
        return self._outlet.emit(*ends, ev.ResponseContentPartDone(part=part, **where))

    def _end_run(self, found: OpenItem) -> list[ev.ServerEvent]:
        if not found.running:
            return []
        ended = (
            ev.ResponseMcpCallFailed if isinstance(found.result, McpError) else ev.ResponseMcpCallCompleted
        )
        return self._outlet.emit(ended(item_id=str(found.item.id), output_index=found.index))


def _answered(item: McpCall, result: str | McpError) -> McpCall:
    return replace(item, error=result) if isinstance(result, McpError) else replace(item, output=result)
