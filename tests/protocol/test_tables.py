"""The tables by themselves: every state can be reached and, but for the last, left; the recorded orders are in them."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import ProtocolError
from repartee.protocol.events import ClientEvent, ServerEvent
from repartee.protocol.tables import (
    INPUT_TABLE,
    ITEM_TABLE,
    MCP_LIST_TABLE,
    PART_TABLE,
    PLAYBACK_TABLE,
    SESSION_TABLE,
    InputState,
    ItemState,
    McpListState,
    PartState,
    PlaybackState,
    SessionState,
    step,
)

TABLES: list[tuple[Any, Any, set[Any], set[Any]]] = [
    # table, states, where it begins, where it ends
    (SESSION_TABLE, SessionState, {SessionState.CONNECTING}, {SessionState.CLOSED}),
    (INPUT_TABLE, InputState, {InputState.IDLE}, set()),
    (ITEM_TABLE, ItemState, {ItemState.OPEN}, {ItemState.DONE}),
    (
        PART_TABLE,
        PartState,
        {PartState.TEXT, PartState.AUDIO, PartState.ARGUMENTS, PartState.MCP_ARGUMENTS},
        {PartState.DONE},
    ),
    (MCP_LIST_TABLE, McpListState, {McpListState.ADDED}, {McpListState.ENDED}),
    (PLAYBACK_TABLE, PlaybackState, {PlaybackState.IDLE}, set()),
]


@pytest.mark.parametrize("table, states, begin, end", TABLES)
def test_every_state_is_reached_and_left(table: Any, states: Any, begin: set[Any], end: set[Any]) -> None:
    assert {before for before, _ in table} == set(states) - end
    assert set(table.values()) | begin == set(states)


@pytest.mark.parametrize("table", [table for table, *_ in TABLES])
def test_every_event_exists(table: Any) -> None:
    assert {name for _, name in table} <= {*ServerEvent.members, *ClientEvent.members}


def walk(table: Any, state: Any, *names: str) -> Any:
    for name in names:
        state = step(table, state, name)
    return state


def test_the_recorded_orders() -> None:
    buffer = [f"input_audio_buffer.{name}" for name in ("speech_started", "speech_stopped", "committed")]
    assert walk(INPUT_TABLE, InputState.IDLE, *buffer, "conversation.item.added") is InputState.IDLE
    audio = "response.output_audio"
    names = [f"{audio}_transcript.delta", f"{audio}.delta", f"{audio}.done", f"{audio}_transcript.done"]
    assert walk(PART_TABLE, PartState.AUDIO, *names, "response.content_part.done") is PartState.DONE


def test_what_is_not_in_the_table_says_what_is() -> None:
    with pytest.raises(ProtocolError) as caught:
        step(INPUT_TABLE, InputState.STOPPED, "input_audio_buffer.speech_started")
    assert str(caught.value) == (
        "input_audio_buffer.speech_started is not possible now: the input is 'stopped', where "
        "input_audio_buffer.cleared, input_audio_buffer.committed may follow."
    )
    with pytest.raises(ProtocolError, match="nothing may follow"):
        step(ITEM_TABLE, ItemState.DONE, "response.output_item.done")
