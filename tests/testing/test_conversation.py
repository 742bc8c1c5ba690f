"""A whole conversation on the test kit: what it promises holds for a real session."""

from __future__ import annotations

import pytest

from repartee import Agent, AgentSession
from repartee.clock import Clock
from repartee.models import events as ev
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    MemoryTextOutput,
    ScriptedLLM,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    UserTurn,
    check_all,
    check_nothing_left,
    run,
    sleep_until,
    virtual_time,
)

REPLIES = {
    "book a table": "Sure, for how many people would that be, and when?",
    "no wait": "Yes?",
    "*": "Pardon me?",
}


async def booking() -> tuple[AgentSession, MemoryOutput, MemoryTextOutput]:
    """The user asks, and interrupts the answer."""
    microphone, loudspeaker, captions = MemoryInput(), MemoryOutput(), MemoryTextOutput()
    session = AgentSession(vad=ScriptedVAD(), stt=ScriptedSTT(), llm=ScriptedLLM(REPLIES), tts=ScriptedTTS())
    await session.start(Agent(), audio_input=microphone, audio_output=loudspeaker, text_output=captions)
    microphone.speak("book a table", at=1.0)
    microphone.speak("no wait", at=4.0)
    await sleep_until(10.0)
    await session.aclose()
    await microphone.aclose()
    await loudspeaker.aclose()
    assert check_nothing_left() == []
    return session, loudspeaker, captions


def test_an_interrupted_answer_keeps_every_rule() -> None:
    session, loudspeaker, _ = run(booking())
    assert check_all(session.log, loudspeaker, session.history) == []
    said = [message.text for message in session.history.messages]
    assert (said[0], said[2], said[3]) == ("book a table", "no wait", "Yes?")
    heard = loudspeaker.heard_text().split()
    assert said[1].split() == heard[: len(said[1].split())]
    assert 4 <= len(said[1].split()) <= 7
    # Silent before the user's second word ended.
    assert loudspeaker.spans()[0][1] < 4.6


def test_the_same_run_gives_the_same_log() -> None:
    logs = [str(list(run(booking(), seed=seed)[0].log)) for seed in (1, 1, 2)]
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]  # the ids


@virtual_time
async def test_a_realtime_model_with_its_own_turn_detection() -> None:
    microphone, loudspeaker = MemoryInput(), MemoryOutput()
    turns = [UserTurn("book a table", after_s=1.0)]
    session = AgentSession(llm=ScriptedRealtimeModel(["Sure, when?"], turns))
    await session.start(Agent(), audio_input=microphone, audio_output=loudspeaker)
    await sleep_until(6.0)
    await session.aclose()
    await microphone.aclose()
    await loudspeaker.aclose()
    assert loudspeaker.heard_text() == "Sure, when?"
    assert [message.text for message in session.history.messages] == ["book a table", "Sure, when?"]
    assert check_all(session.log, loudspeaker, session.history) == []


@pytest.mark.slow
def test_ten_minutes_of_talk_take_seconds() -> None:
    async def talk() -> tuple[AgentSession, MemoryOutput]:
        microphone, loudspeaker = MemoryInput(), MemoryOutput()
        session = AgentSession(
            vad=ScriptedVAD(),
            stt=ScriptedSTT(),
            llm=ScriptedLLM(lambda _: "Sure, it is done."),
            tts=ScriptedTTS(),
        )
        await session.start(Agent(), audio_input=microphone, audio_output=loudspeaker)
        for turn in range(60):
            microphone.speak(f"do number {turn}", at=10.0 * turn + 1.0)
        await sleep_until(600.0)
        await session.aclose()
        await microphone.aclose()
        await loudspeaker.aclose()
        return session, loudspeaker

    real = Clock()
    session, loudspeaker = run(talk())
    took_s = real.now()
    assert check_all(session.log, loudspeaker, session.history) == []
    done = [entry for entry in session.log if isinstance(entry.event, ev.ResponseDone)]
    assert len(done) == 60
    assert took_s < 60.0
