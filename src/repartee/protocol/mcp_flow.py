"""The lists of MCP servers' tools as their events tell them: an empty item, progress, the complete item.

The calls of those tools are items of a response: `repartee.protocol.response_flow`.
"""

from __future__ import annotations

from typing import Any

from repartee.protocol.items import Item, McpListTools, id_of
from repartee.protocol.response_events import (
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
)
from repartee.protocol.response_flow import illegal
from repartee.protocol.tables import MCP_LIST_TABLE, McpListState, step

__all__ = ["MCP_LIST_EVENTS", "McpLists"]

MCP_LIST_EVENTS = (McpListToolsInProgress, McpListToolsCompleted, McpListToolsFailed)
"""The events that `McpLists` takes in."""


class McpLists:
    """The lists that are being made, by the ids of their items."""

    def __init__(self) -> None:
        self.states: dict[str, McpListState] = {}

    def added(self, item: Item) -> None:
        """An item joined the conversation: a list may be told of now. Others are let be."""
        item_id = id_of(item)
        if isinstance(item, McpListTools) and item_id is not None:
            self.states[item_id] = McpListState.ADDED

    def gone(self, item_id: str) -> None:
        """An item is complete, or was deleted."""
        self.states.pop(item_id, None)

    def check_done(self, item_id: str) -> None:
        """Whether an item may be complete: a client's own may at once, one that is asked for must have ended.

        Raises:
            ProtocolError: it may not.
        """
        if self.states.get(item_id) is McpListState.LISTING:
            raise illegal(f"The list {item_id} is complete before its MCP server has answered.", "item.id")

    def check(self, event: Any) -> None:
        """Whether an event may come now.

        Raises:
            ProtocolError: it may not.
        """
        state = self.states.get(event.item_id)
        if state is None:
            raise illegal(f"There is no list of tools {event.item_id!r} to be made.", "item_id")
        step(MCP_LIST_TABLE, state, event.__struct_config__.tag)

    def apply(self, event: Any) -> None:
        """Take an event in. Never raises."""
        if event.item_id in self.states:
            listing = isinstance(event, McpListToolsInProgress)
            self.states[event.item_id] = McpListState.LISTING if listing else McpListState.ENDED
