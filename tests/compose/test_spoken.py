"""A voice for a model that gives text."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.chat import AudioContent, Message
from repartee.compose import Conversing, Spoken
from repartee.models import ResponseOptions
from repartee.models import events as ev
from repartee.testing import Reply, ScriptedLLM, ScriptedTTS, elapse, fail, speech, virtual_time
from tests.compose.stage import Stage


def model(
    *replies: Any, tts: ScriptedTTS | None = None, llm: ScriptedLLM | None = None, **options: Any
) -> Spoken:
    voice = tts or ScriptedTTS(ms_per_word=200.0)
    return Spoken(Conversing(llm or ScriptedLLM(replies)), voice, **options)


def audio_of(stage: Stage) -> bytes:
    return b"".join(e.audio.data for e in stage.of(ev.AudioDelta))


@virtual_time
async def test_words_come_with_their_place_and_audio_without_a_gap() -> None:
    async with Stage(model("Sure, for how many people?")) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(2)
    deltas = stage.of(ev.TranscriptDelta)
    assert [(e.delta, e.start_ms) for e in deltas] == [
        ("Sure, ", 0.0),
        ("", 200.0),  # where a clause is over
        ("for ", 200.0),
        ("how ", 400.0),
        ("many ", 600.0),
        ("people?", 800.0),
        ("", 1000.0),
    ]
    position = 0
    for event in stage.of(ev.AudioDelta):
        assert event.audio.position_samples == position
        position = event.audio.end_samples
    assert position == 24_000
    assert [w.text for w in speech.decode(audio_of(stage), 24_000)] == [
        "Sure,",
        "for",
        "how",
        "many",
        "people?",
    ]
    item = stage.of(ev.OutputItemDone)[0].item
    assert isinstance(item, Message)
    assert item.content == (AudioContent("Sure, for how many people?", 1000),)


@virtual_time
async def test_speech_begins_with_the_first_clause_while_the_rest_is_written() -> None:
    async with Stage(model(Reply("Sure, for how many people?", inter_token_s=0.5))) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(5)
    # Its first token comes at 100 ms; the comma ends a clause once the space behind it is there, at 600 ms.
    assert stage.times(ev.AudioDelta)[0] == 650
    assert stage.times(ev.StageReached, stage="first_token") == [100]
    assert stage.times(ev.StageReached, stage="first_clause") == [600]
    assert stage.times(ev.StageReached, stage="first_audio") == [650]


@virtual_time
async def test_the_end_is_told_when_all_was_spoken() -> None:
    async with Stage(model("one two three four five six")) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(5)
    assert stage.kinds[-5:] == ["AudioDelta", "TranscriptDelta", "ItemDone", "OutputItemDone", "ResponseDone"]
    assert len(stage.of(ev.ResponseDone)) == 1


@virtual_time
async def test_a_response_in_writing_is_not_spoken() -> None:
    spoken = model("Sure.", "Sure.")
    async with Stage(spoken) as stage:
        stage.session.create_response(ResponseOptions(modalities=("text",)))
        await elapse(1)
        assert stage.of(ev.AudioDelta) == []
        stage.session.update(stage._options)
        stage.session.create_response(ResponseOptions())
        await elapse(1)
    assert len(stage.of(ev.AudioDelta)) == 2


@virtual_time
async def test_cancelling_when_the_text_is_long_complete_stops_the_voice() -> None:
    tts = ScriptedTTS(ms_per_word=200.0, chunk_s=0.1)
    async with Stage(model("one two three four five six", tts=tts)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(0.6)
        assert stage.of(ev.ResponseDone) == []
        stage.session.cancel_response(reason="enough")
        given = len(audio_of(stage))
        await elapse(3)
    assert len(audio_of(stage)) == given
    assert [(e.status, e.reason) for e in stage.of(ev.ResponseDone)] == [("cancelled", "enough")]
    item = stage.of(ev.OutputItemDone)[0].item
    assert isinstance(item, Message)
    assert item.status == "incomplete"  # its text was complete, and was not all spoken
    assert [u.outcome for u in tts.utterances] == ["cancelled"]


@virtual_time
async def test_a_truncation_without_words_finds_them_by_the_time() -> None:
    async with Stage(model("one two three four five six")) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(3)
        item_id = stage.history.items[0].id
        stage.session.truncate_item(item_id, audio_end_ms=650)
    assert stage.said == [("assistant", "one two three")]


@virtual_time
async def test_without_word_times_words_come_with_their_clause() -> None:
    tts = ScriptedTTS(ms_per_word=200.0, word_times=False)
    async with Stage(model("Sure, for how many people?", tts=tts)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(3)
    assert [(e.delta, e.start_ms) for e in stage.of(ev.TranscriptDelta)] == [
        ("Sure, ", 0.0),
        ("", 200.0),
        ("for how many people?", 200.0),
        ("", 1000.0),
    ]


@virtual_time
async def test_synthesis_runs_ahead_of_real_time_only_so_far() -> None:
    words = "one two three four five six. " * 50  # a minute
    async with Stage(model(Reply(words, inter_token_s=0.0), max_lead_s=5.0)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(10)
        assert len(audio_of(stage)) / 48_000 == pytest.approx(15.0, abs=0.3)
        await elapse(60)
    assert len(audio_of(stage)) / 48_000 == pytest.approx(60.0)


@virtual_time
async def test_more_text_than_may_wait_for_the_voice_is_not_spoken() -> None:
    async with Stage(model(Reply("word " * 200, inter_token_s=0.0), max_reply_chars=200)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(60)
    done = stage.of(ev.ResponseDone)[0]
    assert (done.status, done.reason) == ("incomplete", "max_output_tokens")
    assert 20 <= len(speech.decode(audio_of(stage), 24_000)) <= 44


@virtual_time
async def test_a_voice_that_fails_keeps_what_was_spoken() -> None:
    tts = ScriptedTTS(ms_per_word=200.0, faults=[fail(2)])
    async with Stage(model("Sure, for how many people?", "Yes.", tts=tts)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(2)
        stage.session.create_response(ResponseOptions())
        await elapse(2)
    assert [e.stage for e in stage.of(ev.ErrorOccurred)] == ["tts"]
    assert [e.status for e in stage.of(ev.ResponseDone)] == ["failed", "completed"]
    assert stage.said == [("assistant", "Sure,"), ("assistant", "Yes.")]


@virtual_time
async def test_a_draft_whose_voice_fails_is_nobodys_business() -> None:
    tts = ScriptedTTS(ms_per_word=200.0, faults=[fail()])
    async with Stage(model(llm=ScriptedLLM({"*": "Sure."}), tts=tts)) as stage:
        stage.session.create_response(ResponseOptions(draft=Message.of("user", "x")))
        await elapse(1)
    assert stage.of(ev.ErrorOccurred) == []
    assert [(e.status, e.reason) for e in stage.of(ev.ResponseDone)] == [("failed", "tts_failed")]


@virtual_time
async def test_saying_a_text() -> None:
    async with Stage(model()) as stage:
        stage.session.create_response(ResponseOptions(say="Dinner is ready."))
        await elapse(2)
    assert [w.text for w in speech.decode(audio_of(stage), 24_000)] == ["Dinner", "is", "ready."]
    assert stage.said == [("assistant", "Dinner is ready.")]


@virtual_time
async def test_closing_midway_ends_all() -> None:
    tts = ScriptedTTS(ms_per_word=200.0, chunk_s=0.1)
    async with Stage(model("one two three four five six", tts=tts)) as stage:
        stage.session.create_response(ResponseOptions())
        await elapse(0.6)
    assert [e.status for e in stage.of(ev.ResponseDone)] == ["cancelled"]
    assert [u.outcome for u in tts.utterances] == ["cancelled"]


def test_what_it_adds() -> None:
    spoken = model(tts=ScriptedTTS(sample_rate=16_000, min_words=7))
    assert spoken.capabilities.audio_output
    assert spoken.capabilities.output_sample_rate == 16_000
    assert spoken.first_words == 7


@virtual_time
async def test_a_session_and_a_response_choose_the_voice() -> None:
    tts = ScriptedTTS(voices=["ada", "bob"])
    spoken = model("One.", "Two.", "Three.", "Four.", tts=tts)
    assert spoken.capabilities.voices == ("ada", "bob")
    async with Stage(spoken, voice="bob") as stage, Stage(spoken) as other:
        stage.session.create_response(ResponseOptions())
        other.session.create_response(ResponseOptions())
        await elapse(2)
        stage.session.create_response(ResponseOptions(voice="ada"))
        await elapse(2)
        stage.session.create_response(ResponseOptions())
        await elapse(2)
    assert {each.text: each.voice for each in tts.utterances} == {
        "One.": "bob",
        "Two.": "",
        "Three.": "ada",
        "Four.": "bob",
    }
    assert not stage.of(ev.ErrorOccurred)


@virtual_time
async def test_a_voice_that_there_is_not_is_told_once_and_the_default_one_speaks() -> None:
    tts = ScriptedTTS(voices=["ada"])
    async with Stage(model("One.", "Two.", tts=tts), voice="eve") as stage:
        for _ in range(2):
            stage.session.create_response(ResponseOptions())
            await elapse(2)
    assert [(each.text, each.voice) for each in tts.utterances] == [("One.", ""), ("Two.", "")]
    assert [done.status for done in stage.of(ev.ResponseDone)] == ["completed", "completed"]
    [error] = stage.of(ev.ErrorOccurred)
    assert (error.stage, error.fatal) == ("tts", False)
    assert str(error.error) == "this ScriptedTTS has no voice 'eve'; it has ada"


@virtual_time
async def test_a_session_remembers_few_voices() -> None:
    names = [f"v{number}" for number in range(40)]
    tts = ScriptedTTS(voices=names)
    async with Stage(model(*["Yes."] * 40, tts=tts)) as stage:
        for name in names:
            stage.session.create_response(ResponseOptions(voice=name))
            await elapse(2)
        session: Any = stage.session
        assert len(session._voices) == 16
        assert not session._asked
    assert [each.voice for each in tts.utterances] == names
