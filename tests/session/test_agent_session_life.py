"""A session's life: what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from repartee.chat import function_tool
from repartee.errors import ConfigurationError, DeviceError, ModelConnectionError, StateError
from repartee.models import events as ev
from repartee.session import Agent, AgentSession
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
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
    virtual_time,
)
from tests.session.scene import Scene

BOOK = "book a table"
LONG = "one two three four five six seven eight nine ten"


# -- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts, message",
    [
        ({}, "an AgentSession needs a model: pass llm="),
        ({"llm": "gpt"}, "llm is a str; it must be an LLM or a RealtimeModel"),
        ({"llm": ScriptedLLM}, "llm is the class ScriptedLLM; pass an instance"),
        ({"llm": ScriptedLLM(), "stt": ScriptedVAD()}, "stt is a ScriptedVAD; it must be an STT"),
        ({"llm": ScriptedLLM(), "tts": "voice"}, "tts is a str; it must be a TTS"),
        ({"llm": ScriptedLLM(), "vad": ScriptedSTT()}, "vad is a ScriptedSTT; it must be a VAD"),
        ({"llm": ScriptedLLM(), "tools": [print]}, "decorate it with @function_tool"),
        ({"llm": ScriptedLLM(), "stt": ScriptedSTT(), "vad": None}, r"without a VAD \(vad=None\)"),
        ({"llm": ScriptedLLM(), "turn_detection": "semantic"}, "turn_detection is 'semantic'; it must be"),
        ({"llm": ScriptedLLM(), "stt": ScriptedSTT(), "turn_detection": "stt"}, "finds the end of speech by itself"),
        ({"llm": ScriptedLLM(), "turn_detection": "stt"}, "needs an stt"),
        ({"llm": ScriptedLLM(), "turn_detection": "realtime_llm"}, "does not take turns by itself"),
        ({"llm": ScriptedLLM(), "turn_detection": "vad"}, "pass stt="),
        ({"llm": ScriptedLLM(), "turn_detection": ScriptedTurnDetector()}, "pass stt="),
        (
            {"llm": ScriptedRealtimeModel(steps=[UserTurn("hi")]), "turn_detection": ScriptedTurnDetector()},
            "two turn detections contradict each other",
        ),
        ({"llm": ScriptedLLM(), "max_tool_steps": -1}, "max_tool_steps is -1; it must be 0 or more"),
        ({"llm": ScriptedLLM(), "tool_timeout_s": 0}, "tool_timeout_s is 0; it must be above 0"),
        ({"llm": ScriptedLLM(), "user_away_timeout_s": 0}, "must be above 0, or None"),
    ],
)  # fmt: skip
def test_parts_that_are_wrong_or_contradict_each_other(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AgentSession(**parts)


@virtual_time
async def test_verbs_before_the_start() -> None:
    session = AgentSession(llm=ScriptedLLM(), tts=ScriptedTTS())
    for verb in (
        lambda: session.say("hello"),
        lambda: session.generate_reply(),
        lambda: session.send_text("hello"),
        session.interrupt,
        session.commit_user_turn,
        session.clear_user_turn,
        lambda: session.update_agent(Agent()),
    ):
        with pytest.raises(StateError, match=r"await start\(\) first"):
            verb()
    assert session.now == 0.0
    assert session.agent_state == "initializing"
    await session.aclose()


@virtual_time
async def test_verbs_after_the_end() -> None:
    session = AgentSession(llm=ScriptedLLM(), tts=ScriptedTTS())
    await session.start()
    await session.aclose()
    await session.aclose()
    with pytest.raises(StateError, match="has ended: make a new AgentSession"):
        session.say("hello")
    with pytest.raises(StateError, match="make a new AgentSession"):
        await session.start()
    with pytest.raises(StateError, match="has ended"):
        await session.wait_for_idle()


@virtual_time
async def test_starting_twice() -> None:
    async with Scene() as scene:
        with pytest.raises(StateError, match="started before"):
            await scene.session.start()
        await scene.session.say("hello")  # it is none the worse for it


@virtual_time
async def test_audio_that_nothing_can_take_or_give() -> None:
    session = AgentSession(llm=ScriptedLLM())
    with pytest.raises(ConfigurationError, match="nothing that hears: pass stt="):
        await session.start(audio_input=MemoryInput())
    with pytest.raises(ConfigurationError, match="nothing that speaks: pass tts="):
        await session.start(audio_output=MemoryOutput())
    with pytest.raises(ConfigurationError, match="audio_input is a str; it must be an AudioInput"):
        await session.start(audio_input="microphone")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="audio_output is a MemoryInput; it must be an AudioOutput"):
        await session.start(audio_output=MemoryInput())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="agent is a str; it must be an Agent"):
        await session.start("helpful")  # type: ignore[arg-type]
    await session.start()  # nothing was changed by what was refused
    await session.aclose()


@virtual_time
async def test_say_with_a_model_that_only_generates() -> None:
    class Unable(ScriptedRealtimeModel):
        def __init__(self) -> None:
            super().__init__()
            from dataclasses import replace

            self.capabilities = replace(self.capabilities, verbatim=False)

    async with Scene(model=Unable(), stt=None, tts=None) as scene:
        with pytest.raises(ConfigurationError, match="can't say a given text: pass tts="):
            scene.session.say("hello")


# -- ends ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_close_during_speech_keeps_what_was_heard() -> None:
    async with Scene() as scene:
        handle = scene.session.say(LONG)
        await scene.until(1.0)
    assert handle.done
    assert handle.interrupted
    assert scene.said == [("assistant", "one two three four–")]
    assert scene.spans_ms == [(50, 1000)]


@virtual_time
async def test_close_while_it_thinks() -> None:
    async with Scene(model=ScriptedLLM([Reply("Sure.", ttft_s=5.0)])) as scene:
        handle = scene.session.send_text(BOOK)
        await scene.until(1.0)
    assert handle.done
    assert handle.interrupted
    assert scene.said == [("user", BOOK)]
    assert scene.llm.records[0].outcome == "cancelled"


@virtual_time
async def test_close_while_the_user_speaks() -> None:
    async with Scene() as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(1.5)
    assert scene.said == []
    assert scene.mic.closed
    assert scene.out.closed


@virtual_time
async def test_close_while_an_answer_is_prepared() -> None:
    async with Scene("Sure, for how many?") as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2.3)
    assert scene.said == []
    assert scene.heard == ""
    assert scene.events(ev.ResponseCreated) == []


@virtual_time
async def test_close_while_the_last_words_are_awaited() -> None:
    async with Scene(stt=ScriptedSTT(final_lag_s=1.0)) as scene:
        scene.mic.speak(BOOK, 0.96)
        await scene.until(2.6)
    assert scene.said == []


class _Slow(ScriptedRealtimeModel):
    """Takes two seconds to connect."""

    def session(self, *args: Any, **kwargs: Any) -> Any:
        session = super().session(*args, **kwargs)
        start = session.start

        async def slow_start() -> None:
            await elapse(2.0)
            await start()

        session.start = slow_start  # type: ignore[method-assign]
        return session


@virtual_time
async def test_close_while_it_connects() -> None:
    session = AgentSession(llm=_Slow())
    starting = asyncio.create_task(session.start())
    await elapse(1.0)
    await session.aclose()
    with pytest.raises(StateError, match="closed while it was starting"):
        await starting
    assert session.agent_state == "idle"


@virtual_time
async def test_cancelling_the_start() -> None:
    session = AgentSession(llm=_Slow())
    starting = asyncio.create_task(session.start(audio_output=MemoryOutput()))
    await elapse(1.0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(StateError):
        session.say("hello")


@virtual_time
async def test_a_model_that_can_not_be_had() -> None:
    refused = ModelConnectionError("no such host", stage="realtime")
    session = AgentSession(llm=ScriptedRealtimeModel(start_error=refused))
    loudspeaker = MemoryOutput()
    with pytest.raises(ModelConnectionError, match="no such host"):
        await session.start(audio_input=MemoryInput(), audio_output=loudspeaker)
    assert loudspeaker.closed
    with pytest.raises(StateError, match="has ended"):
        session.say("hello")


@virtual_time
async def test_a_device_that_can_not_be_had() -> None:
    class Missing(MemoryOutput):
        def open(self, **_: Any) -> None:
            raise DeviceError("there is no loudspeaker")

    session = AgentSession(llm=ScriptedLLM(), tts=ScriptedTTS())
    with pytest.raises(DeviceError, match="no loudspeaker"):
        await session.start(audio_output=Missing())
    await session.aclose()


@virtual_time
async def test_what_fails_to_close_keeps_nothing_else_open() -> None:
    class Stuck(MemoryInput):
        async def aclose(self) -> None:
            await super().aclose()
            raise DeviceError("the microphone can't be released")

    microphone, loudspeaker = Stuck(), MemoryOutput()
    vad, stt = ScriptedVAD(), ScriptedSTT()
    session = AgentSession(llm=ScriptedLLM(), stt=stt, tts=ScriptedTTS(), vad=vad)
    await session.start(audio_input=microphone, audio_output=loudspeaker)
    microphone.speak(BOOK, 0.16)
    await elapse(1.0)
    with pytest.raises(DeviceError, match="can't be released"):
        await session.aclose()
    assert loudspeaker.closed
    assert (vad.open_streams, stt.open_streams) == (0, 0)
    assert session.agent_state == "idle"


class ClosingVAD(ScriptedVAD):
    """Counts its ends."""

    closed = 0
    fails = False

    async def aclose(self) -> None:
        self.closed += 1
        assert self.open_streams == 0
        if self.fails:
            raise DeviceError("it can't be closed")


class ClosingSTT(ScriptedSTT):
    """Counts its ends."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1
        assert self.open_streams == 0


