from __future__ import annotations

from typing import Any

import pytest

from repartee.protocol.config import (
    AudioInputConfig,
    AudioOutputConfig,
    NoiseReduction,
    PcmaAudio,
    PcmAudio,
    PcmuAudio,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionAudio,
    Transcription,
    TranscriptionSession,
    TranslationSession,
    UnknownSession,
    VoiceId,
)
from repartee.protocol.model import UNSET, to_raw
from repartee.protocol.sessions import (
    SessionKind,
    bytes_per_ms,
    default_session,
    input_of,
    kind_of,
    merge,
    output_of,
    turn_detection_of,
)
from repartee.protocol.tools import FunctionTool


def start() -> RealtimeSession:
    session = default_session(id="s", model="m", expires_at=9)
    assert isinstance(session, RealtimeSession)
    return session


def updated(update: RealtimeSession, session: RealtimeSession | None = None) -> Any:
    return merge(session or start(), update, start())


def hears(**fields: Any) -> RealtimeSession:
    return RealtimeSession(audio=SessionAudio(input=AudioInputConfig(**fields)))


def test_a_server_begins_with_everything_given() -> None:
    raw = to_raw(start())
    assert raw["object"] == "realtime.session"
    assert (raw["tools"], raw["tracing"], raw["include"], raw["truncation"]) == ([], None, None, "auto")
    assert raw["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        },
    }


@pytest.mark.parametrize("kind", ["realtime", "transcription", "translation"])
def test_each_kind_is_known(kind: SessionKind) -> None:
    assert kind_of(default_session(kind, id="s")) == kind
    assert kind_of(UnknownSession({"type": "x"})) is None


def test_absent_stays_null_clears_and_a_value_replaces() -> None:
    first = updated(RealtimeSession(instructions="x", tools=[FunctionTool(name="f")], max_output_tokens=5))
    again = updated(RealtimeSession(instructions=None, tools=[], tracing="auto"), first)
    assert (again.instructions, again.tools, again.max_output_tokens) == (start().instructions, [], 5)
    assert updated(RealtimeSession(instructions=""), first).instructions == start().instructions
    assert updated(RealtimeSession(tracing=None), again).tracing is None
    assert updated(RealtimeSession(max_output_tokens=None), first).max_output_tokens == "inf"


def test_audio_merges_at_every_depth() -> None:
    first = updated(hears(turn_detection=None))
    assert input_of(first).turn_detection is None
    assert input_of(first).format == PcmAudio(rate=24000)
    again = updated(hears(turn_detection=SemanticVad(), transcription=Transcription(model="w")), first)
    assert input_of(again).turn_detection == SemanticVad(
        eagerness="auto", create_response=True, interrupt_response=True
    )
    assert input_of(again).transcription == Transcription(model="w", language=None, prompt=None)
    assert output_of(again).voice == "marin"
    narrow = updated(hears(turn_detection=ServerVad(idle_timeout_ms=5000), format=PcmAudio()))
    assert narrow.audio.input.turn_detection.idle_timeout_ms == 5000
    assert updated(
        hears(noise_reduction=NoiseReduction(type="near_field", strength=1))
    ).audio.input.noise_reduction == (NoiseReduction(type="near_field"))
    voice = RealtimeSession(audio=SessionAudio(output=AudioOutputConfig(voice=VoiceId(id="v"), speed=None)))
    assert (output_of(updated(voice)).voice, output_of(updated(voice)).speed) == ("v", 1.0)


def test_what_the_server_gives_can_not_be_taken() -> None:
    found = updated(RealtimeSession(id="other", object="x", expires_at=1))
    assert (found.id, found.object, found.expires_at) == ("s", "realtime.session", 9)


def test_a_translation_stays_as_narrow_as_it_was_given() -> None:
    begin = default_session("translation", id="s", model="m")
    update = TranslationSession(
        audio=SessionAudio(input=AudioInputConfig(transcription=Transcription(model="w")))
    )
    assert to_raw(merge(begin, update, begin))["audio"] == {"input": {"transcription": {"model": "w"}}}


def test_questions_have_answers_without_a_session() -> None:
    assert input_of(None) == AudioInputConfig()
    assert output_of(TranscriptionSession()) == AudioOutputConfig()
    assert turn_detection_of(None) is None
    assert turn_detection_of(start()) is not None
    rates = [
        bytes_per_ms(each)
        for each in (UNSET, None, PcmAudio(), PcmAudio(rate=8000), PcmuAudio(), PcmaAudio())
    ]
    assert rates == [48, 48, 48, 16, 8, 8]
