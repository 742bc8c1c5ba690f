"""What the terminal, and a program, are told of a call."""

from __future__ import annotations

import io
import json

from rich.console import Console

from repartee import Agent, AgentSession
from repartee.cli.talk_view import JsonView, TalkView, latency_parts
from repartee.errors import ModelError
from repartee.models.events import ErrorOccurred
from repartee.observe import TurnLatency
from repartee.testing import (
    MemoryInput,
    MemoryOutput,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    elapse,
    virtual_time,
)


def _session(*replies: str) -> AgentSession:
    return AgentSession(
        vad=ScriptedVAD(), stt=ScriptedSTT(), llm=ScriptedLLM(list(replies)), tts=ScriptedTTS()
    )


def _console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=160, highlight=False), out


def test_a_latency_is_split_at_the_decision() -> None:
    turn = TurnLatency("resp", {"speech_end": 1.0, "decision": 1.3, "first_audio": 1.25, "playback": 1.35})
    assert latency_parts(turn) == {"total": 350, "decision": 300, "after_decision": 50, "first_audio": 250}


@virtual_time
async def test_the_terminal_shows_words_as_they_come_what_was_heard_and_how_long_it_took() -> None:
    console, out = _console()
    session = _session("Of course I can do that for you today.", "Fine.")
    view = TalkView(session, console)
    microphone = MemoryInput()
    await session.start(Agent(), audio_input=microphone, audio_output=MemoryOutput())
    microphone.speak("book a table", at=1.0)
    microphone.speak("no stop please", at=3.5)
    await elapse(8.0)
    await session.aclose()
    view.close()
    lines = [line.strip() for line in out.getvalue().splitlines()]
    said = [line for line in lines if line.startswith(("you  ", "agent  ")) and "…" not in line]
    assert said == [
        "you  book a table",
        "agent  Of course I can do that —",
        "you  no stop please",
        "agent  Fine.",
    ]
    assert any(line.startswith("you  … book a") for line in lines), "partial words"
    assert "interrupted: these are the words that were heard" in lines
    timings = [line for line in lines if "after your last sound" in line]
    assert len(timings) == 2
    assert timings[0].startswith(
        "520 ms after your last sound: 500 until the turn was over + 20 until it was heard"
    )


@virtual_time
async def test_typed_text_shows_the_answer_once() -> None:
    console, out = _console()
    session = AgentSession(llm=ScriptedLLM(["Hello to you."]))
    view = TalkView(session, console, text=True)
    await session.start(Agent())
    await session.send_text("hello")
    await session.aclose()
    view.close()
    assert [line.strip() for line in out.getvalue().splitlines()][-1] == "agent  Hello to you."


@virtual_time
async def test_a_failure_is_shown_with_its_stage() -> None:
    console, out = _console()
    session = _session()
    TalkView(session, console)
    session.tell(ErrorOccurred(ModelError("out of memory", stage="llm"), "llm"))
    assert "llm failed: out of memory" in out.getvalue()


@virtual_time
async def test_a_program_gets_every_event_as_a_line_of_json() -> None:
    out = io.StringIO()
    session = _session("Yes.")
    JsonView(session, out)
    microphone = MemoryInput()
    await session.start(Agent(), audio_input=microphone, audio_output=MemoryOutput())
    microphone.speak("hello there", at=0.5)
    await elapse(4.0)
    await session.aclose()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    kinds = [line["type"] for line in lines]
    assert "AudioDelta" not in kinds
    for kind in (
        "InterimTranscript",
        "InputCommitted",
        "ResponseDone",
        "OutputHeard",
        "OutputStopped",
        "Latency",
    ):
        assert kind in kinds
    assert (
        next(line for line in lines if line["type"] == "TranscriptCompleted")["transcript"] == "hello there"
    )
    times = [line["now_s"] for line in lines if "now_s" in line]
    assert times == sorted(times)
