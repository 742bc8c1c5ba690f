"""Any legal conversation with a server that has more to do: MCP tools that it runs, approvals, the sound itself."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from repartee.errors import LocalProtocolError
from repartee.protocol import events as ev
from repartee.protocol.items import (
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpListedTool,
    Message,
)
from repartee.protocol.playback_writer import HeardItem
from repartee.protocol.response_flow import OutputItem
from repartee.protocol.responses import ResponseParams
from repartee.protocol.tables import ItemState
from tests.protocol.wire import MS, Wire

TOOL = McpListedTool(name="f", input_schema={"type": "object"})
RESULTS = ["42", McpError(type="tool_execution_error", message="no")]
RACES = {"conversation_already_has_active_response", "response_cancel_not_active"}


class Served(RuleBasedStateMachine):
    """Client and server act in any order, and frames are delivered late, one by one, each way in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.writers: list[Any] = []
        self.listing: Any = None
        self.wire.server.server.playback.heard = self.heard

    def ask(self, event: Any) -> None:
        """Send, if the client's side lets it."""
        try:
            self.wire.ask(event, flush=False)
        except LocalProtocolError:
            return

    def say(self, events: list[Any]) -> None:
        self.wire.say(events, flush=False)
        while writer := self.wire.server.server.next_response():
            self.writers.append(writer)
        self.writers = [each for each in self.writers if not each.finished]

    # -- the wire

    @rule(up=st.integers(0, 4), down=st.integers(0, 20))
    def deliver(self, up: int, down: int) -> None:
        for _ in range(min(up, len(self.wire.up))):
            self.wire.take_up()
        for _ in range(min(down, len(self.wire.down))):
            self.wire.take_down()
        self.say([])

    # -- the client

    @rule(place=st.sampled_from(["auto", "auto", "none"]))
    def respond(self, place: str) -> None:
        self.ask(ev.ResponseCreate(response=ResponseParams(conversation=place)))
        self.wire.flush()
        self.say([])

    @rule(event=st.sampled_from([ev.ResponseCancel(), ev.OutputAudioBufferClear()]))
    def cut(self, event: Any) -> None:
        self.ask(event)

    @precondition(lambda self: self.wire.client.conversation.ids)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        item_id = data.draw(st.sampled_from(self.wire.client.conversation.ids))
        self.ask(ev.ConversationItemDelete(item_id=item_id))

    @rule(data=st.data(), approve=st.booleans())
    def approve(self, data: st.DataObject, approve: bool) -> None:
        asked = [str(i.id) for i in self.wire.client.conversation if isinstance(i, McpApprovalRequest)]
        wanted = data.draw(st.sampled_from([*asked, "nobody's"]))
        answer = McpApprovalResponse(approval_request_id=wanted, approve=approve)
        self.ask(ev.ConversationItemCreate(item=answer))

    # -- the server

    @rule(fails=st.booleans())
    def list_tools(self, fails: bool) -> None:
        if self.listing is None:
            self.listing, made = self.wire.server.server.list_mcp_tools("house")
            self.say(made)
        else:
            self.say(self.listing.failed() if fails else self.listing.completed([TOOL]))
            self.listing = None

    def writer(self, data: st.DataObject) -> Any:
        """One that is being written; the server begins one by itself where none is."""
        if not self.writers:
            writer, made = self.wire.server.server.respond()
            self.writers.append(writer)
            self.say(made)
        return data.draw(st.sampled_from(self.writers))

    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        writer = self.writer(data)
        self.say([*writer.begin_mcp_call("f", "house"), *writer.mcp_arguments("{}")])

    @rule(data=st.data(), ends=st.booleans())
    def run_or_end_a_call(self, data: st.DataObject, ends: bool) -> None:
        writer = self.writer(data)
        if not any(isinstance(each.item, McpCall) for each in self.items_of(writer).values()):
            self.say(writer.begin_mcp_call("g", "house"))
        items = self.items_of(writer).items()
        calls = [i for i, each in items if isinstance(each.item, McpCall) and each.state is ItemState.OPEN]
        if calls:
            item_id = data.draw(st.sampled_from(calls))
            result = data.draw(st.sampled_from(RESULTS))
            self.say(writer.end_mcp_call(result, item_id=item_id) if ends else writer.mcp_running(item_id))

    def items_of(self, writer: Any) -> dict[str, OutputItem]:
        return self.wire.server.flow.responses[writer.id].items

    @rule(data=st.data(), step=st.sampled_from(["speak", "speak", "speak", "ask", "end"]))
    def generate(self, data: st.DataObject, step: str) -> None:
        writer = self.writer(data)
        if step == "speak":
            self.say([*writer.transcript("word "), *writer.audio(bytes(100 * MS))])
        elif step == "ask":
            self.say(writer.ask_approval("f", "house", "{}"))
        else:
            self.say(writer.finish())

    @rule(stop=st.booleans())
    def play(self, stop: bool) -> None:
        """Whatever has audio is played, and what is generated not to its end."""
        flow, playback = self.wire.server.flow, self.wire.server.server.playback
        if playback.response_id is None:
            spoken = [response_id for response_id, each in flow.responses.items() if each.has_audio]
            self.say(playback.started(spoken[0]) if spoken else [])
        elif stop and playback.response_id not in flow.responses:
            self.say(playback.stopped())

    @rule()
    def interrupt(self) -> None:
        item = self.wire.server.server.user_item()
        if self.wire.server.flow.input_item_id is None:
            self.say([*item.speech_started(0), *item.speech_stopped(500), *item.commit()])

    def heard(self) -> HeardItem | None:
        said = [i for i in self.wire.server.conversation if isinstance(i, Message) and i.role == "assistant"]
        return HeardItem(str(said[-1].id), 70) if said else None

    # -- what holds

    def teardown(self) -> None:
        self.wire.flush()
        self.say([])
        for writer in self.writers:
            self.wire.say(writer.finish())
        assert {error.code for error in self.wire.errors()} <= RACES
        self.wire.assert_same()
        unanswered = self.wire.client.requests.pending
        # Where nothing is played there is nothing to answer a clear with.
        assert {type(request) for request in unanswered} <= {ev.OutputAudioBufferClear}
        assert not self.wire.client.flow.responses


TestServed = Served.TestCase
TestServed.settings = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
