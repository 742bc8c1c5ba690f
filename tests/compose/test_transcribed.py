"""Ears for a model that takes text."""

from __future__ import annotations

from typing import Any

from repartee.chat import Message
from repartee.compose import Conversing, Transcribed
from repartee.errors import ModelError
from repartee.models import Interim, ResponseOptions
from repartee.models import events as ev
from repartee.testing import ScriptedLLM, ScriptedSTT, elapse, fail, stall, virtual_time
from tests.compose.stage import Stage


def model(stt: ScriptedSTT | None = None, **options: float) -> Transcribed:
    llm = ScriptedLLM({"*": "Sure."})
    return Transcribed(Conversing(llm), stt or ScriptedSTT(), **options)


@virtual_time
async def test_interims_while_it_hears_and_an_item_at_the_commit() -> None:
    async with Stage(model()) as stage:
        stage.session.begin_input("item_mine")
        await stage.speak("book a table", silence_s=0.2)
        stage.session.commit_audio()
        await elapse(1)
    assert [e.text for e in stage.of(ev.InterimTranscript)] == [
        "book",
        "book a",
        "book a table",
        "book a table",
    ]
    assert [e.settled for e in stage.of(ev.InterimTranscript)] == [False, False, False, True]
    assert stage.said == [("user", "book a table")]
    assert stage.times(ev.InputCommitted, item_id="item_mine") == [1250]
    assert [e.transcript for e in stage.of(ev.TranscriptCompleted)] == ["book a table"]
    assert stage.kinds[-4:] == ["InputCommitted", "ItemAdded", "ItemDone", "TranscriptCompleted"]


@virtual_time
async def test_settling_gives_final_words_and_the_turn_goes_on() -> None:
    async with Stage(model()) as stage:
        await stage.speak("book a")
        stage.session.settle_audio()
        await elapse(0.1)
        stage.session.settle_audio()  # nothing came since
        await stage.speak("table")
        stage.session.commit_audio()
        await elapse(1)
    settled = [e.text for e in stage.of(ev.InterimTranscript) if e.settled]
    assert settled == ["book a", "book a", "book a table"]  # whoever asks is told
    assert stage.said == [("user", "book a table")]
    assert len(stage.of(ev.InputCommitted)) == 1


@virtual_time
async def test_what_is_asked_waits_for_the_last_words() -> None:
    async with Stage(model(ScriptedSTT(final_lag_s=0.5))) as stage:
        await stage.speak("book a table")
        stage.session.commit_audio()
        stage.session.create_response(ResponseOptions())
        stage.session.create_item(Message.of("user", "and quickly"))
        await elapse(2)
    # In the order in which they were asked for, behind the turn.
    assert [text for _, text in stage.said] == ["book a table", "and quickly", "Sure."] or [
        text for _, text in stage.said
    ] == ["book a table", "Sure.", "and quickly"]
    assert stage.times(ev.ResponseCreated) == [1500]


@virtual_time
async def test_a_commit_without_words_is_no_turn() -> None:
    async with Stage(model()) as stage:
        stage.session.commit_audio()
        await stage.speak("hm", silence_s=0.1)
        stage.session.clear_audio(reason="noise")
        stage.session.commit_audio()
        await elapse(1)
    assert stage.said == []
    assert [e.reason for e in stage.of(ev.InputCleared)] == ["no words", "noise", "no words"]


@virtual_time
async def test_clearing_forgets_the_words_and_what_is_on_its_way() -> None:
    async with Stage(model(ScriptedSTT(final_lag_s=0.5))) as stage:
        await stage.speak("book a table")
        stage.session.settle_audio()
        stage.session.clear_audio()
        await elapse(1)
        await stage.speak("hello there")
        stage.session.commit_audio()
        await elapse(1)
    assert stage.said == [("user", "hello there")]


