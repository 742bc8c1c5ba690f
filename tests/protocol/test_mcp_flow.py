"""Which events of a list may come when. Whole lists: test_mcp_writer."""

from __future__ import annotations

import pytest

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.items import McpListTools, Message
from repartee.protocol.mcp_flow import McpLists
from repartee.protocol.tables import McpListState

LIST = McpListTools(id="l", server_label="s", tools=[])


def test_a_list_goes_through_its_states() -> None:
    lists = McpLists()
    lists.added(Message(id="m", role="user", content=[]))
    assert lists.states == {}
    lists.added(LIST)
    assert lists.states == {"l": McpListState.ADDED}
    lists.check_done("l")  # a client's own item is complete at once
    event = ev.McpListToolsInProgress(item_id="l")
    lists.check(event)
    lists.apply(event)
    with pytest.raises(ProtocolError, match="before its MCP server has answered"):
        lists.check_done("l")
    ended = ev.McpListToolsFailed(item_id="l")
    lists.check(ended)
    lists.apply(ended)
    assert lists.states == {"l": McpListState.ENDED}
    lists.check_done("l")
    lists.gone("l")
    assert lists.states == {}
    lists.check_done("l")


def test_what_is_out_of_order_is_named_and_survived() -> None:
    lists = McpLists()
    with pytest.raises(ProtocolError, match="no list of tools 'x'"):
        lists.check(ev.McpListToolsInProgress(item_id="x"))
    lists.apply(ev.McpListToolsInProgress(item_id="x"))
    assert lists.states == {}
    lists.added(LIST)
    with pytest.raises(ProtocolError, match=r"where mcp_list_tools\.in_progress may follow"):
        lists.check(ev.McpListToolsCompleted(item_id="l"))
    lists.apply(ev.McpListToolsCompleted(item_id="l"))
    assert lists.states == {"l": McpListState.ENDED}
