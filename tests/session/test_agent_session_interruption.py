"""The user speaks while the agent does, or is about to."""

from __future__ import annotations

import pytest

from repartee.models import events as ev
from repartee.testing import ScriptedLLM, ScriptedTTS, ScriptedVAD, virtual_time
from repartee.turns import InterruptionOptions, SpeculationOptions
from tests.session.scene import Scene

BOOK = "book a table"
# Said from 2484 ms on, 200 ms a word, to 4484.
ANSWER = "Sure, for how many people shall it be on Friday?"


async def _ask(scene: Scene) -> None:
    scene.mic.speak(BOOK, 0.96)
    await scene.until(2.6)


@virtual_time
async def test_barge_in_stops_at_the_word_and_history_is_what_was_heard() -> None:
    async with Scene(ANSWER, "As you like.") as scene:
        await _ask(scene)
        scene.mic.speak("no stop it", 3.52)
        await scene.until(8)
    # Ducked when the first window of speech is in, paused 200 ms after the onset, cancelled by the first word.
    assert scene.times(ev.OutputGain, db=-14.0, reason="onset") == [3560]
    assert scene.times(ev.SpeechStarted)[1:] == [3620]
    assert scene.times(ev.OutputPause) == [3720]
    assert scene.times(ev.OutputClear, reason="words") == [3960]
    # 1236 ms were heard: six words, and 36 ms of the seventh, which does not count.
    assert scene.events(ev.ItemTruncated)[0].audio_end_ms == 1236
    assert scene.said == [
        ("user", BOOK),
        ("assistant", "Sure, for how many people shall–"),
        ("user", "no stop it"),
        ("assistant", "As you like."),
    ]
    assert scene.spans_ms == [(2484, 3720), (5044, 5644)]
    # The next answer was asked for with the history as heard.
    assert scene.llm.requests[-1].context.messages[1].text == "Sure, for how many people shall"
    assert scene.out.gain_db == 0.0


@virtual_time
async def test_barge_in_while_the_model_still_writes_stops_the_model_and_the_voice() -> None:
    llm = ScriptedLLM({BOOK: ANSWER + " Or shall it be later?", "*": "Fine."}, inter_token_s=0.3)
    async with Scene(model=llm) as scene:
        await _ask(scene)
        scene.mic.speak("stop", 3.52)
        await scene.until(8)
    assert llm.records[0].outcome == "cancelled"
    assert llm.records[0].ended_s == pytest.approx(3.96)
    assert [u.outcome for u in scene.tts.utterances][-1] == "completed"
    # Six tokens were written; the second clause, which has four words, was not complete when it stopped.
    assert scene.said[1:] == [("assistant", "Sure,–"), ("user", "stop"), ("assistant", "Fine.")]
    assert scene.events(ev.ResponseDone)[0].status == "cancelled"
    assert scene.events(ev.ResponseDone)[0].reason == "words"


@virtual_time
async def test_barge_in_before_the_first_audio_leaves_nothing_of_the_reply() -> None:
    llm = ScriptedLLM({BOOK: ANSWER, "no wait": "Yes?"}, ttft_s=1.0)
    async with Scene(model=llm) as scene:
        await _ask(scene)
        scene.mic.speak("no wait", 2.88)  # the first token comes at 3.11
        await scene.until(9)
    assert scene.said == [("user", BOOK), ("user", "no wait"), ("assistant", "Yes?")]
    assert scene.heard == "Yes?"


@virtual_time
async def test_barge_in_after_the_first_token_and_before_the_first_audio_deletes_the_item() -> None:
    async with Scene(
        model=ScriptedLLM({BOOK: ANSWER, "no wait": "Yes?"}),
        tts=ScriptedTTS(ms_per_word=200.0, first_chunk_s=2.0),
    ) as scene:
        await _ask(scene)
        scene.mic.speak("no wait", 2.88)
        await scene.until(11)
    assert len(scene.events(ev.ItemDeleted)) == 1
    assert scene.said == [("user", BOOK), ("user", "no wait"), ("assistant", "Yes?")]


@virtual_time
async def test_barge_in_when_all_is_generated_and_still_plays_is_corrected_all_the_same() -> None:
    async with Scene(ANSWER, "Yes?") as scene:
        await _ask(scene)
        await scene.until(3)
        assert len(scene.events(ev.ResponseDone, status="completed")) == 1  # the model is long done
        scene.mic.speak("hold on", 3.84)
        await scene.until(8)
    assert scene.said[1] == ("assistant", "Sure, for how many people shall it–")
    assert scene.llm.requests[-1].context.messages[1].text == "Sure, for how many people shall it"


@virtual_time
async def test_barge_in_at_the_last_word() -> None:
    async with Scene(ANSWER, "Yes?") as scene:
        await _ask(scene)
        scene.mic.speak("hold on", 4.16)  # 1676 ms into the reply: paused at 1876, in its last word
        await scene.until(8)
    assert scene.said[1] == ("assistant", "Sure, for how many people shall it be on–")
    assert scene.spans_ms[0] == (2484, 4360)


@virtual_time
async def test_speech_as_the_last_word_ends_interrupts_nothing() -> None:
    async with Scene(ANSWER, "Yes?") as scene:
        await _ask(scene)
        scene.mic.speak("hold on", 4.32)  # the reply is at its end before it would be paused
        await scene.until(8)
    assert scene.said[1] == ("assistant", ANSWER)
    assert scene.times(ev.OutputPause) == []
    assert scene.out.gain_db == 0.0


