"""A sense of whose turn it is: the shell around the engine (whole conversations are in tests/session)."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from repartee.audio import AudioFrame
from repartee.chat import Message
from repartee.compose import Conversing, Spoken, Transcribed, TurnTaking
from repartee.errors import ConfigurationError
from repartee.models import PlaybackFinished, PlaybackStarted, ResponseOptions
from repartee.models import events as ev
from repartee.testing import (
    ScriptedLLM,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedTurnDetector,
    ScriptedVAD,
    elapse,
    virtual_time,
)
from repartee.turns import TurnEngine, TurnOptions, facts
from tests.compose.stage import Stage


def text_model(**llm: object) -> Conversing:
    return Conversing(ScriptedLLM({"*": "one two three"}, **llm))  # type: ignore[arg-type]


def test_modes_that_lack_a_part() -> None:
    hears = Transcribed(text_model(), ScriptedSTT())
    with pytest.raises(ConfigurationError, match="turns by silence need a VAD"):
        TurnTaking(hears)
    with pytest.raises(ConfigurationError, match="does not take turns by itself"):
        TurnTaking(hears, options=TurnOptions(mode="model"))
    with pytest.raises(ConfigurationError, match="needs a recogniser"):
        TurnTaking(ScriptedRealtimeModel(), options=TurnOptions(mode="stt"))


def test_it_fills_in_what_the_parts_can_do() -> None:
    hears = Transcribed(text_model(), ScriptedSTT())
    options = TurnTaking(hears, ScriptedVAD(), ScriptedTurnDetector()).options
    assert (options.predicts, options.transcribes, options.prepares) == (True, True, True)
    deaf = TurnTaking(ScriptedRealtimeModel(), ScriptedVAD()).options
    assert (deaf.predicts, deaf.transcribes, deaf.prepares) == (False, False, False)
    able = TurnTaking(text_model()).capabilities
    assert (able.turn_detection, able.floor, able.drafts) == (True, True, False)


@virtual_time
async def test_requests_take_turns() -> None:
    async with Stage(TurnTaking(text_model())) as stage:
        for request_id in ("a", "b", "c"):
            stage.session.create_response(ResponseOptions(request_id=request_id))
        await elapse(0)
        assert [e.request_id for e in stage.of(ev.ResponseCreated)] == ["a"]
        await elapse(1)
    assert stage.times(ev.ResponseCreated) == [0, 140, 280]
    assert [e.status for e in stage.of(ev.ResponseDone)] == ["completed"] * 3


@virtual_time
async def test_one_that_waits_is_taken_back_and_told() -> None:
    async with Stage(TurnTaking(text_model())) as stage:
        for request_id in ("a", "b", "c"):
            stage.session.create_response(ResponseOptions(request_id=request_id))
        stage.session.cancel_response("b", reason="not needed")
        await elapse(1)
    created = {e.response_id: e.request_id for e in stage.of(ev.ResponseCreated)}
    ends = [(created[e.response_id], e.status, e.reason) for e in stage.of(ev.ResponseDone)]
    assert ends == [("b", "cancelled", "not needed"), ("a", "completed", ""), ("c", "completed", "")]


@virtual_time
async def test_cancelling_one_by_its_id_lets_the_next_go_on() -> None:
    async with Stage(TurnTaking(text_model())) as stage:
        stage.session.create_response(ResponseOptions(request_id="a"))
        stage.session.create_response(ResponseOptions(request_id="b"))
        await elapse(0.11)
        response_id = stage.of(ev.ResponseCreated)[0].response_id
        stage.session.cancel_response(response_id)
        # Whoever plays says that nothing more will be heard.
        assert [e.response_id for e in stage.of(ev.OutputClear)] == [response_id]
        stage.session.report_playback(PlaybackFinished(response_id, interrupted=True))
        await elapse(1)
        stage.session.cancel_response("resp_unknown")
    assert [e.status for e in stage.of(ev.ResponseDone)] == ["cancelled", "completed"]


@virtual_time
async def test_out_of_band_it_does_not_take_the_floor() -> None:
    async with Stage(TurnTaking(text_model())) as stage:
        stage.session.create_response(ResponseOptions(request_id="a"))
        outside = ResponseOptions(request_id="b", conversation="none", input=(Message.of("user", "x"),))
        stage.session.create_response(outside)
        await elapse(0)
        assert [e.request_id for e in stage.of(ev.ResponseCreated)] == ["a", "b"]
        await elapse(1)
    assert [e.status for e in stage.of(ev.ResponseDone)] == ["completed", "completed"]
    assert len(stage.history) == 1


@virtual_time
async def test_an_answer_that_is_never_heard_is_given_up() -> None:
    model = TurnTaking(
        Spoken(text_model(), ScriptedTTS()), options=TurnOptions(mode="manual", response_deadline_s=5.0)
    )
    async with Stage(model, modalities=("audio",)) as stage:
        stage.session.create_response(ResponseOptions(request_id="a"))
        await elapse(8)  # nobody plays it
        stage.session.create_response(ResponseOptions(request_id="b"))
        await elapse(0)
        assert [e.request_id for e in stage.of(ev.ResponseCreated)] == ["a", "b"]
    messages = [str(e.error) for e in stage.of(ev.ErrorOccurred)]
    assert messages == [
        "no answer was heard within 5 s",
        "the output did not say where it stopped within 0.5 s",
    ]


@virtual_time
async def test_playback_moves_the_agents_state() -> None:
    model = TurnTaking(Spoken(text_model(), ScriptedTTS()))
    async with Stage(model, modalities=("audio",)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(0.5)
        response_id = stage.of(ev.ResponseCreated)[0].response_id
        stage.session.report_playback(PlaybackStarted(response_id))
        await elapse(0.5)
        stage.session.report_playback(PlaybackFinished(response_id))
    assert [(e.old, e.new) for e in stage.of(ev.AgentStateChanged)] == [
        ("listening", "thinking"),
        ("thinking", "speaking"),
        ("speaking", "listening"),
    ]
    assert stage.times(ev.StageReached, stage="playback") == [500]


@virtual_time
async def test_a_detector_that_breaks_is_told_and_the_turn_goes_on() -> None:
    def broken(_: object) -> float:
        raise ZeroDivisionError("oops")

    hears = Transcribed(text_model(), ScriptedSTT())
    async with Stage(TurnTaking(hears, ScriptedVAD(), ScriptedTurnDetector(broken))) as stage:
        await stage.speak("book a table", silence_s=1.5)
        await elapse(0)
        assert [(e.stage, str(e.error)) for e in stage.of(ev.ErrorOccurred)] == [
            ("turn_detector", "the turn detector failed with ZeroDivisionError: oops")
        ]
        assert len(stage.of(ev.InputCommitted)) == 1


@virtual_time
async def test_after_the_end_it_takes_nothing() -> None:
    vad = ScriptedVAD()
    async with Stage(TurnTaking(Transcribed(text_model(), ScriptedSTT()), vad)) as stage:
        await stage.session.aclose()
        stage.session.append_audio(AudioFrame.silence(20))
        stage.session.commit_audio()
        stage.session.report_playback(PlaybackFinished("r"))
    assert vad.streams == []


@pytest.mark.parametrize(
    ("connect_s", "audio_ms", "at_s"),
    [
        (0.0, 400.0, 0.4),
        (2.0, 400.0, 2.4),  # the first audio came two seconds into the session
        (2.0, 90_000.0, 3.0),  # a place in another count: the model's connection was replaced
    ],
)
@virtual_time
async def test_a_model_s_places_in_the_audio_become_session_time(
    connect_s: float, audio_ms: float, at_s: float
) -> None:
    class Engine(TurnEngine):
        began: ClassVar[list[float]] = []

        def receive(self, fact: facts.Fact, now: float) -> None:
            if isinstance(fact, facts.SpeechBegan):
                self.began.append(round(fact.at_s, 3))
            super().receive(fact, now)

    model = TurnTaking(ScriptedRealtimeModel(turn_detection=True), options=TurnOptions(mode="model"))
    async with Stage(model) as stage:
        session: Any = stage.session
        session._engine = Engine(model.options)
        await elapse(connect_s)
        for _ in range(50):
            session.append_audio(AudioFrame.silence(20.0))
            await elapse(0.02)
        session.inner.emit(ev.SpeechStarted("item_1", audio_ms))
    assert Engine.began == [at_s]
