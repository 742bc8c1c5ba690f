"""Steps in, the recorded order out. The orders themselves: test_connection."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import StateError
from repartee.protocol import events as ev
from repartee.protocol.codec import encode
from repartee.protocol.config import AudioOutputConfig, PcmuAudio, RealtimeSession, SessionAudio, VoiceId
from repartee.protocol.connection import SERVER, Connection
from repartee.protocol.model import UNSET
from repartee.protocol.response_writer import ResponseWriter
from repartee.protocol.responses import ResponseAudio, ResponseError, ResponseParams, Usage
from repartee.protocol.sessions import default_session


def begin(**params: Any) -> tuple[ResponseWriter, Any]:
    server = Connection(SERVER, session=default_session(id="s", model="m"))
    server.server.start()
    writer, [created] = server.server.respond(ResponseParams(**params) if params else None)
    return writer, created


def types(events: list[Any]) -> list[str]:
    return [event.__struct_config__.tag for event in events]


def test_a_response_has_all_its_keys() -> None:
    _, created = begin()
    frame = encode(created).decode()
    for key in ("status_details", "usage", "metadata"):
        assert f'"{key}":null' in frame
    assert '"output":[]' in frame
    assert '"max_output_tokens":"inf"' in frame
    assert '"audio":{"output":{"format":{"type":"audio/pcm","rate":24000},"voice":"marin"}}' in frame


def test_a_response_is_as_it_was_asked_for() -> None:
    writer, created = begin(
        output_modalities=["text"],
        max_output_tokens=7,
        metadata={"k": "v"},
        conversation="none",
        audio=ResponseAudio(output=AudioOutputConfig(voice=VoiceId(id="mine"), format=PcmuAudio())),
    )
    response = created.response
    assert (writer.modality, response.output_modalities) == ("text", ["text"])
    assert (response.max_output_tokens, response.metadata, response.conversation_id) == (7, {"k": "v"}, None)
    assert (response.audio.output.voice, response.audio.output.format) == ("mine", PcmuAudio())
    assert not writer.in_conversation
    assert begin()[0].params == ResponseParams()


def test_the_session_says_what_the_client_does_not() -> None:
    session = RealtimeSession(output_modalities=["text"], max_output_tokens=9, audio=SessionAudio())
    server = Connection(SERVER, session=session)
    server.server.start()
    writer, [created] = server.server.respond()
    assert isinstance(created, ev.ResponseCreated)
    assert (writer.modality, created.response.max_output_tokens) == ("text", 9)


def test_a_message_begins_by_itself() -> None:
    writer, _ = begin()
    made: Any = writer.audio(b"xx")
    assert types(made)[-2:] == ["response.content_part.added", "response.output_audio.delta"]
    assert types(writer.transcript("a")) == ["response.output_audio_transcript.delta"]
    assert types(writer.end_message())[-1] == "response.output_item.done"
    assert types(writer.transcript("b"))[0] == "response.output_item.added"  # another message
    done: Any = writer.finish(usage=Usage(total_tokens=3))
    response = next(event for event in done if isinstance(event, ev.ResponseDone)).response
    assert [item.content[0].transcript for item in response.output] == ["a", "b"]  # type: ignore[union-attr]
    assert (response.usage, response.status_details) == (Usage(total_tokens=3), None)


def test_items_that_overlap_are_named() -> None:
    writer, _ = begin(output_modalities=["text"], conversation="none")
    writer.begin_message(item_id="m1")
    writer.begin_message(item_id="m2")
    [delta] = writer.text("x", item_id="m1")
    assert (delta.item_id, delta.output_index) == ("m1", 0)  # type: ignore[attr-defined]
    writer.begin_call("f", item_id="c1", call_id="one")
    writer.begin_call("g", item_id="c2")
    [delta] = writer.arguments("{}", item_id="c1")
    assert (delta.call_id, delta.output_index) == ("one", 2)  # type: ignore[attr-defined]
    assert types(writer.end_call("c1")) == [
        "response.function_call_arguments.done",
        "response.output_item.done",
    ]
    assert not any("conversation" in name for name in types(writer.end_message("m2")))
    with pytest.raises(StateError, match="no open FunctionCall c1"):
        writer.arguments("x", item_id="c1")


def test_the_wrong_modality_is_refused() -> None:
    with pytest.raises(StateError, match="is audio, not text"):
        begin()[0].text("x")
    with pytest.raises(StateError, match="is text, not audio"):
        begin(output_modalities=["text"])[0].transcript("x")


@pytest.mark.parametrize(
    "status, options, details",
    [
        ("incomplete", {"reason": "max_output_tokens"}, ("incomplete", "max_output_tokens", UNSET)),
        (
            "failed",
            {"error": ResponseError(code="insufficient_quota")},
            ("failed", UNSET, ResponseError(code="insufficient_quota")),
        ),
    ],
)
def test_a_response_that_does_not_end_well(status: str, options: Any, details: Any) -> None:
    writer, _ = begin()
    writer.begin_call("f")
    writer.arguments("{")
    made: Any = writer.finish(status, **options)
    assert "response.function_call_arguments.done" not in types(made)  # clients would run it
    response = next(event for event in made if isinstance(event, ev.ResponseDone)).response
    found: Any = response.status_details
    assert (response.status, found.type, found.reason, found.error) == (status, *details)
    assert [item.status for item in response.output] == ["incomplete"]  # type: ignore[union-attr]


def test_nothing_is_written_once_it_is_over() -> None:
    writer, _ = begin()
    assert types(writer.cancel()) == ["response.done", "rate_limits.updated"]
    assert writer.begin_message() == writer.begin_call("f") == writer.end_call() == writer.cancel() == []
