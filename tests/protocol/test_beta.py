"""The beta's names, both directions, both roles."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repartee.errors import RemoteProtocolError
from repartee.protocol import events as ev
from repartee.protocol.beta import (
    EVENT_NAMES,
    FORMATS,
    PART_TYPES,
    RESPONSE_FIELDS,
    SESSION_FIELDS,
    BetaDialect,
)
from repartee.protocol.config import RealtimeSession, ServerVad, TranscriptionSession
from repartee.protocol.connection import CLIENT, SERVER, Connection
from repartee.protocol.model import UNSET
from repartee.protocol.sessions import default_session, input_of, output_of


def test_the_tables_can_be_read_both_ways() -> None:
    for table in (EVENT_NAMES, FORMATS, PART_TYPES, SESSION_FIELDS, RESPONSE_FIELDS):
        assert len(set(table.values())) == len(table)


FLAT = {
    "modalities": ["text", "audio"],
    "instructions": "x",
    "voice": "sage",
    "input_audio_format": "pcm16",
    "output_audio_format": "g711_ulaw",
    "input_audio_transcription": {"model": "whisper-1"},
    "turn_detection": {"type": "server_vad", "threshold": 0.4},
    "tools": [],
    "max_response_output_tokens": "inf",
}


def test_a_flat_session_becomes_a_deep_one_and_back() -> None:
    dialect = BetaDialect()
    frame = json.dumps({"type": "session.update", "session": {**FLAT, "temperature": 0.8}})
    [update] = dialect.decode_client_event(frame)
    assert isinstance(update, ev.SessionUpdate)
    session = update.session
    assert isinstance(session, RealtimeSession)
    assert session.output_modalities == ["audio"]
    assert input_of(session).turn_detection == ServerVad(threshold=0.4)
    assert input_of(session).noise_reduction is UNSET
    assert output_of(session).voice == "sage"
    [again] = dialect.encode(update)
    assert json.loads(again) == {"type": "session.update", "session": FLAT}


def test_null_stays_null() -> None:
    [update] = BetaDialect().decode_client_event(
        '{"type":"session.update","session":{"turn_detection":null}}'
    )
    assert isinstance(update, ev.SessionUpdate)
    assert input_of(update.session).turn_detection is None


def test_a_transcription_session_has_names_of_its_own() -> None:
    dialect = BetaDialect(transcription=True)
    [update] = dialect.decode_client_event(
        '{"type":"transcription_session.update","session":{"input_audio_format":"pcm16"}}'
    )
    assert isinstance(update, ev.SessionUpdate)
    assert isinstance(update.session, TranscriptionSession)
    created = ev.SessionCreated(event_id="e", session=default_session("transcription", id="s"))
    assert b'"transcription_session.created"' in dialect.encode(created)[0]


def talk(through: Any) -> tuple[Connection, Connection, list[str]]:
    """A spoken turn from a server to a client, each frame through something."""
    server, client = (
        Connection(SERVER, session=default_session(id="s", model="m")),
        Connection(CLIENT, strict=True),
    )
    names: list[str] = []

    def say(events: list[Any]) -> None:
        for event in events:
            for frame in through.encode(event):
                names.append(json.loads(frame)["type"])
                for each in through.decode_server_event(frame):
                    client.receive(each)

    say(server.server.start())
    item = server.server.user_item()
    say([*item.speech_started(0), *item.speech_stopped(9), *item.commit()])
    writer = server.server.next_response()
    assert writer is not None
    say([*writer.transcript("Hello"), *writer.audio(b"xx"), *writer.begin_call("f"), *writer.arguments("{}")])
    say(writer.finish())
    return server, client, names


def test_a_turn_in_the_betas_names_makes_the_same_conversation() -> None:
    server, client, names = talk(BetaDialect())
    assert list(client.conversation) == list(server.conversation)
    assert client.session == server.session
    assert all(entry and entry.done for entry in map(client.conversation.entry, client.conversation.ids))
    assert names[4:] == [
        "conversation.item.created",
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.audio_transcript.delta",
        "response.audio.delta",
        "response.output_item.added",
        "conversation.item.created",
        "response.function_call_arguments.delta",
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]


def test_content_types_are_the_betas() -> None:
    response = {
        "type": "response.done",
        "event_id": "e",
        "response": {
            "modalities": ["text"],
            "voice": "sage",
            "output_audio_format": "g711_alaw",
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "text", "text": "x"}]}],
        },
    }
    dialect = BetaDialect()
    [event] = dialect.decode_server_event(json.dumps(response))
    assert isinstance(event, ev.ResponseDone)
    assert event.response.output[0].content[0].text == "x"  # type: ignore[index,union-attr]
    assert json.loads(dialect.encode(event)[0]) == response
    part = {"type": "response.content_part.added", "part": {"type": "audio"}}
    assert dialect.to_beta(part) == [part]


_json = st.recursive(
    st.none() | st.integers() | st.sampled_from(["audio", "message", "pcm16", "assistant", "in_progress"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "session", "response", "item", "audio", "voice", "input_audio_format", "output", "input",
             "content", "role", "status", "id", "modalities", "turn_detection"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.sampled_from(
        [*EVENT_NAMES.values(), *EVENT_NAMES, "session.update", "response.create", "response.done"]
    ),
    st.dictionaries(st.sampled_from(["session", "response", "item", "part"]), _json, max_size=3),
)
def test_whatever_comes_is_translated_or_refused(event_type: str, fields: dict[str, Any]) -> None:
    dialect = BetaDialect()
    frame = json.dumps({"type": event_type, **fields})
    for decode in (dialect.decode_client_event, dialect.decode_server_event):
        with contextlib.suppress(RemoteProtocolError):  # the only thing that may be raised
            for event in decode(frame):
                dialect.encode(event)
    with pytest.raises(RemoteProtocolError):
        dialect.decode_client_event("[]")
