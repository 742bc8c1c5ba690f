"""What a server does itself with MCP servers (or with tools of its own, told in their terms), as the order of events.

The order is that of the types' descriptions; nobody has published a recording. A list of tools stands in the
conversation by itself; a call, and the question whether it may be made, are items of a response.
"""

from __future__ import annotations

from collections.abc import Sequence

from repartee.errors import StateError
from repartee.protocol import events as ev
from repartee.protocol.items import McpApprovalRequest, McpCall, McpError, McpListedTool, McpListTools
from repartee.protocol.model import UNSET, replace
from repartee.protocol.outlet import Outlet
from repartee.protocol.output_writer import OutputWriter

__all__ = ["McpCallWriter", "McpListWriter"]


class McpListWriter:
    """Writes the list of one MCP server's tools. Made by a server's `Connection` (`list_mcp_tools`).

    Every method returns the events to send, in order; nothing, once the list is complete or was deleted.

    Args:
        outlet: where its events go.
        server_label: of the MCP server.
        item_id: of the item.
    """

    def __init__(self, outlet: Outlet, server_label: str, item_id: str) -> None:
        self._outlet = outlet
        self._item = McpListTools(id=item_id, server_label=server_label, tools=[])
        self.item_id = item_id

    def begin(self) -> list[ev.ServerEvent]:
        """The empty item, and that the MCP server is asked."""
        ids = self._outlet.flow.conversation.ids
        return self._outlet.emit(
            ev.ConversationItemAdded(previous_item_id=ids[-1] if ids else None, item=self._item),
            ev.McpListToolsInProgress(item_id=self.item_id),
        )

    def completed(self, tools: Sequence[McpListedTool]) -> list[ev.ServerEvent]:
        """The MCP server answered.

        Args:
            tools: what it has.
        """
        return self._end(ev.McpListToolsCompleted(item_id=self.item_id), list(tools))

    def failed(self) -> list[ev.ServerEvent]:
        """The MCP server could not be asked: the list stays empty."""
        return self._end(ev.McpListToolsFailed(item_id=self.item_id), [])

    def _end(
        self, ended: ev.McpListToolsCompleted | ev.McpListToolsFailed, tools: list[McpListedTool]
    ) -> list[ev.ServerEvent]:
        flow = self._outlet.flow
        if self.item_id not in flow.mcp_lists.states:
            return []
        item = replace(self._item, tools=tools)
        previous = flow.conversation.previous_of(self.item_id)
        return self._outlet.emit(ended, ev.ConversationItemDone(previous_item_id=previous, item=item))


class McpCallWriter(OutputWriter):
    """The calls of a response that the server runs itself. A client only sees them."""

    def begin_mcp_call(
        self,
        name: str,
        server_label: str,
        *,
        item_id: str | None = None,
        approval_request_id: str | None = None,
    ) -> list[ev.ServerEvent]:
        """Begin a call of a tool that runs at the server. Messages and other calls may be open, and may follow.

        Args:
            name: of the tool.
            server_label: of the MCP server that has it, or of what the server calls its own tools.
            item_id: of the item. Default: a new one.
            approval_request_id: of the `ask_approval` that was answered. Default: nobody had to be asked.
        """
        if self.finished:
            return []
        item = McpCall(
            id=item_id or self._outlet.new_id("item"),
            server_label=server_label,
            name=name,
            arguments="",
            approval_request_id=approval_request_id or UNSET,
        )
        return self._begin(item)

    def mcp_arguments(self, delta: str, *, item_id: str | None = None) -> list[ev.ServerEvent]:
        """More of the call's arguments (JSON).

        Raises:
            StateError: no call is open, or it runs already.
        """
        if self.finished:
            return []
        found = self._current(McpCall, item_id)
        if found.running:
            raise StateError(f"call {found.item.id} runs already: its arguments are complete")
        found.text.append(delta)
        return self._outlet.emit(
            ev.ResponseMcpCallArgumentsDelta(delta=delta, **self._where(str(found.item.id)))
        )

    def mcp_running(self, item_id: str | None = None) -> list[ev.ServerEvent]:
        """The arguments are complete, and the call runs: for as long as it takes.

        Raises:
            StateError: no call is open.
        """
        if self.finished:
            return []
        found = self._current(McpCall, item_id)
        if found.running:
            return []
        found.running = True
        where = self._where(str(found.item.id))
        return self._outlet.emit(
            ev.ResponseMcpCallArgumentsDone(arguments="".join(found.text), **where),
            ev.ResponseMcpCallInProgress(item_id=where["item_id"], output_index=found.index),
        )

    def end_mcp_call(self, result: str | McpError, *, item_id: str | None = None) -> list[ev.ServerEvent]:
        """The call is over. A call still open when the response ends fails with `CUT_OFF`.

        Args:
            result: what the tool gave back, or why it failed.
            item_id: of the call. Default: the youngest that is open.

        Raises:
            StateError: no call is open.
        """
        if self.finished:
            return []
        found = self._current(McpCall, item_id)
        made = self.mcp_running(str(found.item.id))
        found.result = result
        return made + self._end(found)

    def ask_approval(
        self, name: str, server_label: str, arguments: str, *, item_id: str | None = None
    ) -> list[ev.ServerEvent]:
        """Ask the client whether a call may be made. It answers by creating an `McpApprovalResponse`.

        Args:
            name: of the tool.
            server_label: of the MCP server.
            arguments: all of them (JSON).
            item_id: of the item, which the answer names. Default: a new one.
        """
        if self.finished:
            return []
        item = McpApprovalRequest(
            id=item_id or self._outlet.new_id("item"),
            server_label=server_label,
            name=name,
            arguments=arguments,
        )
        made = self._begin(item)
        return made + self._end(self._open[str(item.id)])
