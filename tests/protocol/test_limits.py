from __future__ import annotations

import json

import pytest

from repartee.errors import ProtocolError
from repartee.protocol.codec import decode_client_event
from repartee.protocol.limits import check_values


def session(**fields: object) -> str:
    return json.dumps({"type": "session.update", "session": {"type": "realtime", **fields}})


def hears(**fields: object) -> str:
    return session(audio={"input": fields})


def detects(**fields: object) -> str:
    return hears(turn_detection={"type": "server_vad", **fields})


def response(**fields: object) -> str:
    return json.dumps({"type": "response.create", "response": fields})


RIGHT = [
    session(
        output_modalities=["text"], max_output_tokens=4096, tool_choice={"type": "function", "name": "f"}
    ),
    session(
        max_output_tokens="inf", truncation={"type": "retention_ratio", "retention_ratio": 1}, tracing="auto"
    ),
    session(output_modalities=None, audio=None, tools=None, reasoning={"effort": "xhigh"}),
    session(audio={"output": {"speed": 0.25, "voice": "anything", "format": {"type": "audio/pcmu"}}}),
    detects(threshold=0, idle_timeout_ms=30_000, silence_duration_ms=200, prefix_padding_ms=0),
    hears(turn_detection={"type": "semantic_vad", "eagerness": "auto"}, noise_reduction=None),
    response(conversation="none", metadata={"k" * 64: "v" * 512}),
    '{"type":"response.create"}',
    '{"type":"response.cancel","event_id":"%s"}' % ("e" * 512),
]

WRONG = [
    (session(output_modalities=["text", "audio"]), "session.output_modalities"),
    (session(max_output_tokens=4097), "session.max_output_tokens"),
    (session(max_output_tokens="lots"), "session.max_output_tokens"),
    (session(tool_choice="maybe"), "session.tool_choice"),
    (session(truncation="never"), "session.truncation"),
    (
        session(truncation={"type": "retention_ratio", "retention_ratio": 2}),
        "session.truncation.retention_ratio",
    ),
    (session(tracing="manual"), "session.tracing"),
    (session(reasoning={"effort": "some"}), "session.reasoning.effort"),
    (session(tools=[{"type": "function"}, {"type": "magic"}]), "session.tools[1].type"),
    (session(audio={"output": {"speed": 2}}), "session.audio.output.speed"),
    (session(audio={"output": {"format": {"type": "mp3"}}}), "session.audio.output.format.type"),
    (hears(format={"type": "audio/pcm", "rate": 16000}), "session.audio.input.format.rate"),
    (hears(format={"rate": 24000}), "session.audio.input.format.type"),
    (hears(noise_reduction={"type": "magic"}), "session.audio.input.noise_reduction.type"),
    (hears(transcription={"delay": "none"}), "session.audio.input.transcription.delay"),
    (hears(turn_detection={"type": "psychic"}), "session.audio.input.turn_detection.type"),
    (
        hears(turn_detection={"type": "semantic_vad", "eagerness": "very"}),
        "session.audio.input.turn_detection.eagerness",
    ),
    (detects(threshold=1.1), "session.audio.input.turn_detection.threshold"),
    (detects(idle_timeout_ms=4999), "session.audio.input.turn_detection.idle_timeout_ms"),
    (detects(silence_duration_ms=-1), "session.audio.input.turn_detection.silence_duration_ms"),
    (response(conversation="mine"), "response.conversation"),
    (response(metadata={str(i): "" for i in range(17)}), "response.metadata"),
    (response(metadata={"k" * 65: ""}), "response.metadata"),
    (response(metadata={"k": "v" * 513}), "response.metadata"),
    (response(input=[{"type": "message", "role": "boss", "content": []}]), "response.input[0].role"),
    ('{"type":"response.cancel","event_id":"%s"}' % ("e" * 513), "event_id"),
    (
        '{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[],"id":""}}',
        "item.id",
    ),
]


@pytest.mark.parametrize("frame", RIGHT)
def test_what_may_be_said(frame: str) -> None:
    check_values(decode_client_event(frame))


@pytest.mark.parametrize("frame, param", WRONG)
def test_what_may_not(frame: str, param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_values(decode_client_event(frame))
    assert caught.value.param == param
    assert param in str(caught.value)
