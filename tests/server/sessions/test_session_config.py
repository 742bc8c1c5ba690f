"""How a session begins."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.compose import Conversing, Spoken
from repartee.protocol.config import RealtimeSession, TranscriptionSession
from repartee.protocol.sessions import default_session
from repartee.server.replies import ErrorReply
from repartee.server.served import Served
from repartee.server.sessions.session_config import begin_session, bound_session, kind_named, session_to_raw
from repartee.testing import ScriptedLLM, ScriptedRealtimeModel, ScriptedTTS


def _served(**more: Any) -> Served:
    return Served.of(ScriptedRealtimeModel([]), name="ours", **more)


def test_it_begins_with_what_is_served() -> None:
    served = _served(instructions="Be kind.", voices=("ada", "bob"))
    raw = session_to_raw(begin_session(served, "realtime", model="", expires_at=9))
    assert (raw["model"], raw["instructions"], raw["expires_at"]) == ("ours", "Be kind.", 9)
    assert raw["audio"]["output"]["voice"] == "ada"
    spoken = Spoken(Conversing(ScriptedLLM()), ScriptedTTS(voices=["eve"]))
    raw = session_to_raw(begin_session(Served.of(spoken), "realtime", model="", expires_at=0))
    assert raw["audio"]["output"]["voice"] == "eve"
    made = begin_session(_served(), "transcription", model="", expires_at=9)
    assert isinstance(made, TranscriptionSession)


def test_what_was_bound_comes_with_another_id() -> None:
    bound = bound_session({"type": "realtime", "instructions": "Bound."}, default_session(id="sess_0"))
    made = [begin_session(_served(), "realtime", model="m", expires_at=5, bound=bound) for _ in range(2)]
    assert all(isinstance(each, RealtimeSession) for each in made)
    first, second = (session_to_raw(each) for each in made)
    assert first["id"] != second["id"]
    assert (first["instructions"], first["model"], first["expires_at"]) == ("Bound.", "m", 5)
    kind = bound_session({"type": "transcription"}, default_session("transcription", id="sess_0"))
    assert session_to_raw(begin_session(_served(), "transcription", model="m", expires_at=5, bound=kind))


@pytest.mark.parametrize(
    "raw, param",
    [
        ({}, "session.type"),
        ({"type": "transcription"}, "session.type"),
        ({"type": "realtime", "audio": {"output": {"speed": "fast"}}}, "session.audio.output.speed"),
        (7, "session"),
    ],
)
def test_a_wrong_configuration_names_the_field(raw: Any, param: str) -> None:
    with pytest.raises(ErrorReply) as refusal:
        bound_session(raw, default_session(id="sess_0"))
    assert refusal.value.status == 400
    assert (refusal.value.param or "").startswith(param)


def test_kinds() -> None:
    assert kind_named({}) == "realtime"
    assert kind_named(None, "transcription") == "transcription"
    with pytest.raises(ErrorReply, match="opera"):
        kind_named({"type": "opera"})


def test_the_betas_form_is_flat() -> None:
    raw = session_to_raw(default_session(id="sess_0", voice="sage"), beta=True)
    assert (raw["voice"], raw["input_audio_format"]) == ("sage", "pcm16")
    assert "audio" not in raw
