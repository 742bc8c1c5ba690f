"""What a session's configuration asks of the server's ears."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.compose import Overheard
from repartee.protocol.sessions import default_session
from repartee.server.hearing.listening_settings import EagerEndpointing, ListeningSettings
from repartee.server.hearing.wire_audio import WireFormat
from repartee.server.served import Served
from repartee.testing import ScriptedRealtimeModel, ScriptedSTT, ScriptedTurnDetector, ScriptedVAD
from repartee.turns import FixedEndpointing, SemanticEndpointing
from tests.server.ears import PUSH_TO_TALK, cascade, semantic_vad, server_vad, session


def served(model: Any = None, **parts: Any) -> Served:
    parts.setdefault("vad", ScriptedVAD())
    parts.setdefault("turn_detector", ScriptedTurnDetector(deadline_s=0.7))
    return Served(name="test", model=model if model is not None else cascade(), **parts)


def of(config: Any, model: Any = None, **parts: Any) -> ListeningSettings:
    return ListeningSettings.of(config, served(model, **parts))


def test_server_vad() -> None:
    config = server_vad(threshold=0.7, prefix_padding_ms=120, silence_duration_ms=350, idle_timeout_ms=6000)
    found = of(config)
    assert found.options.detects
    assert found.options.gate.threshold == 0.7
    assert found.options.padding_s == 0.12
    assert found.options.turn.endpointing == FixedEndpointing(350)
    assert found.options.turn.max_turn_s == 120.0
    assert (found.idle_s, found.lacks) == (6.0, "")
    turn = found.options.turn
    assert (turn.predicts, turn.transcribes, turn.needs_words, turn.prepares) == (False, True, True, True)
    assert turn.transcript_deadline_s == 2.25  # longer than the recogniser itself waits


@pytest.mark.parametrize("threshold", [0.0, 0.02, 1.0])
def test_any_threshold_that_the_protocol_allows_works(threshold: float) -> None:
    gate = of(server_vad(threshold=threshold)).options.gate
    assert 0 < gate.release_level <= gate.threshold < 1


def test_semantic_vad() -> None:
    found = of(semantic_vad(eagerness="high"))
    assert found.options.turn.endpointing == EagerEndpointing("high")
    assert found.options.turn.predicts
    assert found.options.turn.prediction_deadline_s == 0.7
    assert found.idle_s is None


@pytest.mark.parametrize("level, longest_s", [("low", 8.0), ("medium", 4.0), ("auto", 4.0), ("high", 2.0)])
def test_eagerness_stretches_the_wait_of_turns_that_are_not_over(level: str, longest_s: float) -> None:
    policy, standard = EagerEndpointing(level), SemanticEndpointing()
    assert policy.ceiling_s == policy.delay_s(0.0) == pytest.approx(longest_s)
    waits = [policy.delay_s(p / 100) for p in range(101)]
    assert waits == sorted(waits, reverse=True)
    assert waits[100] <= 0.4
    assert waits[80] < standard.delay_s(0.8) + 0.2  # doubt alone does not make it slow
    assert policy.delay_s(-1.0) == waits[0]
    policy.learn(3.0)
    assert policy.delay_s(0.5) == waits[50]


def test_what_lacks_is_said_and_silence_decides() -> None:
    wordless = of(semantic_vad(), ScriptedRealtimeModel(strict=False))
    assert "tells no words" in wordless.lacks
    assert wordless.options.turn.endpointing == FixedEndpointing(500)
    undetected = of(semantic_vad(), turn_detector=None)
    assert "no end-of-turn model" in undetected.lacks
    assert not undetected.options.turn.predicts
    assert undetected.options.turn.transcribes
    deaf = of(server_vad(), vad=None)
    assert "no VAD" in deaf.lacks
    assert not deaf.options.detects


def test_words_are_not_waited_for_where_the_model_hears_by_itself() -> None:
    model = Overheard(ScriptedRealtimeModel(strict=False), ScriptedSTT(), final_timeout_s=0.4)
    silence, semantic = of(server_vad(), model), of(semantic_vad(), model)
    assert (silence.options.turn.transcribes, semantic.options.turn.transcribes) == (False, True)
    assert not semantic.options.turn.needs_words
    assert semantic.options.turn.transcript_deadline_s == pytest.approx(0.65)


def test_answers_are_prepared_only_where_one_will_follow() -> None:
    assert not of(server_vad(create_response=False)).options.turn.prepares
    assert not of(server_vad(), ScriptedRealtimeModel(strict=False)).options.turn.prepares
    transcription = default_session("transcription", id="sess_2")
    assert not of(transcription).options.turn.prepares


def test_push_to_talk_formats_and_noise() -> None:
    assert not of(PUSH_TO_TALK).options.detects
    assert of(None).options.detects is False
    assert of(session(format="pcma")).format == WireFormat(8000, "alaw")
    assert of(session(noise="near_field")).noise == "near_field"
    assert of(session(noise="far_field")).noise == "far_field"
    assert of(session(noise=None)).noise is None
