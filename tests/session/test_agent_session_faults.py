"""Each model fails, stalls or is slow at its start, midway and at its end: the turn ends, and the next is as ever."""

from __future__ import annotations

from typing import Any

import pytest

from repartee.errors import DeviceError, ModelError
from repartee.models import events as ev
from repartee.testing import (
    Fault,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedTurnDetector,
    ScriptedVAD,
    fail,
    slow,
    stall,
    virtual_time,
)
from repartee.turns import SpeculationOptions
from tests.session.scene import Scene, error_texts

BOOK = "book a table"
ANSWER = "Sure, for how many people shall it be?"


def scene_with(stage: str, fault: Fault, *, speculates: bool, **options: Any) -> Scene:
    """A conversation in which one model has a fault."""

    def faults(of: str) -> list[Fault]:
        return [fault] if of == stage else []

    if stage == "turn_detector":
        options["turn_detection"] = ScriptedTurnDetector(0.95, faults=[fault])
    return Scene(
        model=ScriptedLLM({BOOK: ANSWER, "*": "Done."}, faults=faults("llm")),
        stt=ScriptedSTT(faults=faults("stt")),
        vad=ScriptedVAD(faults=faults("vad")),
        tts=ScriptedTTS(ms_per_word=200.0, faults=faults("tts")),
        speculation=SpeculationOptions(enabled=speculates),
        user_away_timeout_s=None,
        **options,
    )


# Stage, fault, after how many results, whether answers are prepared; then what the user was heard to say (or None),
# what the agent said (or None), when it began (ms), and the one error that was told, with its time.
FAIL, STALL, SLOW = "ModelError", "ModelTimeoutError", None
Row = tuple[str, str, int, bool, str | None, str | None, float | None, str | None, float | None]
MATRIX: list[Row] = [
    # The detector: window 0; window 40 is in the middle of the speech, window 66 behind it. It is replaced at once
    # when it fails, and when it has owed a result for 2 s.
    ("vad", "fail", 0, True, BOOK, ANSWER, 2460, FAIL, 40),
    ("vad", "fail", 40, True, BOOK, ANSWER, 2460, FAIL, 1320),
    ("vad", "fail", 66, True, BOOK, ANSWER, 2484, FAIL, 2160),
    ("vad", "stall", 0, True, None, None, None, STALL, 2100),
    ("vad", "stall", 40, True, BOOK, ANSWER, 3880, STALL, 3380),
    ("vad", "stall", 66, True, BOOK, ANSWER, 2484, STALL, 4220),
    ("vad", "slow", 0, True, BOOK, ANSWER, 2484, SLOW, None),
    ("vad", "slow", 40, True, BOOK, ANSWER, 2540, SLOW, None),
    ("vad", "slow", 66, True, BOOK, ANSWER, 2484, SLOW, None),
    # The recogniser: its first interim, its second, its final. What it knew of the turn stands; it has 2 s for the
    # final words from the end of the speech.
    ("stt", "fail", 0, True, "a table", "Done.", 2484, FAIL, 1400),
    ("stt", "fail", 1, True, "book able", "Done.", 2484, FAIL, 1740),
    ("stt", "fail", 3, True, BOOK, ANSWER, 2484, FAIL, 2110),
    ("stt", "stall", 0, True, None, None, None, STALL, 4060),
    ("stt", "stall", 1, True, "book", "Done.", 4210, STALL, 4060),
    ("stt", "stall", 3, True, BOOK, ANSWER, 4230, STALL, 4060),
    ("stt", "slow", 0, True, BOOK, ANSWER, 2484, SLOW, None),
    ("stt", "slow", 1, True, BOOK, ANSWER, 2484, SLOW, None),
    ("stt", "slow", 3, True, BOOK, ANSWER, 3280, SLOW, None),
    # The end-of-turn model: the turn goes on without it, 300 ms later at most.
    ("turn_detector", "fail", 0, True, BOOK, ANSWER, 2484, FAIL, 2110),
    ("turn_detector", "stall", 0, True, BOOK, ANSWER, 2580, None, None),
    ("turn_detector", "slow", 0, True, BOOK, ANSWER, 2580, None, None),
    # The LLM, in an answer that is being prepared: one that fails is made anew, and nobody is told.
    ("llm", "fail", 0, True, BOOK, ANSWER, 2654, None, None),
    ("llm", "fail", 2, True, BOOK, ANSWER, 2654, None, None),
    ("llm", "fail", 8, True, BOOK, ANSWER, 2484, FAIL, 2484),
    ("llm", "stall", 0, True, BOOK, None, None, STALL, 12110),
    ("llm", "stall", 2, True, BOOK, "Sure, for", 2484, STALL, 17230),
    ("llm", "stall", 8, True, BOOK, ANSWER, 2484, STALL, 17350),
    ("llm", "slow", 0, True, BOOK, ANSWER, 3280, SLOW, None),
    ("llm", "slow", 2, True, BOOK, ANSWER, 2484, SLOW, None),
    ("llm", "slow", 8, True, BOOK, ANSWER, 2484, SLOW, None),
    # And in one that is not.
    ("llm", "fail", 0, False, BOOK, None, None, FAIL, 2484),
    ("llm", "fail", 2, False, BOOK, "Sure, for", 2654, FAIL, 2604),
    ("llm", "fail", 8, False, BOOK, ANSWER, 2654, FAIL, 2724),
    ("llm", "stall", 0, False, BOOK, None, None, STALL, 12484),
    ("llm", "stall", 2, False, BOOK, "Sure, for", 2654, STALL, 17604),
    ("llm", "stall", 8, False, BOOK, ANSWER, 2654, STALL, 17724),
    ("llm", "slow", 0, False, BOOK, ANSWER, 3654, SLOW, None),
    ("llm", "slow", 8, False, BOOK, ANSWER, 2654, SLOW, None),
    # The voice, likewise: its first chunk, its second, behind its last.
    ("tts", "fail", 0, True, BOOK, ANSWER, 2654, None, None),
    ("tts", "fail", 1, True, BOOK, ANSWER, 2654, None, None),
    ("tts", "fail", 2, True, BOOK, ANSWER, 2654, None, None),
    ("tts", "stall", 0, True, BOOK, None, None, STALL, 12230),
    ("tts", "stall", 1, True, BOOK, "Sure,", 2484, STALL, 12280),
    ("tts", "stall", 2, True, BOOK, "Sure,", 2484, STALL, 12290),
    ("tts", "slow", 0, True, BOOK, ANSWER, 3280, SLOW, None),
    ("tts", "slow", 1, True, BOOK, ANSWER, 2484, SLOW, None),
    ("tts", "slow", 2, True, BOOK, ANSWER, 2484, SLOW, None),
    ("tts", "fail", 0, False, BOOK, None, None, FAIL, 2604),
    ("tts", "fail", 1, False, BOOK, "Sure,", 2654, FAIL, 2654),
    ("tts", "fail", 2, False, BOOK, "Sure,", 2654, FAIL, 2664),
    ("tts", "stall", 0, False, BOOK, None, None, STALL, 12604),
    ("tts", "stall", 1, False, BOOK, "Sure,", 2654, STALL, 12654),
    ("tts", "slow", 0, False, BOOK, ANSWER, 3654, SLOW, None),
]


