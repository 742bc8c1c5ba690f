"""The same conversation with a model itself and with the server that serves it: the same history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from repartee import AgentSession
from repartee.chat import FunctionCall, FunctionCallOutput, Message, function_tool
from repartee.compose import Conversing, Spoken, Transcribed
from repartee.plugins import openai
from repartee.server import app
from repartee.server.served import Served
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    call_function,
    elapse,
    virtual_time,
)
from tests.server.serving import over_sockets, serving

COUNT = "One two three four five six seven."


@function_tool
def get_time(zone: str) -> str:
    """Tell the time."""
    return f"12:00 {zone}"


def answer(request: Any) -> Any:
    """What the model says, by what was said last."""
    last = request.context.items[-1]
    if isinstance(last, FunctionCallOutput):
        return "It is noon."
    return {
        "good morning": "Hello there.",
        "what time is it": call_function("get_time", zone="UTC"),
        "count": COUNT,
        "stop": "Sorry.",
        "goodbye": "Bye.",
    }[last.text]


def voice() -> ScriptedTTS:
    """Slow, so that it makes no difference how soon an interruption is noticed: it is in the same word."""
    return ScriptedTTS(ms_per_word=400)


class Conversation:
    """One conversation, whoever answers."""

    def __init__(self, session: AgentSession) -> None:
        self.session = session
        self.microphone, self.loudspeaker = MemoryInput(), MemoryOutput()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait, for as long as that may take."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + 30
        while loop.time() < end_s:
            if holds():
                return
            await elapse(0.02)
        raise AssertionError(
            f"it did not come: {self.history()}; {self.loudspeaker.heard_text()!r}; {self.session.agent_state}"
        )

    async def until_heard(self, words: str, *, all_of_it: bool = True) -> None:
        """Wait until that was heard last: the last word, or (``all_of_it``) the reply over."""
        await self.until(lambda: self.loudspeaker.heard_text().endswith(words))
        if all_of_it:
            await self.until(lambda: self.session.agent_state == "listening")

    def history(self) -> list[tuple[Any, ...]]:
        """The history, without ids."""
        found: list[tuple[Any, ...]] = []
        for item in self.session.history.items:
            match item:
                case Message():
                    found.append((item.role, item.text, item.interrupted))
                case FunctionCall():
                    found.append(("call", item.name, item.arguments))
                case FunctionCallOutput():
                    found.append(("output", item.output, item.is_error))
        return found

    async def run(self) -> list[tuple[Any, ...]]:
        """Have it: its history."""
        await self.session.start(audio_input=self.microphone, audio_output=self.loudspeaker)
        await self.microphone.say("good morning")
        await self.until_heard("Hello there.")
        await self.microphone.say("what time is it")
        await self.until_heard("It is noon.")
        await self.microphone.say("count")
        await self.until_heard("One two three", all_of_it=False)
        await elapse(0.1)  # into the next word, but not far
        await self.microphone.say("stop")
        await self.until_heard("Sorry.")
        self.session.send_text("goodbye")
        await self.until_heard("Bye.")
        await elapse(0.3)
        found = self.history()
        await self.session.aclose()
        return found


WANTED = [
    ("user", "good morning", False),
    ("assistant", "Hello there.", False),
    ("user", "what time is it", False),
    ("call", "get_time", '{"zone": "UTC"}'),
    ("output", "12:00 UTC", False),
    ("assistant", "It is noon.", False),
    ("user", "count", False),
    ("assistant", "One two three", True),
    ("user", "stop", False),
    ("assistant", "Sorry.", False),
    ("user", "goodbye", False),
    ("assistant", "Bye.", False),
]


@virtual_time
async def test_with_the_model_itself() -> None:
    session = AgentSession(
        vad=ScriptedVAD(), stt=ScriptedSTT(), llm=ScriptedLLM(answer), tts=voice(), tools=[get_time]
    )
    assert await Conversation(session).run() == WANTED


def served() -> tuple[ScriptedLLM, Served]:
    """The same parts, for a server."""
    llm = ScriptedLLM(answer)
    model = Spoken(Transcribed(Conversing(llm), ScriptedSTT()), voice())
    return llm, Served.of(model, name="scripted", vad=ScriptedVAD())


@over_sockets
async def test_through_the_socket() -> None:
    llm, model = served()
    async with serving(app(model)) as server:
        client = openai.realtime.RealtimeModel(
            base_url=f"http://127.0.0.1:{server.port}/v1",
            api_key="any",
            input_audio_transcription={"model": "any"},
        )
        found = await Conversation(AgentSession(llm=client, tools=[get_time])).run()
        assert found == WANTED
        # And so it is in the memory of the model behind the server.
        said = [(each.role, each.text) for each in llm.requests[-1].context.messages]
        assert said == [(row[0], row[1]) for row in WANTED if row[0] in ("user", "assistant")][:-1]


@over_sockets
async def test_after_a_restart_the_conversation_goes_on() -> None:
    _, first = served()
    llm, second = served()
    async with serving(app(first)) as server:
        port = server.port
        client = openai.realtime.RealtimeModel(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="any", input_audio_transcription={"model": "any"}
        )
        talk = Conversation(AgentSession(llm=client, tools=[get_time]))
        await talk.session.start(audio_input=talk.microphone, audio_output=talk.loudspeaker)
        await talk.microphone.say("good morning")
        await talk.until_heard("Hello there.")
    async with serving(app(second), port=port):
        await talk.microphone.say("goodbye")
        await talk.until_heard("Bye.")
        await elapse(0.3)
        assert talk.history() == [
            ("user", "good morning", False),
            ("assistant", "Hello there.", False),
            ("user", "goodbye", False),
            ("assistant", "Bye.", False),
        ]
        said = [each.text for each in llm.requests[-1].context.messages]
        assert said == ["good morning", "Hello there.", "goodbye"]
        await talk.session.aclose()
