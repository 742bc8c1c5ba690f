"""Twenty sessions of the local default in one process, a part of some failing: nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from repartee import Agent, AgentSession, AudioFrame
from repartee.cli import talk
from repartee.errors import ModelError
from repartee.models import LLM, STT, TTS, VAD, ChatChunk, ChatRequest, SpeechChunk, TextDelta
from repartee.models.events import ErrorOccurred, OutputStopped
from repartee.transports.file import FileInput, RecordingOutput

pytest.importorskip("xllamacpp", reason="the extra local is not installed")
pytest.importorskip("pocketsphinx", reason="the extra local is not installed")

from repartee.plugins import local

SPOKEN = Path(talk.__file__).parent / "data" / "sum.flac"
COUNT = 20
FAULTS = {3: "llm", 7: "tts", 17: "vad", 18: "stt"}
SPEAKERS = (16, 17, 18, 19)


_PLANTED = 1


class _FailingLLM(LLM):
    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        for _ in range(_PLANTED):
            raise ModelError("planted", stage="llm")
        yield TextDelta("never")


class _FailingTTS(TTS):
    async def synthesize(self, text: str) -> AsyncGenerator[SpeechChunk, None]:
        for _ in range(_PLANTED):
            raise ModelError("planted", stage="tts")
        yield SpeechChunk(AudioFrame.silence(20.0))


class _FailingVAD(VAD):
    def stream(self, *, sample_rate: int, on_result: Any, on_error: Callable[[ModelError], None]) -> Any:
        return _Stream("vad", on_error)


class _FailingSTT(STT):
    def stream(self, *, sample_rate: int, on_event: Any, on_error: Callable[[ModelError], None]) -> Any:
        return _Stream("stt", on_error)


class _Stream:
    """A stream that fails with the first audio."""

    def __init__(self, stage: Any, on_error: Callable[[ModelError], None]) -> None:
        self._error: ModelError | None = ModelError("planted", stage=stage)
        self._on_error = on_error

    def push(self, frame: AudioFrame) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            self._on_error(error)

    def flush(self) -> int:
        return 0

    def cancel(self) -> None: ...

    def reset(self) -> None: ...

    async def aclose(self) -> None: ...


class _Call:
    """One session, and what came of it."""

    def __init__(self, number: int, parts: dict[str, Any]) -> None:
        self.number = number
        fault = FAULTS.get(number)
        faulty = {"llm": _FailingLLM, "tts": _FailingTTS, "vad": _FailingVAD, "stt": _FailingSTT}
        self.session = AgentSession(
            **(parts | ({fault: faulty[fault]()} if fault else {})), user_away_timeout_s=None
        )
        self.errors: list[str] = []
        self.heard = asyncio.Event()
        # A late word on a busy machine is no planted fault.
        self.session.on(
            ErrorOccurred, lambda e: self.errors.append(e.stage) if "planted" in str(e.error) else None
        )
        self.session.on(OutputStopped, lambda _: self.heard.set())

    @property
    def answer(self) -> str:
        return next((m.text for m in reversed(self.session.history.messages) if m.role == "assistant"), "")

    async def run(self) -> None:
        speaks = self.number in SPEAKERS
        source = FileInput([SPOKEN], sample_rate=16_000, lead_ms=300.0) if speaks else None
        await self.session.start(Agent(), audio_input=source, audio_output=RecordingOutput())
        if not speaks:
            await self.session.generate_reply(user_input=f"what is {self.number} times seven")
            return
        try:
            async with asyncio.timeout(6.0 if self.number in FAULTS else 60.0):
                await self.heard.wait()
        except TimeoutError:
            assert self.number in FAULTS, "a session without a fault was never answered"


async def _twenty() -> list[_Call]:
    parts: dict[str, Any] = {
        "llm": local.LLM(),
        "tts": local.TTS(),
        "vad": local.VAD(),
        "stt": local.STT(),
    }
    for part in parts.values():
        await part.prewarm()
    calls = [_Call(number, parts) for number in range(COUNT)]
    before = asyncio.all_tasks()
    try:
        await asyncio.gather(*(call.run() for call in calls))
    finally:
        await asyncio.gather(*(call.session.aclose() for call in calls))
        left = asyncio.all_tasks() - before
        for part in parts.values():
            await part.aclose()
    assert not left, f"tasks left: {left}"
    return calls


def test_a_fault_in_one_of_twenty_sessions_is_nobody_elses() -> None:
    calls = asyncio.run(_twenty())
    for call in calls:
        fault = FAULTS.get(call.number)
        if fault is not None:
            assert fault in call.errors, (call.number, call.errors)
            continue
        assert call.errors == [], call.number
        expected = "42" if call.number in SPEAKERS else str(call.number * 7)
        assert expected in call.answer, (call.number, call.answer)
