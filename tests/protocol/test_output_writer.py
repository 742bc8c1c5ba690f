"""Where items stand in a response, and how they end. What each says: test_response_writer, test_mcp_writer."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import StateError
from repartee.protocol import events as ev
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.items import FunctionCall, McpCall, Message
from tests.protocol.wire import Wire


def test_a_step_means_the_youngest_open_item_of_its_kind() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    writer: Any = wire.server.server.next_response()
    wire.say([*writer.begin_call("f", item_id="c1"), *writer.begin_call("g", item_id="c2")])
    wire.say([*writer.begin_mcp_call("h", "s", item_id="m1"), *writer.begin_message(item_id="a1")])
    [delta] = writer.arguments("{")
    assert (delta.item_id, delta.output_index) == ("c2", 1)
    wire.say([delta, *writer.end_call()])
    [delta] = writer.arguments("{")
    assert delta.item_id == "c1"
    wire.say([delta, *writer.finish()])  # ends all that is open, in the order in which it began
    output = wire.last(ev.ResponseDone).response.output
    assert [type(item) for item in output] == [FunctionCall, FunctionCall, McpCall, Message]
    assert [item.id for item in wire.client.conversation] == ["c1", "c2", "m1", "a1"]  # type: ignore[attr-defined]
    wire.assert_same()


def test_what_is_open_can_be_deleted() -> None:
    wire = Wire()
    wire.ask(ev.ResponseCreate())
    writer: Any = wire.server.server.next_response()
    wire.say(writer.begin_mcp_call("f", "s", item_id="m1"))
    wire.ask(ev.ConversationItemDelete(item_id="m1"))
    wire.say([*writer.end_mcp_call("late"), *writer.finish()])
    assert len(wire.client.conversation) == 0
    wire.assert_same()


def test_what_is_not_open_cannot_be_gone_on_with() -> None:
    server = Connection(SERVER)
    server.server.start()
    writer, _ = server.server.respond()
    with pytest.raises(StateError, match=r"has no open Message : begin one first|no open Message"):
        writer.end_message()