@pytest.mark.parametrize("row", MATRIX, ids=lambda r: f"{r[0]}-{r[1]}-{r[2]}{'' if r[3] else '-unprepared'}")
@virtual_time
async def test_a_fault_costs_at_most_its_turn(row: Row) -> None:
    stage, kind, after, speculates, asked, answered, begins_ms, error, error_ms = row
    fault = {"fail": fail(after=after), "stall": stall(after=after), "slow": slow(1.0, after=after)}[kind]
    async with scene_with(stage, fault, speculates=speculates) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two people", 44.96)
        await scene.until(50)
    first = [("user", asked)] * (asked is not None) + [("assistant", answered)] * (answered is not None)
    assert scene.said == [*first, ("user", "for two people"), ("assistant", "Done.")]
    assert scene.spans_ms[0][0] == begins_ms or begins_ms is None
    assert scene.heard.endswith("Done.")
    assert scene.errors == ([(stage, error)] if error else [])
    assert [round(at) for at in scene.times(ev.ErrorOccurred)] == ([error_ms] if error else [])


@pytest.mark.parametrize(
    "stage, text",
    [
        ("vad", "the VAD has given nothing for 2 s"),
        ("stt", "gave no final words within 2 s"),
        ("llm", "gave nothing for 10 s; raise first_token_timeout_s"),
        ("tts", "gave no sound for 10 s; raise chunk_timeout_s"),
    ],
)
@virtual_time
async def test_an_error_names_what_to_change(stage: str, text: str) -> None:
    async with scene_with(stage, stall(), speculates=False) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(20)
    assert text in error_texts(scene)[0]


