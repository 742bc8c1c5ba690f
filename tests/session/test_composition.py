"""Every way to put a session together: who hears, who speaks, and who says that a turn is over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from repartee.compose import Conversing, Overheard, Spoken, Transcribed, TurnTaking
from repartee.errors import ConfigurationError, MissingDependencyError
from repartee.models import STT, TTS, TurnContext
from repartee.models import events as ev
from repartee.session import AgentSession
from repartee.session.composition import default_stt, default_vad
from repartee.testing import (
    MemoryInput,
    Reply,
    ScriptedLLM,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedTurnDetector,
    ScriptedVAD,
    UserTurn,
    call_function,
    elapse,
    slow,
    virtual_time,
)
from repartee.turns import DynamicEndpointing, FixedEndpointing, SpeculationOptions
from tests.session.scene import Scene

BOOK = "book a table"
ANSWER = "Sure, for how many people shall it be on Friday?"


def layers(session: AgentSession) -> list[str]:
    """The wrappers, outermost first."""
    names, model = [], session.model
    while isinstance(model, Spoken | Transcribed | TurnTaking):
        names.append(type(model).__name__)
        model = model.model
    return [*names, type(model).__name__]


@pytest.mark.parametrize(
    "parts, expected",
    [
        ({"llm": ScriptedLLM()}, "TurnTaking Conversing"),
        ({"llm": ScriptedLLM(), "tts": ScriptedTTS()}, "TurnTaking Spoken Conversing"),
        ({"llm": ScriptedLLM(), "stt": ScriptedSTT(), "vad": ScriptedVAD()}, "TurnTaking Transcribed Conversing"),
        (
            {"llm": ScriptedLLM(), "stt": ScriptedSTT(), "tts": ScriptedTTS(), "vad": ScriptedVAD()},
            "TurnTaking Spoken Transcribed Conversing",
        ),
        ({"llm": ScriptedRealtimeModel(), "vad": ScriptedVAD()}, "TurnTaking ScriptedRealtimeModel"),
        ({"llm": ScriptedRealtimeModel(turn_detection=True)}, "TurnTaking ScriptedRealtimeModel"),
        (
            {"llm": ScriptedRealtimeModel(audio=False, turn_detection=True), "tts": ScriptedTTS()},
            "TurnTaking Spoken ScriptedRealtimeModel",
        ),
        ({"llm": TurnTaking(Conversing(ScriptedLLM()))}, "TurnTaking Conversing"),
    ],
)  # fmt: skip
def test_the_parts_choose_the_wrapping(parts: dict[str, Any], expected: str) -> None:
    assert " ".join(layers(AgentSession(**parts))) == expected


def test_a_model_that_takes_turns_itself_takes_no_other_turn_detection() -> None:
    whole = TurnTaking(Conversing(ScriptedLLM()))
    with pytest.raises(ConfigurationError, match="takes turns by itself"):
        AgentSession(llm=whole, vad=ScriptedVAD())
    with pytest.raises(ConfigurationError, match="takes turns by itself"):
        AgentSession(llm=whole, turn_detection="vad")


def offer_stt(monkeypatch: pytest.MonkeyPatch, stt: object) -> None:
    """Let the installed packages offer that recogniser, and nothing else."""
    entry = SimpleNamespace(load=lambda: lambda: stt)
    found = () if stt is None else (entry,)
    monkeypatch.setattr("repartee.session.composition.entry_points", lambda **_: found)


def end_of_turn_session(**options: Any) -> AgentSession:
    deaf = ScriptedRealtimeModel(turn_detection=False, **options)
    return AgentSession(llm=deaf, vad=ScriptedVAD(), turn_detection=ScriptedTurnDetector())


def words_of(session: AgentSession) -> ev.WordsFrom | None:
    model = session.model
    assert isinstance(model, TurnTaking)
    return model.words


def test_an_end_of_turn_model_is_given_words(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_stt(monkeypatch, ScriptedSTT())
    for transcription in (True, False):
        session = end_of_turn_session(transcription=transcription)
        assert words_of(session) == ev.WordsFrom("stt", "testing.ScriptedSTT")
        assert isinstance(session.model, TurnTaking)
        assert isinstance(session.model.model, Overheard)
        assert not session.model.options.needs_words


def test_without_a_recogniser_the_models_own_words_or_silence_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_stt(monkeypatch, None)
    own = end_of_turn_session(transcription=True)
    assert words_of(own) == ev.WordsFrom("model")
    none = end_of_turn_session(transcription=False)
    assert words_of(none) == ev.WordsFrom("silence")
    assert isinstance(none.model, TurnTaking)
    assert none.model.turn_detection is None


def test_a_recogniser_that_lacks_its_package_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> STT:
        raise MissingDependencyError("speech recognition", package="x", extra="local")

    offer_stt(monkeypatch, None)
    monkeypatch.setattr(
        "repartee.session.composition.entry_points", lambda **_: (SimpleNamespace(load=lambda: make),)
    )
    assert default_stt() is None


def test_without_a_vad_installed_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repartee.session.composition.entry_points", lambda **_: ())
    with pytest.raises(ConfigurationError, match=r"pip install 'repartee\[local\]'"):
        default_vad()
    with pytest.raises(ConfigurationError, match="no VAD is installed"):
        AgentSession(llm=ScriptedLLM(), stt=ScriptedSTT())


def test_the_default_vad_is_what_a_package_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        def load(self) -> object:
            return ScriptedVAD

    monkeypatch.setattr("repartee.session.composition.entry_points", lambda **_: (Entry(),))
    model = AgentSession(llm=ScriptedLLM(), stt=ScriptedSTT()).model
    assert isinstance(model, TurnTaking)
    assert isinstance(model.vad, ScriptedVAD)


@pytest.mark.parametrize("endpointing", [0.5, "semantic"])
def test_options_of_the_wrong_kind(endpointing: Any) -> None:
    with pytest.raises(ConfigurationError, match="it must be an Endpointing"):
        AgentSession(llm=ScriptedLLM(), endpointing=endpointing)
    with pytest.raises(ConfigurationError, match="it must be an InterruptionOptions"):
        AgentSession(llm=ScriptedLLM(), interruption=endpointing)


# -- the end of the turn ---------------------------------------------------------------------------------------


@virtual_time
async def test_endpointing_by_a_shorter_silence() -> None:
    async with Scene(ANSWER, endpointing=FixedEndpointing(silence_ms=300)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(5)
    assert scene.times(ev.InputCommitted) == [2284]
    assert scene.spans_ms[0][0] == 2284


@virtual_time
async def test_a_sure_end_of_turn_model_waits_the_least() -> None:
    async with Scene(ANSWER, turn_detection=ScriptedTurnDetector(0.99)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(5)
    assert scene.times(ev.EndOfTurnPredicted) == [2130]
    assert scene.times(ev.InputCommitted, reason="end of turn") == [2234]
    # Prepared at 2130, so it sounds 170 ms later, when the decision is 66 ms old.
    assert scene.spans_ms[0][0] == 2300


@virtual_time
async def test_an_unsure_end_of_turn_model_waits_longer() -> None:
    async with Scene(ANSWER, turn_detection=ScriptedTurnDetector(0.3)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    # 0.6 s · ln(8 · 0.7 / 0.6) = 1340 ms behind the end of speech.
    assert scene.times(ev.InputCommitted) == [pytest.approx(1984 + 1340.2, abs=0.1)]


@virtual_time
async def test_an_end_of_turn_model_sees_the_words_and_the_conversation_before_them() -> None:
    detector = ScriptedTurnDetector(0.99)
    async with Scene("Sure.", "Done.", turn_detection=detector) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two people", 4.0)
        await scene.until(8)
    contexts: list[TurnContext] = [record.context for record in detector.records]
    assert [context.text for context in contexts] == [BOOK, "for two people"]
    assert [[m.text for m in context.history.messages] for context in contexts] == [[], [BOOK, "Sure."]]


@virtual_time
async def test_it_waits_for_the_rest_of_an_unfinished_sentence() -> None:
    detector = ScriptedTurnDetector({"book a table for": 0.05, "*": 0.97})
    llm = ScriptedLLM({"book a table for two people": "Done."})
    async with Scene(model=llm, turn_detection=detector) as scene:
        scene.mic.speak("book a table for", 0.96)
        scene.mic.speak("two people", 3.2)  # 900 ms of silence
        await scene.until(7)
    assert scene.said == [("user", "book a table for two people"), ("assistant", "Done.")]
    assert len(llm.records) == 1  # nothing was prepared for the half


@virtual_time
async def test_a_late_end_of_turn_model_holds_nothing_up() -> None:
    detector = ScriptedTurnDetector(0.99, faults=[slow(2.0)])
    async with Scene(ANSWER, turn_detection=detector) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    # 500 ms, as for no probability; and the answer was not prepared before the deadline of 300 ms.
    assert scene.times(ev.InputCommitted) == [2484]
    assert detector.records[0].outcome == "cancelled"


@virtual_time
async def test_it_learns_this_users_pauses() -> None:
    endpointing = DynamicEndpointing()
    async with Scene(
        model=ScriptedLLM({"*": "Done."}), turn_detection=ScriptedTurnDetector(0.4), endpointing=endpointing
    ) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two", 2.24)
        scene.mic.speak("in rome", 3.2)
        await scene.until(8)
    assert len(scene.times(ev.InputCommitted)) == 1
    assert endpointing.pause_s == 0.6  # a policy that is handed over learns for no other session


# -- speculation -----------------------------------------------------------------------------------------------


@virtual_time
async def test_a_prepared_answer_is_used() -> None:
    async with Scene(ANSWER) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    assert [(r.outcome, r.request.speculative) for r in scene.llm.records] == [("completed", True)]
    assert scene.spans_ms[0][0] == 2484


@virtual_time
async def test_a_prepared_answer_is_thrown_away_when_the_words_change() -> None:
    llm = ScriptedLLM({BOOK: ANSWER, "book a table for two": "For two, then."}, inter_token_s=0.5)
    async with Scene(model=llm) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two", 2.24)  # a new reading at 2680
        await scene.until(9)
    assert [r.outcome for r in llm.records] == ["cancelled", "completed"]
    # Cancelled upstream as soon as there is a word more.
    assert llm.records[0].ended_s == pytest.approx(2.68, abs=0.03)
    assert scene.said == [("user", "book a table for two"), ("assistant", "For two, then.")]
    assert len(scene.events(ev.ResponseCreated)) == 1
    assert "Sure" not in " ".join(scene.lines())


@virtual_time
async def test_a_cough_does_not_throw_a_prepared_answer_away() -> None:
    async with Scene(ANSWER) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.noise(2.24, 0.05)
        await scene.until(6)
    assert [r.outcome for r in scene.llm.records] == ["completed"]
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]


@virtual_time
async def test_no_more_answers_are_prepared_than_allowed() -> None:
    llm = ScriptedLLM({"*": "Done."})
    async with Scene(model=llm, speculation=SpeculationOptions(max_per_turn=2)) as scene:
        for index, start_s in enumerate((0.96, 1.76, 2.56, 3.36)):
            scene.mic.speak(f"word{index}", start_s)
        await scene.until(8)
    assert [r.request.speculative for r in llm.records] == [True, True, False]
    assert scene.said == [("user", "word0 word1 word2 word3"), ("assistant", "Done.")]


@virtual_time
async def test_a_call_in_a_prepared_answer_is_thrown_away_with_it() -> None:
    llm = ScriptedLLM({BOOK: call_function("order"), "book a table for two": "For two, then."})
    async with Scene(model=llm) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two", 2.34)
        await scene.until(8)
    assert scene.events(ev.CallArgumentsDelta) == []
    assert [type(item).__name__ for item in scene.session.history] == ["Message", "Message"]


# -- push-to-talk ----------------------------------------------------------------------------------------------


@virtual_time
async def test_push_to_talk() -> None:
    async with Scene(ANSWER, turn_detection="manual", vad=None) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(5)
        assert scene.llm.records == []
        handle = scene.session.commit_user_turn()
        await handle
    # 50 ms to the final words, then 100 + 20 + 50 ms.
    assert scene.times(ev.InputCommitted, reason="manual") == [5050]
    assert scene.spans_ms[0][0] == 5220
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]


@virtual_time
async def test_push_to_talk_again_and_again() -> None:
    async with Scene("One.", "Two.", turn_detection="manual", vad=None) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2)
        await scene.session.commit_user_turn()
        scene.mic.speak("and wine", 4.0)
        await scene.until(5)
        await scene.session.commit_user_turn()
    assert scene.said == [("user", BOOK), ("assistant", "One."), ("user", "and wine"), ("assistant", "Two.")]


@virtual_time
async def test_push_to_talk_thrown_away() -> None:
    async with Scene("Two.", turn_detection="manual", vad=None) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2)
        scene.session.clear_user_turn()
        scene.mic.speak("and wine", 4.0)
        await scene.until(5)
        await scene.session.commit_user_turn()
    assert scene.said == [("user", "and wine"), ("assistant", "Two.")]


@virtual_time
async def test_push_to_talk_without_a_word() -> None:
    async with Scene("Yes?", turn_detection="manual", vad=None) as scene:
        await scene.until(1)
        await scene.session.commit_user_turn()  # who asks for a reply gets one
    assert scene.said == [("assistant", "Yes?")]


@virtual_time
async def test_the_program_closes_a_turn_that_the_detector_still_waits_for() -> None:
    async with Scene(ANSWER) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2.2)
        await scene.session.commit_user_turn()
        await scene.until(6)
    assert scene.times(ev.InputCommitted) == [2200]
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]


@virtual_time
async def test_the_program_closes_a_turn_in_the_middle_of_speech() -> None:
    async with Scene(model=ScriptedLLM({"*": "Done."})) as scene:
        scene.mic.speak("one two three four five six", 0.96)
        await scene.until(2.1)
        scene.session.commit_user_turn()
        await scene.until(9)
    assert [text for role, text in scene.said if role == "user"] == ["one two three", "four five six"]


@virtual_time
async def test_clearing_in_the_middle_of_speech_forgets_what_was_said_before() -> None:
    async with Scene(model=ScriptedLLM({"*": "Done."})) as scene:
        scene.mic.speak("one two three four five six", 0.96)
        await scene.until(1.98)
        scene.session.clear_user_turn()
        await scene.until(9)
    assert scene.said == [("user", "four five six"), ("assistant", "Done.")]


# -- the recogniser's own endpointing --------------------------------------------------------------------------


@virtual_time
async def test_the_recogniser_finds_the_turns() -> None:
    async with Scene(
        ANSWER, "Done.", stt=ScriptedSTT(endpointing_s=0.4), turn_detection="stt", vad=None
    ) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2.6)
        scene.mic.speak("for two", 6.0)
        await scene.until(9)
    # The last word ends at 1960, 400 ms of silence are seen in the frame of 2360, the final comes 50 ms later.
    assert scene.times(ev.InputCommitted, reason="recogniser") == [2410, 7130]
    assert scene.said == [
        ("user", BOOK),
        ("assistant", ANSWER),
        ("user", "for two"),
        ("assistant", "Done."),
    ]


@virtual_time
async def test_the_recogniser_hears_an_interruption() -> None:
    llm = ScriptedLLM({BOOK: ANSWER, "*": "Fine."})
    async with Scene(model=llm, stt=ScriptedSTT(endpointing_s=0.4), turn_detection="stt", vad=None) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("no stop it", 3.52)
        await scene.until(9)
    assert scene.said[1][1].endswith("–")
    assert scene.said[2:] == [("user", "no stop it"), ("assistant", "Fine.")]
    assert scene.times(ev.OutputClear) == [3960]  # with its first word


# -- realtime models -------------------------------------------------------------------------------------------


def realtime(*args: Any, **options: Any) -> ScriptedRealtimeModel:
    return ScriptedRealtimeModel(*args, voice=ScriptedTTS(ms_per_word=200.0), **options)


@virtual_time
async def test_a_realtime_model_that_takes_its_own_turns() -> None:
    model = realtime([ANSWER, "Fine."], [UserTurn(BOOK, 1.0), UserTurn("no stop", 1.5)])
    async with Scene(model=model, stt=None, tts=None, vad=None) as scene:
        await scene.until(9)
    # The first turn is committed at 2.3 s, answered from 2.5 s; the next is heard to begin at 3.8 s.
    assert scene.times(ev.OutputClear) == [3800]
    assert scene.spans_ms[0] == (2500.0, 3800.0)
    assert scene.said == [
        ("user", BOOK),
        ("assistant", "Sure, for how many people shall–"),
        ("user", "no stop"),
        ("assistant", "Fine."),
    ]
    cut = model.sessions[0].calls_of("truncate_item")[0].arguments
    assert (cut["audio_end_ms"], cut["text"]) == (1300, "Sure, for how many people shall")
    states = [state for _, state in scene.user_states]
    assert states == ["speaking", "listening", "speaking", "listening"]


@virtual_time
async def test_a_realtime_model_with_the_sessions_turn_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_stt(monkeypatch, None)
    model = realtime([ANSWER], turn_detection=False)
    async with Scene(model=model, stt=None, tts=None, turn_detection=ScriptedTurnDetector(0.99)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]
    assert scene.times(ev.InputCommitted) != []
    assert model.sessions[0].calls_of("create_response")[0].at_s == pytest.approx(2.234)


@virtual_time
async def test_half_cascade() -> None:
    model = ScriptedRealtimeModel(
        [ANSWER, "Fine."], [UserTurn(BOOK, 1.0), UserTurn("stop", 1.5)], audio=False
    )
    async with Scene(model=model, stt=None, vad=None) as scene:
        await scene.until(9)
    assert next(u.text for u in scene.tts.utterances) == "Sure, "
    assert scene.said[0] == ("user", BOOK)
    assert scene.said[1][1].startswith("Sure, for how many")
    assert scene.said[1][1].endswith("–")
    assert scene.said[2:] == [("user", "stop"), ("assistant", "Fine.")]


@virtual_time
async def test_text_from_a_recogniser_to_a_realtime_model_whose_text_is_spoken() -> None:
    model = ScriptedRealtimeModel([ANSWER], audio=False, turn_detection=False)
    async with Scene(model=model, turn_detection=ScriptedTurnDetector(0.99)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(7)
    assert scene.said == [("user", BOOK), ("assistant", ANSWER)]
    assert model.sessions[0].appended_samples == 0
    assert model.sessions[0].calls_of("create_item")[0].arguments["item"].text == BOOK


@virtual_time
async def test_a_realtime_model_calls_functions() -> None:
    model = realtime([call_function("order"), "Done."], turn_detection=False)
    async with Scene(model=model, stt=None, tts=None, vad=ScriptedVAD()) as scene:
        await scene.session.send_text(BOOK)
    kinds = [type(item).__name__ for item in scene.session.history]
    assert kinds == ["Message", "FunctionCall", "FunctionCallOutput", "Message"]


@virtual_time
async def test_a_realtime_model_as_a_text_model() -> None:
    model = ScriptedRealtimeModel(["Rome."], turn_detection=False)
    words = [delta async for delta in model.generate_reply("which city")]
    assert "".join(words) == "Rome."
    await elapse(0)
    assert model.sessions[0].closed


@virtual_time
async def test_a_whole_session_model_answers_in_text_too() -> None:
    session = AgentSession(
        llm=ScriptedLLM([Reply("Rome.")]), stt=ScriptedSTT(), tts=ScriptedTTS(), vad=ScriptedVAD()
    )
    assert "".join([delta async for delta in session.model.generate_reply("which city")]) == "Rome."


def test_prewarm_and_close_reach_every_part() -> None:
    from repartee.testing import run

    done: list[str] = []

    class Ear(ScriptedSTT):
        async def prewarm(self) -> None:
            done.append("stt warm")

        async def aclose(self) -> None:
            done.append("stt closed")

    class Voice(ScriptedTTS):
        async def prewarm(self) -> None:
            done.append("tts warm")

        async def aclose(self) -> None:
            done.append("tts closed")

    async def main() -> None:
        llm = ScriptedLLM()
        stt: STT = Ear()
        tts: TTS = Voice()
        model = AgentSession(llm=llm, stt=stt, tts=tts, vad=ScriptedVAD()).model
        await model.prewarm()
        await model.aclose()
        assert llm.prewarmed == [None]

    run(main())
    assert sorted(done) == ["stt closed", "stt warm", "tts closed", "tts warm"]


def test_a_microphone_is_not_touched_by_what_composes() -> None:
    assert MemoryInput().started_s is None
