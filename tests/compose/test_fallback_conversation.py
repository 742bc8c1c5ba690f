"""A whole call whose every part fails somewhere: the conversation goes on, and the log says who answered."""

from __future__ import annotations

import pytest

from repartee.compose import Fallback
from repartee.models import events as ev
from repartee.session import Agent, AgentSession
from repartee.testing import (
    Disconnect,
    Fault,
    MemoryInput,
    MemoryOutput,
    ScriptedLLM,
    ScriptedRealtimeModel,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    check_all,
    elapse,
    fail,
    slow,
    stall,
    virtual_time,
)


def llm(*faults: Fault) -> ScriptedLLM:
    return ScriptedLLM(
        {"book a table": "For how many?", "for two please": "It is booked.", "*": "Pardon?"}, faults=faults
    )


@pytest.mark.parametrize("fault", [fail(1), stall(1), slow(9.0, 1)])
@pytest.mark.parametrize("part", ["stt", "llm", "tts", "all"])
@virtual_time
async def test_every_turn_is_answered(part: str, fault: Fault) -> None:
    def faults(of: str) -> tuple[Fault, ...]:
        if part not in (of, "all"):
            return ()
        # An interim that is late is no failure of a recogniser; a final that does not come is.
        return (stall(1),) if of == "stt" and fault.kind == "slow" else (fault,)

    microphone, loudspeaker = MemoryInput(), MemoryOutput()
    session = AgentSession(
        vad=ScriptedVAD(),
        stt=Fallback([ScriptedSTT(faults=faults("stt")), ScriptedSTT()], deadline_s=1.0),
        llm=Fallback([llm(*faults("llm")), llm()], deadline_s=1.0),
        tts=Fallback([ScriptedTTS(faults=faults("tts")), ScriptedTTS()], deadline_s=1.0),
    )
    await session.start(Agent(instructions=""), audio_input=microphone, audio_output=loudspeaker)
    await microphone.say("book a table")
    await elapse(8.0)
    await microphone.say("for two please")
    await elapse(8.0)
    await session.aclose()
    assert loudspeaker.heard_text() == "For how many? It is booked."
    switched = [entry.event.stage for entry in session.log if isinstance(entry.event, ev.ProviderSwitched)]
    assert {"stt", "llm", "tts"} & set(switched) == ({"stt", "llm", "tts"} if part == "all" else {part})
    failed = [entry.event.stage for entry in session.log if isinstance(entry.event, ev.ErrorOccurred)]
    assert set(failed) == set(switched), "each failure is told once, by the part that it happened to"
    assert not any(entry.event.fatal for entry in session.log if isinstance(entry.event, ev.ErrorOccurred))
    assert check_all(session.log, loudspeaker, session.history) == []


@virtual_time
async def test_a_call_outlives_its_realtime_model() -> None:
    first = ScriptedRealtimeModel(["For how many?"], [Disconnect(after_s=6.0)], strict=False)
    second = ScriptedRealtimeModel(["It is booked."], strict=False)
    microphone, loudspeaker = MemoryInput(), MemoryOutput()
    session = AgentSession(vad=ScriptedVAD(), llm=Fallback([first, second]))
    await session.start(Agent(instructions=""), audio_input=microphone, audio_output=loudspeaker)
    await microphone.say("book a table")
    await elapse(8.0)
    await microphone.say("for two please")
    await elapse(8.0)
    await session.aclose()
    assert loudspeaker.heard_text() == "For how many? It is booked."
    assert [message.text for message in session.history.messages] == [
        "book a table",
        "For how many?",
        "for two please",
        "It is booked.",
    ]
    switches = [entry for entry in session.log if isinstance(entry.event, ev.ProviderSwitched)]
    assert [entry.event.new for entry in switches if isinstance(entry.event, ev.ProviderSwitched)] == [
        "ScriptedRealtimeModel #2",
        "ScriptedRealtimeModel",
    ]
    assert switches[1].at_s >= switches[0].at_s + 10.0, "back once it had cooled down, and it was quiet"
    assert check_all(session.log, loudspeaker, session.history) == []