@pytest.mark.parametrize("stage", ["llm", "tts", "turn_detector"])
@virtual_time
async def test_a_plugin_that_raises_what_it_should_not(stage: str) -> None:
    broken = fail(None, error=ZeroDivisionError("division by zero"))
    async with scene_with(stage, broken, speculates=True) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
        assert scene.session.agent_state == "listening"
    assert {stage for stage, _ in scene.errors} == {stage}
    assert all("ZeroDivisionError: division by zero" in text for text in error_texts(scene))
    assert scene.said == [("user", BOOK)] or stage == "turn_detector"


@pytest.mark.parametrize("stage", ["vad", "stt", "llm", "tts", "turn_detector"])
@virtual_time
async def test_a_model_that_always_fails_ends_no_session(stage: str) -> None:
    async with scene_with(stage, fail(None), speculates=True) as scene:
        for start_s in (0.96, 10.24, 20.48):
            scene.mic.speak(BOOK, start_s)
        await scene.until(30)
        assert (scene.session.agent_state, scene.session.user_state) == ("listening", "listening")
    assert {stage for stage, _ in scene.errors} == {stage}
    # A detector that fails again and again is tried once a second.
    assert len(scene.errors) <= (31 if stage == "vad" else 12)


@virtual_time
async def test_the_fault_of_an_interrupted_reply_is_nobodys_business() -> None:
    async with Scene(
        model=ScriptedLLM({BOOK: ANSWER, "*": "Fine."}, inter_token_s=0.4, faults=[fail(after=6)])
    ) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("stop", 2.88)
        await scene.until(8)
    assert scene.errors == []
    assert scene.heard.endswith("Fine.")


# -- the devices -----------------------------------------------------------------------------------------------


@virtual_time
async def test_the_microphone_ends() -> None:
    async with Scene(ANSWER) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.end(2.2)  # the last words are known; silence can't be heard any more, but time goes on
        await scene.until(6)
        await scene.session.say("Still here.")
    assert scene.said == [("user", BOOK), ("assistant", ANSWER), ("assistant", "Still here.")]
    assert scene.errors == []


@virtual_time
async def test_the_microphone_ends_in_the_middle_of_speech() -> None:
    async with Scene(model=ScriptedLLM({"*": "Done."})) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.end(1.7)
        await scene.until(6)
    # What was said until then is a turn.
    assert scene.said == [("user", "book a"), ("assistant", "Done.")]
    # A line that has been silent for a second is dead: it counts as silence from its last frame on.
    assert scene.user_states == [(1060, "speaking"), (2700, "listening")]
    assert round(scene.events(ev.SpeechStopped)[0].audio_end_ms) == 1700
    assert scene.spans_ms[0][0] == 2900


@virtual_time
async def test_the_microphone_disappears() -> None:
    async with Scene(model=ScriptedLLM({"*": "Done."})) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.fail(1.7)
        await scene.until(6)
        await scene.session.send_text("hello")
    assert scene.errors == [("input", "DeviceError")]
    assert scene.said == [
        ("user", "book a"),
        ("assistant", "Done."),
        ("user", "hello"),
        ("assistant", "Done."),
    ]


@virtual_time
async def test_a_microphone_that_raises_what_it_should_not() -> None:
    class Broken(Exception):
        pass

    async with Scene() as scene:
        scene.mic.fail(0.5, Broken("driver"))
        await scene.until(2)
        await scene.session.say("hello")
    assert scene.errors == [("input", "DeviceError")]
    assert "Broken: driver" in error_texts(scene)[0]


@virtual_time
async def test_the_loudspeaker_stalls() -> None:
    async with Scene(ANSWER, "Done.") as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(3.0)
        scene.out.stall()
        await scene.until(12)
        assert scene.session.agent_state == "listening"
    # 516 ms were heard: two words. It is given up 5 s after it last said anything.
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for–")]
    assert scene.errors == [("output", "DeviceError")]
    assert [round(at) for at in scene.times(ev.ErrorOccurred)] == [7984]


@virtual_time
async def test_the_loudspeaker_fails() -> None:
    async with Scene(ANSWER) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(3.0)
        scene.out.fail(DeviceError("unplugged"))
        await scene.until(4)
        assert scene.session.agent_state == "listening"
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for–")]
    assert error_texts(scene) == ["unplugged"]


@virtual_time
async def test_a_failed_reply_is_known_to_its_handle() -> None:
    async with scene_with("tts", fail(), speculates=True) as scene:
        handle = await scene.session.send_text(BOOK)
    assert isinstance(handle.error, ModelError)
    assert handle.error.stage == "tts"
