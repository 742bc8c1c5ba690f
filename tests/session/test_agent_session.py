"""Turns by voice and by text, end to end, to the millisecond."""

from __future__ import annotations

import pytest

from repartee.models import events as ev
from repartee.session import Agent
from repartee.testing import MemoryTextOutput, Reply, ScriptedLLM, ScriptedTTS, elapse, virtual_time
from tests.session.scene import Scene

# Speech is seen in windows of 32 ms and given in frames of 20 ms: what begins at 960 ms is confirmed (96 ms later) by
# the window that ends at 1056, in the frame of 1060. The last window with sound of "book a table" (3 words a second,
# so 960 to 1960 ms) ends at 1984: that is where silence begins, and 500 ms later the turn is over.
BOOK = "book a table"
SPEECH_END_MS = 1984
DECISION_MS = 2484


@virtual_time
async def test_a_voice_turn() -> None:
    async with Scene("Sure, for how many people?") as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(6)
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for how many people?")]
    assert scene.times(ev.SpeechStarted) == [1060]
    assert [e.audio_start_ms for e in scene.events(ev.SpeechStarted)] == pytest.approx([960])
    assert scene.times(ev.InterimTranscript, text="book") == [1400]
    assert scene.times(ev.SpeechStopped) == [2060]
    assert [e.audio_end_ms for e in scene.events(ev.SpeechStopped)] == pytest.approx([SPEECH_END_MS])
    assert scene.times(ev.InterimTranscript, settled=True) == [2110]
    assert scene.times(ev.InputCommitted, reason="silence") == [DECISION_MS]
    # The answer was prepared meanwhile, so it sounds in the moment of the decision: 5 words of 200 ms.
    assert scene.spans_ms == [(DECISION_MS, DECISION_MS + 1000)]
    assert scene.heard == "Sure, for how many people?"
    assert scene.user_states == [(1060, "speaking"), (2060, "listening")]
    assert scene.agent_states == [
        (0, "listening"),
        (2484, "thinking"),
        (2504, "speaking"),
        (3484, "listening"),
        (6000, "idle"),
    ]
    stages = {e.stage: round(e.at_s * 1000) for e in scene.events(ev.StageReached)}
    assert stages == {
        "speech_end": 1984,
        "transcript": 2110,
        "first_token": 2210,
        "first_clause": 2230,
        "first_audio": 2280,
        "decision": 2484,
        "playback": 2504,
    }


@virtual_time
async def test_the_user_and_the_assistant_items_are_in_order_and_speak_of_audio() -> None:
    async with Scene("Sure.", "Done.") as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two people", 4.0)
        await scene.until(8)
    assert scene.said == [
        ("user", BOOK),
        ("assistant", "Sure."),
        ("user", "for two people"),
        ("assistant", "Done."),
    ]
    assert all(message.is_audio for message in scene.session.history.messages)
    previous = [e.previous_item_id for e in scene.events(ev.InputCommitted)]
    assert previous == [None, scene.session.history.items[1].id]
    roles = [[item.role for item in request.context.messages] for request in scene.llm.requests]
    assert roles == [["user"], ["user", "assistant", "user"]]


@virtual_time
async def test_a_typed_turn_is_spoken() -> None:
    async with Scene("Sure, for how many people?") as scene:
        await scene.until(1)
        handle = scene.session.send_text(BOOK)
        assert not handle.done
        await handle
        # 100 ms to the first token, the first clause ends with the next, 50 ms to the first sound, then 1 s of it.
        assert scene.session.now == pytest.approx(2.17)
    assert scene.spans_ms == [(1170, 2170)]
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for how many people?")]
    assert (handle.interrupted, handle.error) == (False, None)
    assert handle.items == [scene.session.history.items[-1]]


@virtual_time
async def test_a_typed_turn_without_a_voice() -> None:
    captions = MemoryTextOutput()
    async with Scene(
        "Sure, for how many?",
        stt=None,
        tts=None,
        vad=None,
        microphone=None,
        loudspeaker=None,
        captions=captions,
    ) as scene:
        handle = scene.session.generate_reply(user_input=BOOK)
        await handle
        assert scene.session.now == pytest.approx(0.16)
    assert scene.said == [("user", BOOK), ("assistant", "Sure, for how many?")]
    assert captions.replies == ["Sure, for how many?"]
    assert [round(at_s, 3) for at_s, _, _ in captions.writes] == [0.1, 0.12, 0.14, 0.16, 0.16]
    assert scene.agent_states == [(0, "listening"), (0, "thinking"), (160, "listening"), (160, "idle")]


@virtual_time
async def test_an_audio_session_without_a_loudspeaker_answers_in_text() -> None:
    captions = MemoryTextOutput()
    async with Scene("Sure.", loudspeaker=None, captions=captions) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(4)
    assert scene.said == [("user", BOOK), ("assistant", "Sure.")]
    assert captions.replies == ["Sure."]
    assert not scene.session.history.messages[1].is_audio
    assert scene.tts.utterances == []


