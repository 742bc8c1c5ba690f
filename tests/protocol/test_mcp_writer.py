"""What the server does itself, between two ends: lists of tools, calls that may run long, and approvals (G5)."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import LocalProtocolError, StateError
from repartee.protocol import events as ev
from repartee.protocol.items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpListedTool,
    McpListTools,
)
from repartee.protocol.model import UNSET
from repartee.protocol.output_writer import CUT_OFF
from repartee.protocol.responses import ResponseParams
from tests.protocol.wire import Wire

TOOL = McpListedTool(name="weather", input_schema={"type": "object"}, description="Tells the weather.")


def responding(**params: Any) -> tuple[Wire, Any]:
    wire = Wire()
    wire.ask(ev.ResponseCreate(response=ResponseParams(**params)))
    writer = wire.server.server.next_response()
    wire.taken()
    return wire, writer


def called(wire: Wire) -> McpCall:
    """The call as the conversation of the client has it."""
    [found] = [item for item in wire.client.conversation if isinstance(item, McpCall)]
    return found


# ---------------------------------------------------------------------------------------------------------- lists


def test_a_list_of_tools() -> None:
    wire = Wire()
    wire.taken()
    writer, made = wire.server.server.list_mcp_tools("house", item_id="list_1")
    wire.say(made)
    assert list(wire.client.conversation) == [McpListTools(id="list_1", server_label="house", tools=[])]
    wire.say(writer.completed([TOOL]))
    assert wire.taken() == [
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ]
    assert list(wire.client.conversation) == [McpListTools(id="list_1", server_label="house", tools=[TOOL])]
    assert writer.completed([]) == writer.failed() == []
    wire.assert_same()


def test_a_list_that_fails_is_empty() -> None:
    wire = Wire()
    wire.taken()
    writer, made = wire.server.server.list_mcp_tools("house")
    wire.say([*made, *writer.failed()])
    assert wire.taken()[1:] == [
        "mcp_list_tools.in_progress",
        "mcp_list_tools.failed",
        "conversation.item.done",
    ]
    assert next(iter(wire.client.conversation)).tools == []  # type: ignore[attr-defined]


def test_a_list_that_was_deleted_is_not_told() -> None:
    wire = Wire()
    writer, made = wire.server.server.list_mcp_tools("house")
    wire.say(made)
    wire.ask(ev.ConversationItemDelete(item_id=writer.item_id))
    assert writer.completed([TOOL]) == []
    wire.assert_same()


# ---------------------------------------------------------------------------------------------------------- calls


def test_a_call_in_its_order() -> None:
    wire, writer = responding()
    wire.say(writer.begin_mcp_call("weather", "house", item_id="call_1"))
    wire.say([*writer.mcp_arguments('{"city":'), *writer.mcp_arguments('"Bern"}'), *writer.mcp_running()])
    assert wire.taken() == [
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
    ]
    assert wire.last(ev.ResponseMcpCallArgumentsDone).arguments == '{"city":"Bern"}'
    assert called(wire).output is UNSET
    wire.say([*writer.end_mcp_call("sunny"), *writer.transcript("It is sunny."), *writer.finish()])
    assert wire.taken()[:3] == [
        "response.mcp_call.completed",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert called(wire) == McpCall(
        id="call_1", server_label="house", name="weather", arguments='{"city":"Bern"}', output="sunny"
    )
    assert wire.last(ev.ResponseDone).response.output[0] == called(wire)
    wire.assert_same()


def test_a_call_that_fails() -> None:
    wire, writer = responding()
    error = McpError(type="http_error", code=503, message="busy")
    wire.say([*writer.begin_mcp_call("weather", "house"), *writer.end_mcp_call(error)])
    assert wire.taken()[2:5] == [  # the arguments are complete, and it ran, in any case
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.failed",
    ]
    assert (called(wire).error, called(wire).output) == (error, UNSET)


def test_a_long_call_runs_beside_what_is_said() -> None:
    wire, writer = responding()
    wire.say([*writer.begin_mcp_call("slow", "house", item_id="one"), *writer.mcp_running()])
    wire.say([*writer.transcript("One moment."), *writer.audio(bytes(4800)), *writer.end_message()])
    wire.say([*writer.begin_mcp_call("quick", "house", item_id="two"), *writer.end_mcp_call("done")])
    assert writer.mcp_running("one") == []
    wire.say([*writer.end_mcp_call("at last", item_id="one"), *writer.finish()])
    output = wire.last(ev.ResponseDone).response.output
    assert [getattr(item, "output", None) for item in output] == ["at last", None, "done"]
    wire.assert_same()


@pytest.mark.parametrize("running, ended", [(True, ["response.mcp_call.failed"]), (False, [])])
def test_a_call_that_is_cut_off_says_that_it_may_have_had_its_effect(running: bool, ended: list[str]) -> None:
    wire, writer = responding()
    wire.say([*writer.begin_mcp_call("pay", "bank"), *writer.mcp_arguments('{"euros"')])
    if running:
        wire.say([*writer.mcp_arguments(":5}"), *writer.mcp_running()])
    wire.taken()
    wire.ask(ev.ResponseCancel())
    assert wire.taken()[:-2] == [*ended, "conversation.item.done", "response.output_item.done"]
    assert called(wire).error == CUT_OFF
    assert called(wire).arguments == ('{"euros":5}' if running else '{"euros"')
    assert writer.end_mcp_call("paid") == writer.mcp_arguments("x") == writer.mcp_running() == []
    assert writer.begin_mcp_call("pay", "bank") == writer.ask_approval("pay", "bank", "{}") == []
    wire.assert_same()


def test_a_call_out_of_band_is_no_item_of_the_conversation() -> None:
    wire, writer = responding(conversation="none")
    wire.say([*writer.begin_mcp_call("weather", "house"), *writer.end_mcp_call("sunny"), *writer.finish()])
    assert not any(name.startswith("conversation") for name in wire.taken())
    assert len(wire.client.conversation) == 0


def test_what_is_not_possible() -> None:
    _, writer = responding()
    with pytest.raises(StateError, match="no open McpCall"):
        writer.mcp_running()
    writer.begin_call("mine")
    with pytest.raises(StateError, match="no open McpCall"):
        writer.end_mcp_call("x")
    writer.begin_mcp_call("weather", "house", item_id="call_1")
    writer.mcp_running()
    with pytest.raises(StateError, match="call_1 runs already"):
        writer.mcp_arguments("{}")


def test_the_tables_hold_for_who_sends_by_hand() -> None:
    wire, writer = responding()
    writer.begin_mcp_call("weather", "house", item_id="call_1")
    with pytest.raises(
        LocalProtocolError, match="in_progress is not possible now: the part is 'MCP arguments'"
    ):
        wire.server.send(ev.ResponseMcpCallInProgress(item_id="call_1", output_index=0))
    writer.mcp_running()
    with pytest.raises(LocalProtocolError, match="output_index of that item is 0"):
        wire.server.send(ev.ResponseMcpCallCompleted(item_id="call_1", output_index=3))
    item = McpCall(id="call_1", server_label="house", name="weather", arguments="", output="x")
    with pytest.raises(LocalProtocolError, match="ends while its part 0 is 'running'"):
        wire.server.send(ev.ConversationItemDone(item=item))


# ------------------------------------------------------------------------------------------------------- approvals


def test_an_approval() -> None:
    wire, writer = responding()
    wire.say([*writer.ask_approval("pay", "bank", '{"euros":5}', item_id="ask_1"), *writer.finish()])
    assert wire.taken()[:4] == [
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
    ]
    request = McpApprovalRequest(id="ask_1", server_label="bank", name="pay", arguments='{"euros":5}')
    assert list(wire.client.conversation) == [request]
    wire.ask(ev.ConversationItemCreate(item=McpApprovalResponse(approval_request_id="ask_1", approve=True)))
    assert wire.taken()[-2:] == ["conversation.item.added", "conversation.item.done"]
    writer, made = wire.server.server.respond()
    wire.say(made)
    wire.say(writer.begin_mcp_call("pay", "bank", approval_request_id="ask_1"))
    wire.say([*writer.mcp_arguments('{"euros":5}'), *writer.end_mcp_call("paid"), *writer.finish()])
    assert called(wire).approval_request_id == "ask_1"
    wire.assert_same()


def test_an_approval_may_come_while_its_response_waits_for_it() -> None:
    wire, writer = responding()
    wire.say(writer.ask_approval("pay", "bank", "{}", item_id="ask_1"))
    answer = McpApprovalResponse(id="yes", approval_request_id="ask_1", approve=False, reason="no")
    wire.ask(ev.ConversationItemCreate(item=answer))
    assert wire.client.conversation.ids == ("ask_1", "yes")


@pytest.mark.parametrize(
    "approval_request_id, words", [("no", "with the id 'no'"), ("ask_1", "answered before")]
)
def test_an_approval_of_nothing_is_refused_at_both_ends(approval_request_id: str, words: str) -> None:
    wire, writer = responding()
    wire.say([*writer.ask_approval("pay", "bank", "{}", item_id="ask_1"), *writer.finish()])
    wire.ask(ev.ConversationItemCreate(item=McpApprovalResponse(approval_request_id="ask_1", approve=True)))
    second = McpApprovalResponse(approval_request_id=approval_request_id, approve=True)
    with pytest.raises(LocalProtocolError, match=words):
        wire.client.send(ev.ConversationItemCreate(item=second))
    [error] = wire.force(ev.ConversationItemCreate(item=second))
    assert (error.error.code, error.error.param) == ("invalid_value", "item.approval_request_id")
    assert words in error.error.message
