"""Frames to events and back, fast for audio and exact for everything."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from fuzzing.fuzz_protocol import Fuzzer
from repartee.errors import RemoteProtocolError
from repartee.protocol import events as ev
from repartee.protocol.codec import (
    CodecLimits,
    decode_client_event,
    decode_object,
    decode_server_event,
    encode,
    encode_append,
    encode_object,
    param_of,
    read_append,
)
from repartee.protocol.config import AudioInputConfig, RealtimeSession, ServerVad, SessionAudio
from repartee.protocol.items import Message, UnknownContentPart
from repartee.protocol.model import UNSET, extra, with_extra

PCM = bytes(range(256)) * 2
WHERE: dict[str, Any] = {"response_id": "resp_1", "item_id": 'item_"ü', "output_index": 2, "content_index": 1}


@pytest.mark.parametrize("event_id", [UNSET, None, "e", 'quoted " \\ ü'])
def test_audio_takes_the_short_road_and_arrives_the_same(event_id: Any) -> None:
    append = ev.InputAudioBufferAppend(audio=PCM, event_id=event_id)
    assert decode_client_event(encode(append)) == append
    assert encode_append(PCM) == encode(ev.InputAudioBufferAppend(audio=PCM))
    spoken = ev.SessionInputAudioBufferAppend(audio=PCM, event_id=event_id)
    assert decode_client_event(encode(spoken)) == spoken
    delta = ev.ResponseOutputAudioDelta(delta=PCM, event_id=event_id, **WHERE)
    assert decode_server_event(encode(delta)) == delta
    for event in (append, spoken, delta):
        raw = json.loads(encode(event))
        assert base64.b64decode(raw.get("audio") or raw.get("delta")) == PCM
        assert raw.get("event_id", UNSET) == event_id


@pytest.mark.parametrize("event_id", [UNSET, "e", "x" * 512])
def test_a_plain_append_is_read_at_once(event_id: Any) -> None:
    frame = encode(ev.InputAudioBufferAppend(audio=PCM, event_id=event_id))
    assert read_append(frame) == PCM
    assert read_append(json.dumps(json.loads(frame)).encode()) == PCM, "however it is spaced"


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"input_audio_buffer.append","audio":"AAAA"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA","event_id":"%b"}' % (b"x" * 513),
        b'{"type":"input_audio_buffer.append","audio":"AAAA","event_id":null}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA","foo":1}',
        b'{"type":"input_audio_buffer.append","audio":"!"}',
        b'{"type":"input_audio_buffer.append"}',
        b'{"type":"input_audio_buffer.append","audio":"AAAA"',
        b'{"type":"input_audio_buffer.append","audio":"%b"}' % (b"A" * 2000),
        b'{"type":"input_audio_buffer.commit","event_id":"input_audio_buffer.append"}',
        b'{"type":"response.cancel"}',
    ],
)
def test_whatever_else_it_is_takes_the_ordinary_road(frame: bytes | str) -> None:
    assert read_append(frame, CodecLimits(append_bytes=1000)) is None


def test_the_short_road_and_the_long_one_lead_to_the_same() -> None:
    raw = {
        "type": "response.output_audio.delta",
        "event_id": "e",
        "delta": base64.b64encode(PCM).decode(),
        **WHERE,
    }
    short = decode_server_event(json.dumps(raw))
    late = {name: raw[name] for name in reversed(raw)}
    assert decode_server_event(json.dumps(late)) == short
    odd: Any = decode_server_event(json.dumps({**raw, "obfuscation": "x"}))
    assert odd == short
    assert extra(odd) == {"obfuscation": "x"}
    assert json.loads(encode(odd)) == {**raw, "obfuscation": "x"}
    misleading = {
        "type": "session.updated",
        "x": "response.output_audio.delta",
        "session": {"type": "realtime"},
    }
    assert isinstance(decode_server_event(json.dumps(misleading)), ev.SessionUpdated)


def test_absent_null_and_a_value_are_three_things() -> None:
    frames = [
        b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{%b}}}}' % inner
        for inner in (b"", b'"turn_detection":null', b'"turn_detection":{"type":"server_vad"}')
    ]
    found = []
    for frame in frames:
        event: Any = decode_client_event(frame)
        found.append(event.session.audio.input.turn_detection)
        assert encode(event) == frame
    assert found == [UNSET, None, ServerVad()]


def test_unknown_fields_survive_at_every_depth() -> None:
    raw = {
        "type": "conversation.item.added",
        "event_id": "e",
        "new": [1, {"deep": None}],
        "item": {
            "type": "message",
            "role": "assistant",
            "mood": "fine",
            "content": [{"type": "output_audio", "emotion": 3}, {"type": "hologram", "data": {"x": 1}}],
        },
    }
    event: Any = decode_server_event(json.dumps(raw))
    assert extra(event) == {"new": [1, {"deep": None}]}
    assert extra(event.item) == {"mood": "fine"}
    assert isinstance(event.item.content[1], UnknownContentPart)
    assert json.loads(encode(event)) == raw
    mine = with_extra(ev.ResponseCancel(), {"why": "because"})
    assert encode(mine) == b'{"type":"response.cancel","why":"because"}'


def test_unknown_events_are_kept_whole() -> None:
    event = decode_server_event('{"type":"ping","event_id":"e","n":[1]}')
    assert isinstance(event, ev.UnknownEvent)
    assert (event.type, event.event_id, event.raw["n"]) == ("ping", "e", [1])
    assert json.loads(encode(event)) == {"type": "ping", "event_id": "e", "n": [1]}


@pytest.mark.parametrize(
    "frame, code, param, words",
    [
        ("", "invalid_event", None, "not the JSON"),
        ("{", "invalid_event", None, "not the JSON"),
        ("[" * 100_000, "invalid_event", None, "nested too deeply"),
        (b'{"type":"\xff"}', "invalid_event", None, "not the JSON"),
        ("\ud800", "invalid_event", None, "surrogate"),
        ("[]", "invalid_event", None, "one JSON object"),
        ("{}", "invalid_event", None, "'type' field is missing"),
        ('{"type":5}', "invalid_type", "type", "expected str, got int"),
        ('{"type":"response.cancel","event_id":5}', "invalid_type", "event_id", "got int"),
        ('{"type":"session.update"}', "missing_required_parameter", "session", "Missing required"),
        ('{"type":"session.update","session":[]}', "invalid_type", "session", "expected object, got array"),
        (
            '{"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":'
            '{"type":"audio/pcm","rate":"fast"}}}}}',
            "invalid_type",
            "session.audio.input.format.rate",
            "expected int | null, got str",
        ),
        (
            '{"type":"conversation.item.create","item":{"type":"message","role":"user","content":'
            '[{"type":"input_text","text":"a"},{"type":"input_text","text":7}]}}',
            "invalid_type",
            "item.content[1].text",
            "got int",
        ),
        (
            '{"type":"conversation.item.create","item":{"type":"message","role":"user"}}',
            "missing_required_parameter",
            "item.content",
            "'item.content'",
        ),
        ('{"type":"conversation.item.create","item":{"type":7}}', "invalid_type", "item.type", "got int"),
        ('{"type":"input_audio_buffer.append","audio":"?"}', "invalid_value", "audio", "base64"),
        ('{"type":"input_audio_buffer.append","audio":7}', "invalid_type", "audio", "got int"),
    ],
)
def test_what_can_not_be_read_names_the_field(frame: Any, code: str, param: str | None, words: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_client_event(frame)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert words in str(caught.value)


def test_the_event_at_fault_is_named() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_client_event('{"type":"session.update","event_id":"mine"}')
    assert caught.value.event_id == "mine"


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    limits = CodecLimits(append_bytes=300, frame_bytes=1000)
    most = ev.InputAudioBufferAppend(audio=bytes(300))
    assert decode_client_event(encode(most), limits) == most
    for event in (
        ev.InputAudioBufferAppend(audio=bytes(304), event_id="mine"),
        ev.SessionInputAudioBufferAppend(audio=bytes(304), event_id="mine"),
    ):
        with pytest.raises(RemoteProtocolError, match="at most 300 are taken") as caught:
            decode_client_event(encode(event), limits)
        assert (caught.value.param, caught.value.event_id) == ("audio", "mine")
    for decode in (decode_client_event, decode_server_event, decode_object):
        with pytest.raises(RemoteProtocolError, match="at most 1000 are read"):
            decode("[" * 1001, limits)
    assert CodecLimits().append_bytes == 15 * 1024 * 1024


def test_objects_and_odd_things() -> None:
    assert decode_object(encode_object({"a": [None]})) == {"a": [None]}
    assert param_of("no path") == ("no path", "")
    with pytest.raises(TypeError, match="str is no event"):
        encode("x")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        encode(ev.ConversationItemCreate(item=Message(role="user", content=[object()])))  # type: ignore[list-item]
    update = ev.SessionUpdate(session=RealtimeSession(audio=SessionAudio(input=AudioInputConfig())))
    assert encode(update) == b'{"type":"session.update","session":{"type":"realtime","audio":{"input":{}}}}'


def test_two_thousand_spoilt_frames_are_read_or_refused() -> None:
    fuzzer = Fuzzer(random.Random(3))
    for _ in range(2000):
        fuzzer.once()
    assert fuzzer.refused > 200
    assert fuzzer.accepted > 200