@virtual_time
async def test_captions_follow_the_voice() -> None:
    captions = MemoryTextOutput()
    async with Scene("Sure, for how many?", captions=captions) as scene:
        await scene.session.send_text(BOOK)
    assert captions.replies == ["Sure, for how many?"]
    # A word is shown when the next one begins to be heard, and the last when it has been heard.
    shown = [(round(at_s * 1000), text) for at_s, text, _ in captions.writes]
    assert shown == [(370, "Sure,"), (570, " for"), (770, " how"), (970, " many?"), (970, "")]


@virtual_time
async def test_a_greeting_on_enter() -> None:
    class Host(Agent):
        async def on_enter(self, session: object) -> None:
            scene.session.say("Hello there.")

    scene = Scene(agent=Host())
    async with scene:
        await scene.session.wait_for_idle()
        assert scene.session.now == pytest.approx(0.45)
    assert scene.said == [("assistant", "Hello there.")]


@virtual_time
async def test_instructions_and_former_conversation_reach_the_model() -> None:
    from repartee.chat import ChatContext

    before = ChatContext()
    before.add_message("user", "I am Ann.")
    before.add_message("assistant", "Hello Ann.")
    async with Scene("You are Ann.", agent=Agent("Be brief.", chat_context=before)) as scene:
        await scene.session.send_text("who am I")
    request = scene.llm.requests[0]
    assert request.instructions == "Be brief."
    assert [m.text for m in request.context.messages] == ["I am Ann.", "Hello Ann.", "who am I"]
    assert len(scene.session.history) == 4


@virtual_time
async def test_a_reply_without_words_is_silence() -> None:
    async with Scene("", "Yes?") as scene:
        handle = await scene.session.send_text(BOOK)
        assert scene.session.now == 0.0
        await scene.session.send_text("hello")
    assert handle.items == []
    assert scene.said == [("user", BOOK), ("user", "hello"), ("assistant", "Yes?")]


@virtual_time
async def test_two_quick_turns_are_one_when_the_pause_is_short() -> None:
    async with Scene(model=ScriptedLLM({"book a table for two": "Sure.", BOOK: "?"})) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two", 2.24)  # 280 ms later
        await scene.until(6)
    assert scene.said == [("user", "book a table for two"), ("assistant", "Sure.")]


@virtual_time
async def test_speech_while_it_thinks_continues_the_sentence() -> None:
    llm = ScriptedLLM({BOOK: "Sure.", "for two people": "For two, then."}, ttft_s=2.0)
    async with Scene(model=llm) as scene:
        scene.mic.speak(BOOK, 0.96)
        scene.mic.speak("for two people", 2.88)  # decided at 2.484, the answer would sound at about 4.2
        await scene.until(9)
    # The first turn is committed; its answer never sounded, so there is one answer, to both.
    assert scene.said == [("user", BOOK), ("user", "for two people"), ("assistant", "For two, then.")]
    assert scene.heard == "For two, then."
    assert [m.text for m in llm.requests[-1].context.messages] == [BOOK, "for two people"]


@virtual_time
async def test_silence_and_the_user_is_away() -> None:
    async with Scene("Sure.", user_away_timeout_s=5.0) as scene:
        await scene.until(6)
        assert scene.session.user_state == "away"
        scene.mic.speak(BOOK, 6.4)
        await scene.until(20)
    assert scene.user_states == [
        (5000, "away"),
        (6500, "speaking"),
        (7500, "listening"),
        (13124, "away"),
    ]


@virtual_time
async def test_nobody_is_away_where_that_is_off() -> None:
    async with Scene(user_away_timeout_s=None) as scene:
        await elapse(100)
    assert scene.user_states == []


@virtual_time
async def test_a_long_reply_keeps_the_output_and_the_voice_on_a_short_lead() -> None:
    words = "one two three four five. " * 60  # a minute of speech
    async with Scene(Reply(words, inter_token_s=0.0)) as scene:
        handle = scene.session.send_text("talk")
        await scene.until(5)
        assert scene.out.queued_samples <= 24_000 * 0.2
        given = sum(u.given_samples for u in scene.tts.utterances) / 24_000
        assert given <= 30 + 5.2  # what was heard, and the voice's lead
        await handle
    assert scene.heard == words.strip()


@virtual_time
async def test_an_agent_has_a_voice() -> None:
    voice = ScriptedTTS(ms_per_word=200.0, voices=["ada"])
    agent, nobody = Agent(voice="ada"), Agent(voice="eve")
    async with Scene("Hello.", "Yes.", "No.", tts=voice, agent=agent) as scene:
        await scene.session.send_text("hi")
        scene.session.update_agent(nobody)
        for text in ("really?", "sure?"):
            await scene.session.send_text(text)
    assert [(each.text, each.voice) for each in voice.utterances] == [
        ("Hello.", "ada"),
        ("Yes.", ""),
        ("No.", ""),
    ]
    [error] = scene.events(ev.ErrorOccurred)
    assert "no voice 'eve'; it has ada" in str(error.error)