@virtual_time
async def test_the_parts_that_it_makes_itself_are_closed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def offer(kind: type[Any]) -> Any:
        def make() -> Any:
            made.append(kind())
            return made[-1]

        return make

    monkeypatch.setattr("repartee.session.composition.default_vad", offer(ClosingVAD))
    monkeypatch.setattr("repartee.session.composition.default_stt", offer(ClosingSTT))
    sessions = [
        AgentSession(llm=ScriptedRealtimeModel(), turn_detection=ScriptedTurnDetector()) for _ in range(2)
    ]
    assert [type(part) for part in made] == [ClosingVAD, ClosingSTT] * 2
    for session in sessions:
        microphone = MemoryInput()
        await session.start(audio_input=microphone)
        microphone.speak(BOOK, 0.16)
    await elapse(1.0)
    await sessions[0].aclose()
    await sessions[0].aclose()
    assert [part.closed for part in made] == [1, 1, 0, 0]
    made[2].fails = True
    with pytest.raises(DeviceError, match="can't be closed"):
        await sessions[1].aclose()
    assert [part.closed for part in made] == [1, 1, 1, 1]
    unused = AgentSession(llm=ScriptedRealtimeModel())
    await unused.aclose()
    assert made[-1].closed == 1


@virtual_time
async def test_the_parts_that_it_is_given_stay_open() -> None:
    vad, stt = ClosingVAD(), ClosingSTT()
    async with Scene(vad=vad, stt=stt) as scene:
        scene.mic.speak(BOOK, 0.16)
        await scene.until(0.5)
    assert (vad.closed, stt.closed) == (0, 0)