@virtual_time
async def test_a_turn_that_begins_before_the_last_words_of_another_are_there_is_another() -> None:
    async with Stage(model(ScriptedSTT(final_lag_s=0.8))) as stage:
        stage.session.begin_input("item_1")
        await stage.speak("book a table")
        stage.session.commit_audio()
        stage.session.begin_input("item_2")
        await stage.speak("and")
        stage.session.commit_audio()
        stage.session.begin_input("item_3")
        await stage.speak("not this")
        stage.session.clear_audio()
        await elapse(3)
    assert [(m.id, m.text) for m in stage.history.messages] == [("item_1", "book a table"), ("item_2", "and")]
    assert stage.times(ev.InputCommitted) == [1800, 2140]


@virtual_time
async def test_what_a_stream_says_that_was_given_up_is_nobodys() -> None:
    stt = ScriptedSTT(faults=[stall(1, after=2)])
    async with Stage(model(stt, final_timeout_s=0.5)) as stage:
        await stage.speak("book a", silence_s=0.2)
        stage.session.settle_audio()
        old = stt.streams[0]
        await elapse(1)
        old._on_event(Interim("late"))
        old._on_error(ModelError("late", stage="stt"))
        stage.session.commit_audio()
        await elapse(1)
    assert stage.said == [("user", "book a")]
    assert len(stage.of(ev.ErrorOccurred)) == 1


@virtual_time
async def test_late_last_words_are_given_up_and_the_stream_replaced() -> None:
    stt = ScriptedSTT(faults=[stall(1, after=2)])
    async with Stage(model(stt, final_timeout_s=1.0)) as stage:
        await stage.speak("book a", silence_s=0.2)
        stage.session.commit_audio()
        await elapse(2)
        await stage.speak("hello")
        stage.session.commit_audio()
        await elapse(2)
    assert [e.stage for e in stage.of(ev.ErrorOccurred)] == ["stt"]
    assert stage.said == [("user", "book a"), ("user", "hello")]
    assert len(stt.streams) == 2
    assert stt.open_streams == 0


@virtual_time
async def test_a_turn_whose_words_are_not_to_be_had() -> None:
    async with Stage(model(ScriptedSTT(interim_lag_s=None, faults=[fail()]))) as stage:
        stage.session.begin_input("item_mine")
        await stage.speak("book a table")
        stage.session.commit_audio()
        await elapse(2)
    assert [e.item_id for e in stage.of(ev.TranscriptFailed)] == ["item_mine"]
    assert stage.said == []


@virtual_time
async def test_a_turn_whose_recogniser_fails_before_the_commit_is_lost_and_the_next_is_not() -> None:
    async with Stage(model(ScriptedSTT(interim_lag_s=0.5, faults=[fail(1)]))) as stage:
        stage.session.begin_input("item_lost")
        await stage.speak("book")
        stage.session.settle_audio()
        await elapse(2)
        assert stage.of(ev.ErrorOccurred)
        assert not stage.of(ev.TranscriptFailed), "it may still go on, and be heard"
        stage.session.commit_audio()
        stage.session.begin_input("item_heard")
        await stage.speak("hello")
        stage.session.commit_audio()
        await elapse(2)
    assert [e.item_id for e in stage.of(ev.TranscriptFailed)] == ["item_lost"]
    assert stage.said == [("user", "hello")]


@virtual_time
async def test_confidence_is_that_of_the_least_sure_segment() -> None:
    async with Stage(model(ScriptedSTT(confidence=0.7))) as stage:
        await stage.speak("book a table")
        stage.session.commit_audio()
        await elapse(1)
    assert [e.confidence for e in stage.of(ev.TranscriptCompleted)] == [0.7]


@virtual_time
async def test_a_stream_whose_closing_fails_is_told_and_keeps_nothing_else_open() -> None:
    class Stuck(ScriptedSTT):
        def stream(self, **options: Any) -> Any:
            stream = super().stream(**options)
            close = stream.aclose

            async def aclose() -> None:
                await close()
                raise OSError("stuck")

            stream.aclose = aclose  # type: ignore[method-assign]
            return stream

    stt = Stuck(faults=[fail()])
    async with Stage(model(stt)) as stage:
        await stage.speak("book a table")
        await elapse(1)
    told = [str(e.error) for e in stage.of(ev.ErrorOccurred)]
    assert told[1:] == ["closing an STT stream failed with OSError: stuck"] * 2
    assert len(stt.streams) == 2
