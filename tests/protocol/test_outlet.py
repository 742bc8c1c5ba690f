from __future__ import annotations

import pytest

from repartee.errors import LocalProtocolError
from repartee.protocol import events as ev
from repartee.protocol.config import RealtimeSession
from repartee.protocol.flow import Flow
from repartee.protocol.items import FunctionCall, InputAudio, InputImage, Message, OutputAudio, UnknownItem
from repartee.protocol.model import UNSET
from repartee.protocol.outlet import Outlet, counted_ids, normalised


def test_ids_count_and_are_short_enough() -> None:
    one, other = counted_ids("s"), counted_ids("c")
    assert one("item") == "item_s00000000000000000001"
    assert one("item") != one("item") != other("item")
    assert len(one("event")) <= 32


def test_events_are_given_ids_and_taken_in() -> None:
    flow = Flow("realtime", strict=True)
    outlet = Outlet(flow, counted_ids())
    [made] = outlet.emit(ev.SessionCreated(session=RealtimeSession()))
    assert isinstance(made, ev.SessionCreated)
    assert made.event_id == "event_000000000000000000001"
    assert flow.session == RealtimeSession()
    [own] = outlet.emit(ev.RateLimitsUpdated(event_id="mine", rate_limits=[]))
    assert own == ev.RateLimitsUpdated(event_id="mine", rate_limits=[])
    with pytest.raises(LocalProtocolError, match="no item 'x'"):
        outlet.emit(ev.ConversationItemDeleted(item_id="x"))


def test_items_are_told_without_nulls_and_audio() -> None:
    heard = Message(
        role="user",
        status=None,
        content=[InputAudio(audio=b"xx"), InputImage(image_url="data:", detail=None)],
    )
    assert normalised(heard, "i") == Message(
        id="i",
        role="user",
        status="completed",
        content=[InputAudio(transcript=None), InputImage(image_url="data:", detail=UNSET)],
    )
    said = Message(role="assistant", content=[OutputAudio(audio=b"xx", transcript=None)])
    assert normalised(said, "i").content == [OutputAudio()]  # type: ignore[attr-defined]
    call = FunctionCall(name="f", arguments="{}", call_id=None)
    assert normalised(call, "i") == FunctionCall(id="i", name="f", arguments="{}", status="completed")
    assert normalised(UnknownItem({"type": "x"}), "i") == UnknownItem({"type": "x"})
