from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import ProtocolError
from repartee.protocol import events as ev
from repartee.protocol.items import AudioPart, FunctionCall, InputText, McpCall, Message, TextPart
from repartee.protocol.response_flow import OutputItem, ResponseFlow
from repartee.protocol.responses import Response
from repartee.protocol.tables import ItemState, PartState

MESSAGE = Message(id="a", role="assistant", status="in_progress", content=[])
CALL = FunctionCall(id="f", call_id="c", name="n", arguments="")


def added(item: Any, index: int = 0) -> ev.ResponseOutputItemAdded:
    return ev.ResponseOutputItemAdded(response_id="r", output_index=index, item=item)


def ended(item: Any, index: int = 0) -> ev.ResponseOutputItemDone:
    return ev.ResponseOutputItemDone(response_id="r", output_index=index, item=item)


def where(item_id: str = "a", index: int = 0, content: int | None = 0) -> dict[str, Any]:
    found: dict[str, Any] = {"response_id": "r", "item_id": item_id, "output_index": index}
    return found if content is None else {**found, "content_index": content}


def part(made: Any, **at: Any) -> ev.ResponseContentPartAdded:
    return ev.ResponseContentPartAdded(part=made, **where(**at))


TEXT = ev.ResponseOutputTextDelta(delta="x", **where())
DONE = ev.ResponseDone(response=Response(id="r"))
ARGUMENTS = ev.ResponseFunctionCallArgumentsDelta(call_id="c", delta="x", **where("f", content=None))


@pytest.mark.parametrize(
    "before, event, words",
    [
        ([], added(Message(role="assistant", content=[])), "needs an id"),
        ([], added(MESSAGE, 1), "next output_index is 0"),
        ([added(MESSAGE)], added(MESSAGE, 1), "was added to response r before"),
        ([added(MESSAGE)], DONE, "ends while its item a is 'open'"),
        ([added(MESSAGE)], TEXT, "has no part 0"),
        ([added(MESSAGE)], part(TextPart(), content=1), "next content_index is 0"),
        ([added(MESSAGE)], part(TextPart(), index=1), "output_index of that item is 0"),
        ([added(MESSAGE)], part(InputText()), "of type text or audio"),
        ([added(CALL)], part(TextPart(), item_id="f"), "Only messages"),
        ([added(MESSAGE), ended(MESSAGE)], part(TextPart()), "no part can be added"),
        ([added(MESSAGE), part(AudioPart())], TEXT, "output_text.delta is not possible"),
        ([added(MESSAGE), part(TextPart())], ended(MESSAGE), "ends while its part 0 is 'text'"),
        ([added(CALL)], ended(CALL), "ends while its part 0 is 'arguments'"),
        ([added(MESSAGE)], ARGUMENTS, "has no item 'f'"),
    ],
)
def test_what_is_out_of_order(before: list[Any], event: Any, words: str) -> None:
    flow = ResponseFlow("r", in_conversation=False, bytes_per_ms=48)
    for each in before:
        flow.check(each) if each is not before[-1] else None
        flow.apply(each)
    with pytest.raises(ProtocolError, match=words):
        flow.check(event)
    flow.apply(event)  # never raises


def test_the_conversation_has_an_item_first() -> None:
    flow = ResponseFlow("r", in_conversation=True, bytes_per_ms=48)
    flow.apply(added(MESSAGE))
    with pytest.raises(ProtocolError, match=r"output_item\.done is not possible now: the item is 'open'"):
        flow.check(ended(MESSAGE))
    flow.check_item_done(MESSAGE)
    flow.settle("a")
    flow.check(ended(MESSAGE))
    flow.apply(ended(MESSAGE))
    assert flow.items["a"].state is ItemState.DONE
    flow.check(DONE)


def test_a_call_that_was_cut_off_needs_no_complete_arguments() -> None:
    for item in (
        FunctionCall(id="f", name="n", arguments="{", status="incomplete"),
        McpCall(id="f", server_label="s", name="n", arguments="{"),
    ):
        found = OutputItem(item, 0)
        assert found.parts == {
            0: PartState.MCP_ARGUMENTS if isinstance(item, McpCall) else PartState.ARGUMENTS
        }
        found.check_complete(item)