@virtual_time
async def test_a_cough_is_an_onset_that_is_dropped() -> None:
    async with Scene(ANSWER) as scene:
        await _ask(scene)
        scene.mic.noise(3.52, 0.05)
        await scene.until(6)
    gains = [(e.db, e.reason) for e in scene.events(ev.OutputGain)]
    assert gains == [(-14.0, "onset"), (0.0, "onset dropped")]
    assert scene.times(ev.OutputGain) == [3560, 3620]
    assert scene.times(ev.OutputPause) == []
    assert scene.spans_ms == [(2484, 4484)]
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]


@virtual_time
async def test_noise_without_words_pauses_and_goes_on_to_the_sample() -> None:
    async with Scene(ANSWER) as scene:
        await _ask(scene)
        scene.mic.noise(3.52, 0.4)
        await scene.until(8)
    # Quiet since 3936; 250 ms later it goes on, where it was: nothing is skipped and nothing said twice.
    assert scene.times(ev.OutputPause) == [3720]
    assert scene.times(ev.OutputResume, reason="no words") == [4186]
    assert scene.spans_ms == [(2484, 3720), (4186, 4950)]
    assert scene.heard == ANSWER
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]
    assert len(scene.llm.records) == 1


@virtual_time
async def test_a_backchannel_changes_neither_the_floor_nor_history() -> None:
    async with Scene(model=ScriptedLLM({BOOK: ANSWER, "*": "?"})) as scene:
        await _ask(scene)
        scene.mic.speak("mhm", 3.52)
        await scene.until(8)
    assert scene.times(ev.OutputResume, reason="backchannel") == [4122]
    assert scene.heard == ANSWER
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]


@virtual_time
async def test_a_backchannel_before_the_answer_sounds_does_not_mute_it() -> None:
    llm = ScriptedLLM({BOOK: "Sure.", "*": "?"}, ttft_s=1.5)
    async with Scene(model=llm) as scene:
        await _ask(scene)
        scene.mic.speak("mhm", 2.88, words_per_s=5.0)
        await scene.until(9)
    assert scene.said == [("user", BOOK), ("assistant", "Sure.")]
    assert scene.heard == "Sure."


@virtual_time
async def test_long_speech_without_words_takes_the_floor_and_then_is_no_turn() -> None:
    async with Scene(ANSWER) as scene:
        await _ask(scene)
        scene.mic.noise(3.2, 1.6)
        await scene.until(8)
    assert scene.times(ev.OutputClear, reason="duration") == [3900]
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for how many–")]


@virtual_time
async def test_no_interruption_where_that_is_off() -> None:
    async with Scene(ANSWER, "Very well.", interruption=InterruptionOptions(enabled=False)) as scene:
        await _ask(scene)
        scene.mic.speak("no stop it", 3.2)
        await scene.until(9)
    assert scene.spans_ms == [(2484, 4484), (4724, 5124)]
    assert scene.said == [
        ("user", BOOK),
        ("assistant", ANSWER),
        ("user", "no stop it"),
        ("assistant", "Very well."),
    ]


@virtual_time
async def test_an_answer_waits_for_the_end_of_an_uninterruptible_speech() -> None:
    async with Scene("Yes.") as scene:
        await scene.until(1)
        handle = scene.session.say(
            "This call is recorded for training and quality.", allow_interruptions=False
        )
        scene.mic.speak("who is there", 1.28)
        await scene.until(8)
    assert not handle.interrupted
    assert scene.said == [
        ("assistant", "This call is recorded for training and quality."),
        ("user", "who is there"),
        ("assistant", "Yes."),
    ]


@virtual_time
async def test_two_interruptions_in_a_row() -> None:
    async with Scene(ANSWER, "One two three four five six seven eight.", "Ok.") as scene:
        await _ask(scene)
        scene.mic.speak("no stop", 3.2)
        scene.mic.speak("and stop", 5.12)
        await scene.until(9)
    assert [text.endswith("–") for role, text in scene.said if role == "assistant"] == [True, True, False]
    assert [text for role, text in scene.said if role == "user"] == [BOOK, "no stop", "and stop"]


@virtual_time
async def test_a_text_reply_is_interrupted_too() -> None:
    async with Scene(
        model=ScriptedLLM({BOOK: ANSWER, "*": "Yes?"}, inter_token_s=0.3), loudspeaker=None
    ) as scene:
        await _ask(scene)
        scene.mic.speak("stop it", 2.88)
        await scene.until(8)
    assert scene.events(ev.ResponseDone)[0].status == "cancelled"
    assert scene.said[-2:] == [("user", "stop it"), ("assistant", "Yes?")]


@virtual_time
async def test_without_the_vads_onset_lag_or_speculation_it_is_the_same_conversation() -> None:
    async with Scene(
        ANSWER, "Yes?", vad=ScriptedVAD(lag_s=0.1), speculation=SpeculationOptions(enabled=False)
    ) as scene:
        await _ask(scene)
        scene.mic.speak("no stop it", 3.52)
        await scene.until(9)
    # The answer sounds 120 ms later, since it was not prepared, and stops 100 ms later, with the detector.
    assert scene.said[1:3] == [("assistant", "Sure, for how many people–"), ("user", "no stop it")]
