"""What tests have in common that talk over real sockets by the official clients, `openai` and `openai-agents`.

They are the judges there: what they can't parse, they report or raise.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import pytest
from agents import set_tracing_disabled
from agents.realtime import RealtimeSession

from repartee.testing.realtime_voice import speak

__all__ = [
    "AgentsTalk",
    "audio_of",
    "deltas",
    "nothing_reported",
    "on_a_socket",
    "say_to",
    "spoken",
    "transcripts",
    "types_of",
    "until",
    "write_to",
]


def on_a_socket(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run in real time, and not for long."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run


def spoken(text: str, *, silence_ms: int = 700) -> list[bytes]:
    """A caller's audio, as a microphone gives it: pieces of 100 ms."""
    return [chunk.audio for chunk in speak(text)] + [bytes(48 * 100)] * (silence_ms // 100)


async def until(connection: Any, *types: str) -> list[Any]:
    """Events up to the first of these types."""
    events = []
    async for event in connection:
        events.append(event)
        assert type(event).__name__ != "BaseModel", f"the client has no type for {event}"
        if event.type in types:
            return events
    raise AssertionError(f"the connection ended before {types}: {[event.type for event in events]}")


def deltas(events: list[Any], event_type: str) -> list[str]:
    return [event.delta for event in events if event.type == event_type]


def types_of(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def audio_of(events: list[Any]) -> bytes:
    return b"".join(base64.b64decode(delta) for delta in deltas(events, "response.output_audio.delta"))


async def say_to(connection: Any, audio: list[bytes]) -> None:
    for piece in audio:
        await connection.input_audio_buffer.append(audio=base64.b64encode(piece).decode())


async def write_to(connection: Any, text: str) -> None:
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )


class AgentsTalk:
    """A session of the agents package, and what it told."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[Any] = []

    async def until(self, kind: str) -> Any:
        """The next event of a type."""
        async for event in self.session:
            self.events.append(event)
            assert event.type != "error", event
            if event.type == kind:
                return event
        raise AssertionError(f"the session ended before {kind}")

    async def until_raw(self, kind: str) -> Any:
        """The next event of the model layer's of a type."""
        while True:
            event = await self.until("raw_model_event")
            if event.data.type == kind:
                return event.data

    async def until_said(self, words: str, role: str = "assistant") -> None:
        """Until the history ends in these words."""
        while words not in transcripts(self.session, role):
            await self.until("history_updated")

    @property
    def audio(self) -> bytes:
        return b"".join(event.audio.data for event in self.events if event.type == "audio")


def transcripts(session: RealtimeSession, role: str) -> list[str]:
    """What somebody said, item by item, as the package's history has it."""
    history: list[Any] = list(session._history)
    return [
        " ".join(
            getattr(part, "transcript", None) or getattr(part, "text", None) or "" for part in item.content
        )
        for item in history
        if getattr(item, "role", None) == role
    ]


@contextmanager
def nothing_reported(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The agents package logs what it can't validate; nothing may be there."""
    set_tracing_disabled(True)
    with caplog.at_level(logging.WARNING, "openai.agents"):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