@virtual_time
async def test_the_agent_says_goodbye() -> None:
    class Polite(Agent):
        async def on_exit(self, session: AgentSession) -> None:
            await session.say("Good bye.")

    async with Scene(agent=Polite()) as scene:
        await scene.until(1)
    assert scene.said == [("assistant", "Good bye.")]
    assert scene.session.now == pytest.approx(1.45)


@virtual_time
async def test_an_agent_whose_goodbye_fails() -> None:
    class Rude(Agent):
        async def on_exit(self, session: AgentSession) -> None:
            raise ValueError("no manners")

    scene = Scene(agent=Rude())
    with pytest.raises(ValueError, match="no manners"):
        async with scene:
            pass
    scene.check()
    assert scene.out.closed


@virtual_time
async def test_a_function_hangs_up() -> None:
    from repartee.chat import RunContext

    @function_tool
    async def hang_up(context: RunContext) -> None:
        """End the call."""
        await context.session.aclose()

    async with Scene(call_function("hang_up"), agent=Agent(tools=[hang_up])) as scene:
        scene.session.send_text("bye")
        await elapse(1)
        assert scene.session.agent_state == "idle"
    assert len(scene.session.history) == 3


@virtual_time
async def test_what_a_session_is_asked_for_after_its_end_is_its_past() -> None:
    async with Scene("Sure.") as scene:
        await scene.session.send_text(BOOK)
    assert len(scene.session.history) == 2
    assert scene.session.now == pytest.approx(0.35)
    assert scene.session.agent is not None
